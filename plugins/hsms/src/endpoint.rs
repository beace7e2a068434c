//! [`SecsEndpoint`]: options of either driver, once checked, and what the connections of one place share.

use crate::item::{Format, Item, Limits};
use crate::options::{HsmsOptions, Mode};
use crate::peers::{Filter, Peers};
use crate::secs1::{LineTimes, Secs1Options};
use crate::sml::{self, Text};
use bytes::Bytes;
use jackfield_plugin_api::{Error, Result, Role};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bytes of an unfinished message of each connection that are not counted.
pub(crate) const UNCOUNTED: usize = 64 << 10;
/// Targets whose last end is remembered, for T5.
const REMEMBERED: usize = 1024;

/// What many connections share.
#[derive(Debug)]
pub struct SecsEndpoint {
    pub(crate) times: Times,
    /// What SECS-I has instead of sessions that are selected; `None` for HSMS.
    pub(crate) line: Option<Line>,
    pub(crate) most: Most,
    pub(crate) mode: Mode,
    pub(crate) session_id: u16,
    pub(crate) equipment: bool,
    /// Whether each message is told by an event.
    pub(crate) packets: bool,
    /// Whether a host is told of its faults.
    pub(crate) stream9: bool,
    /// The messages that are known; `None`: those that somebody takes.
    pub(crate) known: Option<Filter>,
    /// Communications by GEM, where they are wanted.
    pub(crate) establish: Option<Establish>,
    /// Answers of our own, by stream and function.
    pub(crate) answers: HashMap<(u8, u8), Text>,
    /// Stream and function of contents without a header.
    pub(crate) plain: (u8, u8),
    pub(crate) peers: Peers,
    /// Of all connections.
    pub(crate) unfinished: Budget,
    /// When the last connection to each address has ended.
    ended: Mutex<HashMap<String, Duration>>,
}

/// The timers of E37 §10. Of SECS-I T3 alone is one of E4; nothing is selected, so T7 never begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) t3: Duration,
    t5: Duration,
    /// Also how long what was sent may take to leave when a connection is closed; of SECS-I that alone, and T2.
    pub(crate) t6: Duration,
    pub(crate) t7: Duration,
    pub(crate) t8: Duration,
    pub(crate) linktest: Option<Duration>,
}

/// How communications are established.
#[derive(Debug)]
pub(crate) struct Establish {
    /// The answer to an S1F13 of ours may take so long.
    pub(crate) timeout: Duration,
    /// Then, or where it is denied, the next one is sent after this.
    pub(crate) delay: Duration,
    /// Whether opening waits for them.
    pub(crate) wait: bool,
    /// Whether we send S1F13 at all.
    pub(crate) initiate: bool,
    /// The content of that.
    pub(crate) question: Vec<u8>,
}

/// What a line of SECS-I has.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) times: LineTimes,
    /// The devices at it.
    pub(crate) devices: BTreeSet<u16>,
}

/// What bounds a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    pub(crate) message: usize,
    pub(crate) items: Limits,
    pub(crate) transactions: usize,
    pub(crate) selected: usize,
    pub(crate) streams: usize,
    pub(crate) read_ahead: usize,
    pub(crate) write_buffer: usize,
    pub(crate) events: usize,
}

impl SecsEndpoint {
    pub(crate) fn new(options: HsmsOptions, role: Role) -> Result<Self> {
        if options.t6 >= options.t7 {
            let text = "must be shorter than `t7`: a peer whose T7 ends first closes the connection \
                        while its answer is still waited for, again and again";
            return Err(Error::option("t6", text));
        }
        if role == Role::Client && !options.peers.is_empty() {
            return Err(Error::option("peers", "is for listeners"));
        }
        if options.known.is_some() && !(options.equipment && options.stream9) {
            return Err(Error::option("known", "is for equipment that tells a host by `stream9`"));
        }
        let most = most(&options)?;
        let answers = answers(&options, most.items)?;
        Ok(SecsEndpoint {
            times: times(&options)?,
            line: None,
            most,
            mode: options.mode,
            session_id: options.session_id,
            equipment: options.equipment,
            packets: options.packets,
            stream9: options.equipment && options.stream9,
            known: options.known.as_ref().map(|it| filter("known", it)).transpose()?,
            establish: options.establish.then(|| establish(&options, &answers)).transpose()?,
            answers,
            plain: plain(&options.plain)?,
            peers: Peers::new(options.peers)?,
            unfinished: Budget::new(options.max_unfinished),
            ended: Mutex::default(),
        })
    }

    /// Of SECS-I: what both have in common stands in the options of `hsms`.
    pub(crate) fn of_line(options: Secs1Options, role: Role) -> Result<Self> {
        if let Some(peer) = options.peers.iter().find(|peer| peer.session_id.is_some()) {
            let text = format!(
                "{}: SECS-I selects no session: a peer is known by `addresses` and `identity`",
                peer.name
            );
            return Err(Error::option("peers", text));
        }
        let line = Line { times: LineTimes::new(&options)?, devices: options.devices() };
        let mut endpoint = SecsEndpoint::new(options.common(), role)?;
        endpoint.times.t5 = Duration::ZERO;
        endpoint.times.t6 = line.times.t2;
        endpoint.times.linktest = None;
        endpoint.line = Some(line);
        Ok(endpoint)
    }

    /// What log lines are marked with.
    pub(crate) fn name(&self) -> &'static str {
        if self.line.is_some() { "secs1" } else { "hsms" }
    }

    /// A connection to `target` has ended, now.
    pub(crate) fn ended(&self, target: &str, now: Duration) {
        if self.times.t5.is_zero() {
            return;
        }
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, then| now.saturating_sub(*then) < self.times.t5);
        if ended.len() < REMEMBERED {
            ended.insert(target.to_owned(), now);
        }
    }

    /// How much of T5 is left for `target`.
    pub(crate) fn separation(&self, target: &str, now: Duration) -> Option<Duration> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_sub(*ended.get(target)?);
        self.times.t5.checked_sub(since).filter(|left| !left.is_zero())
    }
}

pub(crate) fn seconds(name: &str, seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Error::option(name, "expected seconds, such as 5 or 0.5"))
}

fn times(options: &HsmsOptions) -> Result<Times> {
    let linktest = seconds("linktest_interval", options.linktest_interval)?;
    Ok(Times {
        t3: seconds("t3", options.t3)?,
        t5: seconds("t5", options.t5)?,
        t6: seconds("t6", options.t6)?,
        t7: seconds("t7", options.t7)?,
        t8: seconds("t8", options.t8)?,
        linktest: Some(linktest).filter(|interval| !interval.is_zero()),
    })
}

fn most(options: &HsmsOptions) -> Result<Most> {
    let size = |name: &str, size: u32| {
        usize::try_from(size).map_err(|_| Error::option(name, "is more than this machine can have"))
    };
    let items = Limits {
        depth: size("max_depth", options.max_depth)?,
        items: size("max_items", options.max_items)?,
    };
    Ok(Most {
        message: size("max_message", options.max_message)?,
        items,
        transactions: size("max_transactions", options.max_transactions)?,
        selected: size("max_selected", options.max_selected)?,
        streams: size("max_streams", options.max_streams)?,
        read_ahead: size("read_ahead", options.read_ahead)?,
        write_buffer: size("write_buffer", options.write_buffer)?,
        events: size("events", options.events)?,
    })
}

fn answers(options: &HsmsOptions, limits: Limits) -> Result<HashMap<(u8, u8), Text>> {
    let one = |(asked, answer): (&String, &String)| {
        let wrong = |text: String| Error::option("answers", format!("{asked}: {text}"));
        let asked = sml::title(asked).filter(|(_, function)| function % 2 == 1);
        let asked = asked.ok_or_else(|| wrong("expected a message such as S1F13".to_owned()))?;
        let answer = sml::read(answer, limits).map_err(wrong)?;
        let fits = [asked.1.wrapping_add(1), 0].contains(&answer.function) && !answer.wait;
        if answer.stream != asked.0 || !fits {
            let (stream, function) = (asked.0, asked.1.wrapping_add(1));
            return Err(wrong(format!("expected S{stream}F{function} or S{stream}F0, without W")));
        }
        Ok((asked, answer))
    };
    let mut answers: HashMap<_, _> = options.answers.iter().map(one).collect::<Result<_>>()?;
    if options.establish {
        // S1F14 with COMMACK 0, and nothing of ours (E5 §10.5).
        let item = Item::List(vec![accepted(), Item::List(Vec::new())]);
        answers.entry((1, 13)).or_insert_with(|| Text::new(1, 14, false, Some(item)));
    }
    Ok(answers)
}

fn establish(options: &HsmsOptions, answers: &HashMap<(u8, u8), Text>) -> Result<Establish> {
    // Equipment names itself in S1F13 as in S1F14, a host does not (E5 §10.5).
    let own = match answers.get(&(1, 13)).and_then(|answer| answer.item.as_ref()) {
        Some(Item::List(items)) if options.equipment => items.get(1).cloned(),
        _ => None,
    };
    let question = own.unwrap_or_else(|| Item::List(Vec::new())).write();
    Ok(Establish {
        timeout: seconds("establish_timeout", options.establish_timeout)?,
        delay: seconds("establish_delay", options.establish_delay)?,
        wait: options.establish_wait,
        initiate: options.establish_initiate,
        question: question.map_err(|text| Error::option("answers", text))?.to_vec(),
    })
}

/// An acknowledgement of one byte that says yes.
pub(crate) fn accepted() -> Item {
    Item::Values(Format::Binary, Bytes::from_static(&[0]))
}

fn plain(text: &str) -> Result<(u8, u8)> {
    let plain = sml::title(text).filter(|(_, function)| function % 2 == 1);
    plain.ok_or_else(|| {
        Error::option("plain", format!("expected a message with an odd function, not {text:?}"))
    })
}

/// Messages that are received or all of a stream.
pub(crate) fn filter(name: &str, texts: &[String]) -> Result<Filter> {
    let one = |text: &String| {
        let stream = || {
            let number = text.strip_prefix(['S', 's'])?.parse().ok()?;
            (number < 128).then_some((number, None))
        };
        let whole = sml::title(text).map(|(stream, function)| (stream, Some(function)));
        let wrong =
            || format!("expected a stream such as S6 or a message such as S5F1, not {text:?}");
        whole.or_else(stream).ok_or_else(|| Error::option(name, wrong()))
    };
    texts.iter().map(one).collect::<Result<_>>().map(Filter)
}

/// Bytes of unfinished messages.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    most: u64,
}

impl Budget {
    fn new(most: u64) -> Self {
        Budget { used: AtomicU64::new(0), most }
    }

    /// Changes a share from `before` to `after` bytes; whether there was room.
    pub(crate) fn change(&self, before: usize, after: usize) -> bool {
        let (before, after) = (before as u64, after as u64);
        if after <= before {
            self.used.fetch_sub(before - after, Ordering::Relaxed);
            return true;
        }
        let used = self.used.fetch_add(after - before, Ordering::Relaxed) + (after - before);
        if used > self.most {
            self.used.fetch_sub(after - before, Ordering::Relaxed);
            return false;
        }
        true
    }
}

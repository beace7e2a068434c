//! How many lines are written that tell of the same fault, or come from the same place in the code. The
//! rest is counted, and one line says how many were left out.

use super::line::TextFields;
use crate::config::model::LogConfig;
use crate::lock::IgnorePoison;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::Context;

/// Lines that tell of the same fault and are written within `log.fold`.
const SAME: u32 = 20;

/// Time that [`LogConfig::rate`] is about.
const SECOND: Duration = Duration::from_secs(1);

/// Kinds of lines that are counted at the same time; the others share one count.
const KINDS: usize = 1024;

/// The kind of lines that have no place of their own.
const OTHERS: u64 = 0;

/// Lines about the log itself are always written.
const OWN: &str = "jackfield::log";

/// What differs from one fault to the next of the same kind.
const VARYING: [&str; 4] = ["id", "peer", "error", "end"];

/// Lines of one kind within a stretch of time.
#[derive(Debug)]
struct Kind {
    until: Instant,
    /// How long that is.
    within: Duration,
    /// How many more may be written.
    room: u32,
    left_out: u64,
    /// The first one that was left out.
    like: String,
    level: Level,
}

/// Counts lines.
#[derive(Debug)]
pub(super) struct Limit {
    /// In milliseconds.
    fold: AtomicU64,
    rate: AtomicU32,
    kinds: Mutex<HashMap<u64, Kind>>,
}

impl Limit {
    pub(super) fn new(config: &LogConfig) -> Self {
        let limit = Limit { fold: 0.into(), rate: 0.into(), kinds: Mutex::default() };
        limit.configure(config);
        limit
    }

    /// Puts other limits in force; what is being counted is counted to its end.
    pub(super) fn configure(&self, config: &LogConfig) {
        let fold = u64::try_from(config.fold.0.as_millis()).unwrap_or(u64::MAX);
        self.fold.store(fold, Ordering::Relaxed);
        self.rate.store(config.rate, Ordering::Relaxed);
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<u64, Kind>> {
        self.kinds.lock().ignore_poison()
    }

    /// Whether a line is written, and whether it is the first one that is left out for a while.
    fn take(&self, event: &Event<'_>, now: Instant) -> Taken {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target() == OWN {
            return Taken::Written;
        }
        let seen = LineKind::of(event);
        let fold = Duration::from_millis(self.fold.load(Ordering::Relaxed));
        let rate = self.rate.load(Ordering::Relaxed);
        let folded = !fold.is_zero() && seen.is_fault;
        let mut kinds = self.kinds();
        let mut taken = Taken::Written;
        if folded {
            taken = count(&mut kinds, seen.kind, (SAME, fold), event, now);
        }
        if rate > 0 && taken == Taken::Written {
            taken = count(&mut kinds, seen.place, (rate, SECOND), event, now);
        }
        taken
    }

    /// Whether lines were left out without a note of it.
    pub(super) fn is_owing(&self) -> bool {
        self.kinds().values().any(|kind| kind.left_out > 0)
    }

    /// Writes a line for each kind of which lines were left out, once its time is over, or at once if
    /// that is what `all` says.
    pub(super) fn tell(&self, now: Instant, all: bool) {
        let over: Vec<Kind> = {
            let mut kinds = self.kinds();
            kinds.extract_if(|_, kind| all || kind.until <= now).map(|(_, kind)| kind).collect()
        };
        for Kind { left_out, like, level, within, .. } in over {
            if left_out == 0 {
                continue;
            }
            let text =
                format!("{left_out} more lines like this one were left out within {within:?}");
            match level {
                Level::ERROR => tracing::error!(target: OWN, left_out, like, "{text}"),
                Level::WARN => tracing::warn!(target: OWN, left_out, like, "{text}"),
                _ => tracing::info!(target: OWN, left_out, like, "{text}"),
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taken {
    Written,
    FirstLeftOut,
    LeftOut,
}

/// Counts one more line of a kind of which so many may be written within that time.
fn count(
    kinds: &mut HashMap<u64, Kind>,
    key: u64,
    (most, within): (u32, Duration),
    event: &Event<'_>,
    now: Instant,
) -> Taken {
    let key = if kinds.contains_key(&key) || has_room(kinds, now) { key } else { OTHERS };
    let level = *event.metadata().level();
    let new = || Kind {
        until: now + within,
        within,
        room: most,
        left_out: 0,
        like: String::new(),
        level,
    };
    let kind = kinds.entry(key).or_insert_with(new);
    if kind.until <= now && kind.left_out == 0 {
        *kind = new();
    }
    if kind.room > 0 {
        kind.room -= 1;
        return Taken::Written;
    }
    kind.left_out += 1;
    if kind.left_out > 1 {
        return Taken::LeftOut;
    }
    kind.like = sample(event);
    Taken::FirstLeftOut
}

/// Whether one more kind can be counted by itself.
fn has_room(kinds: &mut HashMap<u64, Kind>, now: Instant) -> bool {
    if kinds.len() >= KINDS {
        kinds.retain(|_, kind| kind.until > now || kind.left_out > 0);
    }
    kinds.len() < KINDS
}

/// A line as people read it, without its time and level.
fn sample(event: &Event<'_>) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = TextFields.format_fields(Writer::new(&mut text), event);
    text
}

/// What of a line says of which kind it is.
struct LineKind {
    /// Of the place in the code alone.
    place: u64,
    /// Of the values, too, but for those that vary.
    kind: u64,
    is_fault: bool,
}

impl LineKind {
    fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut place = DefaultHasher::new();
        metadata.callsite().hash(&mut place);
        let mut values = KindVisitor { hash: place.clone(), has_error: false };
        event.record(&mut values);
        // No kind is taken for that of the others.
        let key = |hash: DefaultHasher| hash.finish().max(OTHERS + 1);
        LineKind {
            place: key(place),
            kind: key(values.hash),
            is_fault: values.has_error || *metadata.level() <= Level::WARN,
        }
    }
}

struct KindVisitor {
    hash: DefaultHasher,
    has_error: bool,
}

impl Visit for KindVisitor {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.has_error |= field.name() == "error";
        if !VARYING.contains(&field.name()) {
            field.name().hash(&mut self.hash);
            // Hashing does not fail.
            let _ = write!(Hashed(&mut self.hash), "{value:?}");
        }
    }

    // Figures are what differs each time.
    fn record_u64(&mut self, _: &Field, _: u64) {}
    fn record_i64(&mut self, _: &Field, _: i64) {}
    fn record_f64(&mut self, _: &Field, _: f64) {}
}

struct Hashed<'a>(&'a mut DefaultHasher);

impl Write for Hashed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// Leaves lines out; `told` is run when the first of a kind was.
pub(super) struct Limited<F> {
    pub(super) limit: &'static Limit,
    pub(super) told: F,
}

impl<S: Subscriber, F: Fn() + 'static> Layer<S> for Limited<F> {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let taken = self.limit.take(event, Instant::now());
        if taken == Taken::FirstLeftOut {
            (self.told)();
        }
        taken == Taken::Written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Timespan;
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt;

    /// Which lines of `log` are written, by their text.
    fn written(config: &LogConfig, log: impl FnOnce(&'static Limit)) -> Vec<String> {
        struct Lines(Arc<Mutex<Vec<String>>>);
        impl<S: Subscriber> Layer<S> for Lines {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                self.0.lock().expect("lines").push(sample(event));
            }
        }
        let lines = Arc::default();
        let limit: &'static Limit = Box::leak(Box::new(Limit::new(config)));
        let layers = tracing_subscriber::registry()
            .with(Limited { limit, told: || () })
            .with(Lines(Arc::clone(&lines)));
        tracing::subscriber::with_default(layers, || log(limit));
        lines.lock().expect("lines").clone()
    }

    fn fails(listener: &str, id: u64) {
        tracing::info!(listener, id, error = format!("no {id}"), "failed");
    }

    #[test]
    fn faults_of_one_kind_are_folded_and_their_number_is_told() {
        let lines = written(&LogConfig::default(), |limit| {
            (0..3000).for_each(|id| fails("a", id));
            fails("b", 1);
            assert!(limit.is_owing());
            limit.tell(Instant::now(), true);
            assert!(!limit.is_owing());
            fails("a", 2);
        });
        assert_eq!(lines.len(), 20 + 1 + 1 + 1, "{lines:#?}");
        assert!(lines[20].contains("listener=\"b\""), "{lines:#?}");
        assert!(lines[21].starts_with("2980 more lines like this one"), "{}", lines[21]);
        assert!(lines[21].contains("failed listener="), "{}", lines[21]);
        assert!(lines[22].contains("error=\"no 2\""), "told, and counted anew: {}", lines[22]);
    }

    #[test]
    fn other_lines_of_one_place_are_bounded_by_the_second() {
        let config = LogConfig { rate: 100, ..LogConfig::default() };
        let ends = || (0..500).for_each(|id: u64| tracing::info!(id, path = "/", "request"));
        let lines = written(&config, |limit| {
            ends();
            limit.tell(Instant::now(), true);
        });
        // A second may pass meanwhile.
        assert!((101..=401).contains(&lines.len()), "{}", lines.len());
        assert!(lines.iter().any(|line| line.contains("more lines like this one")), "{lines:#?}");
        let all = LogConfig { rate: 0, fold: Timespan::seconds(0), ..LogConfig::default() };
        let lines = written(&all, |_| {
            ends();
            (0..500).for_each(|id| fails("a", id));
        });
        assert_eq!(lines.len(), 1000);
    }

    #[test]
    fn what_is_only_asked_for_when_one_looks_for_a_fault_is_not_limited() {
        let lines = written(&LogConfig { rate: 1, ..LogConfig::default() }, |_| {
            (0..50).for_each(|id: u64| tracing::debug!(id, error = "x", "step"));
        });
        assert_eq!(lines.len(), 50);
    }

    #[test]
    fn many_kinds_take_bounded_memory() {
        let names: Vec<String> = (0..5000).map(|number| format!("listener {number}")).collect();
        written(&LogConfig::default(), |limit| {
            names.iter().for_each(|name| fails(name, 1));
            assert!(limit.kinds().len() <= KINDS + 1);
        });
    }
}

//! What was asked and has no answer yet, on either side.
//!
//! A transaction is known by who has begun it, its session, its system bytes, and the parity of the function
//! of what comes: an odd one begins something, an even one answers what *we* have asked. Each that we begin
//! has system bytes that nothing before it had for long, so that a late answer fits nothing.

use crate::header::{ALL_SESSIONS, Header, Kind};
use bytes::Bytes;
use jackfield_plugin_api::sync::oneshot;
use jackfield_plugin_api::{Error, Result};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// The longest T3 of a peer (E37 table 7): how long its transactions are remembered.
const LONGEST_T3: Duration = Duration::from_secs(120);

/// The deadline of what was not sent yet: its time has not begun.
pub(crate) const NOT_YET: Duration = Duration::MAX;

/// A control message that we have sent.
pub(crate) struct Asked {
    pub(crate) kind: Kind,
    pub(crate) session: u16,
    /// Nobody waits for our own linktests.
    pub(crate) answer: Option<oneshot::Sender<Result<u8>>>,
    pub(crate) deadline: Duration,
}

/// Who waits for an answer.
pub(crate) enum Asker {
    /// A call.
    Call(oneshot::Sender<Result<(Header, Bytes)>>),
    /// A user of messages, with the system bytes that it has chosen.
    User(u64, u32),
    /// Communications, which an S1F13 is to establish.
    Establish,
}

/// A transaction.
pub(crate) struct Open<T> {
    /// Of the message that has begun it.
    pub(crate) header: Header,
    pub(crate) deadline: Duration,
    pub(crate) who: T,
}

/// Session and system bytes.
type Key = (u16, u32);

fn key(header: Header) -> Key {
    (header.session, header.system)
}

/// Transactions of one direction, also by their deadlines.
pub(crate) struct Direction<T> {
    open: HashMap<Key, Open<T>>,
    deadlines: BTreeSet<(Duration, Key)>,
}

impl<T> Default for Direction<T> {
    fn default() -> Self {
        Direction { open: HashMap::new(), deadlines: BTreeSet::new() }
    }
}

impl<T> Direction<T> {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Adds one; gives that which had its place.
    pub(crate) fn add(&mut self, header: Header, deadline: Duration, who: T) -> Option<Open<T>> {
        let before = self.take(key(header));
        self.deadlines.insert((deadline, key(header)));
        self.open.insert(key(header), Open { header, deadline, who });
        before
    }

    fn take(&mut self, key: Key) -> Option<Open<T>> {
        let open = self.open.remove(&key)?;
        self.deadlines.remove(&(open.deadline, key));
        Some(open)
    }

    /// Whether a message answers one: it is of its stream, with the next function or that of an abort.
    pub(crate) fn is_answered_by(&self, header: Header) -> bool {
        self.open.get(&key(header)).is_some_and(|open| {
            let functions = [open.header.function().wrapping_add(1), 0];
            header.stream() == open.header.stream() && functions.contains(&header.function())
        })
    }

    /// The one that a message answers.
    pub(crate) fn answered(&mut self, header: Header) -> Option<Open<T>> {
        self.is_answered_by(header).then(|| self.take(key(header))).flatten()
    }

    /// The one with these very system bytes, whatever the message.
    pub(crate) fn refused(&mut self, header: Header) -> Option<Open<T>> {
        // secsgem names no session in its Reject.
        let by_system = |&(_, system): &Key| system == header.system;
        let found = match self.open.contains_key(&key(header)) {
            false if header.session == ALL_SESSIONS => self.open.keys().copied().find(by_system)?,
            _ => key(header),
        };
        self.take(found)
    }

    /// Sets the time of the one with these system bytes, if it is still open.
    pub(crate) fn rearm(&mut self, header: Header, deadline: Duration) {
        if let Some(open) = self.take(key(header)) {
            self.add(open.header, deadline, open.who);
        }
    }

    pub(crate) fn first_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline).filter(|when| *when != NOT_YET)
    }

    /// The first whose deadline has passed.
    pub(crate) fn expired(&mut self, now: Duration) -> Option<Open<T>> {
        let (_, key) = *self.deadlines.first().filter(|(deadline, _)| *deadline <= now)?;
        self.take(key)
    }

    /// The oldest.
    fn oldest(&mut self) -> Option<Open<T>> {
        let (_, key) = *self.deadlines.first()?;
        self.take(key)
    }

    fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.open.retain(|_, open| keep(&open.who));
        let open = &self.open;
        self.deadlines.retain(|(_, key)| open.contains_key(key));
    }
}

impl Direction<Asker> {
    /// Takes the one that an answer is for which is dropped. A user of messages waits for T3.
    pub(crate) fn dropped(&mut self, header: Header) -> Option<Asker> {
        self.answered(header).map(|open| open.who)
    }
}

/// All of a connection.
pub(crate) struct Transactions {
    pub(crate) control: HashMap<u32, Asked>,
    pub(crate) ours: Direction<Asker>,
    /// Those of the peer that are not answered yet, with the users that were given them to answer.
    pub(crate) theirs: Direction<Vec<u64>>,
    system: u32,
}

impl Default for Transactions {
    fn default() -> Self {
        Transactions {
            control: HashMap::new(),
            ours: Direction::default(),
            theirs: Direction::default(),
            system: fastrand::u32(..),
        }
    }
}

impl Transactions {
    /// System bytes that no transaction of ours has had for four thousand million of them.
    pub(crate) fn next_system(&mut self) -> u32 {
        self.system = self.system.wrapping_add(1);
        self.system
    }

    /// The peer has asked. Beyond `most` the oldest is forgotten.
    pub(crate) fn asked(
        &mut self,
        header: Header,
        now: Duration,
        most: usize,
        given: Vec<u64>,
    ) -> bool {
        let reused = self.theirs.add(header, now + LONGEST_T3, given).is_some();
        if self.theirs.len() > most {
            self.theirs.oldest();
        }
        reused
    }

    /// A user is gone: nobody waits for its answers. Gives what it alone was to answer, and has not.
    pub(crate) fn forget(&mut self, user: u64) -> Vec<Header> {
        self.ours.retain(|asker| !matches!(asker, Asker::User(id, _) if *id == user));
        let mut left = Vec::new();
        for open in self.theirs.open.values_mut().filter(|open| open.who.contains(&user)) {
            open.who.retain(|id| *id != user);
            if open.who.is_empty() {
                left.push(open.header);
            }
        }
        left
    }

    /// Whether something waits for an answer of data.
    pub(crate) fn is_busy(&self) -> bool {
        self.ours.len() + self.theirs.len() > 0
    }

    /// Fails all. What is given wakes those that wait, when it is dropped.
    pub(crate) fn fail(&mut self, error: &Error) -> impl Drop + use<> {
        let mut failing = Failing { error: error.clone(), control: Vec::new(), ours: Vec::new() };
        failing.control.extend(self.control.drain().filter_map(|(_, asked)| asked.answer));
        failing.ours.extend(self.ours.open.drain().map(|(_, open)| open.who));
        self.ours.deadlines.clear();
        self.theirs = Direction::default();
        failing
    }
}

struct Failing {
    error: Error,
    control: Vec<oneshot::Sender<Result<u8>>>,
    ours: Vec<Asker>,
}

impl Drop for Failing {
    fn drop(&mut self) {
        for answer in self.control.drain(..) {
            // Who has asked may be gone, here and below.
            let _ = answer.send(Err(self.error.clone()));
        }
        for asker in self.ours.drain(..) {
            if let Asker::Call(answer) = asker {
                let _ = answer.send(Err(self.error.clone()));
            }
        }
    }
}

//! [`Line`]: who waits for what of one line.

use super::options::LineOptions;
use crate::delivery::{PDU, WITHDRAW};
use crate::pdu::{exception, function_of, is_read, refusal};
use bytes::Bytes;
use jackfield_plugin_api::Message;
use jackfield_plugin_api::sync::{mpsc, oneshot};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most answers that are kept for others who ask for the same.
const RECENT: usize = 1024;

/// A read, by which equal ones are known.
type Key = (u8, Bytes);

/// Requests that wait, of all lines of a gateway.
pub(super) struct Budget {
    used: AtomicUsize,
    most: usize,
}

impl Budget {
    pub(super) fn new(most: usize) -> Self {
        Budget { used: AtomicUsize::new(0), most }
    }

    fn take(self: &Arc<Self>) -> Option<Share> {
        let more = |used| (used < self.most).then_some(used + 1);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Share(Arc::clone(self)))
    }
}

/// One of them, given back when it is dropped.
struct Share(Arc<Budget>);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that was handed to the line.
struct Asked {
    key: Key,
    waiters: Vec<(oneshot::Sender<Bytes>, Share)>,
}

/// Whether the line is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It is being opened: who asks waits.
    Opening,
    Up,
    /// It could not be opened, or has ended: who asks is refused.
    Down,
}

/// What is counted since the last look.
#[derive(Default)]
struct Counts {
    requests: u32,
    joined: u32,
    refused: u32,
    no_answer: u32,
}

struct State {
    way: Way,
    last: u64,
    asked: HashMap<u64, Asked>,
    /// Reads that others may wait for, too.
    reads: HashMap<Key, u64>,
    /// Answers that others may have, until when.
    recent: HashMap<Key, (Bytes, Duration)>,
    counts: Counts,
}

/// One line.
pub(super) struct Line {
    name: String,
    pub(super) given: LineOptions,
    window: Duration,
    budget: Arc<Budget>,
    queue: mpsc::Sender<Message>,
    state: Mutex<State>,
}

/// What becomes of a request.
pub(super) enum Outcome {
    Now(Bytes),
    Later(Waiting),
}

impl Line {
    /// A line, and what is handed to it.
    pub(super) fn new(
        name: String,
        given: LineOptions,
        window: Duration,
        budget: Arc<Budget>,
    ) -> (Self, mpsc::Receiver<Message>) {
        // Room for each request and for its withdrawal, and for a write to all units.
        let (queue, handed) = mpsc::channel(2 * budget.most + 16);
        let state = State {
            way: Way::Opening,
            last: 0,
            asked: HashMap::new(),
            reads: HashMap::new(),
            recent: HashMap::new(),
            counts: Counts::default(),
        };
        (Line { name, given, window, budget, queue, state: Mutex::new(state) }, handed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has all units that no line names.
    pub(super) fn is_rest(&self) -> bool {
        self.given.units.is_empty()
    }

    pub(super) fn names(&self, unit: u8) -> bool {
        self.given.units.has(unit)
    }

    pub(super) fn is_up(&self) -> bool {
        self.state().way != Way::Down
    }

    /// Asks a unit of it.
    pub(super) fn ask(
        self: &Arc<Self>,
        unit: u8,
        pdu: &Bytes,
        priority: u8,
        now: Duration,
    ) -> Outcome {
        let key = (unit, pdu.clone());
        let joins = !self.window.is_zero() && is_read(pdu);
        let (waiter, waited) = oneshot::channel();
        let mut state = self.state();
        state.counts.requests += 1;
        if let Some((answer, until)) = state.recent.get(&key).filter(|_| joins)
            && *until > now
        {
            let answer = answer.clone();
            state.counts.joined += 1;
            return Outcome::Now(answer);
        }
        if state.way == Way::Down {
            return state.refuse(pdu, exception::NO_PATH);
        }
        let Some(share) = self.budget.take() else { return state.refuse(pdu, exception::BUSY) };
        let asked = state.reads.get(&key).copied().filter(|_| joins);
        if let Some(number) = asked
            && let Some(asked) = state.asked.get_mut(&number)
        {
            asked.waiters.push((waiter, share));
            state.counts.joined += 1;
            return Outcome::Later(Waiting { line: Arc::clone(self), number, waited });
        }
        state.last += 1;
        let number = state.last;
        if self.queue.try_send(message(unit, pdu, number, priority)).is_err() {
            return state.refuse(pdu, exception::BUSY);
        }
        if joins {
            state.reads.insert(key.clone(), number);
        } else if !is_read(pdu) {
            // Who reads after a write wants to see it.
            state.forget(|of| of == unit);
        }
        state.asked.insert(number, Asked { key, waiters: vec![(waiter, share)] });
        Outcome::Later(Waiting { line: Arc::clone(self), number, waited })
    }

    /// Writes to all units; nobody answers.
    pub(super) fn tell_all(&self, pdu: &Bytes, priority: u8) {
        let mut state = self.state();
        state.counts.requests += 1;
        state.forget(|_| true);
        if state.way == Way::Up {
            state.last += 1;
            // Without room it is lost, as on a line on which nobody listens.
            let _ = self.queue.try_send(message(0, pdu, state.last, priority));
        }
    }

    /// The answer to a request has come.
    pub(super) fn answered(&self, answer: &Message, now: Duration) {
        let Some(number) = answer.metadata.first_chunk().map(|it| u64::from_be_bytes(*it)) else {
            return;
        };
        let pdu = crate::memory::pdu_of(answer);
        let mut state = self.state();
        let Some(asked) = state.asked.remove(&number) else { return };
        if pdu.get(1) == Some(&exception::NO_ANSWER) && pdu.len() == 2 {
            state.counts.no_answer += 1;
        } else if state.reads.get(&asked.key) == Some(&number) {
            state.keep(asked.key.clone(), pdu.clone(), now, self.window);
        }
        if state.reads.get(&asked.key) == Some(&number) {
            state.reads.remove(&asked.key);
        }
        drop(state);
        for (waiter, _share) in asked.waiters {
            // Who has asked may be gone.
            let _ = waiter.send(pdu.clone());
        }
    }

    /// The way to it is another one now. Where there is none, all who wait are refused.
    pub(super) fn set(&self, way: Way) {
        let mut state = self.state();
        state.way = way;
        if way != Way::Down {
            return;
        }
        let asked = std::mem::take(&mut state.asked);
        state.reads.clear();
        state.recent.clear();
        state.counts.refused += u32::try_from(asked.len()).unwrap_or(u32::MAX);
        drop(state);
        for asked in asked.into_values() {
            let answer = refusal(function_of(&asked.key.1), exception::NO_PATH);
            for (waiter, _share) in asked.waiters {
                let _ = waiter.send(answer.clone());
            }
        }
    }

    /// What has happened since the last look, by the names of measurements.
    pub(super) fn news(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let counts = std::mem::take(&mut self.state().counts);
        let all = [
            ("modbus_gateway_requests", counts.requests),
            ("modbus_gateway_coalesced", counts.joined),
            ("modbus_gateway_refused", counts.refused),
            ("modbus_gateway_no_answer", counts.no_answer),
        ];
        all.into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (name, f64::from(count)))
    }
}

fn message(unit: u8, pdu: &Bytes, number: u64, priority: u8) -> Message {
    let metadata = [&number.to_be_bytes()[..], &[priority]].concat();
    Message::of(PDU, pdu.clone()).with_id(u64::from(unit)).with_metadata(metadata)
}

impl State {
    fn refuse(&mut self, pdu: &[u8], code: u8) -> Outcome {
        self.counts.refused += 1;
        Outcome::Now(refusal(function_of(pdu), code))
    }

    /// Nobody is given what these units have said before.
    fn forget(&mut self, of: impl Fn(u8) -> bool) {
        self.reads.retain(|(unit, _), _| !of(*unit));
        self.recent.retain(|(unit, _), _| !of(*unit));
    }

    fn keep(&mut self, key: Key, answer: Bytes, now: Duration, window: Duration) {
        if self.recent.len() >= RECENT {
            self.recent.retain(|_, (_, until)| *until > now);
        }
        if self.recent.len() < RECENT {
            self.recent.insert(key, (answer, now + window));
        }
    }
}

/// The place of one who waits. Given up when it is dropped: a request for which nobody waits any more is taken back.
pub(super) struct Waiting {
    line: Arc<Line>,
    number: u64,
    waited: oneshot::Receiver<Bytes>,
}

impl Waiting {
    /// The answer.
    pub(super) async fn answer(mut self, function: u8) -> Bytes {
        let gone = |_| refusal(function, exception::NO_PATH);
        (&mut self.waited).await.unwrap_or_else(gone)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waited.close();
        let mut state = self.line.state();
        let Some(asked) = state.asked.get_mut(&self.number) else { return };
        asked.waiters.retain(|(waiter, _)| !waiter.is_closed());
        if !asked.waiters.is_empty() {
            return;
        }
        if let Some(asked) = state.asked.remove(&self.number)
            && state.reads.get(&asked.key) == Some(&self.number)
        {
            state.reads.remove(&asked.key);
        }
        let metadata = self.number.to_be_bytes().to_vec();
        let withdrawal = Message::of(WITHDRAW, Bytes::new()).with_metadata(metadata);
        // Without room the answer will be nobody's.
        let _ = self.line.queue.try_send(withdrawal);
    }
}

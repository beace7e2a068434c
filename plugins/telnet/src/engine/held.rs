//! [`Held`]: commands that act where they stand in the data. What came before one is given out first, then the
//! operation is asked for, and what came after it waits until that was done.

use super::{Engine, MAX_ASKS};
use bytes::BytesMut;
use jackfield_plugin_api::Event;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// The places where data stops, and how far it has come.
#[derive(Debug, Default)]
pub(crate) struct Held {
    stops: VecDeque<Stop>,
    /// Bytes of data that have come, and that were given out or thrown away.
    came: u64,
    given: u64,
    discard: bool,
}

#[derive(Debug)]
struct Stop {
    /// Of the data, this much comes before it.
    at: u64,
    id: u64,
    /// What asks for the operation; taken once it was asked for.
    event: Option<Event>,
}

impl Held {
    /// So much more data has come.
    pub(super) fn came(&mut self, bytes: usize) {
        self.came += bytes as u64;
    }

    /// So much was given out.
    pub(crate) fn gave(&mut self, bytes: usize) {
        self.given += bytes as u64;
    }

    /// How much of `there` may be given out.
    pub(crate) fn free(&self, there: usize) -> usize {
        let before = self.stops.front().map(|stop| stop.at.saturating_sub(self.given));
        before.and_then(|free| usize::try_from(free).ok()).map_or(there, |free| free.min(there))
    }

    /// Whether data has come to a stop.
    pub(crate) fn stopped(&self) -> bool {
        self.stops.front().is_some_and(|stop| stop.at <= self.given)
    }

    /// The operation at which data has come to a stop, if it was not asked for.
    pub(crate) fn due(&mut self) -> Option<Event> {
        let given = self.given;
        let stop = self.stops.front_mut().filter(|stop| stop.at <= given)?;
        stop.event.take()
    }

    /// The operation that data waits for, if it was asked for.
    pub(crate) fn awaited(&self) -> Option<u64> {
        let stop = self.stops.front().filter(|stop| stop.at <= self.given)?;
        stop.event.is_none().then_some(stop.id)
    }

    fn done(&mut self, id: u64) {
        self.stops.retain(|stop| stop.id != id);
    }

    /// All data that has come and was not given out is to be thrown away.
    pub(super) fn discard(&mut self) {
        self.given = self.came;
        self.discard = true;
    }

    /// Whether data is to be thrown away now.
    pub(super) fn discards(&mut self) -> bool {
        std::mem::take(&mut self.discard)
    }
}

impl Engine {
    /// Asks for an operation of the far end once all data before it was taken; `None` when too many wait.
    pub(super) fn ask_in_place(&mut self, operation: &str, params: &Value) -> Option<u64> {
        if self.held.stops.len() >= MAX_ASKS {
            return None;
        }
        self.com.next += 1;
        let id = self.com.next;
        let data = json!({ "id": id, "operation": operation, "params": params });
        let event = Some(Event::new("call", data));
        self.held.stops.push_back(Stop { at: self.held.came, id, event });
        Some(id)
    }

    /// The result of an operation that was asked for; `None`: it failed. Data may go on.
    pub(crate) fn answered(&mut self, id: u64, result: Option<&Value>, out: &mut BytesMut) {
        self.held.done(id);
        self.told_result(id, result, out);
    }
}

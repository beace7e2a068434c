//! [`Replay`]: what the records of a journal come to.

use super::{Hub, Session};
use crate::broker::state::{Journal, Queued, Record, WrittenFilter, WrittenMessage, unix_now};
use crate::broker::tree::Subscription;
use crate::engine::Kept;
use crate::outgoing::Unfinished;
use crate::packet::Publication;
use crate::topic::{is_filter, shared};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Packet identifiers that are left out in a session whose connection ended with its host: its client may wait for
/// answers to some of those that were used last.
const LEAP: u16 = 1 << 15;

/// A message, and when it came.
type Written = (Arc<WrittenMessage>, u64);

/// Records, applied in their order.
#[derive(Default)]
pub(super) struct Replay {
    sessions: BTreeMap<String, Replayed>,
    retained: BTreeMap<String, Written>,
}

#[derive(Default)]
struct Replayed {
    user: Option<String>,
    expiry: u32,
    filters: BTreeMap<String, (WrittenFilter, Option<u32>)>,
    queue: BTreeMap<u64, (Written, Queued)>,
    last_id: u16,
    /// How its last connection ended; `None`: with the host.
    left: Option<Parting>,
}

struct Parting {
    ends: u64,
    unanswered: Vec<(u16, Option<u64>)>,
    held: Vec<u16>,
    will: Option<(Box<WrittenMessage>, u64)>,
}

impl Replay {
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Session { client, user, expiry } => {
                let session = self.sessions.entry(client).or_default();
                (session.user, session.expiry, session.left) = (user, expiry, None);
            }
            Record::Ended { client } => drop(self.sessions.remove(&client)),
            Record::Subscribe { client, filter, number } => {
                if let Some(session) = self.sessions.get_mut(&client) {
                    let name = filter.clone().filter().filter;
                    session.filters.insert(name, (filter, number));
                }
            }
            Record::Unsubscribe { client, filter } => {
                if let Some(session) = self.sessions.get_mut(&client) {
                    session.filters.remove(&filter);
                }
            }
            Record::Message { message, at, copies, retained } => {
                let message: Arc<WrittenMessage> = Arc::from(message);
                for copy in copies {
                    if let Some(session) = self.sessions.get_mut(&copy.client) {
                        let written = (Arc::clone(&message), at);
                        session.queue.insert(copy.number, (written, copy));
                    }
                }
                if retained {
                    self.retained.insert(message.topic().to_owned(), (message, at));
                }
            }
            Record::Forget { topic } => drop(self.retained.remove(&topic)),
            Record::Taken { client, numbers, last_id } => {
                if let Some(session) = self.sessions.get_mut(&client) {
                    for number in numbers {
                        session.queue.remove(&number);
                    }
                    session.last_id = last_id.unwrap_or(session.last_id);
                }
            }
            Record::Left { client, ends, unanswered, last_id, held, will } => {
                if let Some(session) = self.sessions.get_mut(&client) {
                    session.last_id = last_id;
                    session.left = Some(Parting { ends, unanswered, held, will });
                }
            }
        }
    }
}

impl Hub {
    /// Takes up what was replayed; returns how much has no room.
    pub(super) fn restore(&self, replay: Replay, journal: Option<Journal>) -> usize {
        let (now, unix) = (self.host.now(), unix_now());
        let mut state = self.state();
        let mut left_out = 0;
        for (message, at) in replay.retained.into_values() {
            let Some(publication) = message.publication(unix.saturating_sub(at)) else { continue };
            let keeping = state.retained.keep(&publication, now);
            left_out += usize::from(keeping != crate::broker::retained::Keeping::Kept);
        }
        let room = self.limits().max_sessions as usize;
        left_out += replay.sessions.len().saturating_sub(room);
        for (client, replayed) in replay.sessions.into_iter().take(room) {
            let mut session = self.session(&client, replayed.user.as_deref());
            session.expiry = replayed.expiry;
            let after = |at: u64| now + Duration::from_secs(at.saturating_sub(unix));
            let expiry = u64::from(replayed.expiry);
            let ends = replayed.left.as_ref().map_or(unix.saturating_add(expiry), |left| left.ends);
            session.ends = Some(after(ends));
            left_out += restore_messages(&mut session, &replayed, now, unix);
            session.will = replayed.left.and_then(|left| {
                let (will, due) = left.will?;
                Some((will.publication(0)?, after(due)))
            });
            state.last += 1;
            let number = state.last;
            for (filter, id) in replayed.filters.into_values() {
                let filter = filter.filter();
                if !is_filter(&filter.filter) {
                    continue;
                }
                let (group, plain) = shared(&filter.filter);
                let subscription = Subscription {
                    session: number,
                    qos: filter.qos,
                    no_local: filter.no_local,
                    retain_as_published: filter.retain_as_published,
                    number: id,
                    group: group.map(str::to_owned),
                };
                state.tree.insert(plain, subscription);
                state.subscriptions += 1;
                session.filters.insert(filter.filter.clone(), (filter, id));
            }
            state.by_client.insert(client, number);
            state.sessions.insert(number, session);
        }
        state.journal = journal;
        left_out
    }
}

/// Messages that a session has waiting and without an answer; returns how many have no room.
fn restore_messages(session: &mut Session, replayed: &Replayed, now: Duration, unix: u64) -> usize {
    let publication = |number: &u64| -> Option<Publication> {
        let ((message, at), copy) = replayed.queue.get(number)?;
        let mut publication = message.publication(unix.saturating_sub(*at))?;
        publication.qos = copy.qos.min(2);
        publication.retain = copy.retain;
        publication.properties.subscriptions.clone_from(&copy.subscriptions);
        Some(publication)
    };
    let mut kept = Kept::default();
    kept.unanswered.last_id = replayed.last_id.wrapping_add(LEAP);
    let mut sent = Vec::new();
    if let Some(left) = &replayed.left {
        kept.unanswered.last_id = replayed.last_id;
        kept.held = left.held.iter().copied().collect();
        for (id, number) in &left.unanswered {
            let publication = number.as_ref().and_then(publication);
            if publication.is_some() || number.is_none() {
                sent.extend(number);
                let number = *number;
                kept.unanswered.messages.push(Unfinished { id: *id, publication, number });
            }
        }
    }
    let mut left_out = 0;
    for number in replayed.queue.keys().filter(|number| !sent.contains(number)) {
        let Some(publication) = publication(number) else { continue };
        left_out += usize::from(!session.outbox.push(publication, Some(*number), now));
    }
    session.last_number = replayed.queue.keys().last().copied().unwrap_or_default();
    session.kept = Some(kept);
    left_out
}

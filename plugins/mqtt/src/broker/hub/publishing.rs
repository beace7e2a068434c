//! What subscriptions, and messages that are published, do to the state of a broker.

use super::State;
use crate::broker::permissions::Permits;
use crate::broker::retained::Keeping;
use crate::broker::state::{Queued, Record, WrittenFilter, WrittenMessage, unix_now};
use crate::broker::tree::Subscription;
use crate::packet::{Filter, Publication};
use crate::reason;
use crate::topic::shared;
use std::collections::BTreeMap;
use std::time::Duration;

impl State {
    pub(super) fn remove(&mut self, number: u64) {
        let Some(session) = self.sessions.remove(&number) else { return };
        if session.expiry > 0 {
            self.note(|| Record::Ended { client: session.client_id.clone() });
        }
        self.by_client.remove(&session.client_id);
        for filter in session.filters.keys() {
            let (group, plain) = shared(filter);
            self.tree.remove(plain, number, group);
        }
        self.subscriptions -= session.filters.len();
    }

    pub(super) fn subscribe(
        &mut self,
        number: u64,
        filter: Filter,
        id: Option<u32>,
        most: usize,
        now: Duration,
    ) -> u8 {
        let Some(session) = self.sessions.get_mut(&number) else { return reason::UNSPECIFIED };
        let (group, plain) = shared(&filter.filter);
        let is_new = !session.filters.contains_key(&filter.filter);
        if is_new && session.filters.len() >= most {
            return reason::QUOTA;
        }
        if group.is_some() && filter.no_local {
            // A protocol error by §3.8.3.1; this one subscription is refused.
            return reason::PROTOCOL_SUBSCRIPTION;
        }
        let qos = filter.qos;
        let subscription = Subscription {
            session: number,
            qos,
            no_local: filter.no_local,
            retain_as_published: filter.retain_as_published,
            number: id,
            group: group.map(str::to_owned),
        };
        self.tree.insert(plain, subscription);
        self.subscriptions += usize::from(is_new);
        let wanted = filter.retain_handling == 0 || filter.retain_handling == 1 && is_new;
        if wanted && group.is_none() {
            for mut retained in self.retained.matching(plain, now) {
                retained.qos = retained.qos.min(qos);
                retained.properties.subscriptions.extend(id);
                let message = WrittenMessage::of(&retained);
                let copies: Vec<Queued> = self.queue(number, retained, now).into_iter().collect();
                if !copies.is_empty() {
                    let (message, at) = (Box::new(message), unix_now());
                    self.note(|| Record::Message { message, at, copies, retained: false });
                }
            }
        }
        let Some(session) = self.sessions.get_mut(&number) else { return reason::UNSPECIFIED };
        let written = (session.expiry > 0).then(|| Record::Subscribe {
            client: session.client_id.clone(),
            filter: WrittenFilter::of(&filter),
            number: id,
        });
        session.filters.insert(filter.filter.clone(), (filter, id));
        if let Some(written) = written {
            self.note(|| written);
        }
        qos
    }

    /// Gives a message to a session, for the record of it where it is to be written. One of QoS 0 does not wait for a
    /// client that is not there.
    fn queue(&mut self, number: u64, copy: Publication, now: Duration) -> Option<Queued> {
        let session = self.sessions.get_mut(&number)?;
        if session.online.is_none() && copy.qos == 0 {
            return None;
        }
        let written = self.journal.is_some() && copy.qos > 0 && session.expiry > 0;
        let next = written.then_some(session.last_number + 1);
        let noted = next.map(|number| Queued {
            client: session.client_id.clone(),
            number,
            qos: copy.qos,
            retain: copy.retain,
            subscriptions: copy.properties.subscriptions.clone(),
        });
        if !session.outbox.push(copy, next, now) {
            self.dropped += 1;
            return None;
        }
        session.last_number = next.unwrap_or(session.last_number);
        noted
    }

    /// Ends subscriptions of a session that are not permitted any more.
    pub(super) fn restrict(&mut self, number: u64, permits: &Permits) {
        let Some(session) = self.sessions.get(&number) else { return };
        let over = session.filters.keys().filter(|filter| !permits.subscribe(filter));
        for filter in over.cloned().collect::<Vec<String>>() {
            self.unsubscribe(number, &filter);
        }
    }

    pub(super) fn unsubscribe(&mut self, number: u64, filter: &str) -> u8 {
        let Some(session) = self.sessions.get_mut(&number) else { return reason::UNSPECIFIED };
        if session.filters.remove(filter).is_none() {
            return reason::NO_SUBSCRIPTION;
        }
        self.subscriptions -= 1;
        if session.expiry > 0 {
            let client = session.client_id.clone();
            self.note(|| Record::Unsubscribe { client, filter: filter.to_owned() });
        }
        let (group, plain) = shared(filter);
        self.tree.remove(plain, number, group);
        reason::SUCCESS
    }

    pub(super) fn publish(&mut self, publication: Publication, from: u64, now: Duration) -> bool {
        let mut retained = false;
        if publication.retain {
            let keeping = self.retained.keep(&publication, now);
            retained = keeping == Keeping::Kept;
            self.dropped += u64::from(keeping == Keeping::Full);
            if !retained {
                self.note(|| Record::Forget { topic: publication.topic.clone() });
            }
        }
        let wanted = self.wanted(&publication.topic, from);
        let anybody = !wanted.is_empty();
        let written = self.journal.is_some().then(|| publication.clone());
        let (mut whole, mut copies) = (Some(publication), Vec::new());
        let mut wanted = wanted.into_iter().peekable();
        while let Some((number, wanted_of)) = wanted.next() {
            // The last one has the message itself.
            let message = if wanted.peek().is_some() { whole.clone() } else { whole.take() };
            let Some(mut message) = message else { break };
            message.qos = message.qos.min(wanted_of.qos);
            message.dup = false;
            message.retain &= wanted_of.retain_as_published;
            message.properties.subscriptions = wanted_of.numbers;
            copies.extend(self.queue(number, message, now));
        }
        if let Some(written) = written.filter(|_| retained || !copies.is_empty()) {
            let message = Box::new(WrittenMessage::of(&written));
            self.note(|| Record::Message { message, at: unix_now(), copies, retained });
        }
        anybody
    }

    /// Who is to have a message, and how; in the order of the sessions' numbers.
    fn wanted(&mut self, topic: &str, from: u64) -> Vec<(u64, Wanted)> {
        let mut wanted: Vec<(u64, Wanted)> = Vec::new();
        let mut groups: BTreeMap<&str, Vec<&Subscription>> = BTreeMap::new();
        self.tree.matching(topic, &mut |subscription| match &subscription.group {
            Some(group) => groups.entry(group).or_default().push(subscription),
            None if subscription.no_local && subscription.session == from => {}
            None => wanted.push((subscription.session, Wanted::of(subscription))),
        });
        for members in groups.into_values() {
            self.turn = self.turn.wrapping_add(1);
            // Members that are there come first.
            let is_there = |it: &&&Subscription| {
                self.sessions.get(&it.session).is_some_and(|session| session.online.is_some())
            };
            let there: Vec<&Subscription> = members.iter().filter(is_there).copied().collect();
            let of = if there.is_empty() { &members } else { &there };
            let chosen = of[self.turn % of.len()];
            wanted.push((chosen.session, Wanted::of(chosen)));
        }
        // One that is in several ways the receiver has it once.
        wanted.sort_by_key(|(session, _)| *session);
        wanted.dedup_by(|(session, more), (before, kept)| {
            let same = session == before;
            if same {
                kept.add(std::mem::take(more));
            }
            same
        });
        wanted
    }
}

/// How one session is to have a message that several of its subscriptions match.
#[derive(Default)]
struct Wanted {
    qos: u8,
    retain_as_published: bool,
    numbers: Vec<u32>,
}

impl Wanted {
    fn of(subscription: &Subscription) -> Self {
        Wanted {
            qos: subscription.qos,
            retain_as_published: subscription.retain_as_published,
            numbers: subscription.number.into_iter().collect(),
        }
    }

    fn add(&mut self, other: Wanted) {
        self.qos = self.qos.max(other.qos);
        self.retain_as_published |= other.retain_as_published;
        self.numbers.extend(other.numbers);
    }
}

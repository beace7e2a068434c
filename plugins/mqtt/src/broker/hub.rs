//! [`Hub`]: the sessions of a broker, what they have subscribed to, and what is published to them.

use super::options::BrokerOptions;
use super::outbox::Outbox;
use super::retained::Retained;
use super::tree::{Subscription, Tree};
use crate::conversation::Conversation;
use crate::engine::Kept;
use crate::packet::{Connect, Filter, Publication, Will};
use crate::reason;
use crate::topic::shared;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One session, with or without a connection.
struct Session {
    client_id: String,
    outbox: Arc<Outbox>,
    /// Filters as they were asked for.
    filters: HashMap<String, Filter>,
    /// The connection that it has, and which of them it is.
    online: Option<(u64, Arc<Conversation>)>,
    /// What its last connection has left.
    kept: Option<Kept>,
    /// When it ends, without a connection.
    ends: Option<Duration>,
    /// Published when its time has come.
    will: Option<(Publication, Duration)>,
}

/// A client's place in the hub.
pub(super) struct Place {
    pub(super) session: u64,
    pub(super) life: u64,
    pub(super) outbox: Arc<Outbox>,
    /// What the session goes on with; `None`: it is new.
    pub(super) resumed: Option<Kept>,
}

/// All of them.
pub(super) struct Hub {
    state: Mutex<State>,
    limits: BrokerOptions,
    queued: Arc<AtomicUsize>,
}

struct State {
    sessions: HashMap<u64, Session>,
    by_client: HashMap<String, u64>,
    tree: Tree,
    retained: Retained,
    connected: usize,
    subscriptions: usize,
    last: u64,
    /// Turns of shared subscriptions.
    turn: usize,
    dropped: u64,
}

/// How many there are of what.
pub(super) struct Counts {
    pub(super) clients: usize,
    pub(super) sessions: usize,
    pub(super) subscriptions: usize,
    pub(super) retained: usize,
    /// Since the last time.
    pub(super) dropped: u64,
}

impl Hub {
    pub(super) fn new(limits: BrokerOptions) -> Self {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let retained = Retained::new(limits.max_retained as usize, size(limits.max_retained_bytes));
        let state = State {
            sessions: HashMap::new(),
            by_client: HashMap::new(),
            tree: Tree::default(),
            retained,
            connected: 0,
            subscriptions: 0,
            last: 0,
            turn: 0,
            dropped: 0,
        };
        Hub { state: Mutex::new(state), limits, queued: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The longest that a session is kept, of what its client wants.
    pub(super) fn expiry(&self, wanted: u32) -> u32 {
        wanted.min(self.limits.session_expiry)
    }

    /// Gives a client its session, new or the one that it had; another connection of the same client ends.
    /// `None` if there is no room.
    pub(super) fn attach(
        &self,
        client_id: &str,
        connect: &Connect,
        conversation: &Arc<Conversation>,
    ) -> Option<Place> {
        let mut guard = self.state();
        let state = &mut *guard;
        let known = state.by_client.get(client_id).copied();
        let is_online = known.is_some_and(|it| state.sessions[&it].online.is_some());
        if !is_online && state.connected >= self.limits.max_clients as usize {
            return None;
        }
        let mut left = None;
        if let Some(session) = known.and_then(|known| state.sessions.get_mut(&known)) {
            if let Some((_, old)) = session.online.take() {
                state.connected -= 1;
                session.kept = old.link.with(|engine| {
                    engine.leave(reason::TAKEN_OVER, None);
                    engine.take_kept()
                });
            }
            left = session.kept.take();
        }
        let fresh = connect.clean || known.is_none();
        if fresh && let Some(known) = known {
            // The old session ends here, and its will does not wait any longer.
            let will = state.sessions.get_mut(&known).and_then(|session| session.will.take());
            state.remove(known);
            if let Some((will, _)) = will {
                state.publish(&will, known, conversation.link.now());
            }
        }
        state.last += 1;
        let life = state.last;
        let number = match known.filter(|_| !fresh) {
            Some(known) => known,
            None => {
                let bytes = usize::try_from(self.limits.max_queued_bytes).unwrap_or(usize::MAX);
                let most = self.limits.max_queued as usize;
                state.by_client.insert(client_id.to_owned(), life);
                let session = Session {
                    client_id: client_id.to_owned(),
                    outbox: Arc::new(Outbox::new(most, Arc::clone(&self.queued), bytes)),
                    filters: HashMap::new(),
                    online: None,
                    kept: None,
                    ends: None,
                    will: None,
                };
                state.sessions.insert(life, session);
                life
            }
        };
        let session = state.sessions.get_mut(&number)?;
        session.online = Some((life, Arc::clone(conversation)));
        session.ends = None;
        // A client that is back in time leaves no will.
        session.will = None;
        state.connected += 1;
        let outbox = Arc::clone(&session.outbox);
        let resumed = (!fresh).then(|| left.unwrap_or_default());
        Some(Place { session: number, life, outbox, resumed })
    }

    /// A connection has ended: its session is kept for `expiry` seconds, and its will is published, now or later.
    pub(super) fn detach(
        &self,
        place: &Place,
        kept: Option<Kept>,
        expiry: u32,
        will: Option<Will>,
        now: Duration,
    ) {
        let mut state = self.state();
        let after = |seconds: u32| now + Duration::from_secs(u64::from(seconds));
        let has_ended =
            |session: &Session| session.online.as_ref().is_none_or(|(life, _)| *life != place.life);
        let offline = state.sessions.len().saturating_sub(state.connected);
        let full = offline >= self.limits.max_sessions as usize;
        let taken_over = state.sessions.get(&place.session).is_none_or(has_ended);
        let mut now_due = will;
        if taken_over && state.sessions.contains_key(&place.session) {
            // The session goes on in another connection, so that a will with a delay is none (§3.1.3.2.2).
            now_due.take_if(|will| will.delay > 0);
        } else if !taken_over {
            state.connected -= 1;
            let keeps = expiry > 0 && !full;
            if let Some(session) = state.sessions.get_mut(&place.session).filter(|_| keeps) {
                session.online = None;
                session.kept = kept;
                session.ends = Some(after(expiry));
                session.outbox.forget_qos_0();
                if let Some(will) = now_due.take_if(|will| will.delay > 0) {
                    session.will = Some((will.publication, after(will.delay.min(expiry))));
                }
            } else {
                state.remove(place.session);
            }
        }
        if let Some(will) = now_due {
            state.publish(&will.publication, place.session, now);
        }
    }

    /// Publishes a message of a session; whether anybody has subscribed to it.
    pub(super) fn publish(&self, publication: &Publication, from: u64, now: Duration) -> bool {
        self.state().publish(publication, from, now)
    }

    /// Subscribes a session, for the code of each filter. Retained messages are in its outbox then.
    pub(super) fn subscribe(
        &self,
        session: u64,
        filters: Vec<Filter>,
        number: Option<u32>,
        now: Duration,
    ) -> Vec<u8> {
        let mut state = self.state();
        let most = self.limits.max_subscriptions as usize;
        filters
            .into_iter()
            .map(|filter| state.subscribe(session, filter, number, most, now))
            .collect()
    }

    /// Ends subscriptions of a session, for the code of each filter.
    pub(super) fn unsubscribe(&self, session: u64, filters: &[String]) -> Vec<u8> {
        let mut state = self.state();
        filters.iter().map(|filter| state.unsubscribe(session, filter)).collect()
    }

    /// Ends what is over, publishes wills that are due, and counts.
    pub(super) fn sweep(&self, now: Duration) -> Counts {
        let mut state = self.state();
        let mut due = Vec::new();
        for (number, session) in &mut state.sessions {
            if session.will.as_ref().is_some_and(|(_, at)| *at <= now)
                && let Some((will, _)) = session.will.take()
            {
                due.push((*number, will));
            }
        }
        let over = |(number, session): (&u64, &Session)| {
            session.ends.is_some_and(|at| at <= now).then_some(*number)
        };
        let over: Vec<u64> = state.sessions.iter().filter_map(over).collect();
        for (session, will) in due {
            state.publish(&will, session, now);
        }
        for session in over {
            state.remove(session);
        }
        Counts {
            clients: state.connected,
            sessions: state.sessions.len(),
            subscriptions: state.subscriptions,
            retained: state.retained.len(),
            dropped: std::mem::take(&mut state.dropped),
        }
    }
}

impl State {
    fn remove(&mut self, number: u64) {
        let Some(session) = self.sessions.remove(&number) else { return };
        self.by_client.remove(&session.client_id);
        for filter in session.filters.keys() {
            let (group, plain) = shared(filter);
            self.tree.remove(plain, number, group);
        }
        self.subscriptions -= session.filters.len();
    }

    fn subscribe(
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
                self.dropped += u64::from(!session.outbox.push(retained, now));
            }
        }
        session.filters.insert(filter.filter.clone(), filter);
        qos
    }

    fn unsubscribe(&mut self, number: u64, filter: &str) -> u8 {
        let Some(session) = self.sessions.get_mut(&number) else { return reason::UNSPECIFIED };
        if session.filters.remove(filter).is_none() {
            return reason::NO_SUBSCRIPTION;
        }
        self.subscriptions -= 1;
        let (group, plain) = shared(filter);
        self.tree.remove(plain, number, group);
        reason::SUCCESS
    }

    fn publish(&mut self, publication: &Publication, from: u64, now: Duration) -> bool {
        if publication.retain {
            self.dropped += u64::from(!self.retained.keep(publication, now));
        }
        let mut found = Vec::new();
        self.tree.matching(&publication.topic, &mut found);
        let mut wanted: BTreeMap<u64, Wanted> = BTreeMap::new();
        let mut groups: BTreeMap<&str, Vec<&Subscription>> = BTreeMap::new();
        for subscription in found {
            match &subscription.group {
                Some(group) => groups.entry(group).or_default().push(subscription),
                None if subscription.no_local && subscription.session == from => {}
                None => wanted.entry(subscription.session).or_default().add(subscription),
            }
        }
        for members in groups.into_values() {
            self.turn = self.turn.wrapping_add(1);
            // Members that are there come first.
            let is_there = |it: &&&Subscription| {
                self.sessions.get(&it.session).is_some_and(|session| session.online.is_some())
            };
            let there: Vec<&Subscription> = members.iter().filter(is_there).copied().collect();
            let of = if there.is_empty() { &members } else { &there };
            let chosen = of[self.turn % of.len()];
            // One that is in several ways the receiver has it once for the group.
            wanted.entry(chosen.session).or_default().add(chosen);
        }
        let anybody = !wanted.is_empty();
        for (number, wanted) in wanted {
            let Some(session) = self.sessions.get(&number) else { continue };
            let qos = publication.qos.min(wanted.qos);
            if session.online.is_none() && qos == 0 {
                continue;
            }
            let mut copy = publication.clone();
            copy.qos = qos;
            copy.dup = false;
            copy.retain = publication.retain && wanted.retain_as_published;
            copy.properties.subscriptions = wanted.numbers;
            self.dropped += u64::from(!session.outbox.push(copy, now));
        }
        anybody
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
    fn add(&mut self, subscription: &Subscription) {
        self.qos = self.qos.max(subscription.qos);
        self.retain_as_published |= subscription.retain_as_published;
        self.numbers.extend(subscription.number);
    }
}

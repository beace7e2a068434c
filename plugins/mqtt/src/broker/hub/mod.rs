//! [`Hub`]: the sessions of a broker, what they have subscribed to, and what is published to them.

mod keeping;
mod publishing;
mod replay;
#[cfg(test)]
mod tests;

use super::options::BrokerOptions;
use super::outbox::Outbox;
use super::permissions::Permits;
use super::retained::Retained;
use super::state::{Journal, Record};
use super::tree::Tree;
use crate::conversation::Conversation;
use crate::engine::Kept;
use crate::packet::{Connect, Filter, Publication, Will};
use crate::reason;
use jackfield_plugin_api::Host;
use jackfield_plugin_api::sync::Mutex as Gate;
use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One session, with or without a connection.
struct Session {
    client_id: String,
    /// Whose it is: nobody else may have it.
    user: Option<String>,
    outbox: Arc<Outbox>,
    /// Filters as they were asked for, with the numbers of their subscriptions.
    filters: HashMap<String, (Filter, Option<u32>)>,
    /// The connection that it has, and which of them it is.
    online: Option<(u64, Arc<Conversation>)>,
    /// What its last connection has left.
    kept: Option<Kept>,
    /// When it ends, without a connection.
    ends: Option<Duration>,
    /// Published when its time has come.
    will: Option<(Publication, Duration)>,
    /// Seconds that it is kept after a connection; 0: it ends with it.
    expiry: u32,
    /// The number of the last message that was written for it.
    last_number: u64,
}

/// A client's place in the hub.
pub(super) struct Place {
    pub(super) session: u64,
    pub(super) life: u64,
    pub(super) outbox: Arc<Outbox>,
    /// What the session goes on with; `None`: it is new.
    pub(super) resumed: Option<Kept>,
}

/// What a connection has left when it ended.
pub(super) struct Left {
    pub(super) kept: Option<Kept>,
    pub(super) will: Option<Will>,
    /// Numbers of messages that its client has taken over.
    pub(super) taken_over: Vec<u64>,
}

/// All of them.
pub(super) struct Hub {
    host: Host,
    state: Mutex<State>,
    limits: Mutex<Arc<BrokerOptions>>,
    queued: Arc<AtomicUsize>,
    /// Whether the state directory was read, where there is one.
    opened: Gate<bool>,
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
    /// Messages and subscriptions that were not permitted.
    refused: u64,
    journal: Option<Journal>,
    /// The journal was left to another broker.
    has_left: bool,
}

/// Messages of one session that are published one after the other.
pub(super) struct Publishing<'a> {
    state: &'a mut State,
    from: u64,
    now: Duration,
}

impl Publishing<'_> {
    /// Publishes one; whether anybody has subscribed to it.
    pub(super) fn publish(&mut self, publication: Publication) -> bool {
        self.state.publish(publication, self.from, self.now)
    }

    /// The client may not publish one.
    pub(super) fn refused(&mut self) {
        self.state.refused += 1;
    }
}

/// How many there are of what.
pub(super) struct Counts {
    pub(super) clients: usize,
    pub(super) sessions: usize,
    pub(super) subscriptions: usize,
    pub(super) retained: usize,
    /// Since the last time.
    pub(super) dropped: u64,
    /// Since the last time: what was not permitted.
    pub(super) refused: u64,
}

impl Hub {
    pub(super) fn new(host: Host, limits: BrokerOptions) -> Self {
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
            refused: 0,
            journal: None,
            has_left: false,
        };
        let opened = Gate::new(limits.state_dir.is_empty());
        let limits = Mutex::new(Arc::new(limits));
        Hub { host, state: Mutex::new(state), limits, queued: Arc::default(), opened }
    }

    /// Whether it has left its state directory to another broker.
    pub(super) fn has_left(&self) -> bool {
        self.state().has_left
    }

    /// Takes other options, for what comes from here on.
    pub(super) fn change(&self, limits: &BrokerOptions) {
        let mut state = self.state();
        let size = usize::try_from(limits.max_retained_bytes).unwrap_or(usize::MAX);
        state.retained.limit(limits.max_retained as usize, size);
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits.clone());
    }

    fn limits(&self) -> Arc<BrokerOptions> {
        Arc::clone(&self.limits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The longest that a session is kept, of what its client wants.
    pub(super) fn expiry(&self, wanted: u32) -> u32 {
        wanted.min(self.limits().session_expiry)
    }

    /// Gives a client its session, new or the one that it had, as far as it is still permitted; another connection of
    /// the same client ends.
    ///
    /// # Errors
    /// The reason code: there is no room, or the session is another user's.
    pub(super) fn attach(
        &self,
        client_id: &str,
        user: Option<&str>,
        permits: &Permits,
        connect: &Connect,
        conversation: &Arc<Conversation>,
    ) -> Result<Place, u8> {
        let mut guard = self.state();
        let state = &mut *guard;
        let known = state.by_client.get(client_id).copied();
        let is_online = known.is_some_and(|it| state.sessions[&it].online.is_some());
        if !is_online && state.connected >= self.limits().max_clients as usize {
            return Err(reason::QUOTA);
        }
        if known.is_some_and(|it| state.sessions[&it].user.as_deref() != user) {
            return Err(reason::NOT_AUTHORIZED);
        }
        let left = known.and_then(|known| state.take_left(known));
        let fresh = connect.clean || known.is_none();
        if fresh && let Some(known) = known {
            // The old session ends here, and its will does not wait any longer.
            let will = state.sessions.get_mut(&known).and_then(|session| session.will.take());
            state.remove(known);
            if let Some((will, _)) = will {
                state.publish(will, known, conversation.link.now());
            }
        }
        state.last += 1;
        let life = state.last;
        let number = match known.filter(|_| !fresh) {
            Some(known) => known,
            None => {
                let session = self.session(client_id, user);
                state.by_client.insert(client_id.to_owned(), life);
                state.sessions.insert(life, session);
                life
            }
        };
        state.restrict(number, permits);
        let Some(session) = state.sessions.get_mut(&number) else { return Err(reason::QUOTA) };
        session.online = Some((life, Arc::clone(conversation)));
        session.ends = None;
        // A client that is back in time leaves no will.
        session.will = None;
        let (was, granted) = (session.expiry, self.expiry(connect.expiry));
        session.expiry = granted;
        state.connected += 1;
        let outbox = Arc::clone(&session.outbox);
        let client = || client_id.to_owned();
        if granted > 0 {
            state.note(|| Record::Session {
                client: client(),
                user: user.map(str::to_owned),
                expiry: granted,
            });
        } else if was > 0 {
            state.note(|| Record::Ended { client: client() });
        }
        self.commit(state);
        let resumed = (!fresh).then(|| left.unwrap_or_default());
        Ok(Place { session: number, life, outbox, resumed })
    }

    /// A session that has nothing yet.
    fn session(&self, client_id: &str, user: Option<&str>) -> Session {
        let bytes = usize::try_from(self.limits().max_queued_bytes).unwrap_or(usize::MAX);
        let most = self.limits().max_queued as usize;
        Session {
            client_id: client_id.to_owned(),
            user: user.map(str::to_owned),
            outbox: Arc::new(Outbox::new(most, Arc::clone(&self.queued), bytes)),
            filters: HashMap::new(),
            online: None,
            kept: None,
            ends: None,
            will: None,
            expiry: 0,
            last_number: 0,
        }
    }

    /// A connection has ended: its session is kept for `expiry` seconds, and its will is published, now or later.
    pub(super) fn detach(&self, place: &Place, left: Left, expiry: u32, now: Duration) {
        let mut guard = self.state();
        let state = &mut *guard;
        let after = |seconds: u32| now + Duration::from_secs(u64::from(seconds));
        let has_ended =
            |session: &Session| session.online.as_ref().is_none_or(|(life, _)| *life != place.life);
        let offline = state.sessions.len().saturating_sub(state.connected);
        let full = offline >= self.limits().max_sessions as usize;
        let taken_over = state.sessions.get(&place.session).is_none_or(has_ended);
        let mut now_due = left.will;
        if taken_over && state.sessions.contains_key(&place.session) {
            // The session goes on in another connection, so that a will with a delay is none (§3.1.3.2.2).
            now_due.take_if(|will| will.delay > 0);
        } else if !taken_over {
            state.connected -= 1;
            let keeps = expiry > 0 && !full;
            if let Some(session) = state.sessions.get_mut(&place.session).filter(|_| keeps) {
                session.online = None;
                session.kept = left.kept;
                session.expiry = expiry;
                session.ends = Some(after(expiry));
                session.outbox.forget_qos_0();
                if let Some(will) = now_due.take_if(|will| will.delay > 0) {
                    session.will = Some((will.publication, after(will.delay.min(expiry))));
                }
                state.note_taken(place.session, left.taken_over, None);
                state.note_left(place.session, now);
            } else {
                state.remove(place.session);
            }
        }
        if let Some(will) = now_due {
            state.publish(will.publication, place.session, now);
        }
        self.commit(state);
    }

    /// Publishes messages of a session, which are written when this returns.
    pub(super) fn publishing(
        &self,
        from: u64,
        now: Duration,
        publish: impl FnOnce(&mut Publishing<'_>),
    ) {
        let mut state = self.state();
        publish(&mut Publishing { state: &mut state, from, now });
        self.commit(&mut state);
    }

    /// Subscribes a session, for the code of each filter. Retained messages are in its outbox then.
    pub(super) fn subscribe(
        &self,
        session: u64,
        permits: &Permits,
        filters: Vec<Filter>,
        number: Option<u32>,
        now: Duration,
    ) -> Vec<u8> {
        let mut state = self.state();
        let most = self.limits().max_subscriptions as usize;
        let subscribe = |filter: Filter| match permits.subscribe(&filter.filter) {
            true => state.subscribe(session, filter, number, most, now),
            false => {
                state.refused += 1;
                reason::NOT_AUTHORIZED
            }
        };
        let codes = filters.into_iter().map(subscribe).collect();
        self.commit(&mut state);
        codes
    }

    /// Ends subscriptions of a session, for the code of each filter.
    pub(super) fn unsubscribe(&self, session: u64, filters: &[String]) -> Vec<u8> {
        let mut state = self.state();
        let codes = filters.iter().map(|filter| state.unsubscribe(session, filter)).collect();
        self.commit(&mut state);
        codes
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
            state.publish(will, session, now);
            // It does not wait any more.
            state.note_left(session, now);
        }
        for session in over {
            state.remove(session);
        }
        state.retained.expire(now);
        state.note_all_taken();
        self.commit(&mut state);
        Counts {
            clients: state.connected,
            sessions: state.sessions.len(),
            subscriptions: state.subscriptions,
            retained: state.retained.len(),
            dropped: std::mem::take(&mut state.dropped),
            refused: std::mem::take(&mut state.refused),
        }
    }
}

//! Accepted connections: their place in the table, and the steps that their listener and its route take.

use super::command::ConnectionCommand;
use super::live::Live;
use super::lives::Lives;
use super::policy::Policy;
use super::record::Decider;
use super::spec::{ConnectionSpec, Inbound};
use super::state::State;
use super::target::{Caller, Held, Target};
use crate::addr::Addr;
use crate::events::{Cause, EventKind};
use crate::work::OpeningStep;
use jackfield_plugin_api::{Error, ErrorKind, Info, Result, Session};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

/// What all connections have in common that one listener accepts.
#[derive(Debug)]
pub struct Acceptance {
    spec: Arc<ConnectionSpec>,
}

/// What an [`Acceptance`] is made of.
#[derive(Debug)]
pub struct AcceptOptions {
    /// The listener, as it is written.
    pub listener: Arc<str>,
    /// Where what it accepts is joined to.
    pub to: Arc<str>,
    /// Whether that is a route, which has all that is received, and not code of the program.
    pub is_routed: bool,
    /// What each does by itself, if it is not routed.
    pub policy: Policy,
    /// Free labels of each.
    pub labels: BTreeMap<String, String>,
}

/// Who has connected, as its transport says.
#[derive(Debug, Default)]
pub struct PeerInfo {
    /// Where it is.
    pub addr: Option<Addr>,
    identity: Option<String>,
    encrypted: bool,
}

impl PeerInfo {
    /// The peer of a session that was accepted.
    pub fn of(session: &Session) -> Self {
        // Not made into text and read again.
        if let Some(ends) = session.socket_ends() {
            return PeerInfo { addr: ends.peer.map(Addr::Socket), ..PeerInfo::default() };
        }
        session.info().into()
    }
}

impl From<Info> for PeerInfo {
    fn from(info: Info) -> Self {
        let Info { peer, identity, encrypted, .. } = info;
        PeerInfo { addr: peer.map(Addr::from), identity, encrypted }
    }
}

impl Acceptance {
    /// For a listener of `target`'s stack; what it accepts is in the table `lives`.
    pub fn new(options: AcceptOptions, target: Arc<Target>, lives: Arc<Lives>) -> Self {
        let AcceptOptions { listener, to, is_routed, policy, labels } = options;
        let inbound = Some(Inbound { listener: Arc::clone(&listener), to, is_routed });
        let spec = ConnectionSpec::new(&listener, target, policy);
        let spec = ConnectionSpec { labels, lives: Some(lives), inbound, events: None, ..spec };
        Acceptance { spec: Arc::new(spec.sourced()) }
    }

    /// Enters the connection of a session that was accepted; it stays in the table until the answer is
    /// dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when as many connections live as may.
    pub fn enter(&self, peer: impl Into<PeerInfo>) -> Result<Entered> {
        let peer = peer.into();
        let live = Live::new(Arc::clone(&self.spec), peer.addr);
        live.note_peer(peer.identity, peer.encrypted);
        let live = Arc::new(live);
        if live.default_handler().is_some() {
            live.tell_handler();
        }
        self.spec.lives.iter().try_for_each(|lives| lives.enter(&live))?;
        live.step(
            State::Connecting,
            Decider::Peer,
            "accepted",
            EventKind::Accepted { peer: live.peer().cloned() },
        );
        Ok(Entered(live))
    }
}

/// An accepted connection and its place in the table; dropping it leaves the table, and ends the connection
/// if that has not ended.
#[derive(Debug)]
pub struct Entered(Arc<Live>);

impl Entered {
    /// The connection.
    pub fn live(&self) -> &Arc<Live> {
        &self.0
    }
}

impl Deref for Entered {
    type Target = Live;
    fn deref(&self) -> &Live {
        &self.0
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if !self.0.state().is_final() {
            self.0.end(
                State::Closed,
                Decider::Owner,
                Cause::of("the task that served it has ended"),
            );
        }
    }
}

impl Live {
    fn note_peer(&self, identity: Option<String>, encrypted: bool) {
        if let Some(identity) = identity {
            // It has proven to be that at first.
            let _ = self.identity.set(identity.into_boxed_str());
        }
        self.encrypted.store(encrypted, Ordering::Relaxed);
    }

    /// Its layers have spoken with the peer of an accepted one; `layers` tells whether there are any.
    pub(crate) fn shaken(&self, session: &Session, layers: bool) {
        self.note_opening(OpeningStep::Connecting);
        // What a transport says was told before.
        if layers {
            let info = session.info();
            self.note_peer(info.identity, info.encrypted);
            if let Some(client) = info.peer.filter(|_| self.spec.target.stack().tells_client()) {
                // Said once: a connection has one client.
                let _ = self.client.set(Box::new(client.into()));
            }
        }
        if self.encrypted.load(Ordering::Relaxed) {
            let identity = self.identity.get().map(ToString::to_string);
            self.tell(EventKind::Secured { identity });
        }
    }

    /// Another that uses what an accepted one is to be joined to.
    pub(crate) fn other_user(&self) -> Option<Held> {
        let to = &self.spec.inbound.as_ref()?.to;
        let user = self.spec.lives.as_ref()?.user_of(to, self.id)?;
        let owner = match (user.peer(), user.is_accepted()) {
            (Some(peer), _) => peer.to_string(),
            (None, true) => "a peer without an address".to_owned(),
            (None, false) => user.name.to_string(),
        };
        let time = Duration::from_millis(user.traffic.age_ms());
        Some(Held { by: Caller::new(owner, ""), time, waiting: 0 })
    }

    /// The destination of an accepted one is reached.
    pub(crate) fn joined(&self) {
        let event = EventKind::Connected { peer: self.peer().cloned() };
        // A close at the same time comes first.
        if !self.state().is_final() {
            self.step(State::Connected, Decider::Target, "joined", event);
        }
    }

    /// A session of requests has agreed with its peer on something else.
    pub(crate) fn upgraded(&self) {
        self.tell(EventKind::Upgraded);
    }

    /// The service of an accepted one has ended: as it should, with words for that, or by an error.
    pub(crate) fn served(&self, end: std::result::Result<String, Error>) {
        match end {
            _ if self.state().is_final() => {}
            Ok(text) => self.end(State::Closed, Decider::Session, Cause::of(text)),
            Err(error) if error.kind() == ErrorKind::Closed => {
                self.end(State::Closed, Decider::Session, Cause::from(&error));
            }
            Err(error) => self.end(State::Error, Decider::Session, Cause::from(&error)),
        }
    }

    /// An accepted one could not be served.
    pub(crate) fn failed(&self, error: &Error) {
        if !self.state().is_final() {
            self.end(State::Error, Decider::Session, Cause::from(error));
        }
    }

    /// Code that serves an accepted one says that something went wrong.
    pub(crate) fn note_failure(&self, error: &Error) {
        self.note_error(error);
    }

    /// An accepted one was told to end, and has.
    pub(crate) fn ended(&self, command: &ConnectionCommand) {
        if !self.state().is_final() {
            let cause = Cause::of(command.reason());
            let cause = match command {
                ConnectionCommand::Close { code, .. } => cause.with_code(*code),
                _ => cause,
            };
            self.end(State::Closed, Decider::Call, cause);
        }
    }

    /// What runs is finished, nothing new is taken.
    pub(crate) fn draining(&self) {
        if self.state() == State::Connected {
            self.step(State::Draining, Decider::Call, "drain", EventKind::Draining);
        }
    }

    /// It is being closed politely.
    pub(crate) fn closing(&self, code: u64, reason: &str) {
        self.tell(EventKind::Closing { cause: Cause::of(reason).with_code(code) });
    }

    /// For the one task that serves it: completes when it is told to end in a way that is stronger than
    /// `after`. Cancel safe.
    pub(crate) async fn told(&self, after: &ConnectionCommand) -> ConnectionCommand {
        poll_fn(|cx| self.poll_told(cx, after)).await
    }

    /// As [`Live::told`].
    pub(crate) fn poll_told(
        &self,
        cx: &mut Context<'_>,
        after: &ConnectionCommand,
    ) -> Poll<ConnectionCommand> {
        self.server.register(cx.waker());
        let Some(machinery) = self.machinery.get() else { return Poll::Pending };
        let command = machinery.command.borrow().clone();
        if command.ends() && after.gives_way_to(&command) {
            Poll::Ready(command)
        } else {
            Poll::Pending
        }
    }
}

//! Listeners: accept sessions, take them through their stack's layers, and give them to a route, or to code
//! of the program. Of a session that carries several streams each stream goes to the route by itself; code has
//! the whole session.

mod accepting;
mod acceptor;
mod admission;
mod code;
mod counts;
mod ended;
mod options;
mod rates;
mod request;
mod room;
mod slot;
mod streams;

pub use code::{Code, IntoCode, IntoEnd};
pub use counts::{DURATIONS_MS, ListenerTotals};
pub use ended::SESSIONS;
pub use options::{ConnectionRate, ListenerOptions};
pub use request::ServedRequest;
pub use slot::ServiceSlot;

use crate::addr::Addr;
use crate::connection::{AcceptOptions, Acceptance, Lives, Policy, Target};
use crate::handover;
use crate::route::Route;
use crate::shutdown::Stopping;
use crate::stack::Stack;
use accepting::AcceptingSlot;
use acceptor::start;
use admission::Admission;
use arc_swap::ArcSwap;
use counts::ListenerCounts;
use jackfield_plugin_api::Result;
use room::Room;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything that one listener needs.
#[derive(Debug)]
pub struct Listener {
    /// As it is written in the configuration.
    pub name: Arc<str>,
    /// The layers to take each session through, and where to listen.
    pub stack: Stack,
    /// Where sessions go.
    pub service: Service,
    /// Whom it lets in, and how many.
    pub options: ListenerOptions,
    /// Time for each layer to agree with a peer, where `options` do not set it.
    pub handshake_timeout: Duration,
}

/// What serves the sessions of a listener.
#[derive(Clone, Debug)]
pub enum Service {
    /// A route to a destination.
    Route(Route),
    /// Code of the program.
    Code {
        /// What is run for each connection, or for each request.
        code: Code,
        /// What each connection does by itself.
        policy: Policy,
        /// Free labels of each connection.
        labels: BTreeMap<String, String>,
    },
}

impl Service {
    /// Where sessions go, in words.
    pub fn name(&self) -> Arc<str> {
        match self {
            Service::Route(route) => Arc::clone(&route.name),
            Service::Code { .. } => "the program".into(),
        }
    }
}

/// A listener that is bound and not yet accepting.
#[derive(Debug)]
pub struct Bound {
    shared: Arc<ArcSwap<ListenerShared>>,
    name: Arc<str>,
    accepting: AcceptingSlot,
}

/// What those that one listener has accepted share.
#[derive(Debug)]
struct ListenerShared {
    name: Arc<str>,
    target: Arc<Target>,
    service: Service,
    handshake_timeout: Duration,
    admission: Arc<Admission>,
    /// What they have in common in the table of connections.
    acceptance: Acceptance,
    lives: Arc<Lives>,
    /// Shared with what takes its place.
    counts: Arc<ListenerCounts>,
    room: Arc<Room>,
}

/// Pause after the system could not accept, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Listener {
    /// The most connections at a time, and the time for each layer to agree with a peer.
    fn limits(&self, lives: &Lives) -> (usize, Duration) {
        let most = self.options.max_connections.map_or(lives.count().max, |most| most as usize);
        (most.max(1), self.options.handshake_timeout.unwrap_or(self.handshake_timeout))
    }

    /// Takes its address; what it accepts will be in the table `lives`.
    ///
    /// # Errors
    /// [`InUse`](jackfield_plugin_api::ErrorKind::InUse) and what else the transport says.
    pub async fn bind(self, lives: Arc<Lives>) -> Result<Bound> {
        let (most, handshake_timeout) = self.limits(&lives);
        let Listener { name, stack, service, options, .. } = self;
        let socket: Option<Arc<str>> = options.socket.as_deref().map(Arc::from);
        let binding = stack.listen_at(handshake_timeout, None);
        let accepting = AcceptingSlot::of(handover::by_name(socket, binding).await?);
        let target = Arc::new(Target::new(stack, None));
        let admission = Arc::new(Admission::new(options, Arc::clone(lives.peers())));
        let (base, room) = ((Arc::clone(&name), target, handshake_timeout), Room::new(most));
        let shared = ListenerShared::new(base, service, admission, room, lives);
        let shared = Arc::new(ArcSwap::from_pointee(shared));
        Ok(Bound { shared, name, accepting })
    }
}

impl ListenerShared {
    fn new(
        (name, target, handshake_timeout): (Arc<str>, Arc<Target>, Duration),
        service: Service,
        admission: Arc<Admission>,
        room: Arc<Room>,
        lives: Arc<Lives>,
    ) -> Self {
        let (policy, labels) = match &service {
            Service::Route(_) => (Policy::default(), BTreeMap::new()),
            Service::Code { policy, labels, .. } => (policy.clone(), labels.clone()),
        };
        let options = AcceptOptions {
            listener: Arc::clone(&name),
            to: service.name(),
            is_routed: matches!(service, Service::Route(_)),
            policy,
            labels,
        };
        let acceptance = Acceptance::new(options, Arc::clone(&target), Arc::clone(&lives));
        let counts = Arc::default();
        ListenerShared {
            name,
            target,
            service,
            handshake_timeout,
            admission,
            acceptance,
            lives,
            counts,
            room,
        }
    }

    /// The same listener with another service.
    fn serving(&self, service: Service) -> Self {
        let base = (Arc::clone(&self.name), Arc::clone(&self.target), self.handshake_timeout);
        let (admission, lives) = (Arc::clone(&self.admission), Arc::clone(&self.lives));
        let room = Arc::clone(&self.room);
        let serving = ListenerShared::new(base, service, admission, room, lives);
        ListenerShared { counts: Arc::clone(&self.counts), ..serving }
    }
}

impl Bound {
    /// Where it listens, with the port that the system chose.
    pub fn local(&self) -> Option<Addr> {
        self.accepting.info().local.map(Addr::from)
    }

    /// All addresses that it listens on: several where a name stands for them.
    pub fn locals(&self) -> Vec<String> {
        let info = self.accepting.info();
        let several = info.facts.get("locals").and_then(|locals| locals.as_array());
        match several {
            Some(several) => {
                several.iter().filter_map(|local| local.as_str().map(str::to_owned)).collect()
            }
            None => info.local.into_iter().collect(),
        }
    }

    /// As it is written in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What serves its sessions.
    pub fn service(&self) -> ServiceSlot {
        ServiceSlot { shared: Arc::clone(&self.shared), accepting: self.accepting.clone() }
    }

    /// Accepts until told to stop; connections that run then go on by themselves, each with a worker's end of
    /// its own. At the limit nothing is accepted: peers wait in the backlog.
    pub async fn run(self, stopping: Stopping) {
        let Bound { shared, name, accepting } = self;
        let room = Arc::clone(&shared.load().room);
        let end = stopping.clone();
        let mut heard = accepting.hearer();
        let accept = async {
            loop {
                let place = room.place().await;
                match heard.accept().await {
                    Ok(session) => start(shared.load_full(), session, place, &end),
                    Err(error) => {
                        tracing::warn!(listener = &*name, %error, "cannot accept");
                        jackfield_timers::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accept => {}
            () = stopping.told() => {}
        }
        // What knows the listener still does not keep its address.
        accepting.end();
    }
}

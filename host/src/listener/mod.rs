//! Listeners: accept sessions, take them through their stack's layers, and give them to a route, or to code
//! of the program. Of a session that carries several streams each stream goes to the route by itself; code has
//! the whole session.

mod code;
mod request;
mod streams;

pub use code::{Code, IntoCode, IntoEnd};
pub use request::ServedRequest;

use crate::connection::{AcceptOptions, Acceptance, Entered, Lives, Policy, Target, Wish};
use crate::route::{Route, Served};
use crate::shutdown::Stopping;
use crate::stack::Stack;
use crate::work;
use jackfield_plugin_api::{Error, ErrorKind, Facets, Listener as Accepting, Result, Session};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Everything that one listener needs.
#[derive(Debug)]
pub struct Listener {
    /// As it is written in the configuration.
    pub name: Arc<str>,
    /// The layers to take each session through, and where to listen.
    pub stack: Stack,
    /// Where sessions go.
    pub service: Service,
    /// Time for a peer to get through the layers.
    pub handshake_timeout: Duration,
    /// The most connections of this listener at once.
    pub max_connections: usize,
}

/// What serves the sessions of a listener.
#[derive(Debug)]
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
    name: Arc<str>,
    target: Arc<Target>,
    service: Service,
    handshake_timeout: Duration,
    max_connections: usize,
    accepting: Accepting,
}

/// What those that one listener has accepted share.
#[derive(Debug)]
struct ListenerShared {
    name: Arc<str>,
    target: Arc<Target>,
    service: Service,
    handshake_timeout: Duration,
    /// What they have in common in the table of connections.
    acceptance: Acceptance,
}

/// Pause after the system could not accept, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Listener {
    /// Takes its address.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] and what else the transport says.
    pub async fn bind(self) -> Result<Bound> {
        let accepting = self.stack.listen(self.handshake_timeout).await?;
        Ok(Bound {
            name: self.name,
            target: Arc::new(Target::new(self.stack, None)),
            service: self.service,
            handshake_timeout: self.handshake_timeout,
            max_connections: self.max_connections,
            accepting,
        })
    }
}

impl Bound {
    /// Where it listens, with the port that the system chose.
    pub fn local(&self) -> Option<String> {
        self.accepting.info().local
    }

    /// As it is written in the configuration.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What serves its sessions.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Accepts until told to stop, into the table `lives`; connections that run then go on by themselves, each
    /// with a worker's end of its own. At the limit nothing is accepted: peers wait in the backlog.
    pub async fn run(self, lives: Arc<Lives>, mut stopping: Stopping) {
        let Bound { name, target, service, handshake_timeout, max_connections, accepting } = self;
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
        let acceptance = Acceptance::new(options, Arc::clone(&target), lives);
        let shared =
            Arc::new(ListenerShared { name, target, service, handshake_timeout, acceptance });
        let room = Arc::new(Semaphore::new(max_connections));
        let end = stopping.clone();
        let accept = async {
            loop {
                // The semaphore is never closed.
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
                match accepting.accept().await {
                    Ok(session) => start(&shared, session, permit, &end),
                    Err(error) => {
                        tracing::warn!(listener = &*shared.name, %error, "cannot accept");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accept => {}
            () = stopping.told() => {}
        }
    }
}

fn start(
    shared: &Arc<ListenerShared>,
    session: Session,
    permit: OwnedSemaphorePermit,
    end: &Stopping,
) {
    let shared = Arc::clone(shared);
    let entered = match shared.acceptance.enter(session.info()) {
        Ok(entered) => entered,
        Err(error) => {
            tracing::warn!(listener = &*shared.name, %error, "connection refused");
            return;
        }
    };
    let mut stopping = end.clone();
    let mut acceptor = Acceptor { shared, stopping: stopping.clone() };
    tokio::spawn(async move {
        {
            let serving = std::pin::pin!(async {
                tokio::select! {
                    () = acceptor.serve(session, &entered) => {}
                    () = stopping.overdue() => {}
                }
            });
            work::under(entered.id, serving).await;
        }
        drop((entered, permit, stopping, acceptor));
    });
}

/// Serves what a listener has accepted, and hears when it is to stop.
#[derive(Clone)]
struct Acceptor {
    shared: Arc<ListenerShared>,
    stopping: Stopping,
}

impl Acceptor {
    /// Takes a session that was accepted, or a stream of one, through the layers and serves it.
    async fn serve(&mut self, session: Session, entered: &Entered) {
        let shared = Arc::clone(&self.shared);
        let name = &*shared.name;
        let (id, peer) = (entered.id, entered.peer().unwrap_or("-"));
        let layers = shared.target.stack().has_layers();
        if shared.divides(&session, layers) {
            tracing::debug!(listener = name, id, peer, "connected, with streams");
            entered.shaken(&session, false);
            return self.serve_streams(session, entered).await;
        }
        let session = match shake_hands(&shared, session, entered).await {
            Ok(session) => session,
            Err(error) => {
                if error.kind() == ErrorKind::Panicked {
                    // The panic itself has a line of its own, which names the code.
                    tracing::info!(listener = name, id, peer, %error, "panicked: peer not accepted");
                } else {
                    tracing::info!(listener = name, id, peer, %error, "peer not accepted");
                }
                entered.failed(&error);
                return;
            }
        };
        tracing::debug!(listener = name, id, peer, "connected");
        if layers && shared.divides(&session, false) {
            return self.serve_streams(session, entered).await;
        }
        self.join(session, entered).await;
    }

    /// Gives a session to the service.
    async fn join(&mut self, session: Session, entered: &Entered) {
        let shared = Arc::clone(&self.shared);
        let (name, id) = (&*shared.name, entered.id);
        let peer = entered.peer().unwrap_or("-");
        let served = match &shared.service {
            Service::Route(route) => route.serve(session, entered, &mut self.stopping).await,
            Service::Code { code, .. } => {
                // Boxed, so that a relayed connection does not keep room for it.
                Box::pin(code.serve(session, entered, &mut self.stopping)).await
            }
        };
        let end = match served {
            Ok(Served::Told(wish)) => {
                entered.ended(&wish);
                wish.to_string()
            }
            Ok(served) => {
                let end = served.to_string();
                entered.served(served.into_end());
                end
            }
            Err(error) => {
                let to = &*shared.service.name();
                if error.kind() == ErrorKind::Panicked {
                    tracing::info!(listener = name, id, peer, route = to, %error, "panicked");
                } else {
                    tracing::info!(listener = name, id, peer, route = to, %error, "failed");
                }
                entered.failed(&error);
                error.to_string()
            }
        };
        tracing::debug!(listener = name, id, peer, end, "ended");
    }
}

impl ListenerShared {
    /// Whether the streams of a session are served one by one: where there are `layers` to take each through,
    /// and where the route takes them so.
    fn divides(&self, session: &Session, layers: bool) -> bool {
        let takes = match &self.service {
            Service::Route(route) => layers || route.takes_streams(),
            Service::Code { .. } => layers,
        };
        takes && session.facets().contains(Facets::ACCEPT_STREAM)
    }
}

/// Takes a session through the layers, unless its connection is told to end meanwhile.
async fn shake_hands(
    shared: &ListenerShared,
    session: Session,
    entered: &Entered,
) -> Result<Session> {
    let deferred = matches!(&shared.service, Service::Route(route) if route.opens());
    // Boxed, so that a connection that runs does not keep room for its handshake.
    let accepting =
        Box::pin(shared.target.stack().accept(session, shared.handshake_timeout, deferred));
    let session = tokio::select! {
        accepted = accepting => accepted?,
        wish = entered.told(&Wish::GoOn) => {
            let text = format!("closed in its handshake: {wish}");
            return Err(Error::new(ErrorKind::Cancelled, text));
        }
    };
    entered.shaken(&session, shared.target.stack().has_layers());
    Ok(session)
}

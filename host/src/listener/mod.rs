//! Listeners: accept sessions, take them through their stack's layers, and give them to a route. Of a
//! session that carries several streams each stream goes that way by itself.

mod streams;

use crate::connection::{Connections, Entered, State};
use crate::route::Route;
use crate::shutdown::Stopping;
use crate::stack::Stack;
use crate::work;
use jackfield_plugin_api::{ErrorKind, Facets, Listener as Accepting, Result, Session};
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
    pub route: Route,
    /// Time for a peer to get through the layers.
    pub handshake_timeout: Duration,
    /// The most connections of this listener at once.
    pub max_connections: usize,
}

/// A listener that is bound and not yet accepting.
#[derive(Debug)]
pub struct Bound {
    listener: Arc<Listener>,
    accepting: Accepting,
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
        Ok(Bound { listener: Arc::new(self), accepting })
    }
}

impl Bound {
    /// Where it listens, with the port that the system chose.
    pub fn local(&self) -> Option<String> {
        self.accepting.info().local
    }

    /// The listener.
    pub fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }

    /// Accepts until told to stop; connections that run then go on by themselves, each with a
    /// worker's end of its own. At the limit nothing is accepted: peers wait in the backlog.
    pub async fn run(self, connections: Arc<Connections>, mut stopping: Stopping) {
        let room = Arc::new(Semaphore::new(self.listener.max_connections));
        let end = stopping.clone();
        let accept = async {
            loop {
                // The semaphore is never closed.
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
                match self.accepting.accept().await {
                    Ok(session) => self.start(session, permit, &connections, &end),
                    Err(error) => {
                        tracing::warn!(listener = &*self.listener.name, %error, "cannot accept");
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

    fn start(
        &self,
        session: Session,
        permit: OwnedSemaphorePermit,
        connections: &Arc<Connections>,
        stopping: &Stopping,
    ) {
        let listener = Arc::clone(&self.listener);
        let (name, to) = (&listener.name, &listener.route.name);
        let entered = match connections.enter(name, to, session.info()) {
            Ok(entered) => entered,
            Err(error) => {
                tracing::warn!(listener = &*listener.name, %error, "connection refused");
                return;
            }
        };
        let mut stopping = stopping.clone();
        let told = stopping.clone();
        let mut acceptor =
            Acceptor { listener, connections: Arc::clone(connections), stopping: told };
        tokio::spawn(async move {
            {
                let serving = std::pin::pin!(async {
                    tokio::select! {
                        () = acceptor.serve(session, &entered) => {}
                        () = stopping.ended() => {
                            let _ = entered.state.step(State::Closed);
                        }
                    }
                });
                work::under(entered.id, serving).await;
            }
            drop((entered, permit, stopping, acceptor));
        });
    }
}

/// Serves what a listener has accepted, and hears when it is to stop.
#[derive(Clone)]
struct Acceptor {
    listener: Arc<Listener>,
    connections: Arc<Connections>,
    stopping: Stopping,
}

impl Acceptor {
    /// Takes a session that was accepted, or a stream of one, through the layers and serves it.
    async fn serve(&mut self, session: Session, entered: &Entered) {
        let listener = Arc::clone(&self.listener);
        let (name, id) = (&*listener.name, entered.id);
        let peer = entered.peer.as_deref().unwrap_or("-");
        let is_divided = session.facets().contains(Facets::ACCEPT_STREAM);
        if is_divided && (listener.stack.has_layers() || listener.route.takes_streams()) {
            tracing::debug!(listener = name, id, peer, "connected, with streams");
            return self.serve_streams(session, entered).await;
        }
        // Boxed, so that a connection that runs does not keep room for its handshake.
        let accepting = Box::pin(listener.stack.accept(session, listener.handshake_timeout));
        let session = match accepting.await {
            Ok(session) => session,
            Err(error) => {
                if error.kind() == ErrorKind::Panicked {
                    // The panic itself has a line of its own, which names the code.
                    tracing::info!(listener = name, id, peer, %error, "panicked: peer not accepted");
                } else {
                    tracing::info!(listener = name, id, peer, %error, "peer not accepted");
                }
                let _ = entered.state.step(State::Error);
                return;
            }
        };
        tracing::debug!(listener = name, id, peer, "connected");
        let is_divided = session.facets().contains(Facets::ACCEPT_STREAM);
        if is_divided && listener.stack.has_layers() && listener.route.takes_streams() {
            return self.serve_streams(session, entered).await;
        }
        self.join(session, entered).await;
    }

    /// Joins a session to the route.
    async fn join(&mut self, session: Session, entered: &Entered) {
        let listener = Arc::clone(&self.listener);
        let (name, id) = (&*listener.name, entered.id);
        let peer = entered.peer.as_deref().unwrap_or("-");
        let (end, state) = match listener.route.serve(session, entered, &mut self.stopping).await {
            Ok(served) => {
                let failed = served.error().is_some_and(|error| error.kind() != ErrorKind::Closed);
                (served.to_string(), if failed { State::Error } else { State::Closed })
            }
            Err(error) => {
                let route = &*listener.route.name;
                if error.kind() == ErrorKind::Panicked {
                    tracing::info!(listener = name, id, peer, route, %error, "panicked");
                } else {
                    tracing::info!(listener = name, id, peer, route, %error, "failed");
                }
                (error.to_string(), State::Error)
            }
        };
        let _ = entered.state.step(state);
        tracing::debug!(listener = name, id, peer, end, "ended");
    }
}

//! Listeners: accept sessions, take them through their stack's layers, and give them to a route.

use crate::connection::{Connections, Entered, State};
use crate::route::Route;
use crate::shutdown::Stopping;
use crate::stack::Stack;
use crate::work;
use jackfield_plugin_api::{ErrorKind, Listener as Accepting, Result, Session};
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
        let mut told = stopping.clone();
        tokio::spawn(async move {
            {
                let serving = std::pin::pin!(async {
                    tokio::select! {
                        () = serve(&listener, session, &entered, &mut told) => {}
                        () = stopping.ended() => {
                            let _ = entered.state.step(State::Closed);
                        }
                    }
                });
                work::under(entered.id, serving).await;
            }
            drop((entered, permit, stopping, told));
        });
    }
}

async fn serve(listener: &Listener, session: Session, entered: &Entered, stopping: &mut Stopping) {
    let name = &*listener.name;
    let id = entered.id;
    let peer = entered.peer.as_deref().unwrap_or("-");
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
    let (end, state) = match listener.route.serve(session, entered, stopping).await {
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

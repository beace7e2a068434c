//! Sessions that carry several streams: each one that the peer opens is served as a connection of its own.

use super::acceptor::Acceptor;
use crate::connection::{ConnectionCommand, Entered, PeerInfo};
use crate::session::SessionExt;
use crate::work;
use jackfield_plugin_api::{Result, Session};
use std::pin::Pin;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Boxed: a stream is served as its session is, and a future cannot hold one of its own type.
type ServingStream = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Acceptor {
    /// Serves each stream that the peer opens, until it opens no more and all were served. Told to stop, it
    /// takes no further ones. How many there are at once its driver bounds, and all together
    /// `host.max_connections`. Dropped, or its connection told to end, it ends all of them.
    pub(super) async fn serve_streams(&self, session: Session, entered: &Entered) {
        let (name, id) = (Arc::clone(&self.shared.name), entered.id);
        entered.joined();
        // What was opened on a session does not outlive it.
        let session = Arc::new(session);
        let mut streams = JoinSet::new();
        let serving = async {
            let taken = self.take_streams(&session, &mut streams).await;
            while streams.join_next().await.is_some() {}
            taken
        };
        let taken = tokio::select! {
            taken = serving => taken,
            command = entered.told(&ConnectionCommand::Run) => {
                if let ConnectionCommand::Close { code, reason } = &command {
                    entered.closing(*code, reason);
                    session.close_politely(*code, reason).await;
                }
                entered.ended(&command);
                return;
            }
        };
        if let Err(error) = &taken {
            tracing::debug!(listener = &*name, id, %error, "no more streams");
        }
        entered.served(taken.map(|()| "the peer opens no more streams".to_owned()));
        tracing::debug!(listener = &*name, id, "ended");
    }

    async fn take_streams(&self, session: &Arc<Session>, streams: &mut JoinSet<()>) -> Result<()> {
        let mut accepting = session.accept_stream();
        loop {
            tokio::select! {
                accepted = &mut accepting => match accepted? {
                    Some(stream) => {
                        streams.spawn(self.clone().serve_stream(Arc::clone(session), stream));
                        accepting = session.accept_stream();
                    }
                    None => return Ok(()),
                },
                () = self.stopping.told() => return Ok(()),
                Some(_) = streams.join_next(), if !streams.is_empty() => {}
            }
        }
    }

    fn serve_stream(self, session: Arc<Session>, stream: Session) -> ServingStream {
        Box::pin(async move {
            let shared = Arc::clone(&self.shared);
            match shared.acceptance.enter(PeerInfo::of(&stream)) {
                Ok(entered) => {
                    let admitting = self.admitting(stream, &entered);
                    let serving = std::pin::pin!(self.serve(admitting, &entered));
                    work::under(entered.id, serving).await;
                }
                Err(error) => {
                    tracing::warn!(listener = &*shared.name, %error, "stream refused");
                }
            }
            drop(session);
        })
    }
}

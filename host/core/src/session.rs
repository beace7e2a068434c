//! What the host does with any session: asks and ends it within a time, and stands around it.

use jackfield_plugin_api::{
    Control, Datagrams, Error, ErrorKind, Event, Exchange, Facets, Messages, Result, Session,
    Stream,
};
use jackfield_timers::timeout;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

/// How long the polite end of a session may take: all results are there before it.
pub const POLITE_CLOSE: Duration = Duration::from_secs(2);

/// Calls of a session with an end to waiting.
pub trait SessionExt {
    /// One round trip within `limit`; `None` where the driver has none. Cancel safe.
    fn ping_within(&self, limit: Duration)
    -> impl Future<Output = Option<Result<Duration>>> + Send;

    /// Ends politely, for at most [`POLITE_CLOSE`]. Cancelled, it has begun or not.
    fn close_politely(&self, code: u64, reason: &str) -> impl Future<Output = ()> + Send;
}

impl SessionExt for Session {
    async fn ping_within(&self, limit: Duration) -> Option<Result<Duration>> {
        if !self.facets().contains(Facets::PING) {
            return None;
        }
        let late = || Error::new(ErrorKind::TimedOut, format!("no answer to a ping in {limit:?}"));
        Some(timeout(limit, self.ping()).await.unwrap_or_else(|_| Err(late())))
    }

    async fn close_politely(&self, code: u64, reason: &str) {
        // A peer that does not let one go in time is left.
        let _ = timeout(POLITE_CLOSE, self.close(code, reason)).await;
    }
}

/// The data facets of a session, each given away once.
#[derive(Default)]
pub(crate) struct DataParts {
    pub(crate) stream: Option<Stream>,
    pub(crate) messages: Option<Messages>,
    pub(crate) datagrams: Option<Datagrams>,
    pub(crate) exchange: Option<Exchange>,
}

/// A session for one user; `guard` lives as long as it.
struct Guarded<G> {
    inner: Arc<Session>,
    _guard: G,
}

impl<G: Send + Sync + 'static> Control for Guarded<G> {
    fn inner(&self) -> Option<&Session> {
        Some(&self.inner)
    }
}

/// `session` with `parts` for its data, and what else it has to give; `guard` lives as long as the result.
pub(crate) fn guarded<G: Send + Sync + 'static>(
    session: Arc<Session>,
    parts: DataParts,
    guard: G,
) -> Session {
    let facets = session.facets();
    let mut builder = Session::builder(Guarded { inner: session, _guard: guard }).facets(facets);
    if let Some(stream) = parts.stream {
        builder = builder.stream(stream);
    }
    if let Some(messages) = parts.messages {
        builder = builder.messages(messages);
    }
    if let Some(datagrams) = parts.datagrams {
        builder = builder.datagrams(datagrams);
    }
    if let Some(exchange) = parts.exchange {
        builder = builder.exchange(exchange);
    }
    builder.inner_data().build()
}

/// A session for its user, and the same one for its supervisor.
pub fn shared(session: Session) -> (Session, Arc<Session>) {
    let inner = Arc::new(session);
    (guarded(Arc::clone(&inner), DataParts::default(), ()), inner)
}

/// What those that share a session with others may not do: its data, its events and its end belong
/// to none of them.
const NOT_SHARED: Facets = Facets::EVENTS
    .union(Facets::CLOSE_CODE)
    .union(Facets::DRAIN)
    .union(Facets::ACCEPT_STREAM)
    .union(Facets::TAKE_FD)
    .union(Facets::RESET);

/// The calls of a session that others use too.
struct CallsOnly(Arc<Session>);

/// Only the calls of `session`, which others use too: it has no data, and its close ends nothing.
pub(crate) fn calls_of(session: Arc<Session>) -> Session {
    let facets = session.facets().difference(NOT_SHARED);
    Session::builder(CallsOnly(session)).facets(facets).build()
}

impl Control for CallsOnly {
    fn inner(&self) -> Option<&Session> {
        Some(&self.0)
    }

    fn next_event(&self) -> impl Future<Output = Result<Option<Event>>> + Send {
        ready(Ok(None))
    }

    fn close(&self, _: u64, _: String) -> impl Future<Output = Result<()>> + Send {
        ready(Ok(()))
    }

    fn reset(&self) -> impl Future<Output = Result<()>> + Send {
        ready(Ok(()))
    }

    fn drain(&self) -> impl Future<Output = Result<()>> + Send {
        ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_plugin_api::Info;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A session whose ping takes so long, and whose close never ends.
    struct Slow(Duration);

    impl Control for Slow {
        async fn ping(&self) -> Result<Duration> {
            tokio::time::sleep(self.0).await;
            Ok(self.0)
        }
        async fn close(&self, _: u64, _: String) -> Result<()> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_and_a_close_have_an_end() {
        let slow = |seconds| {
            let slow = Slow(Duration::from_secs(seconds));
            Session::builder(slow).facets(Facets::PING).build()
        };
        let limit = Duration::from_secs(3);
        let pinged = slow(2).ping_within(limit).await.unwrap();
        assert_eq!(pinged.unwrap(), Duration::from_secs(2));
        let error = slow(4).ping_within(limit).await.unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::TimedOut, "no answer to a ping in 3s")
        );
        slow(0).close_politely(0, "").await;
        let silent = Session::builder(Info::default()).build();
        assert!(silent.ping_within(limit).await.is_none());
    }

    #[tokio::test]
    async fn a_guard_lives_as_long_as_the_session_around_it() {
        struct Tells(Arc<AtomicBool>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let over = Arc::new(AtomicBool::new(false));
        let (near, _far) = tokio::io::duplex(64);
        let near = Session::of_stream(Info::new().peer("there"), Stream::new(near));
        let info: Info = near.info();
        let tells = Tells(Arc::clone(&over));
        let whole = guarded(Arc::new(near), DataParts::default(), tells);
        assert_eq!(whole.info(), info);
        let stream = whole.take_stream().unwrap();
        drop(stream);
        assert!(!over.load(Ordering::SeqCst));
        drop(whole);
        assert!(over.load(Ordering::SeqCst));
    }
}

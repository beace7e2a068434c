//! Sessions that hold a lease: it lasts as long as the session or anything taken from it, and its end
//! closes the session.

use super::exclusive::Lease;
use super::observe::Observers;
use super::stream::{LeasedMessages, LeasedStream};
use crate::lock::IgnorePoison;
use crate::session::SessionExt;
use jackfield_plugin_api::{
    Address, Control, Error, Facets, Messages, Result, Session, SessionBuilder, Stream,
};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// A session under a lease, shared by all that was taken from it.
pub(super) struct Leased {
    /// Before the lease, so that it is gone when the next one's turn comes.
    session: Session,
    hold: Arc<Hold>,
}

/// The lease itself, shared with sessions within the session.
pub(super) struct Hold {
    lease: Lease,
    observers: Option<Arc<Observers>>,
    renewed: Mutex<Option<Instant>>,
}

/// The call facets; those of data are made anew.
const CALLS: Facets = Facets::CALL
    .union(Facets::OPEN_STREAM)
    .union(Facets::ACCEPT_STREAM)
    .union(Facets::DIAL)
    .union(Facets::PING)
    .union(Facets::EVENTS)
    .union(Facets::CLOSE_CODE)
    .union(Facets::DRAIN);

/// Binds `lease` to `session`. What its device says is also told to `observers`. Of data, such a session
/// has bytes and messages: those can be cut off.
pub(super) fn lend(session: Session, lease: Lease, observers: Option<Arc<Observers>>) -> Session {
    let hold = Hold { lease, observers, renewed: Mutex::default() };
    let leased = bind(session, Arc::new(hold));
    let session = face(&leased);
    let weak = Arc::downgrade(&leased);
    let ended = leased.hold.lease.ended();
    tokio::spawn(async move {
        let error = ended.await;
        if let Some(leased) = weak.upgrade() {
            // Whoever reads or writes has the error by now; this tells the far end.
            leased.session.close_politely(0, error.message()).await;
        }
    });
    finish(session, &leased, true)
}

fn bind(session: Session, hold: Arc<Hold>) -> Arc<Leased> {
    Arc::new(Leased { session, hold })
}

fn finish(mut builder: SessionBuilder<LeasedFace>, leased: &Arc<Leased>, watched: bool) -> Session {
    let observers = leased.hold.observers.clone().filter(|_| watched);
    if let Some(stream) = leased.session.take_stream() {
        let stream = LeasedStream::new(stream, Arc::clone(leased), observers.clone());
        builder = builder.stream(Stream::new(stream));
    }
    if let Some(messages) = leased.session.take_messages() {
        let messages = LeasedMessages::new(messages, Arc::clone(leased), observers);
        builder = builder.messages(Messages::new(messages));
    }
    builder.build()
}

impl Leased {
    /// Whether the lease still lasts; activity of the holder renews it.
    pub(super) fn touch(&self) -> Result<()> {
        self.hold.lease.check()?;
        let Some(expiry) = self.hold.lease.expiry() else { return Ok(()) };
        let mut renewed = self.hold.renewed.lock().ignore_poison();
        let now = Instant::now();
        // Not at each key: the lease is asked a few times in its life, not more.
        if renewed.is_none_or(|last| now.duration_since(last) >= expiry / 16) {
            self.hold.lease.renew()?;
            *renewed = Some(now);
        }
        Ok(())
    }

    pub(super) fn ended(&self) -> impl Future<Output = Error> + Send + use<> {
        self.hold.lease.ended()
    }

    /// The work, unless the lease ends before it is done.
    async fn within<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.touch()?;
        tokio::select! {
            biased;
            error = self.ended() => Err(error),
            result = work => result,
        }
    }

    /// A session within this one; what is in it is not shown to observers.
    fn inner(&self, session: Session) -> Session {
        let leased = bind(session, Arc::clone(&self.hold));
        finish(face(&leased), &leased, false)
    }
}

struct LeasedFace(Arc<Leased>);

fn face(leased: &Arc<Leased>) -> SessionBuilder<LeasedFace> {
    let calls = leased.session.facets().intersection(CALLS);
    Session::builder(LeasedFace(Arc::clone(leased))).facets(calls)
}

impl Control for LeasedFace {
    fn inner(&self) -> Option<&Session> {
        Some(&self.0.session)
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        self.0.within(self.0.session.call(&operation, &params)).await
    }

    async fn open_stream(&self, params: Value) -> Result<Session> {
        let session = self.0.within(self.0.session.open_stream(&params)).await?;
        Ok(self.0.inner(session))
    }

    async fn accept_stream(&self) -> Result<Option<Session>> {
        let session = self.0.within(self.0.session.accept_stream()).await?;
        Ok(session.map(|session| self.0.inner(session)))
    }

    async fn dial(&self, address: Address) -> Result<Session> {
        let session = self.0.within(self.0.session.dial(&address)).await?;
        Ok(self.0.inner(session))
    }

    async fn close(&self, code: u64, reason: String) -> Result<()> {
        let closed = self.0.session.close(code, &reason).await;
        self.0.hold.lease.release();
        closed
    }
}

//! [`Dial`] and [`Member`]: the sessions of one target as members of its pool.

use super::told::PoolEvents;
use crate::connection::Target;
use crate::dialogue::{self, Dialogue, Known};
use crate::lock::IgnorePoison;
use crate::pool::{CloseCause, Connect};
use crate::session::{DataParts, SessionExt};
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{
    Answer, Envelope, Error, ErrorKind, Exchange, Facets, Incoming, Result, Session, Stream,
};
use jackfield_timers::timeout_at;
use serde_json::Value;
use std::io::Cursor;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// The most bytes kept that a peer sends before anybody has asked it for something.
const EARLY: usize = 4096;

/// How many sessions pools may have all together, being opened and unused ones included. Clones count
/// together.
#[derive(Clone, Debug)]
pub struct PooledLimit {
    counts: Arc<PooledCounts>,
}

#[derive(Debug)]
struct PooledCounts {
    used: AtomicU32,
    most: AtomicU32,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct PooledPlace(Arc<PooledCounts>);

impl Drop for PooledPlace {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PooledLimit {
    /// The most sessions unless something else is said.
    pub const DEFAULT: u32 = 10_000;

    /// At most `most`.
    pub fn new(most: u32) -> Self {
        PooledLimit { counts: Arc::new(PooledCounts { used: 0.into(), most: most.into() }) }
    }

    /// Puts another limit in force; sessions that are open go on.
    pub fn set_most(&self, most: u32) {
        self.counts.most.store(most, Ordering::Relaxed);
    }

    fn take(&self) -> Result<PooledPlace> {
        let most = self.counts.most.load(Ordering::Relaxed);
        let more = |used: u32| (used < most).then_some(used + 1);
        let taken = self.counts.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map_err(|_| {
            let text = format!("the pools of this host have {most} sessions, no more are opened");
            Error::new(ErrorKind::Limit, text).with("key", "host.limits.pooled")
        })?;
        Ok(PooledPlace(Arc::clone(&self.counts)))
    }
}

/// Opens, tests and ends the sessions of one target.
#[derive(Debug)]
pub struct Dial {
    /// Weak: the target may own the pool.
    target: Weak<Target>,
    all: Option<PooledLimit>,
    /// For one session, over all its layers.
    limit: Duration,
    /// Whether a session may have several callers at a time.
    shared: bool,
    runtime: Handle,
    closing: Mutex<JoinSet<()>>,
    events: Option<Arc<PoolEvents>>,
}

impl Dial {
    pub(super) fn new(
        target: &Arc<Target>,
        limit: Duration,
        all: Option<PooledLimit>,
        shared: bool,
        runtime: Handle,
    ) -> Self {
        let (target, closing) = (Arc::downgrade(target), Mutex::default());
        Dial { target, all, limit, shared, runtime, closing, events: None }
    }

    /// Tells how opening goes, if anybody is to hear it.
    pub(super) fn telling(mut self, events: Option<Arc<PoolEvents>>) -> Self {
        self.events = events;
        self
    }

    fn target(&self) -> Result<Arc<Target>> {
        let gone = || Error::new(ErrorKind::Closed, "the target was removed");
        self.target.upgrade().ok_or_else(gone)
    }

    /// Waits until the sessions that are being closed have ended, or until `deadline`.
    pub(super) async fn closed(&self, deadline: Instant) {
        let mut closing = {
            let mut closing = self.closing.lock().ignore_poison();
            std::mem::take(&mut *closing)
        };
        let all = async { while closing.join_next().await.is_some() {} };
        // What is left is dropped with the set.
        let _ = timeout_at(deadline, all).await;
    }
}

impl Connect for Dial {
    type Member = Member;

    async fn open(&self, deadline: Instant) -> Result<Member> {
        let place = self.all.as_ref().map(PooledLimit::take).transpose()?;
        let left = deadline.saturating_duration_since(Instant::now());
        let opened = self.target()?.open(left.min(self.limit)).await;
        match (&opened, &self.events) {
            (Ok(_), Some(events)) => events.opened(),
            (Err(error), Some(events)) => events.open_failed(error),
            _ => {}
        }
        Ok(Member::new(opened?, &self.runtime, place))
    }

    fn exhausted(&self, max_size: usize, waiting: usize) {
        self.events.iter().for_each(|events| events.exhausted(max_size, waiting));
    }

    fn is_open(&self, member: &Member) -> bool {
        member.is_open()
    }

    async fn validate(&self, member: &Member) -> bool {
        !member.session.facets().contains(Facets::PING) || member.session.ping().await.is_ok()
    }

    /// Others may be using a shared one, under whom it is not reset.
    fn needs_reset(&self, member: &Member) -> bool {
        !self.shared && member.session.facets().contains(Facets::RESET)
    }

    async fn reset(&self, member: &Member) -> bool {
        match member.session.reset().await {
            Ok(()) => true,
            Err(error) => {
                let target = self.target.upgrade();
                let target = target.as_ref().map_or("", |target| target.stack().display());
                tracing::debug!(target, %error, "a pooled session could not be reset");
                false
            }
        }
    }

    fn close(&self, member: Arc<Member>, cause: CloseCause) {
        let unheard = matches!(cause, CloseCause::Dead | CloseCause::Discarded);
        if unheard || !member.session.facets().contains(Facets::CLOSE_CODE) {
            return;
        }
        let mut closing = self.closing.lock().ignore_poison();
        while closing.try_join_next().is_some() {}
        let leave = async move {
            member.session.close_politely(0, cause.as_str()).await;
        };
        closing.spawn_on(leave, &self.runtime);
    }
}

/// One session of a pool.
#[derive(Debug)]
pub struct Member {
    // Dropped in this order: what was taken of a session does not outlive it.
    requests: Mutex<Requests>,
    session: Arc<Session>,
    /// Whether it has said that it is over.
    gone: Arc<AtomicBool>,
    watch: Option<AbortHandle>,
    unused: Mutex<Unused>,
    runtime: Handle,
    /// Among those of all pools.
    _place: Option<PooledPlace>,
}

/// The stream of a session that has only one, until a caller takes it.
#[derive(Debug, Default)]
struct Unused {
    stream: Option<Stream>,
    /// What the peer has sent unasked.
    early: Vec<u8>,
    ended: bool,
    /// What dialogues have learnt of the peer.
    known: Option<Known>,
}

/// What requests go by, one after the other.
#[derive(Debug, Default)]
struct Requests {
    // Dropped in this order.
    end: KnownEnd,
    exchange: Option<Exchange>,
    /// When the last answer came.
    answered: Option<Instant>,
}

/// What is known of the end of a session that takes requests.
#[derive(Debug, Default)]
enum KnownEnd {
    #[default]
    Unasked,
    Awaited(Op<Option<Incoming>>),
    /// Its driver does not tell.
    Untold,
}

impl Requests {
    /// Whether the driver has seen its session end.
    fn has_ended(&mut self) -> bool {
        let Some(exchange) = &self.exchange else { return false };
        if matches!(self.end, KnownEnd::Unasked) {
            self.end = KnownEnd::Awaited(exchange.accept());
        }
        let KnownEnd::Awaited(end) = &mut self.end else { return false };
        // Polled when a caller wants to know; no waker is kept.
        match Pin::new(end).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(None)) => true,
            Poll::Ready(_) => {
                self.end = KnownEnd::Untold;
                false
            }
            Poll::Pending => false,
        }
    }
}

impl Member {
    fn new(session: Session, runtime: &Handle, place: Option<PooledPlace>) -> Self {
        let session = Arc::new(session);
        let facets = session.facets();
        let gone = Arc::new(AtomicBool::new(false));
        let alone = !facets.contains(Facets::OPEN_STREAM);
        let stream = if alone { session.take_stream() } else { None };
        let exchange = session.take_exchange();
        let requests = Mutex::new(Requests { exchange, ..Requests::default() });
        let watch = facets.contains(Facets::EVENTS).then(|| {
            let watch = watch(Arc::clone(&session), Arc::clone(&gone), stream.is_some());
            runtime.spawn(watch).abort_handle()
        });
        let unused = Mutex::new(Unused { stream, ..Unused::default() });
        let runtime = runtime.clone();
        Member { requests, session, gone, watch, unused, runtime, _place: place }
    }

    /// The session itself.
    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Whether several can have a stream each on it.
    pub(super) fn opens_streams(&self) -> bool {
        self.session.facets().contains(Facets::OPEN_STREAM)
    }

    /// As far as is known without asking the peer: an end that has arrived is seen.
    fn is_open(&self) -> bool {
        !self.gone.load(Ordering::Acquire)
            && !self.unused().has_ended()
            && !self.requests().has_ended()
    }

    fn unused(&self) -> MutexGuard<'_, Unused> {
        self.unused.lock().ignore_poison()
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().ignore_poison()
    }

    /// Where the pool's tasks run.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) fn takes_requests(&self) -> bool {
        self.requests().exchange.is_some()
    }

    /// Sends a request, with a place for interim responses; `None` where it takes none.
    pub(super) fn send(&self, request: Envelope, interim: Answer) -> Option<Op<Envelope>> {
        self.requests().exchange.as_ref().map(|exchange| exchange.send_telling(request, interim))
    }

    /// An answer has come whole.
    pub(super) fn note_answer(&self) {
        self.requests().answered = Some(Instant::now());
    }

    pub(super) fn has_answered(&self) -> bool {
        self.requests().answered.is_some()
    }

    /// Whether it has not been unused for `rested` or longer since its last answer.
    pub(super) fn has_rested_less_than(&self, rested: Duration) -> bool {
        self.requests().answered.is_none_or(|since| since.elapsed() < rested)
    }

    /// Everything of its data for one user, who uses it up; its events are the user's from now on.
    pub(super) fn give_all(&self) -> DataParts {
        self.stop_watching();
        let mut parts = DataParts::default();
        let mut requests = self.requests();
        // Its user sees the end.
        requests.end = KnownEnd::Untold;
        parts.exchange = requests.exchange.take();
        drop(requests);
        let mut unused = self.unused();
        if let Some(stream) = unused.stream.take() {
            parts.stream = Some(with_early(stream, std::mem::take(&mut unused.early)));
        }
        parts
    }

    /// One step of a dialogue with its stream, which goes on with what the last step has left. A step that
    /// fails or is given up leaves the session of no use: its answer may still come.
    pub(super) async fn converse(&self, operation: &str, params: &Value) -> Result<Value> {
        // It counts as ended until it is put back.
        let out = Unused { ended: true, ..Unused::default() };
        let Unused { stream, early, known, .. } = std::mem::replace(&mut *self.unused(), out);
        let stream = stream.ok_or_else(|| Error::unsupported("a dialogue without a stream"))?;
        let known = known.unwrap_or_else(|| Known::of(&self.session.info()));
        let mut talk = Dialogue::resumed(stream, &early, known);
        let result = dialogue::call(&mut talk, operation, params).await?;
        let (stream, early, known) = talk.into_parts();
        *self.unused() = Unused { stream: Some(stream), early, ended: false, known: Some(known) };
        Ok(result)
    }

    fn stop_watching(&self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop_watching();
    }
}

/// Takes note of the end; other events of a pooled session are dropped. That there will be
/// no more events, as of a line without modem lines, is no end where a stream shows that itself.
async fn watch(session: Arc<Session>, gone: Arc<AtomicBool>, has_stream: bool) {
    loop {
        match session.next_event().await {
            Ok(Some(event)) if event.name != "closed" => {}
            Ok(None) if has_stream => return,
            _ => break,
        }
    }
    gone.store(true, Ordering::Release);
}

impl Unused {
    /// Looks at what has arrived. What is no end is kept for the user; after that nothing more is
    /// read, so that no peer can fill our memory.
    fn has_ended(&mut self) -> bool {
        if let Some(stream) = &mut self.stream
            && self.early.len() < EARLY
            && !self.ended
        {
            let mut buffer = [0; EARLY];
            let mut buffer = ReadBuf::new(&mut buffer[self.early.len()..]);
            let mut context = Context::from_waker(Waker::noop());
            match Pin::new(stream).poll_read(&mut context, &mut buffer) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.early.extend_from_slice(buffer.filled());
                }
                Poll::Ready(_) => self.ended = true,
            }
        }
        self.ended
    }
}

fn with_early(stream: Stream, early: Vec<u8>) -> Stream {
    if early.is_empty() {
        return stream;
    }
    let (read, write) = tokio::io::split(stream);
    Stream::new(tokio::io::join(Cursor::new(early).chain(read), write))
}

#[cfg(test)]
#[path = "member_tests.rs"]
mod tests;

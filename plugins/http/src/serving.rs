//! [`Life`]: a connection from its first request to its end, and the control of its session.

use crate::endpoint::Limits;
use crate::failure::failure;
use crate::pace::Paces;
use crate::server::notable;
use jackfield_plugin_api::Op;
use jackfield_plugin_api::Timer;
use jackfield_plugin_api::{Control, Error, ErrorKind, Host, Info, Result};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;

/// A connection that can end after what it has begun.
pub(crate) trait Graceful: Future<Output = hyper::Result<()>> {
    /// Begins nothing new.
    fn stop(self: Pin<&mut Self>);
}

/// How far a connection is.
#[derive(Debug)]
pub(crate) struct Life {
    host: Host,
    busy: AtomicUsize,
    served: AtomicUsize,
    /// When it began, or a request was last under way, in milliseconds of the host's clock.
    used: AtomicU64,
    stopping: watch::Sender<bool>,
    over: watch::Sender<bool>,
    failure: OnceLock<Error>,
}

/// The connection runs while this is held.
#[derive(Debug, Default)]
pub(crate) struct Held(OnceLock<Op<()>>);

impl Held {
    pub(crate) fn hold(&self, task: Op<()>) {
        let _ = self.0.set(task);
    }
}

/// Held while a request is under way.
pub(crate) struct Busy(Arc<Life>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.note_use();
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Life {
    /// Of a connection that begins now.
    pub(crate) fn new(host: Host) -> Self {
        let life = Life {
            host,
            busy: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            used: AtomicU64::new(0),
            stopping: watch::Sender::new(false),
            over: watch::Sender::new(false),
            failure: OnceLock::new(),
        };
        life.note_use();
        life
    }

    fn note_use(&self) {
        let now = u64::try_from(self.host.now().as_millis()).unwrap_or(u64::MAX);
        self.used.store(now, Ordering::Release);
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }

    pub(crate) fn now(&self) -> Duration {
        self.host.now()
    }

    pub(crate) fn timer(&self, after: Duration) -> Timer {
        self.host.timer(after)
    }

    /// How long no request has been under way.
    fn unused(&self) -> Duration {
        if self.is_busy() {
            return Duration::ZERO;
        }
        let used = Duration::from_millis(self.used.load(Ordering::Acquire));
        self.host.now().saturating_sub(used)
    }

    /// A request begins.
    pub(crate) fn enter(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::AcqRel);
        self.served.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(self))
    }

    /// Why the connection ended, where it did not end well.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.get().cloned()
    }

    /// Runs `connection` to its end: its peer's, or after nothing has been asked for the time that `limits` give,
    /// or when it is told to stop. One of HTTP/2, with `paces`, ends in time after its last task, whether or not
    /// its peer takes what is left and agrees to the end.
    pub(crate) async fn run(
        self: Arc<Self>,
        connection: impl Graceful,
        limits: Limits,
        paces: Option<Paces>,
    ) {
        let mut connection = pin!(connection);
        let mut stopping = self.stopping.subscribe();
        let mut told = pin!(async move { stopping.wait_for(|stop| *stop).await.map(drop) });
        let is_http2 = paces.is_some();
        // hyper bounds the heads of HTTP/1.1 itself.
        let limit = || match self.served.load(Ordering::Acquire) {
            0 if is_http2 => limits.header.min(limits.idle),
            _ => limits.idle,
        };
        let mut timer = self.host.timer(limit());
        let mut parting = None;
        let result = poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                    return Poll::Ready(result.map_err(|error| failure(&error)));
                }
                match &mut parting {
                    Some(None) => return Poll::Pending,
                    Some(Some(parting)) => {
                        let parting: &mut Parting = parting;
                        return parting.poll(self.served.load(Ordering::Acquire), cx).map(Err);
                    }
                    None => {}
                }
                let is_told = told.as_mut().poll(cx).is_ready();
                let mut idle = None;
                if !is_told {
                    if Pin::new(&mut timer).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    let (limit, unused) = (limit(), self.unused());
                    if unused < limit {
                        timer.reset(limit - unused);
                        continue;
                    }
                    idle = Some((limit, self.served.load(Ordering::Acquire)));
                }
                connection.as_mut().stop();
                parting = Some(paces.clone().map(|paces| Parting::new(paces, idle)));
            }
        })
        .await;
        if let Some(error) = notable(result, self.served.load(Ordering::Acquire) > 0) {
            let _ = self.failure.set(error);
        }
        self.over.send_replace(true);
    }

    /// Begins nothing new and waits for the end.
    async fn stop(&self) {
        self.stopping.send_replace(true);
        let mut over = self.over.subscribe();
        // The sender is ours, so all that can come is the end.
        let _ = over.wait_for(|over| *over).await;
    }
}

/// How long a peer that has asked for nothing may take to agree to the end of its connection.
const FAREWELL: Duration = Duration::from_secs(5);

/// The wait for the end of a connection that has begun to end.
struct Parting {
    paces: Paces,
    /// How long there was no request, if it ends for that, and how many requests there were.
    idle: Option<(Duration, usize)>,
    timer: Option<Timer>,
    /// How many requests there were when nothing ran at the end of the time before.
    before: Option<usize>,
}

impl Parting {
    fn new(paces: Paces, idle: Option<(Duration, usize)>) -> Self {
        Parting { paces, idle, timer: None, before: None }
    }

    /// Ready once nothing has run for its time and the peer does not let the connection end.
    fn poll(&mut self, served: usize, cx: &mut Context<'_>) -> Poll<Error> {
        // One that came in the last moment is answered as others are.
        self.idle = self.idle.filter(|(_, before)| *before == served);
        let limit = match (self.idle, self.paces.limit()) {
            (Some(_), _) => FAREWELL,
            (None, Some(limit)) => limit,
            (None, None) => return Poll::Pending,
        };
        let timer = self.timer.get_or_insert_with(|| self.paces.host().timer(limit));
        while Pin::new(&mut *timer).poll(cx).is_ready() {
            timer.reset(limit);
            let now = (self.paces.under_way() == 0).then_some(served);
            match self.idle {
                Some((idle, _)) if now.is_some() => {
                    let text = format!("the peer has sent no request for {idle:?}");
                    return Poll::Ready(Error::new(ErrorKind::TimedOut, text));
                }
                None if now.is_some() && now == self.before => {
                    return Poll::Ready(self.paces.late());
                }
                _ => self.before = now,
            }
        }
        Poll::Pending
    }
}

/// The control of an accepted session.
pub(crate) struct ServerControl {
    pub(crate) info: Info,
    pub(crate) life: Arc<Life>,
    pub(crate) _held: Arc<Held>,
}

impl Control for ServerControl {
    fn info(&self) -> Info {
        self.info.clone()
    }

    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        self.life.stop().await;
        Ok(())
    }

    async fn drain(&self) -> Result<()> {
        self.life.stop().await;
        Ok(())
    }
}

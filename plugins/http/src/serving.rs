//! [`Life`]: a connection from its first request to its end, and the control of its session.

use crate::failure::failure;
use crate::pace::Paces;
use crate::server::notable;
use jackfield_plugin_api::Op;
use jackfield_plugin_api::Timer;
use jackfield_plugin_api::{Control, Error, Host, Info, Result};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
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
    busy: AtomicUsize,
    served: AtomicUsize,
    stopping: watch::Sender<bool>,
    over: watch::Sender<bool>,
    failure: OnceLock<Error>,
}

impl Default for Life {
    fn default() -> Self {
        Life {
            busy: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            stopping: watch::Sender::new(false),
            over: watch::Sender::new(false),
            failure: OnceLock::new(),
        }
    }
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
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Life {
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

    /// Runs `connection` to its end: its peer's, or after nothing has been asked for `idle`, or when
    /// it is told to stop. One of HTTP/2, with `paces`, ends in time after its last task, whether or not its
    /// peer takes what is left and agrees to the end.
    pub(crate) async fn run(
        self: Arc<Self>,
        connection: impl Graceful,
        host: Host,
        idle: Duration,
        paces: Option<Paces>,
    ) {
        let mut connection = pin!(connection);
        let mut stopping = self.stopping.subscribe();
        let mut told = pin!(async move { stopping.wait_for(|stop| *stop).await.map(drop) });
        let mut timer = host.timer(idle);
        let mut before = 0;
        let mut stopped = false;
        let mut parting = paces.map(Parting::new);
        let result = poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                    return Poll::Ready(result.map_err(|error| failure(&error)));
                }
                if stopped {
                    let Some(parting) = &mut parting else { return Poll::Pending };
                    return parting.poll(self.served.load(Ordering::Acquire), cx).map(Err);
                }
                let quiet = Pin::new(&mut timer).poll(cx).is_ready();
                if quiet {
                    timer.reset(idle);
                    let served = self.served.load(Ordering::Acquire);
                    stopped = served == before && self.busy.load(Ordering::Acquire) == 0;
                    before = served;
                }
                stopped = stopped || told.as_mut().poll(cx).is_ready();
                if stopped {
                    connection.as_mut().stop();
                } else if !quiet {
                    return Poll::Pending;
                }
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

/// The wait for the end of a connection that has begun to end.
struct Parting {
    paces: Paces,
    timer: Option<Timer>,
    /// How many requests there had been when nothing ran at the end of the time before.
    before: Option<usize>,
}

impl Parting {
    fn new(paces: Paces) -> Self {
        Parting { paces, timer: None, before: None }
    }

    /// Ready once nothing has run for its time and the peer does not let the connection end.
    fn poll(&mut self, served: usize, cx: &mut Context<'_>) -> Poll<Error> {
        let Some(limit) = self.paces.limit() else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| self.paces.host().timer(limit));
        while Pin::new(&mut *timer).poll(cx).is_ready() {
            timer.reset(limit);
            let now = (self.paces.under_way() == 0).then_some(served);
            if now.is_some() && now == self.before {
                return Poll::Ready(self.paces.late());
            }
            self.before = now;
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

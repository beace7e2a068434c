//! An end to waiting for a peer of HTTP/2 that opens no window for content.
//!
//! hyper asks content for its next part once the one before has room in the peer's windows, and says nothing
//! while it waits for that. So content notes in its [`Pace`] what it has given, and the task that sends it
//! sees there whether it waits for the peer or for more content.

use jackfield_plugin_api::Timer;
use jackfield_plugin_api::{Error, ErrorKind, Host};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// How far content is.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The number of the part that the peer has to take next; 0: content is what is waited for.
    given: AtomicU64,
    late: AtomicBool,
}

impl Pace {
    /// A part was given.
    pub(crate) fn given(&self, number: u64) {
        self.given.store(number, Ordering::Release);
    }

    /// More content is waited for, or there is none.
    pub(crate) fn waits(&self) {
        self.given.store(0, Ordering::Release);
    }

    /// Whether the peer was given up.
    pub(crate) fn is_late(&self) -> bool {
        self.late.load(Ordering::Acquire)
    }
}

/// What the tasks of one connection share. They are polled one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Paces {
    shared: Arc<Shared>,
    host: Host,
    limit: Option<Duration>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Of content that was asked for the first time just now.
    fresh: Mutex<Option<Arc<Pace>>>,
    under_way: AtomicUsize,
}

impl Paces {
    pub(crate) fn new(host: Host, limit: Option<Duration>) -> Self {
        Paces { shared: Arc::default(), host, limit }
    }

    pub(crate) fn host(&self) -> Host {
        self.host
    }

    /// How long a peer may open no window.
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Content is asked for the first time. hyper does so in the task that sends it, or right before it begins
    /// that.
    pub(crate) fn begin(&self, pace: &Arc<Pace>) {
        *self.fresh() = Some(Arc::clone(pace));
    }

    /// Tasks that have not ended.
    pub(crate) fn under_way(&self) -> usize {
        self.shared.under_way.load(Ordering::Acquire)
    }

    /// Why content was cut short whose peer was given up.
    pub(crate) fn late(&self) -> Error {
        let limit = self.limit.unwrap_or_default();
        Error::new(
            ErrorKind::TimedOut,
            format!("the peer has allowed no more data for {limit:?} (flow control)"),
        )
    }

    /// Runs a task until its end or that of its time. Dropping it resets its stream.
    pub(crate) fn watch<F: Future>(&self, task: F) -> impl Future<Output = ()> + use<F> {
        let paces = self.clone();
        let counted = Counted::new(&self.shared);
        let mut watch = Watch { pace: self.fresh().take(), seen: 0, timer: None };
        async move {
            let _counted = counted;
            let mut task = pin!(task);
            poll_fn(|cx| {
                if task.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                watch.poll(&paces, cx)
            })
            .await;
        }
    }

    fn fresh(&self) -> std::sync::MutexGuard<'_, Option<Arc<Pace>>> {
        self.shared.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wait of one task.
struct Watch {
    pace: Option<Arc<Pace>>,
    /// The part that the timer is for.
    seen: u64,
    timer: Option<Timer>,
}

impl Watch {
    /// Ready once the peer was waited for too long.
    fn poll(&mut self, paces: &Paces, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = paces.limit else { return Poll::Pending };
        if self.pace.is_none() {
            self.pace = paces.fresh().take();
        }
        let Some(pace) = &self.pace else { return Poll::Pending };
        let given = pace.given.load(Ordering::Acquire);
        if given == 0 {
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| paces.host.timer(limit));
        if given != self.seen {
            self.seen = given;
            timer.reset(limit);
        }
        Pin::new(timer).poll(cx).map(|()| pace.late.store(true, Ordering::Release))
    }
}

/// Counts a task as long as it lives.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.under_way.fetch_add(1, Ordering::AcqRel);
        Counted(Arc::clone(shared))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

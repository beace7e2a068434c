//! [`Host`]: a driver's safe face of the host services.

use super::{
    FdReady, HostServices_Ref, Interest, Level, PanicReport, RawPair, RunOnce, Socket, Timer,
};
use crate::datagrams::Datagrams;
use crate::error::{Error, ErrorKind, Result};
use crate::listener::Listener;
use crate::op::{Op, Transfer};
use crate::raw::{Opaque, RawError, RawStr, guard};
use crate::session::Session;
use bytes::Bytes;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The host, as a plugin sees it. Cheap to clone.
#[derive(Clone, Copy)]
pub struct Host {
    table: HostServices_Ref,
    context: Opaque,
}

// SAFETY: `Services` is `Send + Sync`, and the context is never freed.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Host")
    }
}

/// # Safety
/// The pair holds an `Op<T>` given to this side.
unsafe fn op<T: Transfer>(pair: RawPair) -> Op<T> {
    // SAFETY: by this function's contract.
    unsafe { Op::from_raw(pair.object()) }
}

/// Blocking work on its way to a thread, and its result on the way back.
enum Job<W, T> {
    Waiting(W),
    Taken,
    Done(T),
}

type Shared<W, T> = Arc<Mutex<Job<W, T>>>;

/// A job, and the function that takes a share of it.
fn job<W: FnOnce() -> T, T>(work: W) -> (Shared<W, T>, RunOnce) {
    (Arc::new(Mutex::new(Job::Waiting(work))), RunOnce { run: run_job::<W, T> })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe extern "C" fn run_job<W: FnOnce() -> T, T>(data: Opaque) {
    let body = || {
        // SAFETY: the share made in `Host::blocking`, taken once.
        let job = unsafe { Arc::from_raw(data.0.cast_const().cast::<Mutex<Job<W, T>>>()) };
        let taken = std::mem::replace(&mut *locked(&job), Job::Taken);
        if let Job::Waiting(work) = taken {
            let value = work();
            *locked(&job) = Job::Done(value);
        }
    };
    guard(body, |_| ());
}

impl Host {
    /// # Safety
    /// Both come from one [`super::export_services`].
    pub(crate) unsafe fn new(table: HostServices_Ref, context: Opaque) -> Self {
        Host { table, context }
    }

    /// Writes a log line. Secrets do not belong in it.
    pub fn log(&self, level: Level, target: &str, message: &str) {
        // SAFETY: the context belongs to the table; the text is alive for the call.
        unsafe {
            (self.table.log())(
                self.context,
                level as u32,
                RawStr::new(target),
                RawStr::new(message),
            );
        }
    }

    /// Monotonic time since some fixed moment; a test's host may hold it still.
    pub fn now(&self) -> Duration {
        // SAFETY: the context belongs to the table.
        Duration::from_nanos(unsafe { (self.table.now())(self.context) })
    }

    /// Runs a task on the host. Awaiting the result waits for its end, dropping it stops the task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Op<()> {
        let task = Op::new(async move {
            task.await;
            Ok(())
        });
        // SAFETY: the context belongs to the table; the operation is given away.
        unsafe { op((self.table.spawn())(self.context, RawPair::of(task.into_raw()))) }
    }

    /// Runs blocking work on a thread where that is allowed. Dropping the future does not stop work
    /// that has started.
    ///
    /// # Errors
    /// [`ErrorKind::Panicked`] if the work panicked, [`ErrorKind::Limit`] if too much is waiting.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (job, run) = job(work);
        let done: Op<()> = {
            let data = Opaque(Arc::into_raw(Arc::clone(&job)).cast_mut().cast());
            // SAFETY: the context belongs to the table; `run` takes the share.
            unsafe { op((self.table.spawn_blocking())(self.context, run, data)) }
        };
        let result = done.await;
        // Work that a host did not take is dropped here.
        let job = std::mem::replace(&mut *locked(&job), Job::Taken);
        result?;
        match job {
            Job::Done(value) => Ok(value),
            _ => Err(Error::new(ErrorKind::Panicked, "blocking work panicked")),
        }
    }

    /// A timer that fires `after` from now.
    pub fn timer(&self, after: Duration) -> Timer {
        let nanos = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        // SAFETY: the context belongs to the table; the timer is given to us.
        unsafe { Timer::from_raw((self.table.timer())(self.context, nanos).object()) }
    }

    /// Waits for `work` at most for `limit`; then drops it.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] naming `what`, or the work's own.
    pub async fn timeout<T>(
        &self,
        limit: Duration,
        what: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut work = std::pin::pin!(work);
        let mut timer = self.timer(limit);
        std::future::poll_fn(move |cx| {
            if let done @ std::task::Poll::Ready(_) = work.as_mut().poll(cx) {
                return done;
            }
            std::pin::Pin::new(&mut timer).poll(cx).map(|()| {
                Err(Error::new(ErrorKind::TimedOut, format!("{what} took longer than {limit:?}")))
            })
        })
        .await
    }

    /// Connects a socket; the session has a stream whose descriptor can be taken.
    pub fn connect(&self, socket: &Socket) -> Op<Session> {
        // SAFETY: the context belongs to the table; the socket is alive for the call.
        socket.lend(|raw| unsafe { op((self.table.connect())(self.context, Opaque::of(raw))) })
    }

    /// Listens on a socket.
    pub fn listen(&self, socket: &Socket) -> Op<Listener> {
        // SAFETY: as in `connect`.
        socket.lend(|raw| unsafe { op((self.table.listen())(self.context, Opaque::of(raw))) })
    }

    /// Binds a datagram socket.
    pub fn bind_datagrams(&self, socket: &Socket) -> Op<Datagrams> {
        // SAFETY: as in `connect`.
        socket
            .lend(|raw| unsafe { op((self.table.bind_datagrams())(self.context, Opaque::of(raw))) })
    }

    /// Watches a descriptor, which must stay open until the result is dropped.
    ///
    /// # Errors
    /// What the system says, e.g. that a plain file cannot be watched.
    pub fn watch(&self, fd: &impl AsFd) -> Result<FdReady> {
        let fd = fd.as_fd().as_raw_fd();
        let mut error = RawError::empty();
        // SAFETY: the context belongs to the table; the slot is ours.
        let pair = unsafe { (self.table.watch())(self.context, fd, &raw mut error) };
        let raw = pair.object();
        if raw.is_none() {
            return Err(Error::from_raw(error));
        }
        // SAFETY: the object is given to us.
        Ok(unsafe { FdReady::from_raw(raw) })
    }

    /// Addresses of a host name, in the system's order.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there are none.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>> {
        let answer: Op<Bytes> = {
            // SAFETY: the context belongs to the table; the text is alive for the call.
            unsafe { op((self.table.resolve())(self.context, RawStr::new(host), port)) }
        };
        serde_json::from_slice(&answer.await?)
            .map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
    }

    /// Reads a secret that the configuration lets this plugin read, by the name that it has in
    /// `[plugins.PACKAGE.secrets]`. It is read where it is kept now; keep it no longer than it is needed.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if the configuration gives this plugin no such secret, [`ErrorKind::Config`] if
    /// it cannot be read.
    pub fn secret(&self, name: &str) -> Op<Bytes> {
        // SAFETY: as in `resolve`.
        unsafe { op((self.table.secret())(self.context, RawStr::new(name))) }
    }

    /// Records a measurement; `kind` is `counter` (which `value` is added to), `gauge` or `histogram`. Name
    /// and labels follow the rules of Prometheus; the values of labels are texts, numbers or booleans. The
    /// host limits how many series a plugin has; what breaks a rule or has no room is left out, counted and
    /// told in its log.
    pub fn metric(&self, kind: &str, name: &str, labels: &serde_json::Value, value: f64) {
        let labels = labels.to_string();
        // SAFETY: as in `resolve`.
        unsafe {
            (self.table.metric())(
                self.context,
                RawStr::new(kind),
                RawStr::new(name),
                RawStr::new(&labels),
                value,
            );
        }
    }

    /// Tells the host of something worth an entry in its event stream, where it stands with the name of this
    /// plugin. The host limits how many there are in a second, and each to 64 KiB.
    pub fn event(&self, event: &crate::info::Event) {
        let json = serde_json::to_string(event).unwrap_or_default();
        // SAFETY: as in `resolve`.
        unsafe { (self.table.event())(self.context, RawStr::new(&json)) };
    }

    /// Tells of a panic of this plugin's.
    pub(crate) fn panicked(&self, report: &PanicReport) {
        let report = serde_json::to_string(report).unwrap_or_default();
        // SAFETY: the context belongs to the table; the text is alive for the call.
        unsafe { (self.table.panicked())(self.context, RawStr::new(&report)) };
    }

    /// Completes when the host begins to stop: nothing new is accepted any more, and what runs may finish
    /// for the host's `shutdown_timeout`. What would go on for ever, such as a stream of events, ends then.
    /// Cancel safe.
    pub async fn stopping(&self) {
        let stopping: Op<()> = {
            // SAFETY: the context belongs to the table; the operation is given to us.
            unsafe { op((self.table.stopping())(self.context)) }
        };
        // A host that cannot say so is about to stop.
        let _ = stopping.await;
    }

    /// Takes the first descriptor that this plugin has handed over in the process before this one ([`Host::offer`]), of
    /// those whose names begin with `prefix`; once each. What is not taken is closed when the new process is ready.
    pub fn received(&self, prefix: &str) -> Option<(String, OwnedFd)> {
        let mut fd = -1;
        // SAFETY: as in `resolve`; the slot is ours.
        let name =
            unsafe { (self.table.received())(self.context, RawStr::new(prefix), &raw mut fd) };
        let name = String::from_utf8_lossy(&name.into_bytes()).into_owned();
        // SAFETY: the descriptor is given to us.
        (fd >= 0).then(|| (name, unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Hands a descriptor over by that name if another process takes over from this one; done when that begins, which may
    /// fail and begin again: call it again then, which also tells that all is ready here. Dropping it withdraws the offer.
    ///
    /// What is handed over is read by one process at a time: [`Host::watch`] tells of nothing to read here once the other
    /// process has it, and there as long as this one does.
    pub fn offer(&self, name: &str, fd: &impl AsFd) -> Op<()> {
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: as in `resolve`.
        unsafe { op((self.table.offer())(self.context, RawStr::new(name), fd)) }
    }

    /// Opens a stack by URI through the host.
    pub fn open(&self, uri: &str, options: &serde_json::Value) -> Op<Session> {
        let options = options.to_string();
        // SAFETY: as in `resolve`.
        unsafe { op((self.table.open())(self.context, RawStr::new(uri), RawStr::new(&options))) }
    }

    /// Waits until a descriptor is ready, as a future.
    ///
    /// # Errors
    /// As [`FdReady::poll_ready`].
    pub async fn ready(fd: &mut FdReady, interest: Interest) -> Result<()> {
        std::future::poll_fn(|cx| fd.poll_ready(interest, cx)).await
    }
}

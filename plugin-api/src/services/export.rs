//! The host's side of the services: a table over a [`Services`].

use super::{
    FdReady, HostServices, HostServices_Ref, Level, RawPair, RunOnce, Services, Socket, Timer,
    TimerIo,
};
use crate::error::Error;
use crate::op::{Op, Transfer, started};
use crate::raw::{Opaque, RawBuf, RawError, RawObject, RawStr, fail, guard};
use abi_stable::prefix_type::PrefixTypeTrait;
use bytes::Bytes;
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

impl RawPair {
    pub(crate) fn of<T>(object: RawObject<T>) -> Self {
        RawPair { data: Opaque(object.data), table: Opaque::of(object.table) }
    }
    pub(crate) fn object<T>(self) -> RawObject<T> {
        RawObject { data: self.data.0, table: self.table.0.cast_const().cast() }
    }
}

static TABLE: OnceLock<HostServices_Ref> = OnceLock::new();

/// Whether a table is of this very binary: then the plugin is linked into its host.
pub(crate) fn is_own_table(table: HostServices_Ref) -> bool {
    TABLE.get().is_some_and(|own| std::ptr::eq(own.0.to_raw_ptr(), table.0.to_raw_ptr()))
}

/// The table and the context to give to one plugin. Both live as long as the process, as plugins do.
pub fn export_services(services: Arc<dyn Services>) -> (HostServices_Ref, Opaque) {
    let table = TABLE.get_or_init(|| {
        HostServices {
            log,
            now,
            spawn,
            spawn_blocking,
            timer,
            connect,
            listen,
            bind_datagrams,
            watch,
            resolve,
            secret,
            metric,
            event,
            open,
            about,
            panicked,
            stopping,
            received,
            offer,
        }
        .leak_into_prefix()
    });
    (*table, Opaque(Box::into_raw(Box::new(services)).cast()))
}

/// # Safety
/// `context` is what [`export_services`] gave.
unsafe fn services<'a>(context: Opaque) -> &'a Arc<dyn Services> {
    // SAFETY: by this function's contract; it is never freed.
    unsafe { &*context.0.cast::<Arc<dyn Services>>() }
}

/// An `Op` made by the host, or a failed one if the host panicked.
fn op<T: Transfer>(make: impl FnOnce() -> Op<T>) -> RawPair {
    RawPair::of(started(make))
}

unsafe extern "C" fn log(context: Opaque, level: u32, target: RawStr, message: RawStr) {
    let level = match level {
        0 => Level::Error,
        1 => Level::Warn,
        2 => Level::Info,
        3 => Level::Debug,
        _ => Level::Trace,
    };
    // SAFETY: the context is ours, the text is alive for this call.
    let body = || unsafe { services(context).log(level, target.get(), message.get()) };
    guard(body, |_| ());
}

unsafe extern "C" fn now(context: Opaque) -> u64 {
    // SAFETY: the context is ours.
    let now = guard(|| unsafe { services(context) }.now(), |_| Duration::ZERO);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

unsafe extern "C" fn spawn(context: Opaque, task: RawPair) -> RawPair {
    // SAFETY: the context is ours; the operation was given to us.
    op(|| unsafe { services(context).spawn(Op::from_raw(task.object())) })
}

unsafe extern "C" fn spawn_blocking(context: Opaque, run: RunOnce, data: Opaque) -> RawPair {
    struct Work(RunOnce, Opaque);
    // SAFETY: the plugin's SDK makes the pointer from a `Send` closure.
    unsafe impl Send for Work {}
    impl Work {
        fn run(self) {
            // SAFETY: run once, as the contract of the service says.
            unsafe { (self.0.run)(self.1) }
        }
    }
    let work = Work(run, data);
    // SAFETY: the context is ours.
    op(|| unsafe { services(context) }.spawn_blocking(Box::new(move || work.run())))
}

unsafe extern "C" fn timer(context: Opaque, nanos: u64) -> RawPair {
    // SAFETY: the context is ours.
    let make = || Timer::new(unsafe { services(context) }.timer(Duration::from_nanos(nanos)));
    // A host that cannot make timers, because it stops, has no more time either.
    let timer = guard(make, |_| Timer::new(Box::new(Never)));
    RawPair::of(timer.into_raw())
}

struct Never;

impl TimerIo for Never {
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
    fn reset(&mut self, _: Duration) {}
}

unsafe extern "C" fn connect(context: Opaque, socket: Opaque) -> RawPair {
    // SAFETY: the context is ours, the socket is alive for this call.
    op(|| unsafe { services(context).connect(Socket::from_raw(socket.0.cast_const().cast())) })
}

unsafe extern "C" fn listen(context: Opaque, socket: Opaque) -> RawPair {
    // SAFETY: as in `connect`.
    op(|| unsafe { services(context).listen(Socket::from_raw(socket.0.cast_const().cast())) })
}

unsafe extern "C" fn bind_datagrams(context: Opaque, socket: Opaque) -> RawPair {
    // SAFETY: as in `connect`.
    op(|| unsafe {
        services(context).bind_datagrams(Socket::from_raw(socket.0.cast_const().cast()))
    })
}

unsafe extern "C" fn watch(context: Opaque, fd: i32, error: *mut RawError) -> RawPair {
    let none = RawPair::of(RawObject::<()>::none());
    let failed = |problem: Error| {
        // SAFETY: the caller's slot.
        unsafe { fail(error, problem) };
        none
    };
    if fd < 0 {
        return failed(Error::new(crate::ErrorKind::Config, "a negative descriptor"));
    }
    // SAFETY: the plugin keeps its descriptor open while it is watched.
    let body = || unsafe { services(context).watch(BorrowedFd::borrow_raw(fd)) };
    match guard(body, Err) {
        Ok(fd) => RawPair::of(FdReady::new(fd).into_raw()),
        Err(problem) => failed(problem),
    }
}

unsafe extern "C" fn resolve(context: Opaque, host: RawStr, port: u16) -> RawPair {
    // SAFETY: the context is ours, the text is alive for this call.
    op(|| unsafe { services(context).resolve(host.get(), port) })
}

unsafe extern "C" fn secret(context: Opaque, reference: RawStr) -> RawPair {
    // SAFETY: as in `resolve`.
    op(|| unsafe { services(context).secret(reference.get()) })
}

unsafe extern "C" fn metric(
    context: Opaque,
    kind: RawStr,
    name: RawStr,
    labels: RawStr,
    value: f64,
) {
    // SAFETY: as in `resolve`.
    let body = || unsafe { services(context).metric(kind.get(), name.get(), labels.get(), value) };
    guard(body, |_| ());
}

unsafe extern "C" fn event(context: Opaque, json: RawStr) {
    // SAFETY: as in `resolve`.
    guard(|| unsafe { services(context).event(json.get()) }, |_| ());
}

unsafe extern "C" fn open(context: Opaque, uri: RawStr, options: RawStr) -> RawPair {
    // SAFETY: as in `resolve`.
    op(|| unsafe { services(context).open(uri.get(), options.get()) })
}

unsafe extern "C" fn about(_context: Opaque) -> RawBuf {
    RawBuf::new(Bytes::from_static(
        concat!(r#"{"abi":""#, env!("CARGO_PKG_VERSION"), r#""}"#).as_bytes(),
    ))
}

unsafe extern "C" fn stopping(context: Opaque) -> RawPair {
    // SAFETY: the context is ours.
    op(|| unsafe { services(context) }.stopping())
}

unsafe extern "C" fn received(context: Opaque, prefix: RawStr, fd: *mut i32) -> RawBuf {
    // SAFETY: as in `resolve`.
    let body = || unsafe { services(context).received(prefix.get()) };
    match guard(body, |_| None) {
        Some((name, taken)) => {
            // SAFETY: the caller's slot; the descriptor is given away.
            unsafe { fd.write(taken.into_raw_fd()) };
            RawBuf::new(Bytes::from(name))
        }
        None => RawBuf::new(Bytes::new()),
    }
}

unsafe extern "C" fn offer(context: Opaque, name: RawStr, fd: i32) -> RawPair {
    op(|| {
        if fd < 0 {
            return Op::ready(Err(Error::new(crate::ErrorKind::Config, "a negative descriptor")));
        }
        // SAFETY: as in `resolve`; the plugin's descriptor is open for this call.
        unsafe { services(context).offer(name.get(), BorrowedFd::borrow_raw(fd)) }
    })
}

unsafe extern "C" fn panicked(context: Opaque, report: RawStr) {
    let body = || {
        // SAFETY: as in `resolve`.
        let (services, report) = unsafe { (services(context), report.get()) };
        services.panicked(&serde_json::from_str(report).unwrap_or_default());
    };
    guard(body, |_| ());
}

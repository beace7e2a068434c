//! No panic crosses the boundary: one that did would abort the process, whatever the convention.

use crate::error::{Error, ErrorKind};
use crate::services::{Host, PanicReport};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};

/// Who is told of the panics of this binary's plugin; no one in a host, where they would be its own.
static LISTENER: OnceLock<Host> = OnceLock::new();

/// Whether this binary is a host with a plugin linked into it: then the panic hook is the host's.
static LINKED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether the panic that unwinds on this thread was reported by the hook.
    static REPORTED: Cell<bool> = const { Cell::new(false) };
    /// Whether a panic on this thread is part of a probe made here, and so counts against no plugin.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Says that a plugin is linked into this binary, whose panic hook stays as it is.
#[cfg(feature = "host")]
pub(crate) fn linked_into_host() {
    LINKED.store(true, Ordering::Relaxed);
}

/// Keeps panics of this binary from standard error, from before there is a host to tell of them: until
/// then the call that they end says what they said.
pub(crate) fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    if !LINKED.load(Ordering::Relaxed) {
        // This binary's own copy of the standard library: the host's hook is another one.
        ONCE.call_once(|| std::panic::set_hook(Box::new(report)));
    }
}

/// Tells `host` of every panic from now on, wherever in this binary it is, instead of writing it to
/// standard error. The first one stays: a binary exports one plugin.
pub(crate) fn tell_of_panics(host: Host) {
    if LISTENER.set(host).is_ok() {
        keep_panics_quiet();
    }
}

/// Nothing in here may panic, not even for a thread that ends: a panic in a hook ends the process.
fn report(info: &PanicHookInfo<'_>) {
    let Some(host) = LISTENER.get().filter(|_| !QUIET.get()) else { return };
    let mut report = PanicReport::new(text_of(info.payload()));
    report.location = info.location().map(ToString::to_string).unwrap_or_default();
    report.thread = thread_name();
    host.panicked(&report);
    REPORTED.set(true);
}

/// This thread's name. Not from `thread::current()`, which panics once the thread's locals are gone.
fn thread_name() -> String {
    // As long as the system lets a name be, with its NUL.
    let mut name = [0_u8; 16];
    // SAFETY: the call writes at most 16 bytes there.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let name = std::ffi::CStr::from_bytes_until_nul(&name).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Runs `body` inside the plugin's runtime, if it has one, and turns a panic into an error.
///
/// What the body has given stays, also when the runtime cannot be left: that is so where the body has
/// left a guard of a runtime behind, and is reported as a panic.
pub(crate) fn guard<R>(body: impl FnOnce() -> R, on_panic: impl FnOnce(Error) -> R) -> R {
    let entered = crate::runtime::enter();
    let result = catch(body, on_panic);
    crate::runtime::leave(entered);
    result
}

/// As [`guard`], for a step inside of one.
pub(crate) fn catch<R>(step: impl FnOnce() -> R, on_panic: impl FnOnce(Error) -> R) -> R {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(value) => value,
        Err(payload) => on_panic(caught(payload)),
    }
}

/// The result of `question`; `None` if it panics, which is not reported.
#[cfg(feature = "private-runtime")]
pub(crate) fn quietly<R>(question: impl FnOnce() -> R) -> Option<R> {
    QUIET.set(true);
    let answer = catch_unwind(AssertUnwindSafe(question));
    QUIET.set(false);
    // The payload is the standard library's or tokio's: a text.
    answer.ok()
}

/// Drops a value of the author's; a panic in its `Drop` ends here.
pub(crate) fn guard_drop<T>(value: T) {
    guard(|| drop(value), |_| ());
}

/// The error that a caught panic becomes. Reported here where the hook has not done it: an author may
/// have set another.
#[cold]
pub(crate) fn caught(payload: Box<dyn Any + Send>) -> Error {
    let text = text_of(&*payload);
    let report = PanicReport::new(text);
    let error = Error::new(ErrorKind::Panicked, &*report.message);
    let reported = REPORTED.take();
    if let Some(host) = LISTENER.get().filter(|_| !reported) {
        host.panicked(&report);
    }
    // The payload is the author's too, and may panic when dropped.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // That one's payload may be no better: it is left alone.
        std::mem::forget(second);
        REPORTED.set(false);
        return error.with("payload", "panicked again when dropped");
    }
    error
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}

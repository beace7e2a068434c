//! No panic crosses the boundary: one that did would abort the process, whatever the convention.

use crate::error::{Error, ErrorKind};
use crate::services::{Host, PanicReport};
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::OnceLock;

/// Who hears of the panics of this binary's plugin; nobody in a host, whose own they would be.
static LISTENER: OnceLock<Host> = OnceLock::new();

thread_local! {
    /// Whether the panic that unwinds on this thread was reported by the hook.
    static REPORTED: Cell<bool> = const { Cell::new(false) };
}

/// Tells `host` of every panic from now on, wherever in this binary it is, instead of writing it to
/// standard error. The first one stays: a binary exports one plugin.
pub(crate) fn tell_of_panics(host: Host) {
    if LISTENER.set(host).is_ok() {
        // This binary's own copy of the standard library: the host's hook is another one.
        std::panic::set_hook(Box::new(report));
    }
}

fn report(info: &PanicHookInfo<'_>) {
    let Some(host) = LISTENER.get() else { return };
    let mut report = PanicReport::new(text_of(info.payload()));
    report.location = info.location().map(ToString::to_string).unwrap_or_default();
    report.thread = std::thread::current().name().unwrap_or_default().to_owned();
    host.panicked(&report);
    let _ = REPORTED.try_with(|reported| reported.set(true));
}

/// Runs `body` inside the plugin's runtime, if it has one, and turns a panic into an error.
pub(crate) fn guard<R>(body: impl FnOnce() -> R, on_panic: impl FnOnce(Error) -> R) -> R {
    let inside = || {
        let _entered = crate::runtime::enter();
        body()
    };
    match catch_unwind(AssertUnwindSafe(inside)) {
        Ok(value) => value,
        Err(payload) => on_panic(caught(payload)),
    }
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
    let reported = REPORTED.try_with(Cell::take).unwrap_or(false);
    if let Some(host) = LISTENER.get().filter(|_| !reported) {
        host.panicked(&report);
    }
    // The payload is the author's too, and may panic when dropped.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // That one's payload may be no better: it is left alone.
        std::mem::forget(second);
        let _ = REPORTED.try_with(Cell::take);
        return error.with("payload", "panicked again when dropped");
    }
    error
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}

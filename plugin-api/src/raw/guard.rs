//! No panic crosses the boundary: one that did would abort the process, whatever the convention.

use crate::error::{Error, ErrorKind};
use crate::services::{Host, PanicReport};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// Who hears of the panics of this binary's plugin; nobody in a host, whose own they would be.
static LISTENER: OnceLock<Host> = OnceLock::new();

/// Tells `host` of every panic from now on. The first one stays: a binary exports one plugin.
pub(crate) fn tell_of_panics(host: Host) {
    let _ = LISTENER.set(host);
}

/// Runs `body` inside the plugin's runtime, if it has one, and turns a panic into an error.
pub(crate) fn guard<R>(body: impl FnOnce() -> R, on_panic: impl FnOnce(Error) -> R) -> R {
    let _entered = crate::runtime::enter();
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            let error = panicked(payload);
            if let Some(host) = LISTENER.get() {
                host.panicked(&PanicReport::new("", error.message()));
            }
            on_panic(error)
        }
    }
}

/// Drops a value of the author's; a panic in its `Drop` ends here.
pub(crate) fn guard_drop<T>(value: T) {
    guard(|| drop(value), |_| ());
}

fn panicked(payload: Box<dyn Any + Send>) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned());
    // The payload is the author's too, and may panic when dropped.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // That one's payload may be no better: it is left alone.
        std::mem::forget(second);
        return Error::new(ErrorKind::Panicked, text)
            .with("payload", "panicked again when dropped");
    }
    Error::new(ErrorKind::Panicked, text)
}

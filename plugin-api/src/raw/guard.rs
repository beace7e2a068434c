//! No panic crosses the boundary: one that did would abort the process, whatever the convention.

use crate::error::{Error, ErrorKind};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body` inside the plugin's runtime, if it has one, and turns a panic into an error.
pub(crate) fn guard<R>(body: impl FnOnce() -> R, on_panic: impl FnOnce(Error) -> R) -> R {
    let _entered = crate::runtime::enter();
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => on_panic(panicked(payload)),
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

//! Shared, callable objects of the plain plane: a session's control, a listener, a services table.
//! They are used through `&self` from any thread; their calls give [`Op`](crate::op::Op)s.

use crate::raw::{RawBuf, guard, guard_drop};
use bytes::Bytes;
use std::ffi::c_void;
use std::sync::Arc;

/// # Safety
/// `data` is `Arc::into_raw` of an `Arc<T>` that is still owned by the caller.
pub(crate) unsafe fn share<T>(data: *mut c_void) -> Arc<T> {
    // SAFETY: by this function's contract; the count is raised for the copy.
    unsafe {
        Arc::increment_strong_count(data.cast_const().cast::<T>());
        Arc::from_raw(data.cast_const().cast::<T>())
    }
}

pub(crate) fn give<T>(value: Arc<T>) -> *mut c_void {
    Arc::into_raw(value).cast_mut().cast()
}

/// Frees what [`give`] made.
pub(crate) unsafe extern "C" fn drop_shared<T>(data: *mut c_void) {
    // SAFETY: the owner drops it once.
    guard_drop(unsafe { Arc::from_raw(data.cast_const().cast::<T>()) });
}

/// A JSON answer, empty when the author's code panicked.
pub(crate) fn json_buf<T: serde::Serialize>(make: impl FnOnce() -> T) -> RawBuf {
    let body = || RawBuf::new(Bytes::from(serde_json::to_vec(&make()).unwrap_or_default()));
    guard(body, |_| RawBuf::empty())
}

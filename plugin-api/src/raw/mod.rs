//! What crosses the boundary: plain `#[repr(C)]` values and tables of `extern "C"` functions.
//!
//! Every object is a pair `{ data, table }`. A table starts with its own `size`, so that it can
//! grow at its end, and with `home` and `inner`, by which a binary recognises an object that it
//! made itself. Poll functions answer a count (`>= 0`), [`PENDING`] or [`FAILED`]; on `FAILED` they
//! have written a [`RawError`]. One poll of one object at a time; any thread; any task.

mod broken;
mod buffer;
mod guard;
mod home;
pub(crate) mod layout;
mod waker;

pub(crate) use broken::{Broken, short_table};
pub use buffer::{RawBuf, RawStr};
pub(crate) use guard::{guard, guard_drop, tell_of_panics};
pub use home::Home;
pub(crate) use home::{home, home_of, is_home, owner_of};
pub(crate) use layout::{abi, is_whole};
pub use waker::{RawWaker, WakerTable};
pub(crate) use waker::{WakerCell, with_raw_waker, within_poll};

pub use crate::datagrams::{DatagramsTable, RawAddr, RawDatagram};
pub use crate::exchange::{AnswerTable, BodyTable, ExchangeTable, RawEnvelope, RawIncoming};
pub use crate::interceptor::NextTable;
pub use crate::listener::ListenerTable;
pub use crate::messages::{MessagesTable, RawMessage};
pub use crate::op::OpTable;
pub use crate::request::{RawAddress, RawRequest};
pub use crate::session::SessionTable;
pub use crate::stream::{RawSlice, StreamTable};

use crate::error::{Error, ErrorKind, Result};
use abi_stable::StableAbi;
use std::ffi::c_void;
use std::task::Poll;

/// A poll function's answer: not ready, the waker is kept.
pub const PENDING: i64 = -1;
/// A poll function's answer: failed, the error was written.
pub const FAILED: i64 = -2;

abi! {
    /// An error on its way across: four words that a caller may act on, and its text as JSON.
    #[derive(StableAbi, Debug)]
    pub frozen struct RawError {
        /// [`crate::ErrorKind`] as a number.
        pub kind: u32,
        /// [`crate::Origin`] as a number.
        pub origin: u32,
        /// [`crate::Retry`] as a number.
        pub retry: u32,
        /// Kept zero.
        pub reserved: u32,
        /// JSON `{"message": …, "context": [[key, value], …]}`.
        pub detail: RawBuf,
    }
}

impl RawError {
    /// The value a caller passes in to be written over.
    pub const fn empty() -> Self {
        RawError { kind: 0, origin: 0, retry: 0, reserved: 0, detail: RawBuf::empty() }
    }
}

/// An object of the plain plane: its state and its table.
#[repr(C)]
#[derive(Debug)]
pub struct RawObject<T> {
    /// The exporting side's state.
    pub data: *mut c_void,
    /// The exporting side's functions; null means "none".
    pub table: *const T,
}

impl layout::Declared for RawObject<()> {
    const LAYOUT: layout::Layout = layout::Layout {
        name: "RawObject",
        grows: false,
        fields: &[
            layout::Field::new("data", "*mut c_void", std::mem::offset_of!(Self, data), 8),
            layout::Field::new("table", "*const T", std::mem::offset_of!(Self, table), 8),
        ],
    };
}

impl<T> Clone for RawObject<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for RawObject<T> {}

impl<T> RawObject<T> {
    /// The absent object.
    pub const fn none() -> Self {
        RawObject { data: std::ptr::null_mut(), table: std::ptr::null() }
    }

    /// Whether there is no object.
    pub fn is_none(&self) -> bool {
        self.table.is_null()
    }
}

/// A pointer that the layout check looks no further behind: what it points to says its own size.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug)]
#[sabi(unsafe_opaque_fields)]
pub struct Opaque(pub *mut c_void);

impl Opaque {
    /// Hides a pointer.
    pub fn of<T>(pointer: *const T) -> Self {
        Opaque(pointer.cast_mut().cast())
    }
}

/// What the code of a poll function says: a count, an error, or that it is not ready.
pub(crate) fn answer_of(code: i64, error: RawError) -> Poll<Result<u64>> {
    match code {
        PENDING => Poll::Pending,
        FAILED => Poll::Ready(Err(Error::from_raw(error))),
        _ => Poll::Ready(u64::try_from(code).map_err(|_| unknown_code(code))),
    }
}

/// The other side answered with a code that this ABI does not have.
#[cold]
pub(crate) fn unknown_code(code: i64) -> Error {
    Error::new(ErrorKind::Protocol, "a poll answered with a code that this ABI does not have")
        .with_origin(crate::error::Origin::Internal)
        .with("code", code)
}

/// Writes an error for the other side and gives the code to return.
///
/// # Safety
/// `out` is null or points to a `RawError` that may be written over.
pub(crate) unsafe fn fail(out: *mut RawError, error: Error) -> i64 {
    if !out.is_null() {
        // SAFETY: by this function's contract; the old value owns nothing.
        unsafe { out.write(error.into_raw()) };
    }
    FAILED
}

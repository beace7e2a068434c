//! What crosses the boundary: plain `#[repr(C)]` values and tables of `extern "C"` functions.
//!
//! Every object is a pair `{ data, table }`. A table starts with its own `size`, so that it can
//! grow at its end, and with `home` and `inner`, by which a binary recognises an object that it
//! made itself. Poll functions answer a count (`>= 0`), [`PENDING`] or [`FAILED`]; on `FAILED` they
//! have written a [`RawError`]. One poll of one object at a time; any thread; any task.
//!
//! # What each side owes the other
//!
//! This crate keeps all of it for authors, whatever their safe code does; a second implementation must
//! do so by itself. What can be checked is checked, and what does not hold is an error of that object.
//!
//! | what | the far side | this side checks |
//! |---|---|---|
//! | lent buffers | writes only into them, and answers how much it has written there | a count above the room is an error, and nothing is taken from the buffer |
//! | lent bytes | only reads them | a count above what was given is an error |
//! | slots to be filled (`poll_recv`) | has written the first `n`, and answers `n` | `n` above the room is an error, and no slot is looked at |
//! | slots to be taken from (`poll_send` of messages) | moves the first `n` out, writes an empty message into each of them, and answers `n`, at least 1; after `PENDING` and `FAILED` all are still the caller's | `n`, and that each taken slot was emptied |
//! | an answer of 0 from an operation | has written the result | other codes are errors, and the result's place is not looked at |
//! | objects passed in (requests, answers, carriers, sessions) | takes them with the call, also if that fails | - |
//! | the end (a count of 0, of a body: 0 or trailers) | says the same again when it is asked again | is not asked again, except where more may come: a byte stream, datagrams |
//! | wakers | are alive for the call; a clone is the cloner's to drop; any thread may wake, at any time, also long after the object is gone | - |
//! | text and JSON | UTF-8; what is not is as if it were empty | that it can be parsed: otherwise an error |
//!
//! An object that is polled is polled through `&mut`, so that no safe code can poll it a second time from
//! inside its own poll, not even by way of the other side: the holder of the one owner is in that poll.
//! Objects that are called through `&` (sessions, exchanges, listeners) hand out shared references only,
//! and take their parts out under a lock that is given back before any other code runs.

mod broken;
mod buffer;
mod guard;
mod home;
pub(crate) mod layout;
mod waker;

pub(crate) use broken::{Broken, short_table};
pub use buffer::{RawBuf, RawStr};
pub(crate) use buffer::{slice_of, slice_of_mut};
#[cfg(feature = "host")]
pub(crate) use guard::linked_into_host;
pub(crate) use guard::{catch, guard, guard_drop, keep_panics_quiet, tell_of_panics};
#[cfg(feature = "private-runtime")]
pub(crate) use guard::{caught, quietly};
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
use std::mem::MaybeUninit;
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

/// Where the far side of a poll writes its error. Only one word is set before, so that a poll that does not
/// fail pays nothing for the rest.
pub(crate) struct ErrorSlot(MaybeUninit<RawError>);

impl ErrorSlot {
    /// No [`ErrorKind`] has this number, also none of a later minor.
    const UNWRITTEN: u32 = u32::MAX;

    #[inline(always)]
    pub(crate) fn new() -> Self {
        let mut slot = MaybeUninit::<RawError>::uninit();
        // SAFETY: the place is the slot's own.
        unsafe { (&raw mut (*slot.as_mut_ptr()).kind).write(Self::UNWRITTEN) };
        ErrorSlot(slot)
    }

    /// For the far side to write to.
    #[inline(always)]
    pub(crate) fn as_mut_ptr(&mut self) -> *mut RawError {
        self.0.as_mut_ptr()
    }

    /// What the far side has written, after a poll that answered [`FAILED`]; once.
    fn take(&mut self) -> Option<RawError> {
        // SAFETY: `new` has set that word.
        if unsafe { (*self.0.as_ptr()).kind } == Self::UNWRITTEN {
            return None;
        }
        // SAFETY: a writer of an error writes all of it.
        let written = unsafe { self.0.assume_init_read() };
        *self = ErrorSlot::new();
        Some(written)
    }
}

/// What the code of a poll function says: a count, an error, or that it is not ready.
#[inline(always)]
pub(crate) fn answer_of(code: i64, error: &mut ErrorSlot) -> Poll<Result<u64>> {
    count_up_to(code, error, u64::MAX, "")
}

/// As [`answer_of`], for a count that may be no more than `most`, or else `what` is said.
#[inline(always)]
pub(crate) fn count_of(
    code: i64,
    error: &mut ErrorSlot,
    most: usize,
    what: &'static str,
) -> Poll<Result<usize>> {
    count_up_to(code, error, most as u64, what)
        .map_ok(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// On the fast path nothing is called and no error is touched.
#[inline(always)]
fn count_up_to(
    code: i64,
    error: &mut ErrorSlot,
    most: u64,
    what: &'static str,
) -> Poll<Result<u64>> {
    match u64::try_from(code) {
        Ok(count) if count <= most => Poll::Ready(Ok(count)),
        Err(_) if code == PENDING => Poll::Pending,
        _ => Poll::Ready(Err(error_of(code, error, most, what))),
    }
}

#[cold]
#[inline(never)]
fn error_of(code: i64, error: &mut ErrorSlot, most: u64, what: &'static str) -> Error {
    match code {
        FAILED => match error.take() {
            Some(error) => Error::from_raw(error),
            None => untrue("a poll failed without saying why"),
        },
        ..0 => unknown_code(code),
        _ => untrue(what).with("count", code).with("at_most", most),
    }
}

/// What the other side says cannot be: nothing of it is used.
#[cold]
pub(crate) fn untrue(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, what).with_origin(crate::error::Origin::Internal)
}

/// The other side answered with a code that this ABI does not have.
#[cold]
pub(crate) fn unknown_code(code: i64) -> Error {
    untrue("a poll answered with a code that this ABI does not have").with("code", code)
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

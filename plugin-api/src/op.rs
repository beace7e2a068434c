//! [`Op`]: one asynchronous control call across the boundary, such as "open" or "ping".

use crate::error::{Error, Result};
use crate::raw::layout::{Declared, Field, Layout};
use crate::raw::{
    FAILED, PENDING, RawBuf, RawError, RawObject, RawWaker, WakerCell, abi, catch, fail, guard,
    guard_drop, is_whole, short_table, unknown_code, with_raw_waker,
};
use crate::watch::{self, Operation, Owner};
use bytes::Bytes;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

abi! {
    /// The functions of an operation.
    #[derive(Debug)]
    pub grows struct OpTable {
        size: usize,
        /// Writes the result to `out` when the answer is 0.
        poll: unsafe extern "C" fn(
            data: *mut c_void,
            waker: *const RawWaker,
            out: *mut c_void,
            error: *mut RawError,
        ) -> i64,
        /// Drops it; an unfinished operation is cancelled.
        drop: unsafe extern "C" fn(data: *mut c_void),
    }
}

/// What `make` gives, or an operation that fails with its panic, on its way to the other side.
pub(crate) fn started<T: Transfer>(make: impl FnOnce() -> Op<T>) -> RawObject<OpTable> {
    guard(make, |panic| Op::ready(Err(panic))).into_raw()
}

mod sealed {
    /// Only this crate says what crosses.
    pub trait Crosses {}
}

macro_rules! crosses {
    ($($type:ty)*) => { $(impl sealed::Crosses for $type {})* };
}

crosses! {
    () Bytes Duration
    crate::Stream crate::Messages crate::Datagrams crate::Exchange crate::Session crate::Listener
    crate::Body crate::Envelope crate::Incoming crate::Timer crate::FdReady
}
impl<T> sealed::Crosses for Option<T> {}
impl<T: Transfer> sealed::Crosses for Op<T> {}

/// What can be the result of an [`Op`]: it has a form that is plain `repr(C)`.
pub trait Transfer: sealed::Crosses + Send + 'static {
    /// The form on the way.
    type Raw;
    /// Leaves this side.
    fn into_raw(self) -> Self::Raw;
    /// Arrives on this side.
    ///
    /// # Safety
    /// `raw` comes from `into_raw` of the same type, on whichever side, and is used once.
    unsafe fn from_raw(raw: Self::Raw) -> Self;
}

impl Transfer for () {
    type Raw = u8;
    fn into_raw(self) -> u8 {
        0
    }
    unsafe fn from_raw(_: u8) {}
}

impl Transfer for Bytes {
    type Raw = RawBuf;
    fn into_raw(self) -> RawBuf {
        RawBuf::new(self)
    }
    unsafe fn from_raw(raw: RawBuf) -> Self {
        raw.into_bytes()
    }
}

impl Transfer for Duration {
    type Raw = u64;
    fn into_raw(self) -> u64 {
        u64::try_from(self.as_nanos()).unwrap_or(u64::MAX)
    }
    unsafe fn from_raw(raw: u64) -> Self {
        Duration::from_nanos(raw)
    }
}

/// `None` crosses as a flag of 0 before an unwritten value.
#[repr(C)]
#[derive(Debug)]
pub struct RawOption<T> {
    some: u32,
    value: MaybeUninit<T>,
}

impl Declared for RawOption<u64> {
    const LAYOUT: Layout = Layout {
        name: "RawOption<u64>",
        grows: false,
        fields: &[
            Field::new("some", "u32", std::mem::offset_of!(Self, some), 4),
            Field::new("value", "MaybeUninit<u64>", std::mem::offset_of!(Self, value), 8),
        ],
    };
}

impl<T: Transfer> Transfer for Option<T> {
    type Raw = RawOption<T::Raw>;
    fn into_raw(self) -> Self::Raw {
        match self {
            Some(value) => RawOption { some: 1, value: MaybeUninit::new(value.into_raw()) },
            None => RawOption { some: 0, value: MaybeUninit::uninit() },
        }
    }
    unsafe fn from_raw(raw: Self::Raw) -> Self {
        // SAFETY: `some` says that the value was written; it is used once by this contract.
        (raw.some != 0).then(|| unsafe { T::from_raw(raw.value.assume_init()) })
    }
}

/// A future that may be completed by the other side of the boundary. Dropping it cancels it.
///
/// A panic inside becomes [`crate::ErrorKind::Panicked`].
#[must_use = "an operation does nothing until it is awaited"]
pub struct Op<T: Transfer> {
    raw: RawObject<OpTable>,
    owner: Owner,
    operation: Operation,
    result: PhantomData<fn() -> T>,
}

// SAFETY: `Op::new` takes only `Send` futures, and the far side promises the same.
unsafe impl<T: Transfer> Send for Op<T> {}
// SAFETY: every use needs `&mut self`.
unsafe impl<T: Transfer> Sync for Op<T> {}

struct Exported<F> {
    future: Option<F>,
    waker: WakerCell,
}

impl<T: Transfer> Op<T> {
    /// Makes `future` pollable from the other side.
    pub fn new<F>(future: F) -> Self
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let state = Box::new(Exported { future: Some(future), waker: WakerCell::default() });
        let table = const {
            &OpTable { size: size_of::<OpTable>(), poll: poll::<F, T>, drop: drop_op::<F> }
        };
        let raw = RawObject { data: Box::into_raw(state).cast(), table };
        Op { raw, owner: Owner::NOBODY, operation: Operation::Call, result: PhantomData }
    }

    /// What it is called by where it is marked.
    pub(crate) fn named(mut self, operation: Operation) -> Self {
        self.operation = operation;
        self
    }

    /// An operation that has already ended.
    pub fn ready(result: Result<T>) -> Self {
        Op::new(std::future::ready(result))
    }
}

impl<T: Transfer> Transfer for Op<T> {
    type Raw = RawObject<OpTable>;
    fn into_raw(self) -> Self::Raw {
        if !self.owner.is_nobody() {
            return Op::new(self).into_raw();
        }
        std::mem::ManuallyDrop::new(self).raw
    }
    unsafe fn from_raw(raw: Self::Raw) -> Self {
        // SAFETY: a table is alive as long as its binary, which is never unloaded.
        if !unsafe { is_whole(raw.table) } {
            return Op::ready(Err(short_table("operation")));
        }
        Op { raw, owner: watch::current(), operation: Operation::Call, result: PhantomData }
    }
}

unsafe extern "C" fn poll<F, T>(
    data: *mut c_void,
    waker: *const RawWaker,
    out: *mut c_void,
    error: *mut RawError,
) -> i64
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Transfer,
{
    // SAFETY: `data` is the box made in `Op::new`, polled by one caller at a time.
    let state = unsafe { &mut *data.cast::<Exported<F>>() };
    let body = || {
        let Some(future) = state.future.as_mut() else {
            // SAFETY: the caller's slot.
            return unsafe { fail(error, Error::unsupported("polling a finished operation")) };
        };
        // SAFETY: the future lives in its box and is dropped in place, never moved.
        let future = unsafe { Pin::new_unchecked(future) };
        // SAFETY: the caller lends its waker for this call.
        let poll = || unsafe { state.waker.poll(waker, |cx| future.poll(cx)) };
        let result = match catch(poll, |panic| Poll::Ready(Err(panic))) {
            Poll::Pending => return PENDING,
            Poll::Ready(result) => result,
        };
        // Finished, or panicked: either way it is not polled again. A drop that panics costs the result,
        // which is dropped by itself.
        let dropped = catch(
            || {
                state.future = None;
                Ok(())
            },
            Err,
        );
        match (result, dropped) {
            (Ok(value), Ok(())) => {
                // SAFETY: `out` is a slot for `T::Raw` by the type of the `Op`.
                unsafe { out.cast::<T::Raw>().write(value.into_raw()) };
                0
            }
            (Ok(value), Err(panic)) => {
                guard_drop(value);
                // SAFETY: the caller's slot.
                unsafe { fail(error, panic) }
            }
            // SAFETY: the caller's slot.
            (Err(problem), _) => unsafe { fail(error, problem) },
        }
    };
    // SAFETY: the caller's slot.
    guard(body, |panic| unsafe { fail(error, panic) })
}

unsafe extern "C" fn drop_op<F>(data: *mut c_void) {
    // SAFETY: the box made in `Op::new`, dropped once.
    guard_drop(unsafe { Box::from_raw(data.cast::<Exported<F>>()) });
}

impl<T: Transfer> Future for Op<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let raw = self.raw;
        let mut out = MaybeUninit::<T::Raw>::uninit();
        let mut error = RawError::empty();
        watch::within(self.owner, self.operation, || {
            let code = with_raw_waker(cx, |waker| {
                let out = out.as_mut_ptr().cast();
                // SAFETY: the table belongs to the data; both slots are ours for the call.
                unsafe { ((*raw.table).poll)(raw.data, waker, out, &raw mut error) }
            });
            match code {
                PENDING => Poll::Pending,
                FAILED => Poll::Ready(Err(Error::from_raw(error))),
                // SAFETY: this answer means that `out` was written. What comes out is of the same
                // owner, which is why this is inside.
                0 => Poll::Ready(Ok(unsafe { T::from_raw(out.assume_init()) })),
                _ => Poll::Ready(Err(unknown_code(code))),
            }
        })
    }
}

impl<T: Transfer> Drop for Op<T> {
    fn drop(&mut self) {
        watch::within(self.owner, Operation::Drop, || {
            // SAFETY: this is the only owner.
            unsafe { ((*self.raw.table).drop)(self.raw.data) };
        });
    }
}

impl<T: Transfer> std::fmt::Debug for Op<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Op")
    }
}

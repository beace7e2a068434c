//! [`Body`]: the content of a request or response as it streams.

use crate::error::Result;
use crate::headers::HeaderBlock;
use crate::op::Transfer;
use crate::raw::{
    ErrorSlot, PENDING, RawBuf, RawError, RawObject, RawWaker, WakerCell, abi, answer_of, fail,
    guard, guard_drop, is_whole, short_table, unknown_code, within_poll,
};
use crate::watch::{self, Operation, Owner};
use bytes::Bytes;
use futures_core::Stream as FuturesStream;
use std::ffi::c_void;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A piece of a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BodyPart {
    /// Content.
    Data(Bytes),
    /// Fields after the content; the last part.
    Trailers(HeaderBlock),
}

/// A streaming body. The end of the stream is the end of the body; an error means it was cut short.
pub struct Body {
    raw: RawObject<BodyTable>,
    owner: Owner,
    ended: bool,
}

abi! {
    /// The functions of a body. A poll answers 1 for data, 2 for trailers, 0 at the end. A body whose data
    /// pointer is null has no content.
    #[derive(Debug)]
    pub grows struct BodyTable {
        size: usize,
        drop: unsafe extern "C" fn(*mut c_void),
        poll_part:
            unsafe extern "C" fn(*mut c_void, *const RawWaker, *mut RawBuf, *mut RawError) -> i64,
    }
}

// SAFETY: `Body::new` takes only `Send` values, and the far side promises the same.
unsafe impl Send for Body {}
// SAFETY: every use needs `&mut self`.
unsafe impl Sync for Body {}

struct ExportedBody<T> {
    parts: T,
    waker: WakerCell,
    ended: bool,
}

impl Body {
    /// No content. Takes no memory.
    pub fn empty() -> Self {
        let table = const {
            &BodyTable { size: size_of::<BodyTable>(), drop: drop_nothing, poll_part: no_part }
        };
        let raw = RawObject { data: std::ptr::null_mut(), table };
        Body { raw, owner: Owner::NOBODY, ended: false }
    }

    /// Whether it is known without polling that there is no content. One that is not known to be empty
    /// may be so all the same.
    pub fn is_empty(&self) -> bool {
        self.ended || self.raw.data.is_null()
    }

    /// Content that is all here.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let part = Ok(BodyPart::Data(bytes.into()));
        Body::new(futures_util::stream::iter([part]))
    }

    /// Content as it comes.
    pub fn new<T>(parts: T) -> Self
    where
        T: FuturesStream<Item = Result<BodyPart>> + Send + Unpin + 'static,
    {
        let table = const {
            &BodyTable {
                size: size_of::<BodyTable>(),
                drop: drop_body::<T>,
                poll_part: poll_part::<T>,
            }
        };
        let state = Box::new(ExportedBody { parts, waker: WakerCell::default(), ended: false });
        let raw = RawObject { data: Box::into_raw(state).cast(), table };
        Body { raw, owner: Owner::NOBODY, ended: false }
    }
}

unsafe extern "C" fn drop_nothing(_: *mut c_void) {}

unsafe extern "C" fn no_part(
    _: *mut c_void,
    _: *const RawWaker,
    _: *mut RawBuf,
    _: *mut RawError,
) -> i64 {
    0
}

unsafe extern "C" fn drop_body<T>(data: *mut c_void) {
    // SAFETY: the box made in `Body::new`, dropped once.
    guard_drop(unsafe { Box::from_raw(data.cast::<ExportedBody<T>>()) });
}

unsafe extern "C" fn poll_part<T: FuturesStream<Item = Result<BodyPart>> + Unpin>(
    data: *mut c_void,
    waker: *const RawWaker,
    out: *mut RawBuf,
    error: *mut RawError,
) -> i64 {
    // SAFETY: the box made in `Body::new`, polled by one caller at a time.
    let state = unsafe { &mut *data.cast::<ExportedBody<T>>() };
    let body = || {
        if std::mem::replace(&mut state.ended, true) {
            // Not asked again: a stream need not answer after its end.
            return 0;
        }
        let parts = Pin::new(&mut state.parts);
        // SAFETY: the caller lends its waker; both slots are the caller's.
        let code = unsafe {
            match state.waker.poll(waker, |cx| parts.poll_next(cx)) {
                Poll::Pending => PENDING,
                Poll::Ready(None) => 0,
                Poll::Ready(Some(Err(problem))) => fail(error, problem),
                Poll::Ready(Some(Ok(BodyPart::Data(bytes)))) => {
                    out.write(RawBuf::new(bytes));
                    1
                }
                Poll::Ready(Some(Ok(BodyPart::Trailers(fields)))) => {
                    out.write(RawBuf::new(fields.into_bytes()));
                    2
                }
            }
        };
        state.ended = !matches!(code, PENDING | 1);
        code
    };
    // SAFETY: the caller's slot.
    guard(body, |panic| unsafe { fail(error, panic) })
}

impl FuturesStream for Body {
    type Item = Result<BodyPart>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let raw = self.raw;
        let (mut out, mut error) = (RawBuf::empty(), ErrorSlot::new());
        let code = within_poll(self.owner, Operation::Body, cx, |waker| {
            // SAFETY: the table belongs to the data; both slots are ours.
            unsafe { ((*raw.table).poll_part)(raw.data, waker, &raw mut out, error.as_mut_ptr()) }
        });
        self.ended = !matches!(code, PENDING | 1);
        Poll::Ready(match ready!(answer_of(code, &mut error)) {
            Ok(0) => None,
            Ok(1) => Some(Ok(BodyPart::Data(out.into_bytes()))),
            Ok(2) => Some(HeaderBlock::parse(out.into_bytes()).map(BodyPart::Trailers)),
            Ok(_) => Some(Err(unknown_code(code))),
            Err(error) => Some(Err(error)),
        })
    }
}

impl Transfer for Body {
    type Raw = RawObject<BodyTable>;
    fn into_raw(self) -> Self::Raw {
        if self.is_empty() {
            return std::mem::ManuallyDrop::new(Body::empty()).raw;
        }
        if !self.owner.is_nobody() {
            return Body::new(self).into_raw();
        }
        std::mem::ManuallyDrop::new(self).raw
    }
    unsafe fn from_raw(raw: Self::Raw) -> Self {
        // SAFETY: a table is alive as long as its binary, which is never unloaded.
        if !unsafe { is_whole(raw.table) } {
            let error = short_table("body");
            return Body::new(futures_util::stream::iter([Err(error)]));
        }
        Body { raw, owner: watch::current(), ended: false }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        watch::within(self.owner, Operation::Drop, || {
            // SAFETY: this is the only owner.
            unsafe { ((*self.raw.table).drop)(self.raw.data) };
        });
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body")
    }
}

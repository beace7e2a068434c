//! [`Stream`]: the byte-stream facet, both directions, with half-close.

use crate::error::Error;
use crate::op::Transfer;
use crate::raw::{
    Broken, ErrorSlot, Home, PENDING, RawBuf, RawError, RawObject, RawWaker, WakerCell, abi,
    answer_of, count_of, fail, guard, guard_drop, home, home_of, is_home, is_whole, owner_of,
    slice_of, slice_of_mut, untrue, within_poll,
};
use crate::watch::{self, Operation, Owner};
use bytes::Bytes;
use std::any::TypeId;
use std::ffi::c_void;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

abi! {
    /// The functions of a stream. Counts are bytes; a read of 0 is the end of the peer's direction.
    #[derive(Debug)]
    pub grows struct StreamTable {
        size: usize,
        home: Home,
        drop: unsafe extern "C" fn(*mut c_void),
        poll_read:
            unsafe extern "C" fn(*mut c_void, *const RawWaker, *mut u8, usize, *mut RawError) -> i64,
        poll_write: unsafe extern "C" fn(
            *mut c_void,
            *const RawWaker,
            *const RawSlice,
            usize,
            *mut RawError,
        ) -> i64,
        poll_flush: unsafe extern "C" fn(*mut c_void, *const RawWaker, *mut RawError) -> i64,
        poll_shutdown: unsafe extern "C" fn(*mut c_void, *const RawWaker, *mut RawError) -> i64,
        /// A descriptor, or -1; on success `leftover` holds what was read but not yet delivered.
        take_fd: unsafe extern "C" fn(*mut c_void, leftover: *mut RawBuf) -> i64,
    }
}

abi! {
    /// One piece of a vectored write.
    #[derive(Debug, Clone, Copy)]
    pub frozen struct RawSlice {
        ptr: *const u8,
        len: usize,
    }
}

/// The most pieces handed over in one vectored write; more are left to the next call.
const MAX_SLICES: usize = 16;

/// A byte stream that either side of the boundary may have made.
///
/// Dropping it closes both directions. Reads and writes are cancel safe: what a dropped read had
/// not delivered is delivered by the next.
pub struct Stream {
    raw: RawObject<StreamTable>,
    owner: Owner,
}

// SAFETY: `Stream::new` takes only `Send` values, and the far side promises the same.
unsafe impl Send for Stream {}
// SAFETY: every use needs `&mut self`.
unsafe impl Sync for Stream {}

/// Takes the kernel socket out of a `T`, with what was already read from it.
type TakeFd<T> = fn(&mut T) -> Option<(OwnedFd, Bytes)>;

struct Exported<T> {
    io: T,
    read: WakerCell,
    write: WakerCell,
    take_fd: Option<TakeFd<T>>,
}

impl Stream {
    /// Makes an ordinary tokio-style stream pollable from the other side.
    pub fn new<T>(io: T) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Stream::export(io, None)
    }

    /// As [`Stream::new`] for a stream that is plain bytes on one kernel socket: `take_fd` gives its
    /// descriptor and what was already read from it, and must give `None` while written bytes are
    /// still held back.
    pub fn with_fd<T>(io: T, take_fd: fn(&mut T) -> Option<(OwnedFd, Bytes)>) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Stream::export(io, Some(take_fd))
    }

    fn export<T>(io: T, take_fd: Option<TakeFd<T>>) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let state =
            Exported { io, read: WakerCell::default(), write: WakerCell::default(), take_fd };
        let table = const {
            &StreamTable {
                size: size_of::<StreamTable>(),
                home: home(inner::<T>),
                drop: drop_stream::<T>,
                poll_read: poll_read::<T>,
                poll_write: poll_write::<T>,
                poll_flush: poll_flush::<T>,
                poll_shutdown: poll_shutdown::<T>,
                take_fd: take_fd_of::<T>,
            }
        };
        let raw = RawObject { data: Box::into_raw(Box::new(state)).cast(), table };
        Stream { raw, owner: Owner::NOBODY }
    }

    /// The value given to [`Stream::new`], if this very binary made the stream of a `T`.
    ///
    /// # Errors
    /// The stream itself, untouched, when it is another's or of another type.
    pub fn into_inner<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        self,
    ) -> Result<T, Stream> {
        // SAFETY: the table is alive as long as its binary, which is never unloaded.
        let home = unsafe { &(*self.raw.table).home };
        let wanted = TypeId::of::<T>();
        if !is_home(home)
            // SAFETY: `is_home` has shown that the type id is of the same binary.
            || unsafe { (home.inner)(self.raw.data, (&raw const wanted).cast()) }.is_null()
        {
            return Err(self);
        }
        let raw = std::mem::ManuallyDrop::new(self).raw;
        // SAFETY: the type was just confirmed, and `self` no longer drops it.
        Ok(unsafe { Box::from_raw(raw.data.cast::<Exported<T>>()) }.io)
    }

    /// Takes the kernel socket out, with what was already read from it. Flush first. On success the
    /// stream is spent: drop it.
    pub fn take_fd(&mut self) -> Option<(OwnedFd, Bytes)> {
        let mut leftover = RawBuf::empty();
        let fd = watch::within(self.owner, Operation::TakeFd, || {
            // SAFETY: the table belongs to the data, and the slot is ours.
            unsafe { ((*self.raw.table).take_fd)(self.raw.data, &raw mut leftover) }
        });
        let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
        // SAFETY: the far side has given its descriptor away.
        Some((unsafe { OwnedFd::from_raw_fd(fd) }, leftover.into_bytes()))
    }
}

impl Transfer for Stream {
    type Raw = RawObject<StreamTable>;
    fn into_raw(self) -> Self::Raw {
        if !self.owner.is_nobody() {
            return Stream::with_fd(self, Stream::take_fd).into_raw();
        }
        std::mem::ManuallyDrop::new(self).raw
    }
    unsafe fn from_raw(raw: Self::Raw) -> Self {
        // SAFETY: a table is alive as long as its binary, which is never unloaded.
        unsafe {
            if !is_whole(raw.table) {
                return Stream::new(Broken("stream"));
            }
            Stream { raw, owner: owner_of(&raw const (*raw.table).home) }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        watch::within(self.owner, Operation::Drop, || {
            // SAFETY: this is the only owner.
            unsafe { ((*self.raw.table).drop)(self.raw.data) };
        });
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

/// # Safety
/// `data` is an `Exported<T>` of this table, polled by one caller at a time.
unsafe fn state<'a, T>(data: *mut c_void) -> &'a mut Exported<T> {
    // SAFETY: by this function's contract.
    unsafe { &mut *data.cast::<Exported<T>>() }
}

unsafe extern "C" fn inner<T: 'static>(data: *mut c_void, id: *const c_void) -> *mut c_void {
    // SAFETY: `home` functions are called only after `is_home`.
    unsafe { home_of::<T>(&raw mut state::<T>(data).io, id) }
}

unsafe extern "C" fn drop_stream<T>(data: *mut c_void) {
    // SAFETY: the box made in `export`, dropped once.
    guard_drop(unsafe { Box::from_raw(data.cast::<Exported<T>>()) });
}

/// Turns a poll into its code, and its error or panic into a written one.
unsafe fn answer(error: *mut RawError, body: impl FnOnce() -> Poll<io::Result<usize>>) -> i64 {
    let body = || match body() {
        Poll::Pending => PENDING,
        // An author may say any count: the caller finds this one too high.
        Poll::Ready(Ok(count)) => i64::try_from(count).unwrap_or(i64::MAX),
        // SAFETY: the caller's slot.
        Poll::Ready(Err(problem)) => unsafe { fail(error, problem.into()) },
    };
    // SAFETY: the caller's slot.
    guard(body, |panic| unsafe { fail(error, panic) })
}

unsafe extern "C" fn poll_read<T: AsyncRead + Unpin>(
    data: *mut c_void,
    waker: *const RawWaker,
    buffer: *mut u8,
    len: usize,
    error: *mut RawError,
) -> i64 {
    // SAFETY: the caller's contract for `data`, `waker`, and a buffer of `len` writable bytes.
    unsafe {
        let state = state::<T>(data);
        let room: &mut [MaybeUninit<u8>] = slice_of_mut(buffer.cast(), len);
        let lent = room.as_ptr().cast::<u8>();
        answer(error, || {
            let mut room = ReadBuf::uninit(room);
            let io = Pin::new(&mut state.io);
            ready!(state.read.poll(waker, |cx| io.poll_read(cx, &mut room)))?;
            // Safe code may put another buffer in the place of the one that it was lent.
            let filled = room.filled();
            if !std::ptr::eq(filled.as_ptr(), lent) || filled.len() > len {
                let error = untrue("a stream has put another buffer in the place of its reader's");
                return Poll::Ready(Err(error.into_io()));
            }
            Poll::Ready(Ok(filled.len()))
        })
    }
}

unsafe extern "C" fn poll_write<T: AsyncWrite + Unpin>(
    data: *mut c_void,
    waker: *const RawWaker,
    slices: *const RawSlice,
    count: usize,
    error: *mut RawError,
) -> i64 {
    // SAFETY: the caller's contract for `data`, `waker`, and `count` slices of readable bytes.
    unsafe {
        let state = state::<T>(data);
        let slices = slice_of(slices, count.min(MAX_SLICES));
        answer(error, || {
            let io = Pin::new(&mut state.io);
            if let [one] = slices {
                let bytes = slice_of(one.ptr, one.len);
                return state.write.poll(waker, |cx| io.poll_write(cx, bytes));
            }
            let mut list = [IoSlice::new(&[]); MAX_SLICES];
            for (slot, piece) in list.iter_mut().zip(slices) {
                *slot = IoSlice::new(slice_of(piece.ptr, piece.len));
            }
            state.write.poll(waker, |cx| io.poll_write_vectored(cx, &list[..slices.len()]))
        })
    }
}

unsafe extern "C" fn poll_flush<T: AsyncWrite + Unpin>(
    data: *mut c_void,
    waker: *const RawWaker,
    error: *mut RawError,
) -> i64 {
    // SAFETY: the caller's contract.
    unsafe {
        let state = state::<T>(data);
        let io = Pin::new(&mut state.io);
        answer(error, || state.write.poll(waker, |cx| io.poll_flush(cx)).map_ok(|()| 0))
    }
}

unsafe extern "C" fn poll_shutdown<T: AsyncWrite + Unpin>(
    data: *mut c_void,
    waker: *const RawWaker,
    error: *mut RawError,
) -> i64 {
    // SAFETY: the caller's contract.
    unsafe {
        let state = state::<T>(data);
        let io = Pin::new(&mut state.io);
        answer(error, || state.write.poll(waker, |cx| io.poll_shutdown(cx)).map_ok(|()| 0))
    }
}

unsafe extern "C" fn take_fd_of<T>(data: *mut c_void, leftover: *mut RawBuf) -> i64 {
    // SAFETY: the caller's contract.
    let state = unsafe { state::<T>(data) };
    let body = || match state.take_fd.and_then(|take| take(&mut state.io)) {
        Some((fd, rest)) => {
            // SAFETY: the caller's slot.
            unsafe { leftover.write(RawBuf::new(rest)) };
            i64::from(fd.into_raw_fd())
        }
        None => -1,
    };
    guard(body, |_| -1)
}

impl Stream {
    #[inline(always)]
    fn finish(
        code: i64,
        error: &mut ErrorSlot,
        most: usize,
        what: &'static str,
    ) -> Poll<io::Result<usize>> {
        count_of(code, error, most, what).map_err(Error::into_io)
    }

    #[inline(always)]
    fn done(code: i64, error: &mut ErrorSlot) -> Poll<io::Result<()>> {
        answer_of(code, error).map_ok(drop).map_err(Error::into_io)
    }

    fn write_slices(&mut self, cx: &Context<'_>, slices: &[RawSlice]) -> Poll<io::Result<usize>> {
        let raw = self.raw;
        let mut error = ErrorSlot::new();
        let code = within_poll(self.owner, Operation::Write, cx, |waker| {
            // SAFETY: the table belongs to the data; the slices are alive for the call.
            unsafe {
                let write = (*raw.table).poll_write;
                write(raw.data, waker, slices.as_ptr(), slices.len(), error.as_mut_ptr())
            }
        });
        let given = slices.iter().map(|slice| slice.len).sum();
        Stream::finish(code, &mut error, given, "a stream says it wrote more than it was given")
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = buf.remaining();
        if most == 0 {
            // No room for bytes: this says nothing of the end, and the far side is not asked.
            return Poll::Ready(Ok(()));
        }
        let raw = self.raw;
        let mut error = ErrorSlot::new();
        let code = within_poll(self.owner, Operation::Read, cx, |waker| {
            // SAFETY: the spare room of `buf` is writable for the call; it is not read.
            unsafe {
                let spare = buf.unfilled_mut();
                let read = (*raw.table).poll_read;
                read(raw.data, waker, spare.as_mut_ptr().cast(), spare.len(), error.as_mut_ptr())
            }
        });
        let what = "a stream says it read more than there is room for";
        let count = ready!(Stream::finish(code, &mut error, most, what))?;
        // SAFETY: the far side has written `count` bytes there.
        unsafe { buf.assume_init(count) };
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write_slices(cx, &[RawSlice { ptr: bytes.as_ptr(), len: bytes.len() }])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut list = [RawSlice { ptr: std::ptr::null(), len: 0 }; MAX_SLICES];
        let count = bufs.len().min(MAX_SLICES);
        for (slot, piece) in list.iter_mut().zip(bufs) {
            *slot = RawSlice { ptr: piece.as_ptr(), len: piece.len() };
        }
        self.write_slices(cx, &list[..count])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let raw = self.raw;
        let mut error = ErrorSlot::new();
        let code = within_poll(self.owner, Operation::Flush, cx, |waker| {
            // SAFETY: the table belongs to the data.
            unsafe { ((*raw.table).poll_flush)(raw.data, waker, error.as_mut_ptr()) }
        });
        Stream::done(code, &mut error)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let raw = self.raw;
        let mut error = ErrorSlot::new();
        let code = within_poll(self.owner, Operation::Shutdown, cx, |waker| {
            // SAFETY: the table belongs to the data.
            unsafe { ((*raw.table).poll_shutdown)(raw.data, waker, error.as_mut_ptr()) }
        });
        Stream::done(code, &mut error)
    }
}

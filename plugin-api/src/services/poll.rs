//! The two services that are polled: [`Timer`] and [`FdReady`].

use super::{FdIo, TimerIo};
use crate::error::Result;
use crate::op::Transfer;
use crate::raw::{
    Broken, ErrorSlot, PENDING, RawError, RawObject, RawWaker, WakerCell, abi, answer_of, fail,
    guard, guard_drop, is_whole, short_table, with_raw_waker,
};
use std::ffi::c_void;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Which readiness of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Interest {
    /// Something to read, or the end.
    Read = 1,
    /// Room to write.
    Write = 2,
}

abi! {
    /// The functions of a timer.
    #[derive(Debug)]
    pub grows struct TimerTable {
        size: usize,
        drop: unsafe extern "C" fn(*mut c_void),
        poll: unsafe extern "C" fn(*mut c_void, *const RawWaker) -> i64,
        reset: unsafe extern "C" fn(*mut c_void, u64),
    }
}

/// A timer of the host's: a future that is done when the time has come.
#[derive(Debug)]
pub struct Timer {
    raw: RawObject<TimerTable>,
}

// SAFETY: `TimerIo` is `Send`, and the far side promises the same.
unsafe impl Send for Timer {}
// SAFETY: every use needs `&mut self`.
unsafe impl Sync for Timer {}

struct ExportedTimer {
    timer: Box<dyn TimerIo>,
    waker: WakerCell,
}

static TIMER: TimerTable = TimerTable {
    size: size_of::<TimerTable>(),
    drop: drop_timer,
    poll: poll_timer,
    reset: reset_timer,
};

impl Timer {
    /// Makes a host's timer usable from the other side.
    pub(crate) fn new(timer: Box<dyn TimerIo>) -> Self {
        let state = Box::new(ExportedTimer { timer, waker: WakerCell::default() });
        Timer { raw: RawObject { data: Box::into_raw(state).cast(), table: &raw const TIMER } }
    }

    /// Starts over with a new time from now.
    pub fn reset(&mut self, after: Duration) {
        let nanos = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        // SAFETY: the table belongs to the data.
        unsafe { ((*self.raw.table).reset)(self.raw.data, nanos) };
    }
}

impl Future for Timer {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let raw = self.raw;
        // SAFETY: the table belongs to the data.
        match with_raw_waker(cx, |waker| unsafe { ((*raw.table).poll)(raw.data, waker) }) {
            PENDING => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

impl Transfer for Timer {
    type Raw = RawObject<TimerTable>;
    fn into_raw(self) -> Self::Raw {
        std::mem::ManuallyDrop::new(self).raw
    }
    unsafe fn from_raw(raw: Self::Raw) -> Self {
        // SAFETY: a table is alive as long as its binary, which is never unloaded.
        if !unsafe { is_whole(raw.table) } {
            return Timer::new(Box::new(Over));
        }
        Timer { raw }
    }
}

/// What stands for a timer whose table cannot be used: its time has always come.
struct Over;

impl TimerIo for Over {
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
    fn reset(&mut self, _: Duration) {}
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: this is the only owner.
        unsafe { ((*self.raw.table).drop)(self.raw.data) };
    }
}

unsafe extern "C" fn drop_timer(data: *mut c_void) {
    // SAFETY: the box made in `Timer::new`, dropped once.
    guard_drop(unsafe { Box::from_raw(data.cast::<ExportedTimer>()) });
}

unsafe extern "C" fn poll_timer(data: *mut c_void, waker: *const RawWaker) -> i64 {
    // SAFETY: the box made in `Timer::new`, polled by one caller at a time.
    let ExportedTimer { timer, waker: cell } = unsafe { &mut *data.cast::<ExportedTimer>() };
    // SAFETY: the caller lends its waker.
    let body = || match unsafe { cell.poll(waker, |cx| timer.poll(cx)) } {
        Poll::Pending => PENDING,
        Poll::Ready(()) => 0,
    };
    guard(body, |_| 0)
}

unsafe extern "C" fn reset_timer(data: *mut c_void, nanos: u64) {
    // SAFETY: as in `poll_timer`.
    let state = unsafe { &mut *data.cast::<ExportedTimer>() };
    guard(|| state.timer.reset(Duration::from_nanos(nanos)), |_| ());
}

abi! {
    /// The functions of a watched descriptor.
    #[derive(Debug)]
    pub grows struct FdTable {
        size: usize,
        drop: unsafe extern "C" fn(*mut c_void),
        poll_ready: unsafe extern "C" fn(*mut c_void, u32, *const RawWaker, *mut RawError) -> i64,
        clear_ready: unsafe extern "C" fn(*mut c_void, u32),
    }
}

/// Readiness of a descriptor of the plugin's own. Drop it before the descriptor is closed.
#[derive(Debug)]
pub struct FdReady {
    raw: RawObject<FdTable>,
}

// SAFETY: `FdIo` is `Send`, and the far side promises the same.
unsafe impl Send for FdReady {}
// SAFETY: every use needs `&mut self`.
unsafe impl Sync for FdReady {}

struct ExportedFd {
    fd: Box<dyn FdIo>,
    read: WakerCell,
    write: WakerCell,
}

static FD: FdTable = FdTable {
    size: size_of::<FdTable>(),
    drop: drop_fd,
    poll_ready: poll_fd,
    clear_ready: clear_fd,
};

impl FdReady {
    pub(crate) fn new(fd: Box<dyn FdIo>) -> Self {
        let state =
            Box::new(ExportedFd { fd, read: WakerCell::default(), write: WakerCell::default() });
        FdReady { raw: RawObject { data: Box::into_raw(state).cast(), table: &raw const FD } }
    }

    /// Ready when the descriptor may be readable or writable.
    ///
    /// # Errors
    /// What the reactor says, e.g. at shutdown.
    pub fn poll_ready(&mut self, interest: Interest, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let raw = self.raw;
        let mut error = ErrorSlot::new();
        let code = with_raw_waker(cx, |waker| {
            // SAFETY: the table belongs to the data.
            unsafe {
                ((*raw.table).poll_ready)(raw.data, interest as u32, waker, error.as_mut_ptr())
            }
        });
        answer_of(code, &mut error).map_ok(|_| ())
    }

    /// Forgets readiness after the system said "would block".
    pub fn clear_ready(&mut self, interest: Interest) {
        // SAFETY: the table belongs to the data.
        unsafe { ((*self.raw.table).clear_ready)(self.raw.data, interest as u32) };
    }
}

impl Transfer for FdReady {
    type Raw = RawObject<FdTable>;
    fn into_raw(self) -> Self::Raw {
        std::mem::ManuallyDrop::new(self).raw
    }
    unsafe fn from_raw(raw: Self::Raw) -> Self {
        // SAFETY: a table is alive as long as its binary, which is never unloaded.
        if !unsafe { is_whole(raw.table) } {
            return FdReady::new(Box::new(Broken("watched descriptor")));
        }
        FdReady { raw }
    }
}

impl FdIo for Broken {
    fn poll_ready(&mut self, _: Interest, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Err(short_table(self.0)))
    }
    fn clear_ready(&mut self, _: Interest) {}
}

impl Drop for FdReady {
    fn drop(&mut self) {
        // SAFETY: this is the only owner.
        unsafe { ((*self.raw.table).drop)(self.raw.data) };
    }
}

fn interest_of(number: u32) -> Interest {
    if number == Interest::Write as u32 { Interest::Write } else { Interest::Read }
}

unsafe extern "C" fn drop_fd(data: *mut c_void) {
    // SAFETY: the box made in `FdReady::new`, dropped once.
    guard_drop(unsafe { Box::from_raw(data.cast::<ExportedFd>()) });
}

unsafe extern "C" fn poll_fd(
    data: *mut c_void,
    interest: u32,
    waker: *const RawWaker,
    error: *mut RawError,
) -> i64 {
    // SAFETY: the box made in `FdReady::new`, polled by one caller at a time.
    let ExportedFd { fd, read, write } = unsafe { &mut *data.cast::<ExportedFd>() };
    let interest = interest_of(interest);
    let cell = if interest == Interest::Read { read } else { write };
    // SAFETY: the caller lends its waker, and its slot for an error.
    let body = || unsafe {
        match cell.poll(waker, |cx| fd.poll_ready(interest, cx)) {
            Poll::Pending => PENDING,
            Poll::Ready(Ok(())) => 0,
            Poll::Ready(Err(problem)) => fail(error, problem),
        }
    };
    // SAFETY: the caller's slot.
    guard(body, |panic| unsafe { fail(error, panic) })
}

unsafe extern "C" fn clear_fd(data: *mut c_void, interest: u32) {
    // SAFETY: as in `poll_fd`.
    let state = unsafe { &mut *data.cast::<ExportedFd>() };
    guard(|| state.fd.clear_ready(interest_of(interest)), |_| ());
}

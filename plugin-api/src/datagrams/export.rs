//! The side that has the datagrams: a [`DatagramIo`] behind the table.

use super::{DatagramIo, DatagramMeta, DatagramsTable, RawDatagram, check_len, meta_of};
use crate::error::{Error, Result};
use crate::raw::layout::{self, Declared};
use crate::raw::{
    PENDING, RawError, RawObject, RawWaker, WakerCell, catch, fail, guard, guard_drop, home,
    home_of, short_table, slice_of, slice_of_mut,
};
use std::ffi::c_void;
use std::task::Poll;

struct Exported<T> {
    io: T,
    recv: WakerCell,
    send: WakerCell,
    /// What comes after the datagrams that were delivered before it.
    after: After,
    /// What the author writes into, never the caller's: so that no byte which the author has not written
    /// is in a datagram, whatever length it says. As long as the longest room so far.
    room: Vec<u8>,
}

#[derive(Default)]
enum After {
    #[default]
    More,
    Failure(Error),
    End,
}

/// Puts `io` behind a table.
pub(super) fn export<T: DatagramIo>(io: T) -> RawObject<DatagramsTable> {
    let state = Exported {
        io,
        recv: WakerCell::default(),
        send: WakerCell::default(),
        after: After::More,
        room: Vec::new(),
    };
    let table = const {
        &DatagramsTable {
            size: size_of::<DatagramsTable>(),
            home: home(inner::<T>),
            drop: drop_datagrams::<T>,
            poll_recv: poll_recv::<T>,
            poll_send: poll_send::<T>,
            max_size: max_size::<T>,
        }
    };
    RawObject { data: Box::into_raw(Box::new(state)).cast(), table }
}

/// Slots that are nearer to each other than version 1.0's are long cannot be read.
fn check_stride(stride: usize) -> Result<()> {
    const FIRST: usize = layout::end_of(&RawDatagram::LAYOUT, "ecn");
    if stride < FIRST { Err(short_table("batch of datagrams")) } else { Ok(()) }
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

unsafe extern "C" fn drop_datagrams<T>(data: *mut c_void) {
    // SAFETY: the box made in `Datagrams::new`, dropped once.
    guard_drop(unsafe { Box::from_raw(data.cast::<Exported<T>>()) });
}

unsafe extern "C" fn max_size<T: DatagramIo>(data: *mut c_void) -> u64 {
    // SAFETY: the caller's contract.
    guard(|| unsafe { state::<T>(data) }.io.max_size() as u64, |_| 0)
}

unsafe extern "C" fn poll_recv<T: DatagramIo>(
    data: *mut c_void,
    waker: *const RawWaker,
    slots: *mut RawDatagram,
    stride: usize,
    room: usize,
    error: *mut RawError,
) -> i64 {
    let body = || {
        let mut count = 0;
        // SAFETY: the caller's contract.
        let Exported { io, recv, after, room: own, .. } = unsafe { state::<T>(data) };
        if let Err(problem) = check_stride(stride) {
            // SAFETY: the caller's slot.
            return unsafe { fail(error, problem) };
        }
        match std::mem::take(after) {
            After::More => {}
            // SAFETY: the caller's slot.
            After::Failure(problem) => return unsafe { fail(error, problem) },
            After::End => {
                *after = After::End;
                return 0;
            }
        }
        for index in 0..room {
            // SAFETY: there are `room` slots, `stride` bytes apart.
            let slot = unsafe { slots.byte_add(index * stride) };
            // SAFETY: as above.
            let capacity = unsafe { (*slot).capacity };
            if own.len() < capacity {
                *own = vec![0; capacity];
            }
            let buffer = &mut own[..capacity];
            // SAFETY: the caller lends its waker for this call.
            let next = || match unsafe { recv.poll(waker, |cx| io.poll_recv(cx, buffer)) } {
                Poll::Ready(Ok(Some(meta))) => {
                    Poll::Ready(check_len(meta.len, capacity).map(|_| Some(meta)))
                }
                other => other,
            };
            // Guarded one by one: what arrived before a panic is delivered before it.
            match catch(next, |panic| Poll::Ready(Err(panic))) {
                Poll::Pending if count == 0 => return PENDING,
                Poll::Ready(Ok(Some(meta))) => {
                    // SAFETY: the slot's buffer is writable for `capacity` bytes, which its length is
                    // not above; the slot has all fields of version 1.0.
                    unsafe { fill(slot, &own[..meta.len], &meta) };
                    count += 1;
                }
                // SAFETY: the caller's slot.
                Poll::Ready(Err(problem)) if count == 0 => return unsafe { fail(error, problem) },
                Poll::Ready(Err(problem)) => {
                    *after = After::Failure(problem);
                    break;
                }
                Poll::Ready(Ok(None)) => {
                    *after = After::End;
                    break;
                }
                Poll::Pending => break,
            }
        }
        count
    };
    // SAFETY: the caller's slot.
    guard(body, |panic| unsafe { fail(error, panic) })
}

/// # Safety
/// `slot` has all fields of version 1.0, and a buffer of at least as many bytes.
unsafe fn fill(slot: *mut RawDatagram, bytes: &[u8], meta: &DatagramMeta) {
    // SAFETY: by this function's contract.
    unsafe {
        slice_of_mut((*slot).buffer, bytes.len()).copy_from_slice(bytes);
        (*slot).len = bytes.len();
        (*slot).peer = meta.peer.into();
        (*slot).local = meta.local.into();
        (*slot).segment = meta.segment;
        (*slot).ecn = u32::from(meta.ecn);
    }
}

unsafe extern "C" fn poll_send<T: DatagramIo>(
    data: *mut c_void,
    waker: *const RawWaker,
    slots: *const RawDatagram,
    stride: usize,
    count: usize,
    error: *mut RawError,
) -> i64 {
    let body = || {
        let mut sent = 0;
        // SAFETY: the caller's contract.
        let state = unsafe { state::<T>(data) };
        if let Err(problem) = check_stride(stride) {
            // SAFETY: the caller's slot.
            return unsafe { fail(error, problem) };
        }
        for index in 0..count {
            // SAFETY: there are `count` slots, `stride` bytes apart, with all fields of version 1.0.
            let one = || unsafe {
                let slot = slots.byte_add(index * stride);
                let meta = meta_of(slot)?;
                let bytes = slice_of((*slot).buffer, meta.len);
                state.send.poll(waker, |cx| state.io.poll_send(cx, bytes, &meta))
            };
            match catch(one, |panic| Poll::Ready(Err(panic))) {
                Poll::Ready(Ok(())) => sent += 1,
                Poll::Pending if sent == 0 => return PENDING,
                // SAFETY: the caller's slot.
                Poll::Ready(Err(problem)) if sent == 0 => return unsafe { fail(error, problem) },
                Poll::Pending | Poll::Ready(Err(_)) => break,
            }
        }
        sent
    };
    // SAFETY: the caller's slot.
    guard(body, |panic| unsafe { fail(error, panic) })
}

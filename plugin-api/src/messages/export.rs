//! The side that has the messages: a `Stream + Sink` behind the table.

use super::{Message, MessagesTable, RawMessage};
use crate::error::{Error, Result};
use crate::raw::{
    PENDING, RawError, RawObject, RawWaker, WakerCell, catch, fail, guard, guard_drop, home,
    home_of,
};
use bytes::Bytes;
use futures_core::Stream as FuturesStream;
use futures_sink::Sink;
use std::ffi::c_void;
use std::pin::Pin;
use std::task::{Poll, ready};

struct Exported<T> {
    io: T,
    recv: WakerCell,
    send: WakerCell,
    /// What comes after the messages that were delivered, or taken, before it.
    after: After,
    send_failed: Option<Error>,
}

#[derive(Default)]
enum After {
    #[default]
    More,
    Failure(Error),
    End,
}

/// Puts `io` behind a table.
pub(super) fn export<T>(io: T) -> RawObject<MessagesTable>
where
    T: FuturesStream<Item = Result<Message>> + Sink<Message, Error = Error>,
    T: Send + Unpin + 'static,
{
    let state = Exported {
        io,
        recv: WakerCell::default(),
        send: WakerCell::default(),
        after: After::More,
        send_failed: None,
    };
    let table = const {
        &MessagesTable {
            size: size_of::<MessagesTable>(),
            home: home(inner::<T>),
            drop: drop_messages::<T>,
            poll_recv: poll_recv::<T>,
            poll_send: poll_send::<T>,
            poll_flush: poll_flush::<T>,
            poll_close: poll_close::<T>,
        }
    };
    RawObject { data: Box::into_raw(Box::new(state)).cast(), table }
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

unsafe extern "C" fn drop_messages<T>(data: *mut c_void) {
    // SAFETY: the box made in `export`, dropped once.
    guard_drop(unsafe { Box::from_raw(data.cast::<Exported<T>>()) });
}

unsafe fn answer(error: *mut RawError, body: impl FnOnce() -> Poll<Result<usize>>) -> i64 {
    let body = || match body() {
        Poll::Pending => PENDING,
        Poll::Ready(Ok(count)) => i64::try_from(count).unwrap_or(i64::MAX),
        // SAFETY: the caller's slot.
        Poll::Ready(Err(problem)) => unsafe { fail(error, problem) },
    };
    // SAFETY: the caller's slot.
    guard(body, |panic| unsafe { fail(error, panic) })
}

unsafe extern "C" fn poll_recv<T>(
    data: *mut c_void,
    waker: *const RawWaker,
    out: *mut RawMessage,
    room: usize,
    error: *mut RawError,
) -> i64
where
    T: FuturesStream<Item = Result<Message>> + Unpin,
{
    // SAFETY: the caller's contract: `out` has room for `room` messages.
    unsafe {
        let Exported { io, recv, after, .. } = state::<T>(data);
        answer(error, || {
            match std::mem::take(after) {
                After::More => {}
                After::Failure(problem) => return Poll::Ready(Err(problem)),
                // Not asked again: a stream need not answer after its end.
                After::End => {
                    *after = After::End;
                    return Poll::Ready(Ok(0));
                }
            }
            let mut count = 0;
            while count < room {
                // Guarded one by one: what arrived before a panic is delivered before it.
                let next = || recv.poll(waker, |cx| Pin::new(&mut *io).poll_next(cx));
                match catch(next, |panic| Poll::Ready(Some(Err(panic)))) {
                    Poll::Pending if count == 0 => return Poll::Pending,
                    Poll::Pending => break,
                    Poll::Ready(None) => {
                        *after = After::End;
                        break;
                    }
                    Poll::Ready(Some(Ok(message))) => {
                        out.add(count).write(message.into_raw());
                        count += 1;
                    }
                    Poll::Ready(Some(Err(problem))) if count == 0 => {
                        return Poll::Ready(Err(problem));
                    }
                    Poll::Ready(Some(Err(problem))) => {
                        *after = After::Failure(problem);
                        break;
                    }
                }
            }
            Poll::Ready(Ok(count))
        })
    }
}

unsafe extern "C" fn poll_send<T>(
    data: *mut c_void,
    waker: *const RawWaker,
    messages: *mut RawMessage,
    count: usize,
    error: *mut RawError,
) -> i64
where
    T: Sink<Message, Error = Error> + Unpin,
{
    // SAFETY: the caller's contract: `count` messages, of which we take the first ones.
    unsafe {
        let Exported { io, send, send_failed, .. } = state::<T>(data);
        answer(error, || {
            if let Some(problem) = send_failed.take() {
                return Poll::Ready(Err(problem));
            }
            let mut taken = 0;
            while taken < count {
                let one = || {
                    ready!(send.poll(waker, |cx| Pin::new(&mut *io).poll_ready(cx)))?;
                    let slot = messages.add(taken);
                    // Written back as empty, so that the caller may drop all of them alike.
                    let empty = Message::binary(Bytes::new()).into_raw();
                    let message = Message::from_raw(slot.replace(empty));
                    Poll::Ready(Pin::new(&mut *io).start_send(message))
                };
                match catch(one, |panic| Poll::Ready(Err(panic))) {
                    Poll::Pending if taken == 0 => return Poll::Pending,
                    Poll::Pending => break,
                    Poll::Ready(Ok(())) => taken += 1,
                    Poll::Ready(Err(problem)) if taken == 0 => return Poll::Ready(Err(problem)),
                    // What was taken before the failure is answered for before it.
                    Poll::Ready(Err(problem)) => {
                        *send_failed = Some(problem);
                        break;
                    }
                }
            }
            Poll::Ready(Ok(taken))
        })
    }
}

unsafe extern "C" fn poll_flush<T: Sink<Message, Error = Error> + Unpin>(
    data: *mut c_void,
    waker: *const RawWaker,
    error: *mut RawError,
) -> i64 {
    // SAFETY: the caller's contract.
    unsafe {
        let Exported { io, send, send_failed, .. } = state::<T>(data);
        answer(error, || {
            if let Some(problem) = send_failed.take() {
                return Poll::Ready(Err(problem));
            }
            send.poll(waker, |cx| Pin::new(io).poll_flush(cx)).map_ok(|()| 0)
        })
    }
}

unsafe extern "C" fn poll_close<T: Sink<Message, Error = Error> + Unpin>(
    data: *mut c_void,
    waker: *const RawWaker,
    error: *mut RawError,
) -> i64 {
    // SAFETY: the caller's contract.
    unsafe {
        let Exported { io, send, send_failed, .. } = state::<T>(data);
        answer(error, || {
            if let Some(problem) = send_failed.take() {
                return Poll::Ready(Err(problem));
            }
            send.poll(waker, |cx| Pin::new(io).poll_close(cx)).map_ok(|()| 0)
        })
    }
}

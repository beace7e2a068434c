//! [`Messages`]: the message facet. Whole messages with a kind and, where the protocol has it,
//! metadata; received and sent in batches so that the crossing is paid once for many.

mod export;
mod parts;

use crate::error::{Error, Result};
use crate::op::Transfer;
use crate::raw::{
    Broken, ErrorSlot, Home, PENDING, RawBuf, RawError, RawObject, RawWaker, abi, answer_of,
    count_of, is_whole, owner_of, untrue, within_poll,
};
use crate::watch::{self, Operation, Owner};
use bytes::Bytes;
use futures_core::Stream as FuturesStream;
use futures_sink::Sink;
use std::collections::VecDeque;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What a message is. Numbers below 16 are shared by all drivers; from 16 on each driver has its own
/// (an HSMS SType, an MQTT packet type), listed in its README.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(transparent)]
pub struct MessageKind(pub u32);

impl MessageKind {
    /// Bytes without further meaning.
    pub const BINARY: Self = MessageKind(0);
    /// UTF-8 text.
    pub const TEXT: Self = MessageKind(1);
}

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Message {
    /// What it is.
    pub kind: MessageKind,
    /// The driver's own number for it (a stream, function or packet id); 0 where it has none.
    pub id: u64,
    /// The content.
    pub payload: Bytes,
    /// What belongs to it beside the content, in the driver's documented form; mostly empty.
    pub metadata: Bytes,
}

impl Message {
    /// A binary message.
    pub fn binary(payload: impl Into<Bytes>) -> Self {
        Message::of(MessageKind::BINARY, payload.into())
    }
    /// A text message.
    pub fn text(payload: impl Into<String>) -> Self {
        Message::of(MessageKind::TEXT, Bytes::from(payload.into()))
    }
    /// A message of `kind` without an id or metadata.
    pub fn of(kind: MessageKind, payload: Bytes) -> Self {
        Message { kind, id: 0, payload, metadata: Bytes::new() }
    }

    /// Sets the driver's own number for it.
    #[must_use]
    pub fn with_id(mut self, id: u64) -> Self {
        self.id = id;
        self
    }
    /// Sets what belongs to it beside the content.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<Bytes>) -> Self {
        self.metadata = metadata.into();
        self
    }

    fn into_raw(self) -> RawMessage {
        RawMessage {
            kind: self.kind.0,
            flags: 0,
            id: self.id,
            payload: RawBuf::new(self.payload),
            metadata: RawBuf::new(self.metadata),
        }
    }
    fn from_raw(raw: RawMessage) -> Self {
        Message {
            kind: MessageKind(raw.kind),
            id: raw.id,
            payload: raw.payload.into_bytes(),
            metadata: raw.metadata.into_bytes(),
        }
    }
}

abi! {
    /// A message on its way across.
    #[derive(Debug)]
    pub frozen struct RawMessage {
        kind: u32,
        flags: u32,
        id: u64,
        payload: RawBuf,
        metadata: RawBuf,
    }
}

abi! {
    /// The functions of the message facet. Counts are messages; a receive of 0 is the end.
    #[derive(Debug)]
    pub grows struct MessagesTable {
        size: usize,
        home: Home,
        drop: unsafe extern "C" fn(*mut c_void),
        poll_recv: unsafe extern "C" fn(
            *mut c_void,
            *const RawWaker,
            *mut RawMessage,
            usize,
            *mut RawError,
        ) -> i64,
        /// Takes the first `n` of them, leaves an empty message in the place of each, and answers `n`, at
        /// least 1. On [`PENDING`] none was taken. On [`FAILED`] none of them will be sent; all are still
        /// the caller's to drop.
        ///
        /// [`FAILED`]: crate::raw::FAILED
        poll_send: unsafe extern "C" fn(
            *mut c_void,
            *const RawWaker,
            *mut RawMessage,
            usize,
            *mut RawError,
        ) -> i64,
        poll_flush: unsafe extern "C" fn(*mut c_void, *const RawWaker, *mut RawError) -> i64,
        poll_close: unsafe extern "C" fn(*mut c_void, *const RawWaker, *mut RawError) -> i64,
    }
}

impl RawMessage {
    fn is_given_away(&self) -> bool {
        self.payload.is_given_away() && self.metadata.is_given_away()
    }
}

/// The most messages that cross at once in either direction, and that wait on this side.
const BATCH: usize = 16;

/// The message facet of a session: a `Stream` of messages and a `Sink` for them.
///
/// Receiving is cancel safe. A message that `start_send` has taken is sent by the next flush even if
/// the future that gave it is dropped. After an error of sending, what was not yet handed over is
/// dropped.
pub struct Messages {
    raw: RawObject<MessagesTable>,
    owner: Owner,
    received: VecDeque<Message>,
    outgoing: VecDeque<Message>,
    ended: bool,
}

// SAFETY: `Messages::new` takes only `Send` values, and the far side promises the same.
unsafe impl Send for Messages {}
// SAFETY: every use needs `&mut self`.
unsafe impl Sync for Messages {}

impl Messages {
    /// Makes a `Stream + Sink` of messages pollable from the other side.
    pub fn new<T>(io: T) -> Self
    where
        T: FuturesStream<Item = Result<Message>> + Sink<Message, Error = Error>,
        T: Send + Unpin + 'static,
    {
        Messages::from(export::export(io), Owner::NOBODY)
    }

    fn from(raw: RawObject<MessagesTable>, owner: Owner) -> Self {
        Messages { raw, owner, received: VecDeque::new(), outgoing: VecDeque::new(), ended: false }
    }
}

impl Transfer for Messages {
    type Raw = RawObject<MessagesTable>;
    fn into_raw(self) -> Self::Raw {
        // What already waits on this side goes along, one layer deeper.
        let waits = self.ended || !self.received.is_empty() || !self.outgoing.is_empty();
        if waits || !self.owner.is_nobody() {
            return Messages::new(self).into_raw();
        }
        std::mem::ManuallyDrop::new(self).raw
    }
    unsafe fn from_raw(raw: Self::Raw) -> Self {
        // SAFETY: a table is alive as long as its binary, which is never unloaded.
        unsafe {
            if !is_whole(raw.table) {
                return Messages::new(Broken("message facet"));
            }
            Messages::from(raw, owner_of(&raw const (*raw.table).home))
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        watch::within(self.owner, Operation::Drop, || {
            // SAFETY: this is the only owner.
            unsafe { ((*self.raw.table).drop)(self.raw.data) };
        });
    }
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Messages")
    }
}

impl FuturesStream for Messages {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(message) = self.received.pop_front() {
            return Poll::Ready(Some(Ok(message)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let raw = self.raw;
        let mut error = ErrorSlot::new();
        let mut out = [const { MaybeUninit::<RawMessage>::uninit() }; BATCH];
        let code = within_poll(self.owner, Operation::Receive, cx, |waker| {
            // SAFETY: the table belongs to the data, and `out` has room for `BATCH`.
            unsafe {
                let receive = (*raw.table).poll_recv;
                receive(raw.data, waker, out.as_mut_ptr().cast(), BATCH, error.as_mut_ptr())
            }
        });
        match count_of(
            code,
            &mut error,
            BATCH,
            "a session gave more messages than it was asked for",
        ) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => {
                self.ended = true;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(Ok(count)) => {
                for slot in out.into_iter().take(count) {
                    // SAFETY: the far side has written the first `count`.
                    self.received.push_back(Message::from_raw(unsafe { slot.assume_init() }));
                }
                self.ended = count == 0;
                Poll::Ready(self.received.pop_front().map(Ok))
            }
        }
    }
}

impl Messages {
    /// Hands over what waits on this side.
    fn poll_drain(&mut self, cx: &Context<'_>) -> Poll<Result<()>> {
        while !self.outgoing.is_empty() {
            let raw = self.raw;
            let mut error = ErrorSlot::new();
            let mut batch: Vec<RawMessage> =
                self.outgoing.drain(..).map(Message::into_raw).collect();
            let code = within_poll(self.owner, Operation::Send, cx, |waker| {
                // SAFETY: the batch is ours; the far side takes the first `n` and answers `n`.
                unsafe {
                    let send = (*raw.table).poll_send;
                    send(raw.data, waker, batch.as_mut_ptr(), batch.len(), error.as_mut_ptr())
                }
            });
            let most = batch.len();
            let taken =
                match count_of(code, &mut error, most, "more messages than given were taken") {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(untrue("no message was taken"))),
                    Poll::Ready(Ok(taken)) => taken,
                    Poll::Pending => 0,
                    // A sink that failed takes nothing more: what waits would only come out of order.
                    Poll::Ready(Err(problem)) => return Poll::Ready(Err(problem)),
                };
            if !batch[..taken].iter().all(RawMessage::is_given_away) {
                // Their owner is unknown now: a leak is better than freeing them twice.
                std::mem::forget(batch);
                let text = "messages were taken and are still in their places";
                return Poll::Ready(Err(untrue(text)));
            }
            self.outgoing.extend(batch.into_iter().skip(taken).map(Message::from_raw));
            if code == PENDING {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_code(
        &self,
        operation: Operation,
        cx: &Context<'_>,
        call: unsafe extern "C" fn(*mut c_void, *const RawWaker, *mut RawError) -> i64,
    ) -> Poll<Result<()>> {
        let mut error = ErrorSlot::new();
        let code = within_poll(self.owner, operation, cx, |waker| {
            // SAFETY: `call` is of the table that belongs to the data.
            unsafe { call(self.raw.data, waker, error.as_mut_ptr()) }
        });
        answer_of(code, &mut error).map_ok(|_| ())
    }
}

impl Sink<Message> for Messages {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.outgoing.len() < BATCH { Poll::Ready(Ok(())) } else { self.poll_drain(cx) }
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        self.outgoing.push_back(message);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_drain(cx))?;
        // SAFETY: the table lives as long as its binary.
        let flush = unsafe { (*self.raw.table).poll_flush };
        self.poll_code(Operation::Flush, cx, flush)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_drain(cx))?;
        // SAFETY: the table lives as long as its binary.
        let close = unsafe { (*self.raw.table).poll_close };
        self.poll_code(Operation::Close, cx, close)
    }
}

//! Between bytes and messages: [`Framing`] makes messages of what is read, [`Unframing`] writes
//! their payloads.

use super::duplex::{Direction, Fault, Flow};
use super::message::{poll_flushed, poll_message};
use super::scratch::with_scratch;
use super::stream::{Outgoing, TURN, receiving, sending};
use super::text::Cut;
use super::{Frames, Side};
use bytes::Bytes;
use futures_util::Sink;
use jackfield_plugin_api::{Message, Messages, Stream};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes to messages: what one read gives is one message.
#[derive(Default)]
pub(super) struct Framing {
    text: Cut,
    /// Made of what was read and not yet taken.
    waiting: VecDeque<Message>,
    unflushed: bool,
    ended: bool,
}

impl Framing {
    /// Reads once; what came waits as messages, none if only part of a character has come. Ready with
    /// whether that was the end.
    fn poll_fill(
        &mut self,
        from: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<bool, Fault>> {
        let options = flow.options;
        let (frames, sizes) = (options.frames, options.sizes);
        let text = frames != Frames::Binary;
        // A character of text needs its four bytes of room.
        let size = sizes.buffer.min(sizes.max_message).max(if text { 4 } else { 1 });
        with_scratch(size, |scratch| {
            let begin = self.text.restore(scratch);
            let mut buf = ReadBuf::new(&mut scratch[begin..]);
            ready!(Pin::new(from).poll_read(flow.cx, &mut buf)).map_err(receiving)?;
            let read = buf.filled().len();
            let bytes = &scratch[..begin + read];
            let max = sizes.max_message;
            if read == 0 {
                self.text.finish(frames, max, &mut self.waiting);
            } else if text {
                self.text.cut(bytes, frames, max, &mut self.waiting);
            } else {
                let payload = Bytes::copy_from_slice(bytes);
                self.waiting.push_back(Message::of(frames.kind(), payload));
            }
            Poll::Ready(Ok(read == 0))
        })
    }
}

impl Direction<Stream, Messages> for Framing {
    fn poll_move(
        &mut self,
        from: &mut Stream,
        to: &mut Messages,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        let mut turn = 0;
        loop {
            while !self.waiting.is_empty() {
                ready!(Pin::new(&mut *to).poll_ready(flow.cx)).map_err(sending)?;
                let Some(message) = self.waiting.pop_front() else { break };
                let length = message.payload.len();
                Pin::new(&mut *to).start_send(message).map_err(sending)?;
                self.unflushed = true;
                flow.moved(length, 1);
                turn += length;
            }
            if self.ended {
                return self.poll_end(to, flow);
            }
            ready!(Pin::new(&mut *to).poll_ready(flow.cx)).map_err(sending)?;
            if turn >= TURN {
                flow.cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.poll_fill(from, flow) {
                Poll::Ready(ended) => self.ended = ended?,
                Poll::Pending => {
                    ready!(self.poll_flush(to, flow))?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_flush(
        &mut self,
        to: &mut Messages,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        poll_flushed(to, &mut self.unflushed, flow)
    }

    fn end(&mut self) {
        self.ended = true;
    }
}

impl Framing {
    /// Messages end as a whole. Those of the far side may still answer what was sent last; the near side
    /// has had all that there is.
    fn poll_end(&mut self, to: &mut Messages, flow: &mut Flow<'_, '_>) -> Poll<Result<(), Fault>> {
        if flow.last || flow.to == Side::A {
            return Pin::new(to).poll_close(flow.cx).map_err(sending);
        }
        ready!(Pin::new(to).poll_flush(flow.cx)).map_err(sending)?;
        flow.untold();
        Poll::Ready(Ok(()))
    }
}

/// Messages to bytes: payloads one after the other. Kind, id and metadata stay behind.
#[derive(Default)]
pub(super) struct Unframing {
    out: Outgoing,
    ended: bool,
}

impl Direction<Messages, Stream> for Unframing {
    fn poll_move(
        &mut self,
        from: &mut Messages,
        to: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        let mut turn = 0;
        loop {
            ready!(self.out.poll_write(to, flow)).map_err(sending)?;
            if self.ended {
                let done = ready!(Pin::new(to).poll_shutdown(flow.cx));
                return Poll::Ready(flow.shut(done));
            }
            if turn >= TURN {
                flow.cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match poll_message(from, flow) {
                Poll::Ready(Ok(None)) => self.ended = true,
                Poll::Ready(message) => {
                    if let Some(message) = message? {
                        turn += message.payload.len() + size_of::<Message>();
                        self.out.put(message.payload);
                    }
                }
                Poll::Pending => {
                    ready!(self.poll_flush(to, flow))?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_flush(&mut self, to: &mut Stream, flow: &mut Flow<'_, '_>) -> Poll<Result<(), Fault>> {
        self.out.poll_flush(to, flow).map_err(sending)
    }

    fn end(&mut self) {
        self.ended = true;
    }
}

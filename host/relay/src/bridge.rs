//! Between bytes and messages: [`Framing`] makes messages of what is read, [`Unframing`] writes
//! their payloads.

use super::duplex::{Fault, Flow};
use super::message::{poll_flushed, poll_message};
use super::scratch::with_scratch;
use super::steps::{Intake, Steps};
use super::stream::{Outgoing, poll_shut, receiving, sending};
use super::text::Cut;
use super::{Frames, Side};
use bytes::Bytes;
use futures_util::Sink;
use jackfield_plugin_api::{Message, Messages, Stream};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes to messages: what one read gives is one message.
#[derive(Default)]
pub(super) struct Framing {
    text: Cut,
    /// Made of what was read and not yet taken.
    waiting: VecDeque<Message>,
    unflushed: bool,
    ended: bool,
}

impl Steps<Stream, Messages> for Framing {
    fn poll_hand_over(
        &mut self,
        to: &mut Messages,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        while !self.waiting.is_empty() {
            ready!(Pin::new(&mut *to).poll_ready(flow.cx)).map_err(sending)?;
            let Some(message) = self.waiting.pop_front() else { break };
            let length = message.payload.len();
            Pin::new(&mut *to).start_send(message).map_err(sending)?;
            self.unflushed = true;
            flow.moved(length, 1);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once; what came waits as messages, none if only part of a character has come.
    fn poll_take(
        &mut self,
        from: &mut Stream,
        to: &mut Messages,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<Intake, Fault>> {
        ready!(Pin::new(to).poll_ready(flow.cx)).map_err(sending)?;
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
                return Poll::Ready(Ok(Intake::End));
            }
            if text {
                self.text.cut(bytes, frames, max, &mut self.waiting);
            } else {
                let payload = Bytes::copy_from_slice(bytes);
                self.waiting.push_back(Message::of(frames.kind(), payload));
            }
            Poll::Ready(Ok(Intake::Some(read)))
        })
    }

    fn poll_go_out(
        &mut self,
        to: &mut Messages,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        poll_flushed(to, &mut self.unflushed, flow)
    }

    /// Messages end as a whole. Those of the far side may still answer what was sent last; the near side
    /// has had all that there is.
    fn poll_pass_end(
        &mut self,
        to: &mut Messages,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        if flow.last || flow.to == Side::A {
            return Pin::new(to).poll_close(flow.cx).map_err(sending);
        }
        ready!(Pin::new(to).poll_flush(flow.cx)).map_err(sending)?;
        flow.untold();
        Poll::Ready(Ok(()))
    }

    fn ended(&mut self) -> &mut bool {
        &mut self.ended
    }
}

/// Messages to bytes: payloads one after the other. Kind, id and metadata stay behind.
#[derive(Default)]
pub(super) struct Unframing {
    out: Outgoing,
    ended: bool,
}

impl Steps<Messages, Stream> for Unframing {
    fn poll_hand_over(
        &mut self,
        to: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        self.out.poll_write(to, flow)
    }

    fn poll_take(
        &mut self,
        from: &mut Messages,
        _: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<Intake, Fault>> {
        let Some(message) = ready!(poll_message(from, flow))? else {
            return Poll::Ready(Ok(Intake::End));
        };
        let count = message.payload.len() + size_of::<Message>();
        self.out.put(message.payload);
        Poll::Ready(Ok(Intake::Some(count)))
    }

    fn poll_go_out(&mut self, to: &mut Stream, flow: &mut Flow<'_, '_>) -> Poll<Result<(), Fault>> {
        self.out.poll_flush(to, flow)
    }

    fn poll_pass_end(
        &mut self,
        to: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        poll_shut(to, flow)
    }

    fn ended(&mut self) -> &mut bool {
        &mut self.ended
    }
}

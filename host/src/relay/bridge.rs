//! Between bytes and messages: [`Framing`] makes messages of what is read, [`Unframing`] writes
//! their payloads.

use super::message::poll_message;
use super::pair::{Fault, Flow, Way};
use super::scratch::with_scratch;
use super::stream::{Outgoing, TURN, receiving, sending};
use bytes::Bytes;
use futures_util::Sink;
use jackfield_plugin_api::{Error, ErrorKind, Message, MessageKind, Messages, Stream};
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes to messages: what one read gives is one message.
#[derive(Default)]
pub(super) struct Framing {
    text: Cut,
    unflushed: bool,
    ended: bool,
}

impl Framing {
    /// Reads once. Ready with a message's payload, empty if only part of a character has come, or
    /// `None` at the end.
    fn poll_payload(
        &mut self,
        from: &mut Stream,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<Option<Bytes>, Fault>> {
        let text = flow.options.frames == MessageKind::TEXT;
        // A character of text needs its four bytes of room.
        let size = flow.options.buffer.min(flow.options.max_message).max(if text { 4 } else { 1 });
        with_scratch(size, |scratch| {
            let begin = self.text.restore(scratch);
            let mut buf = ReadBuf::new(&mut scratch[begin..]);
            ready!(Pin::new(from).poll_read(flow.cx, &mut buf)).map_err(receiving)?;
            let read = buf.filled().len();
            if read == 0 {
                return Poll::Ready(self.text.finish().map(|()| None).map_err(receiving));
            }
            let bytes = &scratch[..begin + read];
            let whole = if text { self.text.cut(bytes).map_err(receiving)? } else { bytes };
            Poll::Ready(Ok(Some(Bytes::copy_from_slice(whole))))
        })
    }
}

impl Way<Stream, Messages> for Framing {
    fn poll_move(
        &mut self,
        from: &mut Stream,
        to: &mut Messages,
        flow: &mut Flow<'_, '_>,
    ) -> Poll<Result<(), Fault>> {
        let mut turn = 0;
        loop {
            if self.ended {
                return Pin::new(to).poll_close(flow.cx).map_err(sending);
            }
            ready!(Pin::new(&mut *to).poll_ready(flow.cx)).map_err(sending)?;
            if turn >= TURN {
                flow.cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.poll_payload(from, flow) {
                Poll::Ready(payload) => match payload? {
                    None => self.ended = true,
                    Some(payload) if payload.is_empty() => {}
                    Some(payload) => {
                        let length = payload.len();
                        let message = Message::of(flow.options.frames, payload);
                        Pin::new(&mut *to).start_send(message).map_err(sending)?;
                        self.unflushed = true;
                        flow.moved(length, 1);
                        turn += length;
                    }
                },
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(to).poll_flush(flow.cx)).map_err(sending)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Cuts text between characters and keeps the beginning of one for the next message.
#[derive(Default)]
struct Cut {
    kept: [u8; 3],
    length: usize,
    /// Bytes of whole characters so far, for error messages.
    passed: u64,
}

impl Cut {
    /// Puts what was kept at the beginning of `scratch`; it stays kept until the next `cut`.
    fn restore(&self, scratch: &mut [u8]) -> usize {
        scratch[..self.length].copy_from_slice(&self.kept[..self.length]);
        self.length
    }

    /// The whole characters of `bytes`.
    fn cut<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Error> {
        let whole = match std::str::from_utf8(bytes) {
            Ok(_) => bytes.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(error) => return Err(self.invalid(error.valid_up_to())),
        };
        let (whole, part) = bytes.split_at(whole);
        self.length = part.len();
        self.kept[..part.len()].copy_from_slice(part);
        self.passed += whole.len() as u64;
        Ok(whole)
    }

    /// The end of the text, which must not lie inside a character.
    fn finish(&self) -> Result<(), Error> {
        if self.length == 0 { Ok(()) } else { Err(self.invalid(0)) }
    }

    fn invalid(&self, at: usize) -> Error {
        Error::new(ErrorKind::Protocol, "the stream is not UTF-8, which text messages must be")
            .with("byte", self.passed + at as u64)
    }
}

/// Messages to bytes: payloads one after the other. Kind, id and metadata stay behind.
#[derive(Default)]
pub(super) struct Unframing {
    out: Outgoing,
    ended: bool,
}

impl Way<Messages, Stream> for Unframing {
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
                    ready!(self.out.poll_flush(to, flow)).map_err(sending)?;
                    return Poll::Pending;
                }
            }
        }
    }
}

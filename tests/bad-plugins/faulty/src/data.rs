//! The data facets: each echoes, and fails where it is told to.

use crate::fault::{Fault, Lie, OnDrop, Place};
use crate::session::part;
use bytes::{Buf, BytesMut};
use futures_core::Stream;
use futures_sink::Sink;
use jackfield_plugin_api::{Body, BodyPart, DatagramIo, DatagramMeta, Error, Message, Result};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes or messages held for their reader.
const ROOM: usize = 1024;

pub(crate) struct EchoBytes {
    pub(crate) fault: Fault,
    held: BytesMut,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    _dropped: OnDrop,
}

impl EchoBytes {
    pub(crate) fn new(fault: Fault) -> Self {
        let dropped = fault.on_drop(Place::DropStream);
        let held = BytesMut::new();
        EchoBytes { fault, held, ended: false, reader: None, writer: None, _dropped: dropped }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl AsyncRead for EchoBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.fault.at(Place::Read);
        if self.held.is_empty() && !self.ended {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        match self.fault.lie(Place::Read) {
            Some(Lie::Swap) => {
                *buf = ReadBuf::new(Box::leak(Box::new(*b"of another")));
                buf.set_filled(10);
                return Poll::Ready(Ok(()));
            }
            Some(Lie::Endless) => {
                buf.put_slice(&[b'.'; ROOM][..ROOM.min(buf.remaining())]);
                return Poll::Ready(Ok(()));
            }
            Some(Lie::Silent) => return Poll::Pending,
            Some(Lie::Restless) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            _ => {}
        }
        let count = self.held.len().min(buf.remaining());
        buf.put_slice(&self.held[..count]);
        self.held.advance(count);
        wake(&mut self.writer);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for EchoBytes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.fault.at(Place::Write);
        match self.fault.lie(Place::Write) {
            Some(Lie::OneMore) => return Poll::Ready(Ok(bytes.len() + 1)),
            Some(Lie::Most) => return Poll::Ready(Ok(usize::MAX)),
            Some(Lie::None) => return Poll::Ready(Ok(0)),
            Some(Lie::Silent) => return Poll::Pending,
            _ => {}
        }
        let room = ROOM.saturating_sub(self.held.len());
        if room == 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = room.min(bytes.len());
        self.held.extend_from_slice(&bytes[..count]);
        wake(&mut self.reader);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fault.at(Place::Flush);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fault.at(Place::Shutdown);
        self.ended = true;
        wake(&mut self.reader);
        Poll::Ready(Ok(()))
    }
}

pub(crate) struct EchoMessages {
    fault: Fault,
    held: VecDeque<Message>,
    reader: Option<Waker>,
    _dropped: OnDrop,
}

impl EchoMessages {
    pub(crate) fn new(fault: Fault) -> Self {
        let dropped = fault.on_drop(Place::DropMessages);
        EchoMessages { fault, held: VecDeque::new(), reader: None, _dropped: dropped }
    }
}

impl Stream for EchoMessages {
    type Item = Result<Message>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.fault.at(Place::Recv);
        if let Some(message) = self.held.pop_front() {
            return Poll::Ready(Some(Ok(message)));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Sink<Message> for EchoMessages {
    type Error = Error;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.fault.at(Place::Send);
        Poll::Ready(Ok(()))
    }
    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        self.fault.at(Place::SendStart);
        self.held.truncate(ROOM);
        self.held.push_back(message);
        wake(&mut self.reader);
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.fault.at(Place::FlushMessages);
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.fault.at(Place::CloseMessages);
        Poll::Ready(Ok(()))
    }
}

pub(crate) struct EchoDatagrams {
    fault: Fault,
    held: VecDeque<Vec<u8>>,
    _dropped: OnDrop,
}

impl EchoDatagrams {
    pub(crate) fn new(fault: Fault) -> Self {
        let dropped = fault.on_drop(Place::DropDatagrams);
        EchoDatagrams { fault, held: VecDeque::new(), _dropped: dropped }
    }
}

impl DatagramIo for EchoDatagrams {
    /// Receiving before anything was sent is the end: nobody waits for datagrams here.
    fn poll_recv(
        &mut self,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        self.fault.at(Place::DatagramRecv);
        let Some(datagram) = self.held.pop_front() else { return Poll::Ready(Ok(None)) };
        let len = datagram.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram[..len]);
        Poll::Ready(Ok(Some(DatagramMeta::new(len, None))))
    }

    fn poll_send(
        &mut self,
        _: &mut Context<'_>,
        buffer: &[u8],
        _: &DatagramMeta,
    ) -> Poll<Result<()>> {
        self.fault.at(Place::DatagramSend);
        self.held.truncate(ROOM);
        self.held.push_back(buffer.to_vec());
        Poll::Ready(Ok(()))
    }

    fn max_size(&self) -> usize {
        self.fault.at(Place::DatagramSize);
        1200
    }
}

/// A body of one part.
pub(crate) fn body(fault: Fault) -> Body {
    let part = Some(part(fault));
    Body::new(OnePart { fault, part, _dropped: fault.on_drop(Place::DropBody) })
}

struct OnePart {
    fault: Fault,
    part: Option<BodyPart>,
    _dropped: OnDrop,
}

impl Stream for OnePart {
    type Item = Result<BodyPart>;
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.fault.at(Place::Body);
        Poll::Ready(self.part.take().map(Ok))
    }
}

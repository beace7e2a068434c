//! Datagrams as messages: each is one binary message.

use super::scratch::with_scratch;
use bytes::Bytes;
use futures_util::{Sink, Stream};
use jackfield_plugin_api::{DatagramMeta, Datagrams, Error, Message, Messages, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// As long as any datagram of IP is, and one byte more than most are.
const LONGEST: usize = 65_536;

/// The datagrams of a session as messages. Each datagram received is a binary message; of a message
/// to send, the payload goes out as one datagram, whatever its kind, or is refused as too long by
/// its owner. While idle it holds no buffer.
pub fn messages_of(datagrams: Datagrams) -> Messages {
    Messages::new(Packets { datagrams, joined: (Bytes::new(), 0), outgoing: None })
}

struct Packets {
    datagrams: Datagrams,
    /// What is left of several datagrams that came as one piece, and the size of each.
    joined: (Bytes, usize),
    outgoing: Option<Bytes>,
}

impl Packets {
    fn next_joined(&mut self) -> Option<Bytes> {
        let (rest, size) = &mut self.joined;
        (!rest.is_empty()).then(|| rest.split_to((*size).min(rest.len())))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        with_scratch(LONGEST, |scratch| {
            let mut meta = [DatagramMeta::default()];
            let count = ready!(self.datagrams.poll_recv(cx, &mut [&mut *scratch], &mut meta))?;
            let [meta] = meta;
            if count == 0 {
                return Poll::Ready(Ok(None));
            }
            let bytes = Bytes::copy_from_slice(&scratch[..meta.len]);
            let segment = usize::try_from(meta.segment).unwrap_or(0);
            if segment == 0 || segment >= bytes.len() {
                return Poll::Ready(Ok(Some(bytes)));
            }
            self.joined = (bytes, segment);
            Poll::Ready(Ok(self.next_joined()))
        })
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(bytes) = &self.outgoing else { return Poll::Ready(Ok(())) };
        let meta = DatagramMeta::new(bytes.len(), None);
        let sent = ready!(self.datagrams.poll_send(cx, bytes, &meta));
        self.outgoing = None;
        Poll::Ready(sent)
    }
}

impl Stream for Packets {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(bytes) = self.next_joined() {
            return Poll::Ready(Some(Ok(Message::binary(bytes))));
        }
        let received = ready!(self.poll_recv(cx));
        Poll::Ready(received.transpose().map(|bytes| bytes.map(Message::binary)))
    }
}

impl Sink<Message> for Packets {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_sent(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        self.outgoing = Some(message.payload);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_sent(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_sent(cx)
    }
}

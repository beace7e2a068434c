//! Bytes both ways over whatever facet a session has, so that one case fits all.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use futures_util::{
    SinkExt, StreamExt,
    future::poll_fn,
    stream::{SplitSink, SplitStream, unfold},
};
use jackfield_plugin_api::{
    Body, BodyPart, DatagramMeta, Datagrams, Envelope, Error, HeaderBlock, Message, Messages,
    Result, Session, Stream,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::mpsc,
};

/// The most bytes that are given away at once; a datagram has room for it.
pub(super) const PIECE: usize = 8192;

/// Both directions of a session.
pub(super) struct Pipe {
    pub(super) out: Out,
    pub(super) back: Back,
}

/// Our direction.
pub(super) enum Out {
    Stream(WriteHalf<Stream>),
    Messages(SplitSink<Messages, Message>),
    Datagrams(Arc<Mutex<Datagrams>>),
    Content(Option<mpsc::Sender<Bytes>>),
}

/// The peer's direction, with what was received and not yet asked for.
pub(super) struct Back {
    from: From,
    rest: BytesMut,
}

enum From {
    Stream(ReadHalf<Stream>),
    Messages(SplitStream<Messages>),
    Datagrams(Arc<Mutex<Datagrams>>),
    Content(Body),
}

impl Pipe {
    /// Takes the facet that the session has.
    pub(super) async fn take(session: &Session) -> Result<Self> {
        let (out, from) = if let Some(stream) = session.take_stream() {
            let (read, write) = tokio::io::split(stream);
            (Out::Stream(write), From::Stream(read))
        } else if let Some(messages) = session.take_messages() {
            let (sink, stream) = messages.split();
            (Out::Messages(sink), From::Messages(stream))
        } else if let Some(datagrams) = session.take_datagrams() {
            let both = Arc::new(Mutex::new(datagrams));
            (Out::Datagrams(Arc::clone(&both)), From::Datagrams(both))
        } else if let Some(exchange) = session.take_exchange() {
            let (sender, receiver) = mpsc::channel(1);
            let parts = unfold(receiver, |mut receiver: mpsc::Receiver<Bytes>| async {
                receiver.recv().await.map(|bytes| (Ok(BodyPart::Data(bytes)), receiver))
            });
            let head = HeaderBlock::new([(":method", "POST"), (":path", "/")])?;
            let request = Envelope::new(head, Body::new(Box::pin(parts)));
            let answer = exchange.send(request).await?;
            (Out::Content(Some(sender)), From::Content(answer.body))
        } else {
            return Err(Error::unsupported("a session without any data"));
        };
        Ok(Self { out, back: Back { from, rest: BytesMut::new() } })
    }

    /// Sends `bytes` and takes as many back: what came, or an error of either direction.
    pub(super) async fn there_and_back(&mut self, bytes: &[u8]) -> Result<Vec<u8>> {
        let Self { out, back } = self;
        if matches!(out, Out::Datagrams(_)) {
            // One after the other: a network may drop what is too much for it.
            let mut all = Vec::new();
            for piece in bytes.chunks(PIECE) {
                out.send(piece).await?;
                all.extend(back.read(piece.len()).await?);
            }
            return Ok(all);
        }
        let ((), came) = tokio::try_join!(out.send(bytes), back.read(bytes.len()))?;
        Ok(came)
    }
}

impl Out {
    /// Sends all of `bytes`.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = Bytes::copy_from_slice(bytes);
        while !rest.is_empty() {
            let taken = self.offer(&rest).await?;
            let _ = rest.split_to(taken);
        }
        self.flush().await
    }

    /// Gives away as much of `bytes` as is taken now, at most a piece. Cancel safe: then nothing was
    /// taken.
    pub(super) async fn offer(&mut self, bytes: &Bytes) -> Result<usize> {
        let piece = bytes.slice(..bytes.len().min(PIECE));
        let len = piece.len();
        match self {
            Out::Stream(write) => return Ok(write.write(&piece).await?),
            Out::Messages(sink) => {
                poll_fn(|cx| sink.poll_ready_unpin(cx)).await?;
                sink.start_send_unpin(Message::binary(piece))?;
            }
            Out::Datagrams(both) => {
                let meta = DatagramMeta::default();
                poll_fn(|cx| both.lock().unwrap().poll_send(cx, &piece, &meta)).await?;
            }
            Out::Content(sender) => {
                let gone = || Error::new(jackfield_plugin_api::ErrorKind::Closed, "nobody reads");
                let sender = sender.as_mut().ok_or_else(gone)?;
                sender.reserve().await.map_err(|_| gone())?.send(piece);
            }
        }
        Ok(len)
    }

    async fn flush(&mut self) -> Result<()> {
        match self {
            Out::Stream(write) => Ok(write.flush().await?),
            Out::Messages(sink) => sink.flush().await,
            Out::Datagrams(_) | Out::Content(_) => Ok(()),
        }
    }

    /// Ends our direction.
    pub(super) async fn finish(&mut self) -> Result<()> {
        match self {
            Out::Stream(write) => Ok(write.shutdown().await?),
            Out::Messages(sink) => sink.close().await,
            Out::Datagrams(_) => Err(Error::unsupported("ending one direction")),
            Out::Content(sender) => {
                *sender = None;
                Ok(())
            }
        }
    }
}

impl Back {
    /// Reads `count` bytes.
    pub(super) async fn read(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.rest.len() < count {
            if !self.more().await? {
                let kind = jackfield_plugin_api::ErrorKind::Closed;
                let text = format!("the session has ended after {} bytes", self.rest.len());
                return Err(Error::new(kind, text));
            }
        }
        Ok(self.rest.split_to(count).to_vec())
    }

    /// Reads to the end.
    pub(super) async fn read_to_end(&mut self) -> Result<Vec<u8>> {
        while self.more().await? {}
        Ok(self.rest.split().to_vec())
    }

    /// Whether there was more.
    async fn more(&mut self) -> Result<bool> {
        let bytes = match &mut self.from {
            From::Stream(read) => return Ok(read.read_buf(&mut self.rest).await? > 0),
            From::Messages(stream) => {
                stream.next().await.transpose()?.map(|message| message.payload)
            }
            From::Datagrams(both) => {
                let mut buffer = vec![0; 65_536];
                let mut meta = [DatagramMeta::default()];
                let received = poll_fn(|cx| {
                    let mut slots = [&mut buffer[..]];
                    both.lock().unwrap().poll_recv(cx, &mut slots, &mut meta)
                });
                let count = received.await?;
                (count == 1).then(|| Bytes::copy_from_slice(&buffer[..meta[0].len]))
            }
            From::Content(body) => match Pin::new(body).next().await.transpose()? {
                Some(BodyPart::Data(bytes)) => Some(bytes),
                Some(BodyPart::Trailers(_)) | None => None,
            },
        };
        self.rest.extend_from_slice(bytes.as_deref().unwrap_or_default());
        Ok(bytes.is_some())
    }
}

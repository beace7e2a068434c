//! Both ends of each facet, joined in memory.

use crate::datagrams::{DatagramIo, DatagramMeta, Datagrams};
use crate::error::{Error, ErrorKind, Result};
use crate::exchange::{Answer, Envelope, Exchange, Exchanger, Incoming};
use crate::info::Info;
use crate::messages::{Message, Messages};
use crate::session::Session;
use crate::stream::Stream;
use bytes::Bytes;
use futures_util::{sink, stream};
use std::task::{Context, Poll, ready};
use tokio::sync::{Mutex, mpsc, oneshot};

fn infos() -> [Info; 2] {
    [("memory:1", "memory:2"), ("memory:2", "memory:1")]
        .map(|(local, peer)| Info::new().local(local).peer(peer))
}

/// Two sessions with a byte stream each, joined in memory; `capacity` bytes may be on the way in
/// each direction.
pub fn carriers(capacity: usize) -> (Session, Session) {
    let (one, other) = tokio::io::duplex(capacity);
    let [near, far] = infos();
    (Session::of_stream(near, Stream::new(one)), Session::of_stream(far, Stream::new(other)))
}

/// Two sessions with messages, joined in memory; `capacity` messages, at least one, may be on the way in
/// each direction.
pub fn messages(capacity: usize) -> (Session, Session) {
    let (to_far, at_far) = mpsc::channel(capacity.max(1));
    let (to_near, at_near) = mpsc::channel(capacity.max(1));
    let [near, far] = infos();
    (
        Session::of_messages(near, message_end(to_far, at_near)),
        Session::of_messages(far, message_end(to_near, at_far)),
    )
}

fn message_end(out: mpsc::Sender<Message>, mut incoming: mpsc::Receiver<Message>) -> Messages {
    let received = stream::poll_fn(move |cx| incoming.poll_recv(cx).map(|it| it.map(Ok)));
    let sent = sink::unfold(out, |out, message: Message| async move {
        out.send(message).await.map_err(|_| gone())?;
        Ok(out)
    });
    Messages::from_parts(received, sent)
}

fn gone() -> Error {
    Error::new(ErrorKind::Closed, "the other end is gone")
}

/// Two sessions with datagrams of at most `max_size` bytes, joined in memory; `queue` of them, at least
/// one, may be on the way in each direction. What goes beyond is lost, as it would be in a network.
pub fn datagrams(max_size: usize, queue: usize) -> (Session, Session) {
    let (to_far, at_far) = mpsc::channel(queue.max(1));
    let (to_near, at_near) = mpsc::channel(queue.max(1));
    let end = |info, out, incoming| {
        let io = DatagramEnd { max_size, out, incoming };
        Session::builder(info).datagrams(Datagrams::new(io)).build()
    };
    let [near, far] = infos();
    (end(near, to_far, at_near), end(far, to_near, at_far))
}

struct DatagramEnd {
    max_size: usize,
    out: mpsc::Sender<Bytes>,
    incoming: mpsc::Receiver<Bytes>,
}

impl DatagramIo for DatagramEnd {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        let Some(bytes) = ready!(self.incoming.poll_recv(cx)) else { return Poll::Ready(Ok(None)) };
        let room = buffer
            .get_mut(..bytes.len())
            .ok_or_else(|| Error::new(ErrorKind::Limit, "a datagram is longer than the buffer"))?;
        room.copy_from_slice(&bytes);
        Poll::Ready(Ok(Some(DatagramMeta::new(bytes.len(), None))))
    }

    fn poll_send(
        &mut self,
        _: &mut Context<'_>,
        buffer: &[u8],
        meta: &DatagramMeta,
    ) -> Poll<Result<()>> {
        let bytes = buffer.get(..meta.len).unwrap_or(buffer);
        if bytes.len() > self.max_size {
            return Poll::Ready(Err(Error::new(
                ErrorKind::Limit,
                "the datagram is longer than the limit",
            )));
        }
        Poll::Ready(match self.out.try_send(Bytes::copy_from_slice(bytes)) {
            Err(mpsc::error::TrySendError::Closed(_)) => Err(gone()),
            _ => Ok(()),
        })
    }

    fn max_size(&self) -> usize {
        self.max_size
    }
}

type Asked = (Envelope, oneshot::Sender<Envelope>);

/// A client's end, and the session that a handler is given: what is sent at the one comes as a request at
/// the other. A request that is dropped unanswered gets the status 500, as of the driver `http`. When the
/// client's end is dropped, no more requests come. At most 16 of them wait to be accepted.
pub fn exchange() -> (Exchange, Session) {
    let (ask, asked) = mpsc::channel(16);
    let server = Exchange::new(Server(Mutex::new(asked)));
    let [near, _] = infos();
    (Exchange::new(Client(ask)), Session::builder(near).exchange(server).build())
}

struct Client(mpsc::Sender<Asked>);

impl Exchanger for Client {
    async fn send(&self, request: Envelope) -> Result<Envelope> {
        let (answer, answered) = oneshot::channel();
        self.0.send((request, answer)).await.map_err(|_| Error::unsent())?;
        match answered.await {
            Ok(response) => Ok(response),
            Err(_) => Envelope::response(500, "text/plain", "the request was not answered"),
        }
    }

    async fn accept(&self) -> Result<Option<Incoming>> {
        self.0.closed().await;
        Ok(None)
    }
}

struct Server(Mutex<mpsc::Receiver<Asked>>);

impl Exchanger for Server {
    async fn accept(&self) -> Result<Option<Incoming>> {
        let Some((request, answer)) = self.0.lock().await.recv().await else { return Ok(None) };
        let answer = Answer::new(|response| async { answer.send(response).map_err(|_| gone()) });
        Ok(Some(Incoming::new(request, answer)))
    }
}

//! The courier of a session: carries what was posted out, and what comes in to the handler.
//!
//! It takes the session's messages, stream or datagrams only once there is a handler or a post, so that
//! those who take them by themselves find them in place.

use super::counted::{CountedMessages, CountedStream};
use super::handler::{SessionHandler, Slot};
use super::live::Live;
use super::outbox::{Outbox, Payload};
use super::traffic::Traffic;
use crate::relay::messages_of;
use bytes::BytesMut;
use futures_util::future::FutureExt;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, Stream, StreamExt};
use jackfield_plugin_api::{Error, ErrorKind, Message, Messages, Result, Session};
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::watch;

/// The most bytes of a stream that are delivered at once.
const PIECE: usize = 16 * 1024;

/// What is let go of once a session has told its last.
pub(super) type Kept = Box<dyn Any + Send>;

/// What a courier needs of its connection, without holding it.
pub(super) struct Courier {
    pub(super) live: Weak<Live>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) handler: watch::Receiver<Slot>,
    pub(super) traffic: Arc<Traffic>,
}

impl Courier {
    /// Carries until the session is lost, and answers why, with what has to live as long as the session may
    /// tell something.
    pub(super) async fn run(mut self, session: Arc<Session>) -> (String, Kept) {
        tokio::select! {
            () = self.outbox.wanted() => {}
            handler = handler(&mut self.handler) => if handler.is_none() { return gone().await },
        }
        let mut kept: Kept = Box::new(());
        let ended = if let Some(messages) = session.take_messages() {
            let messages = CountedMessages::new(messages, Arc::clone(&self.traffic));
            let (sink, stream) = messages.split();
            tokio::select! {
                ended = send_messages(&self.outbox, sink) => ended,
                ended = receive_messages(self.live, self.handler, stream) => ended,
            }
        } else if let Some(stream) = session.take_stream() {
            let stream = CountedStream::new(stream, Arc::clone(&self.traffic));
            let (mut read, mut write) = tokio::io::split(stream);
            let ended = tokio::select! {
                ended = send_bytes(&self.outbox, &mut write) => ended,
                ended = receive_bytes(self.live, self.handler, &mut read) => ended,
            };
            kept = Box::new((read, write));
            ended
        } else if let Some(datagrams) = session.take_datagrams() {
            let (sink, stream) = messages_of(datagrams).split();
            let traffic = Arc::clone(&self.traffic);
            let stream = stream.inspect(move |received| {
                if let Ok(datagram) = received {
                    traffic.received(datagram.payload.len(), 1);
                }
            });
            tokio::select! {
                ended = send_datagrams(&self.outbox, sink, &self.traffic) => ended,
                ended = receive_messages(self.live, self.handler, stream) => ended,
            }
        } else {
            let text = "posting: no messages, stream or datagrams to post to";
            self.outbox.refuse(&Error::unsupported(text));
            return std::future::pending().await;
        };
        let cause = match ended {
            Ok(()) => "the peer has ended the session".to_owned(),
            Err(error) => error.to_string(),
        };
        (cause, kept)
    }
}

/// Nobody holds the connection any more; its supervisor knows too.
async fn gone<T>() -> T {
    std::future::pending().await
}

/// Waits for a handler; `None` when the connection is gone.
async fn handler(slot: &mut watch::Receiver<Slot>) -> Option<Arc<dyn SessionHandler>> {
    slot.wait_for(|slot| slot.0.is_some()).await.ok().and_then(|slot| slot.0.clone())
}

async fn send_messages(
    outbox: &Outbox,
    mut sink: SplitSink<CountedMessages, Message>,
) -> Result<()> {
    loop {
        let posted = outbox.next().await;
        let sent = sink.send(posted.payload.into_message()).await;
        answer(outbox, posted.answer, sent)?;
    }
}

/// Each post is one datagram. One that is too long is refused and nothing else comes of it: datagrams
/// have no order that it could break.
async fn send_datagrams(
    outbox: &Outbox,
    mut sink: SplitSink<Messages, Message>,
    traffic: &Traffic,
) -> Result<()> {
    loop {
        let posted = outbox.next().await;
        let size = posted.payload.bytes().len();
        let sent = sink.send(posted.payload.into_message()).await;
        if sent.is_ok() {
            traffic.sent(size, 1);
        }
        match answer(outbox, posted.answer, sent) {
            Err(error) if error.kind() != ErrorKind::Limit => return Err(error),
            _ => {}
        }
    }
}

async fn send_bytes(outbox: &Outbox, write: &mut WriteHalf<CountedStream>) -> Result<()> {
    loop {
        let posted = outbox.next().await;
        let sending = async {
            write.write_all(posted.payload.bytes()).await?;
            write.flush().await
        };
        let sent = sending.await.map_err(Error::from);
        answer(outbox, posted.answer, sent)?;
    }
}

/// Tells who posted. An error ends the courier where what follows would come out of order.
fn answer(
    outbox: &Outbox,
    answer: tokio::sync::oneshot::Sender<Result<()>>,
    sent: Result<()>,
) -> Result<()> {
    // Nobody may be asking any more.
    let _ = answer.send(sent.clone());
    outbox.done();
    sent
}

async fn receive_messages(
    live: Weak<Live>,
    mut slot: watch::Receiver<Slot>,
    mut stream: impl Stream<Item = Result<Message>> + Unpin,
) -> Result<()> {
    loop {
        if handler(&mut slot).await.is_none() {
            return gone().await;
        }
        match stream.next().await {
            Some(Ok(message)) => deliver(&live, &slot, Payload::Message(message)).await,
            Some(Err(error)) => return Err(error),
            None => return Ok(()),
        }
    }
}

async fn receive_bytes(
    live: Weak<Live>,
    mut slot: watch::Receiver<Slot>,
    read: &mut ReadHalf<CountedStream>,
) -> Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        if handler(&mut slot).await.is_none() {
            return gone().await;
        }
        buffer.reserve(PIECE);
        if read.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        deliver(&live, &slot, Payload::Bytes(buffer.split().freeze())).await;
    }
}

/// Gives a payload to the handler that is set at this moment, and to no other.
async fn deliver(live: &Weak<Live>, slot: &watch::Receiver<Slot>, payload: Payload) {
    let handler = slot.borrow().0.clone();
    let (Some(handler), Some(live)) = (handler, live.upgrade()) else { return };
    // A peer that never stops must not keep the supervisor from its other work.
    tokio::task::coop::consume_budget().await;
    let delivery = AssertUnwindSafe(async { handler.received(&live, payload).await });
    if delivery.catch_unwind().await.is_err() {
        live.note_error(&Error::new(ErrorKind::Panicked, "the session's handler panicked"));
    }
}

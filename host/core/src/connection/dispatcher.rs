//! [`Dispatcher`]: writes posts to a session, and gives received payloads to its handler, as the dispatcher of a
//! connection in hyper does.
//!
//! It takes the session's messages, stream or datagrams only once there is a handler or a post, so that
//! a program that takes them itself finds them in place.

use super::counted::{CountedMessages, CountedStream};
use super::handler::{HandlerSlot, SessionHandler};
use super::inbox::Inbox;
use super::live::Live;
use super::outbox::{Outbox, Payload};
use super::steps::only_requests;
use crate::events::{Cause, EventKind};
use crate::relay::{Totals, messages_of};
use bytes::BytesMut;
use futures_util::future::FutureExt;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, Stream, StreamExt};
use jackfield_plugin_api::{Error, ErrorKind, Message, Messages, Result, Session};
use jackfield_timers::timeout;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{oneshot, watch};

/// The most bytes of a stream that are delivered at once.
const PIECE: usize = 16 * 1024;

/// How long a session that was accepted stays, at most, after its peer has sent its last: for what was
/// received to be taken, and the answers to it to be sent.
const LINGER: Duration = Duration::from_secs(10);

/// Parts of a session that are dropped after its last event.
pub(super) type KeptAlive = Box<dyn Any + Send>;

/// The parts of a connection that its dispatcher uses, without keeping the connection alive.
pub(super) struct Dispatcher {
    pub(super) live: Weak<Live>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) handler: watch::Receiver<HandlerSlot>,
    pub(super) traffic: Arc<Totals>,
}

impl Dispatcher {
    /// Runs until the session is lost, and returns why, with the parts that must live as long as the session may
    /// still send events.
    pub(super) async fn run(mut self, session: Arc<Session>) -> (Cause, KeptAlive) {
        self.note_end(false);
        tokio::select! {
            () = self.outbox.wanted() => {}
            handler = handler(&mut self.handler) => if handler.is_none() { return gone().await },
        }
        let mut kept: KeptAlive = Box::new(());
        let traffic = Arc::clone(&self.traffic);
        let ended = if let Some(messages) = session.take_messages() {
            let (sink, stream) = CountedMessages::new(messages, traffic).split();
            let receiving = receive_messages(self.live.clone(), self.handler.clone(), stream);
            self.carry(self.send_messages(sink), receiving).await
        } else if let Some(stream) = session.take_stream() {
            let (mut read, mut write) = tokio::io::split(CountedStream::new(stream, traffic));
            let receiving = receive_bytes(self.live.clone(), self.handler.clone(), &mut read);
            let ended = self.carry(self.send_bytes(&mut write), receiving).await;
            kept = Box::new((read, write));
            ended
        } else if let Some(datagrams) = session.take_datagrams() {
            let (sink, stream) = messages_of(datagrams).split();
            let stream = stream.inspect(move |received| {
                if let Ok(datagram) = received {
                    traffic.received(datagram.payload.len(), 1);
                }
            });
            let receiving = receive_messages(self.live.clone(), self.handler.clone(), stream);
            self.carry(self.send_datagrams(sink), receiving).await
        } else {
            return self.nothing_to_carry(&session).await;
        };
        let cause = match ended {
            Ok(()) => Cause::of("the peer has ended the session"),
            Err(error) => Cause::from(&error),
        };
        (cause, kept)
    }

    /// Sends and receives until one of them fails or the peer has sent its last. Where the peer came to us,
    /// it still gets the answers to that.
    async fn carry(
        &self,
        sending: impl Future<Output = Result<()>>,
        receiving: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let mut sending = std::pin::pin!(sending);
        tokio::select! {
            ended = &mut sending => return ended,
            ended = receiving => ended?,
        }
        let inbox = self.note_end(true);
        if !self.live.upgrade().is_some_and(|live| live.is_accepted()) {
            return Ok(());
        }
        let answered = async {
            if let Some(inbox) = inbox {
                inbox.read_out().await;
            }
            self.outbox.flushed().await;
        };
        tokio::select! {
            ended = sending => ended,
            // A handler that has not returned by then is taken for hanging.
            _ = timeout(LINGER, answered) => Ok(()),
        }
    }

    /// Tells readers whether the session may give more.
    fn note_end(&self, ended: bool) -> Option<Arc<Inbox>> {
        let inbox = self.handler.borrow().inbox.clone();
        inbox.iter().for_each(|inbox| inbox.end(ended));
        inbox
    }

    /// There is nothing to post to or to be handled. A peer that has come with requests would wait for ever.
    async fn nothing_to_carry(&self, session: &Session) -> (Cause, KeptAlive) {
        let text = "posting: no messages, stream or datagrams to post to";
        self.outbox.refuse(&Error::unsupported(text));
        if only_requests(session) && self.handler.borrow().handler.is_some() {
            let error = Error::unsupported("handling what is received: its session has requests");
            let Some(live) = self.live.upgrade() else { return gone().await };
            live.note_error(&error);
            self.note_end(true);
            if live.is_accepted() {
                return (Cause::from(&error), Box::new(()));
            }
        }
        std::future::pending().await
    }

    async fn send_messages(&self, mut sink: SplitSink<CountedMessages, Message>) -> Result<()> {
        loop {
            let posted = self.outbox.next().await;
            let sent = sink.send(posted.payload.into_message()).await;
            self.answer(posted.answer, sent)?;
        }
    }

    /// Each post is one datagram. One that is too long is refused and nothing else comes of it: datagrams
    /// have no order that it could break.
    async fn send_datagrams(&self, mut sink: SplitSink<Messages, Message>) -> Result<()> {
        loop {
            let posted = self.outbox.next().await;
            let size = posted.payload.bytes().len();
            let sent = sink.send(posted.payload.into_message()).await;
            if sent.is_ok() {
                self.traffic.sent(size, 1);
            }
            match self.answer(posted.answer, sent) {
                Err(error) if error.kind() != ErrorKind::Limit => return Err(error),
                _ => {}
            }
        }
    }

    async fn send_bytes(&self, write: &mut WriteHalf<CountedStream>) -> Result<()> {
        loop {
            let posted = self.outbox.next().await;
            let sending = async {
                write.write_all(posted.payload.bytes()).await?;
                write.flush().await
            };
            let sent = sending.await.map_err(Error::from);
            self.answer(posted.answer, sent)?;
        }
    }

    /// Tells who posted. An error ends the dispatcher where what follows would come out of order.
    fn answer(&self, answer: oneshot::Sender<Result<()>>, sent: Result<()>) -> Result<()> {
        // The caller may have stopped waiting.
        let _ = answer.send(sent.clone());
        if self.outbox.done()
            && let Some(live) = self.live.upgrade()
        {
            live.tell(EventKind::Writable);
        }
        sent
    }
}

/// The last handle of the connection was dropped; its supervisor sees that too.
async fn gone<T>() -> T {
    std::future::pending().await
}

/// Waits for a handler; `None` when the connection is gone.
async fn handler(slot: &mut watch::Receiver<HandlerSlot>) -> Option<Arc<dyn SessionHandler>> {
    slot.wait_for(HandlerSlot::reads).await.ok().and_then(|slot| slot.reader().cloned())
}

async fn receive_messages(
    live: Weak<Live>,
    mut slot: watch::Receiver<HandlerSlot>,
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
    mut slot: watch::Receiver<HandlerSlot>,
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
async fn deliver(live: &Weak<Live>, slot: &watch::Receiver<HandlerSlot>, payload: Payload) {
    let handler = slot.borrow().reader().cloned();
    let (Some(handler), Some(live)) = (handler, live.upgrade()) else { return };
    // A peer that never stops must not keep the supervisor from its other work.
    tokio::task::coop::consume_budget().await;
    let delivery = AssertUnwindSafe(async { handler.received(&live, payload).await });
    if delivery.catch_unwind().await.is_err() {
        live.note_error(&Error::new(ErrorKind::Panicked, "the session's handler panicked"));
    }
}

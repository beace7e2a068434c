//! [`Link`]: a client's connection, and the task that sends its messages and gives answers to who waits for them.

use crate::endpoint::{Credentials, SnmpEndpoint};
use crate::incoming;
use crate::pdu::Pdu;
use crate::usm::engine::Clock;
use crate::usm::seal::Report;
use crate::wire::{Connected, Wire};
use bytes::Bytes;
use futures_util::future::{Either, select};
use jackfield_plugin_api::sync::{Semaphore, mpsc, oneshot, watch};
use jackfield_plugin_api::{Error, ErrorKind, EventQueue, Host, Info, Result, Retry};
use socket2::Socket;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// Messages that wait to be sent before senders wait.
pub(crate) const OUT: usize = 64;

/// What has come for a request.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Its answer, and the bytes of that message.
    Response(Pdu, usize),
    /// The peer's engine has not taken the message.
    Report { report: Option<Report>, authenticated: bool },
    /// What was discovered: the engine is known now.
    Engine,
}

/// Who waits for what.
pub(crate) struct Waiting {
    pub(crate) answer: oneshot::Sender<Result<Incoming>>,
    /// It asks for the engine alone.
    pub(crate) discovers: bool,
}

/// The peer's engine.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) id: Vec<u8>,
    pub(crate) clock: Clock,
}

/// What is the same for all who use a connection.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) waiting: HashMap<i32, Waiting>,
    pub(crate) engine: Option<Engine>,
    /// Messages that were thrown away, and why the last one was.
    pub(crate) dropped: u64,
    pub(crate) why: String,
    pub(crate) requests: u64,
    pub(crate) late: u64,
}

/// Why a connection has ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// We have closed it, or the peer has, after whole messages.
    Closed,
    /// It has failed.
    Failed(Error),
}

/// A message on its way, and who waits until it has left.
pub(crate) type Outgoing = (Bytes, Option<oneshot::Sender<Result<()>>>);

/// A client's connection.
pub(crate) struct Link {
    pub(crate) host: Host,
    pub(crate) endpoint: Arc<SnmpEndpoint>,
    pub(crate) who: Credentials,
    pub(crate) below: Info,
    pub(crate) reliable: bool,
    /// Of datagrams: asked whether the network has said that nobody is there, which wakes no reader.
    socket: Option<Socket>,
    pub(crate) news: EventQueue,
    /// Requests that may wait for answers at once.
    pub(crate) room: Semaphore,
    pub(crate) ended: watch::Sender<Option<End>>,
    /// When it was made: our uptime in notifications.
    pub(crate) since: Duration,
    out: mpsc::Sender<Outgoing>,
    state: Mutex<State>,
}

impl Link {
    pub(crate) fn new(
        host: Host,
        endpoint: Arc<SnmpEndpoint>,
        who: Credentials,
        below: Connected,
    ) -> (Arc<Self>, mpsc::Receiver<Outgoing>) {
        let (out, queue) = mpsc::channel(OUT);
        let link = Link {
            news: EventQueue::new(crate::endpoint::size(endpoint.options.events)),
            room: Semaphore::new(crate::endpoint::size(endpoint.options.max_requests)),
            ended: watch::Sender::new(None),
            since: host.now(),
            host,
            endpoint,
            who,
            below: below.session.info(),
            reliable: below.socket.is_none(),
            socket: below.socket,
            out,
            state: Mutex::default(),
        };
        (Arc::new(link), queue)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a message over to be sent.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) async fn send(&self, message: Vec<u8>) -> Result<()> {
        self.fits(&message)?;
        if self.sends_at_once(&message) {
            return Ok(());
        }
        self.out.send((message.into(), None)).await.map_err(|_| self.over())
    }

    /// Sends a datagram without the task that moves messages, which would come to it only after whoever sends has done
    /// what else there is to do. False where others wait, or the system has no room.
    fn sends_at_once(&self, message: &[u8]) -> bool {
        let Some(socket) = self.socket.as_ref().filter(|_| self.out.capacity() == OUT) else {
            return false;
        };
        let Err(error) = socket.send(message) else { return true };
        let error = Error::from(error);
        let nobody = error.kind() == ErrorKind::Unreachable;
        if nobody {
            // As what comes says it: what waits need not wait longer.
            self.fail(&error);
        }
        nobody
    }

    /// Sends a message; completes when it has left.
    ///
    /// # Errors
    /// The connection has ended, or the system did not take it.
    pub(crate) async fn sent(&self, message: Vec<u8>) -> Result<()> {
        self.fits(&message)?;
        let (left, has_left) = oneshot::channel();
        self.out.send((message.into(), Some(left))).await.map_err(|_| self.over())?;
        has_left.await.unwrap_or_else(|_| Err(self.over()))
    }

    fn fits(&self, message: &[u8]) -> Result<()> {
        // The task may not have seen the end yet.
        if self.ended.borrow().is_some() {
            return Err(self.over());
        }
        if self.reliable || message.len() <= crate::wire::LONGEST {
            return Ok(());
        }
        let text = format!("a message of {} bytes does not fit into a datagram", message.len());
        Err(Error::new(ErrorKind::Limit, text))
    }

    /// Whether the network has said that nobody is there.
    ///
    /// # Errors
    /// It has.
    pub(crate) fn look(&self) -> Result<()> {
        let error = self.socket.as_ref().and_then(|socket| socket.take_error().ok().flatten());
        error.map_or(Ok(()), |error| Err(Error::from(error)))
    }

    /// Why nothing can be sent any more.
    pub(crate) fn over(&self) -> Error {
        match &*self.ended.borrow() {
            Some(End::Failed(error)) => error.clone(),
            _ => Error::new(ErrorKind::Closed, "the connection has ended"),
        }
    }

    /// Ends the connection. The first reason counts.
    pub(crate) fn end(&self, end: End) {
        self.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            if is_first {
                *ended = Some(end);
            }
            is_first
        });
        let error = self.over();
        self.fail(&error);
        self.news.end();
    }

    /// Ends what waits.
    fn fail(&self, error: &Error) {
        let waiting: Vec<Waiting> = self.state().waiting.drain().map(|(_, it)| it).collect();
        for it in waiting {
            // Who has asked may be gone.
            let _ = it.answer.send(Err(error.clone()));
        }
    }

    /// Throws a message away: it may be anybody's.
    pub(crate) fn drop_message(&self, why: String) {
        let mut state = self.state();
        state.dropped += 1;
        state.why = why;
    }
}

/// What happens next on a wire.
enum Step {
    Received(Result<Option<Bytes>>),
    NotSent(Error),
    /// Nobody can send any more.
    Unused,
}

/// What moves messages between a link and its wire.
struct Moving {
    wire: Wire,
    queue: mpsc::Receiver<Outgoing>,
    /// What is on its way.
    sending: Option<Outgoing>,
}

impl Moving {
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            let Some((bytes, left)) = &mut self.sending else {
                match self.queue.poll_recv(cx) {
                    Poll::Ready(Some(next)) => self.sending = Some(next),
                    Poll::Ready(None) => return Poll::Ready(Step::Unused),
                    Poll::Pending => break,
                }
                continue;
            };
            // An empty one only shows that those before it have left.
            let is_mark = bytes.is_empty();
            let done = if is_mark { Poll::Ready(Ok(())) } else { self.wire.poll_send(cx, bytes) };
            let Poll::Ready(done) = done else { break };
            if let Some(left) = left.take() {
                // Who waits may be gone.
                let _ = left.send(done.clone());
            }
            self.sending = None;
            if let Err(error) = done {
                return Poll::Ready(Step::NotSent(error));
            }
        }
        self.wire.poll_recv(cx).map(Step::Received)
    }
}

/// Runs a connection to its end.
pub(crate) async fn run(link: Arc<Link>, wire: Wire, queue: mpsc::Receiver<Outgoing>) {
    let mut moving = Moving { wire, queue, sending: None };
    let mut ended = link.ended.subscribe();
    loop {
        let step = {
            let over = pin!(ended.wait_for(Option::is_some));
            let step = pin!(poll_fn(|cx| moving.poll_step(cx)));
            match select(over, step).await {
                Either::Left(_) => return,
                Either::Right((step, _)) => step,
            }
        };
        match step {
            Step::Received(Ok(Some(bytes))) => {
                if let Err(why) = incoming::take(&link, &bytes) {
                    link.drop_message(why);
                }
            }
            Step::Received(Ok(None)) => {
                let text = "the peer has ended the connection";
                let error = Error::new(ErrorKind::Closed, text).with_retry(Retry::Now);
                return link.end(End::Failed(error));
            }
            // Nobody is there now: what waits need not wait longer, and what is asked later may be answered.
            Step::Received(Err(error)) | Step::NotSent(error)
                if !link.reliable && error.kind() == ErrorKind::Unreachable =>
            {
                link.fail(&error);
            }
            Step::Received(Err(error)) | Step::NotSent(error) => {
                return link.end(End::Failed(error.with_retry(Retry::Now)));
            }
            Step::Unused => return link.end(End::Closed),
        }
    }
}

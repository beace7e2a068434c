//! The session: the message facet and the control, which share one [`Socket`].

use crate::close::{NORMAL, sendable};
use crate::endpoint::{Keepalive, WsEndpoint};
use crate::server::Shaken;
use crate::socket::{Socket, Ticket};
use crate::wakers::{Waiter, Wakers};
use futures_util::{Sink, Stream as FuturesStream};
use jackfield_plugin_api::Op;
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Event, EventQueue, Facets, Host, Info, Message, Messages, NoParams,
    Operation, Result, Session,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Events that are kept while nobody fetches them.
const EVENTS: usize = 256;

/// Parameters of `accept`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Accept {
    /// The subprotocol that was chosen of those that the client offers.
    protocol: Option<String>,
}

/// The operations of these sessions.
pub(crate) fn operations() -> Vec<Operation> {
    vec![Operation::new::<Accept, NoParams>(
        "accept",
        "For routes: gives a client the answer that has waited for its destination",
    )]
}

/// A session over a WebSocket whose handshake is complete, or waits for our answer.
pub(crate) fn session(shaken: Shaken, endpoint: &WsEndpoint, host: Host) -> Session {
    let Shaken { ws, info, held } = shaken;
    let calls = if held.is_some() { Facets::CALL } else { Facets::empty() };
    let events = endpoint.control_frames.then(|| Arc::new(EventQueue::new(EVENTS)));
    let told = if events.is_some() { Facets::EVENTS } else { Facets::empty() };
    let socket = Socket::new(ws, host, endpoint.limits, held).tells(events.clone());
    let shared = Arc::new(Shared::new(socket));
    let keepalive = endpoint.keepalive.map(|every| {
        // Weak, so that the session ends when its owners drop it.
        host.spawn(keep_alive(Arc::downgrade(&shared), every, host))
    });
    let messages = Messages::new(Facet(Arc::clone(&shared)));
    Session::builder(WsControl { shared, info, events, _keepalive: keepalive })
        .facets(calls | told | Facets::PING | Facets::CLOSE_CODE)
        .messages(messages)
        .build()
}

struct Shared {
    /// Held for single polls only; never across an await.
    socket: Mutex<Socket>,
    wakers: Arc<Wakers>,
    /// Of `wakers`, for the carrier.
    waker: Waker,
}

impl Shared {
    fn new(socket: Socket) -> Self {
        let wakers = Arc::new(Wakers::default());
        let waker = Waker::from(Arc::clone(&wakers));
        Shared { socket: Mutex::new(socket), wakers, waker }
    }

    /// Polls the socket for a task that has registered with the wakers, then wakes the others
    /// as far as that concerns them.
    fn poll<R>(&self, poll: impl FnOnce(&mut Socket, &mut Context<'_>) -> R) -> R {
        let (result, news) = {
            let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
            let result = poll(&mut socket, &mut Context::from_waker(&self.waker));
            (result, socket.take_news())
        };
        if news {
            self.wakers.wake_all();
        }
        result
    }

    async fn ping(&self) -> Result<Duration> {
        let waiter = Waiter::new(&self.wakers)?;
        let mut ticket = Ticket::None;
        poll_fn(|cx| {
            waiter.register(cx.waker());
            self.poll(|socket, cx| socket.poll_ping(&mut ticket, cx))
        })
        .await
    }
}

/// The message facet.
struct Facet(Arc<Shared>);

impl FuturesStream for Facet {
    type Item = Result<Message>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.wakers.receiver.register(cx.waker());
        self.0.poll(Socket::poll_message)
    }
}

impl Facet {
    fn send<R>(
        &self,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Socket, &mut Context<'_>) -> R,
    ) -> R {
        self.0.wakers.sender.register(cx.waker());
        self.0.poll(poll)
    }
}

impl Sink<Message> for Facet {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.send(cx, Socket::poll_ready)
    }
    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<()> {
        self.0.poll(|socket, _| socket.send(message))
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.send(cx, Socket::poll_flush)
    }
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.send(cx, |socket, cx| socket.poll_close(NORMAL, "", cx))
    }
}

struct WsControl {
    shared: Arc<Shared>,
    info: Info,
    events: Option<Arc<EventQueue>>,
    /// Runs while this is held.
    _keepalive: Option<Op<()>>,
}

impl Control for WsControl {
    fn info(&self) -> Info {
        let (closed, held, silence) = self
            .shared
            .poll(|socket, _| (socket.peer_close().cloned(), socket.is_held(), socket.silence()));
        let silence = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        let mut info = self.info.clone().with("idle_ms", silence);
        if held {
            info = info.with("deferred", true);
        }
        match closed {
            Some((code, reason)) => info.with("close_code", code).with("close_reason", reason),
            None => info,
        }
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        if operation != "accept" {
            return Err(Error::unsupported(&format!("operation {operation:?}")));
        }
        let Accept { protocol } = jackfield_plugin_api::params(params)?;
        self.shared.poll(|socket, _| socket.accept(protocol.as_deref()))?;
        let waiter = Waiter::new(&self.shared.wakers)?;
        poll_fn(|cx| {
            waiter.register(cx.waker());
            self.shared.poll(|socket, cx| socket.poll_flush(cx))
        })
        .await?;
        Ok(json!({}))
    }

    async fn ping(&self) -> Result<Duration> {
        self.shared.ping().await
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        let Some(events) = &self.events else { return Ok(None) };
        let waiter = Waiter::new(&self.shared.wakers)?;
        let mut next = std::pin::pin!(events.next());
        let next = poll_fn(|cx| {
            waiter.register(cx.waker());
            self.shared.poll(Socket::read_on);
            next.as_mut().poll(cx)
        });
        Ok(next.await)
    }

    async fn close(&self, code: u64, reason: String) -> Result<()> {
        let code = sendable(code)?;
        let waiter = Waiter::new(&self.shared.wakers)?;
        poll_fn(|cx| {
            waiter.register(cx.waker());
            self.shared.poll(|socket, cx| socket.poll_close(code, &reason, cx))
        })
        .await
    }
}

/// Pings until the session is gone or a ping stays without answer, which ends the session.
async fn keep_alive(shared: Weak<Shared>, every: Keepalive, host: Host) {
    let mut timer = host.timer(every.interval);
    loop {
        (&mut timer).await;
        let Some(shared) = shared.upgrade() else { return };
        match host.timeout(every.timeout, "the answer to a ping", shared.ping()).await {
            // Too many pings of others wait for theirs.
            Err(error) if error.kind() == ErrorKind::Limit => {}
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                // The answer may stand behind messages that were not received yet.
                if !shared.poll(|socket, _| socket.is_full()) {
                    return shared.poll(|socket, _| socket.abandon(error));
                }
            }
            // Whoever receives is told the reason by the socket.
            Err(_) => return,
            Ok(_) => {}
        }
        timer.reset(every.interval);
    }
}

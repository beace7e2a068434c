//! Listeners: a session for each peer that has sent a notification which was taken.

use crate::endpoint::{SnmpEndpoint, size};
use crate::receiver::{Receiver, Verdict};
use crate::wire::{self, Wire};
use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{sink, stream};
use jackfield_plugin_api::sync::{Mutex, mpsc};
use jackfield_plugin_api::{
    Accept, Address, Control, Error, ErrorKind, Event, EventQueue, Facets, Host, Info, Level,
    Listener, Message, Messages, Op, Result, Session, Socket, SocketKind, bind_all, peers,
};
use serde_json::{Map, Value, json};
use std::future::poll_fn;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What log lines of this driver are about.
const TARGET: &str = "snmp";
/// How long a peer may take from its first message to one that is taken.
const PROOF: Duration = Duration::from_secs(10);
/// How often messages that were not taken are told.
const TOLD: Duration = Duration::from_secs(10);
/// Sessions that wait to be accepted.
const READY: usize = 16;

/// Listens at an address.
///
/// # Errors
/// What the system says, with the address.
pub(crate) async fn listen(
    host: Host,
    endpoint: &Arc<SnmpEndpoint>,
    address: &Address,
) -> Result<Listener> {
    let base = match endpoint.is_tcp() {
        true => connections(&host, endpoint, address).await?,
        false => datagrams(&host, endpoint, address).await?,
    };
    let info = base.info();
    let shared = Arc::new(Shared {
        host,
        receiver: Receiver::new(Arc::clone(endpoint)),
        refused: AtomicU64::new(0),
        told: std::sync::Mutex::new(None),
    });
    let (proven, ready) = mpsc::channel(READY);
    let pump = host.spawn(prove(shared, base, proven));
    Ok(Listener::new(Proven { info, ready: Mutex::new(ready), _pump: pump }))
}

async fn connections(host: &Host, endpoint: &SnmpEndpoint, address: &Address) -> Result<Listener> {
    let name = if address.host == "*" { "" } else { &address.host };
    let mut socket = Socket::new(SocketKind::Tcp, name, address.port.unwrap_or(0));
    socket.reuse_port = endpoint.options.reuse_port;
    host.listen(&socket).await
}

async fn datagrams(host: &Host, endpoint: &SnmpEndpoint, address: &Address) -> Result<Listener> {
    let (name, port) = (&address.host, address.port.unwrap_or(0));
    let options = &endpoint.options;
    let bind = |address| peers::bind(host, address, || wire::bound(options, address));
    let sockets = if name.is_empty() || name == "*" {
        // IPv4 peers come to an IPv6 socket where the machine has IPv6.
        let everywhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        let or = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        let failed = |error| Error::from(error).with("listen", or);
        vec![bind(everywhere).or_else(|_| bind(or)).map_err(failed)?]
    } else {
        bind_all(host, name, &host.resolve(name, port).await?, bind)?
    };
    let mut limits = peers::Limits::default();
    limits.sessions = size(options.sessions);
    limits.queue = size(options.queue);
    limits.bytes = size(options.buffer);
    limits.idle = Duration::from_secs(options.idle.into());
    limits.max_size = wire::LONGEST;
    let listeners =
        sockets.into_iter().map(|fd| peers::listener(host, fd, limits, Info::default()));
    Ok(Listener::several(listeners.collect::<Result<_>>()?))
}

/// What all peers of a listener share.
struct Shared {
    host: Host,
    receiver: Receiver,
    /// Messages that were not taken since that was told last, which was then.
    refused: AtomicU64,
    told: std::sync::Mutex<Option<Duration>>,
}

impl Shared {
    /// Tells of a message that was not taken: at once, and then no more than every ten seconds.
    fn refuse(&self, peer: &Info, why: &str) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        let now = self.host.now();
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.is_some_and(|then| now.saturating_sub(then) < TOLD) {
            return;
        }
        *told = Some(now);
        self.refused.fetch_sub(refused, Ordering::Relaxed);
        let from = peer.peer.as_deref().unwrap_or("a peer");
        let others = match refused {
            1 => String::new(),
            _ => format!("; {} others were not taken before", refused - 1),
        };
        let text = format!("a message from {from} is not taken: {why}{others}");
        self.host.log(Level::Info, TARGET, &text);
    }
}

/// The listener that a host has.
struct Proven {
    info: Info,
    ready: Mutex<mpsc::Receiver<Result<Session>>>,
    /// Dropped with the listener, it ends the task.
    _pump: Op<()>,
}

impl Accept for Proven {
    fn info(&self) -> Info {
        self.info.clone()
    }

    async fn accept(&self) -> Result<Session> {
        let over = || Err(Error::new(ErrorKind::Closed, "the listener has ended"));
        self.ready.lock().await.recv().await.unwrap_or_else(over)
    }
}

/// Accepts peers, and gives those on that have sent something which is taken: what anybody sends opens nothing.
async fn prove(shared: Arc<Shared>, base: Listener, proven: mpsc::Sender<Result<Session>>) {
    let most = size(shared.receiver.endpoint.options.sessions);
    let mut unproven = FuturesUnordered::new();
    loop {
        let next = {
            let (is_empty, is_full) = (unproven.is_empty(), unproven.len() >= most);
            let finished = async {
                match is_empty {
                    true => std::future::pending().await,
                    false => unproven.next().await,
                }
            };
            let accepted = async {
                match is_full {
                    true => std::future::pending().await,
                    false => base.accept().await,
                }
            };
            match select(pin!(finished), pin!(accepted)).await {
                Either::Left((finished, _)) => Either::Left(finished),
                Either::Right((accepted, _)) => Either::Right(accepted),
            }
        };
        let done = match next {
            Either::Left(session) => session.flatten().map(Ok),
            Either::Right(Ok(session)) => {
                unproven.push(first(Arc::clone(&shared), session));
                None
            }
            Either::Right(Err(error)) => Some(Err(error)),
        };
        if let Some(done) = done
            && proven.send(done).await.is_err()
        {
            return;
        }
    }
}

/// Waits for the first notification of a peer. One that is not taken ends a peer of datagrams, so that its place is free.
async fn first(shared: Arc<Shared>, below: Session) -> Option<Session> {
    let info = below.info();
    let mut wire = Wire::over(&below, shared.receiver.endpoint.max_message()).ok()?;
    let taken = async {
        loop {
            let Some(bytes) = wire.recv().await? else { return Ok(None) };
            match shared.receiver.take(&bytes, shared.host.now()) {
                Ok(Verdict::Answered(answer)) => wire.send(&answer).await?,
                Ok(Verdict::Taken { notification, answer }) => {
                    return Ok(Some((notification, answer)));
                }
                Err(why) => {
                    shared.refuse(&info, &why);
                    return Ok(None);
                }
            }
        }
    };
    let (notification, answer) =
        shared.host.timeout(PROOF, "a notification", taken).await.ok()??;
    let options = &shared.receiver.endpoint.options;
    let (inbox, received) = mpsc::channel(size(options.queue));
    let peer = Arc::new(Peer {
        info,
        news: EventQueue::new(size(options.events)),
        taken: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
    });
    peer.take(notification, &inbox);
    let serving =
        Serving { shared: Arc::clone(&shared), peer: Arc::clone(&peer), below, wire, inbox };
    let task = shared.host.spawn(serving.run(answer));
    let receiving = stream::unfold(received, |mut received| async move {
        received.recv().await.map(|message| (message, received))
    });
    let sending = sink::unfold((), |(), _: Message| async {
        Err::<(), Error>(Error::unsupported("sending to who sends notifications"))
    });
    let messages = Messages::from_parts(receiving, sending);
    let control = Served { peer, _task: task };
    Some(Session::builder(control).facets(Facets::EVENTS).messages(messages).build())
}

/// A peer that has sent a notification.
struct Peer {
    info: Info,
    news: EventQueue,
    taken: AtomicU64,
    dropped: AtomicU64,
}

impl Peer {
    /// Gives a notification to who receives; whether there was room.
    fn take(
        &self,
        notification: Map<String, Value>,
        inbox: &mpsc::Sender<Result<Message>>,
    ) -> bool {
        let text = Value::Object(notification.clone()).to_string();
        if inbox.try_send(Ok(Message::text(text))).is_err() {
            let count = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            self.news.tell("dropped", json!({ "count": count }));
            return false;
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        let name = notification.get("kind").and_then(Value::as_str).unwrap_or("trap").to_owned();
        self.news.tell(&name, Value::Object(notification));
        true
    }
}

/// The task of a peer.
struct Serving {
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    /// What the wire is of.
    below: Session,
    wire: Wire,
    inbox: mpsc::Sender<Result<Message>>,
}

impl Serving {
    async fn run(mut self, answer: Option<Vec<u8>>) {
        let ended = self.serve(answer).await;
        if let Err(error) = ended {
            // Who receives may be gone, or have as much as it can.
            let _ = self.inbox.try_send(Err(error));
        }
        self.peer.news.end();
        drop(self.below);
    }

    async fn serve(&mut self, answer: Option<Vec<u8>>) -> Result<()> {
        if let Some(answer) = answer {
            self.wire.send(&answer).await?;
        }
        while let Some(bytes) = self.next().await? {
            match self.shared.receiver.take(&bytes, self.shared.host.now()) {
                Ok(Verdict::Answered(answer)) => self.wire.send(&answer).await?,
                Ok(Verdict::Taken { notification, answer }) => {
                    let taken = self.peer.take(notification, &self.inbox);
                    if let Some(answer) = answer.filter(|_| taken) {
                        self.wire.send(&answer).await?;
                    }
                }
                Err(why) => self.shared.refuse(&self.peer.info, &why),
            }
        }
        Ok(())
    }

    /// The next message; a silent connection ends as a silent peer of datagrams does.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let idle = self.shared.receiver.endpoint.options.idle;
        if !self.wire.is_reliable() || idle == 0 {
            return self.wire.recv().await;
        }
        let limit = Duration::from_secs(idle.into());
        match self.shared.host.timeout(limit, "a notification", self.wire.recv()).await {
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(None),
            next => next,
        }
    }
}

impl Wire {
    async fn recv(&mut self) -> Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    async fn send(&mut self, message: &[u8]) -> Result<()> {
        poll_fn(|cx| self.poll_send(cx, message)).await
    }
}

/// The control of a peer's session.
struct Served {
    peer: Arc<Peer>,
    _task: Op<()>,
}

impl Control for Served {
    fn info(&self) -> Info {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Info::new()
            .with("notifications", count(&self.peer.taken))
            .with("dropped", count(&self.peer.dropped))
            .over(&self.peer.info)
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        Ok(self.peer.news.next().await)
    }
}

//! Datagram sockets of a driver's own as sessions: [`connected`] to one peer, or [`listener`] with a
//! session for each peer that sends something.
//!
//! A listener's sessions share one socket, which one task of the host's reads. What is kept is
//! bounded by [`Limits`]; what goes beyond is dropped, as the network would drop it, and counted.

mod mailboxes;
mod parting;
mod socket;

pub use parting::{ListeningSocket, bind};

use crate::control::Control;
use crate::datagrams::{DatagramIo, DatagramMeta, Datagrams};
use crate::error::{Error, ErrorKind, Result};
use crate::info::Info;
use crate::listener::{Accept, Listener};
use crate::op::Op;
use crate::services::{FdReady, Host, Level, Timer};
use crate::session::Session;
use mailboxes::{Mailboxes, Place};
use socket::{Bound, Outgoing, name};
use std::future::poll_fn;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// What a listener keeps at most: made by [`Limits::default`], then set field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Peers with a session at once.
    pub sessions: usize,
    /// Datagrams of one peer that wait to be received.
    pub queue: usize,
    /// Bytes of all peers that wait to be received.
    pub bytes: usize,
    /// Time without a datagram in either direction after which a session ends; zero: never.
    pub idle: Duration,
    /// The most bytes of a datagram to send.
    pub max_size: usize,
}

/// 1024 sessions, 64 datagrams for each, 4 MiB for all, a minute, and the most that UDP over IPv4 takes.
impl Default for Limits {
    fn default() -> Self {
        Limits {
            sessions: 1024,
            queue: 64,
            bytes: 4 << 20,
            idle: Duration::from_secs(60),
            max_size: 65_507,
        }
    }
}

/// A session with the one peer that `fd`, a datagram socket, is connected to. `facts` are added to
/// its info.
///
/// # Errors
/// What the system says.
pub fn connected(host: &Host, fd: OwnedFd, max_size: usize, facts: Info) -> Result<Session> {
    let socket = Bound::new(fd)?;
    let info = facts.over(&Info {
        local: socket.local(),
        peer: socket.peer().as_ref().and_then(name),
        ..Info::default()
    });
    let ready = host.watch(&socket)?;
    let io = Connected { ready, out: Outgoing::new(*host, max_size), socket };
    Ok(Session::builder(info).datagrams(Datagrams::new(io)).build())
}

/// A socket with a port of its own, chosen by the system (RFC 5452 §9.2), which hears `server` alone: for a question
/// and its answer.
///
/// # Errors
/// What the system says, with the `server`.
pub fn asking(host: &Host, server: SocketAddr, max_size: usize) -> Result<Datagrams> {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let made = || -> std::io::Result<UdpSocket> {
        let socket = UdpSocket::bind(local)?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    let socket = made().map_err(|error| Error::from(error).with("server", server))?;
    let session = connected(host, socket.into(), max_size, Info::new())?;
    session.take_datagrams().ok_or_else(|| Error::unsupported("datagrams"))
}

struct Connected {
    ready: FdReady,
    out: Outgoing,
    socket: Bound,
}

impl DatagramIo for Connected {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        let (len, peer) = ready!(self.socket.poll_recv(&mut self.ready, cx, buffer))?;
        if len > buffer.len() {
            return Poll::Ready(Err(too_long(len, buffer.len())));
        }
        let peer = peer.as_socket();
        Poll::Ready(Ok(Some(DatagramMeta::new(len, peer))))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &[u8],
        meta: &DatagramMeta,
    ) -> Poll<Result<()>> {
        self.out.poll_send(&self.socket, None, cx, &buffer[..meta.len])
    }

    fn max_size(&self) -> usize {
        self.out.max_size
    }
}

fn too_long(bytes: usize, most: usize) -> Error {
    Error::new(ErrorKind::Limit, "the datagram is longer than the limit")
        .with("bytes", bytes)
        .with("most", most)
}

/// A session for each peer of `fd`, a bound datagram socket that is not connected. `facts` are
/// added to the info of each.
///
/// The listener's end takes no more peers; the sessions that are there go on.
///
/// A socket of [`bind`] is handed over when another process takes over: peers that are there stay with this process,
/// each on a socket of its own, and others come to the new one.
///
/// # Errors
/// What the system says.
pub fn listener(
    host: &Host,
    socket: impl Into<ListeningSocket>,
    limits: Limits,
    facts: Info,
) -> Result<Listener> {
    let ListeningSocket { fd, name } = socket.into();
    let socket = Bound::new(fd)?;
    let info = facts.over(&Info { local: socket.local(), ..Info::default() });
    let ready = host.watch(&socket)?;
    let shared = Arc::new(Shared { socket, mail: Mailboxes::new(limits), limits, info });
    let reading = Reading { shared: Arc::clone(&shared), ready, host: *host, sweep: None };
    let pump = Arc::new(host.spawn(reading.run()));
    let handing = name.map(|name| host.spawn(parting::hand_over(*host, Arc::clone(&shared), name)));
    Ok(Listener::new(Everybody { shared, host: *host, pump, _handing: handing }))
}

struct Shared {
    socket: Bound,
    mail: Mailboxes,
    limits: Limits,
    info: Info,
}

/// The listener.
struct Everybody {
    shared: Arc<Shared>,
    host: Host,
    /// Reads for all, until the listener and the last session are gone.
    pump: Arc<Op<()>>,
    _handing: Option<Op<()>>,
}

impl Accept for Everybody {
    fn info(&self) -> Info {
        self.shared.info.clone()
    }

    async fn accept(&self) -> Result<Session> {
        let place = poll_fn(|cx| self.shared.mail.poll_accept(cx)).await?;
        let peer = Peer { shared: Arc::clone(&self.shared), name: name(&place.peer) };
        let io = PeerIo {
            place,
            shared: Arc::clone(&self.shared),
            out: Outgoing::new(self.host, self.shared.limits.max_size),
            host: self.host,
            _pump: Arc::clone(&self.pump),
        };
        Ok(Session::builder(peer).datagrams(Datagrams::new(io)).build())
    }
}

impl Drop for Everybody {
    fn drop(&mut self) {
        self.shared.mail.accept_no_more();
    }
}

/// What is known of a peer.
struct Peer {
    shared: Arc<Shared>,
    name: Option<String>,
}

impl Control for Peer {
    fn info(&self) -> Info {
        Info { peer: self.name.clone(), ..self.shared.info.clone() }
            .with("dropped", self.shared.mail.dropped())
    }
}

/// The datagrams of one peer.
struct PeerIo {
    place: Place,
    shared: Arc<Shared>,
    out: Outgoing,
    host: Host,
    _pump: Arc<Op<()>>,
}

impl DatagramIo for PeerIo {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        let Some(bytes) = ready!(self.shared.mail.poll_take(&self.place, cx))? else {
            return Poll::Ready(Ok(None));
        };
        let len = bytes.len();
        let Some(room) = buffer.get_mut(..len) else {
            return Poll::Ready(Err(too_long(len, buffer.len())));
        };
        room.copy_from_slice(&bytes);
        let peer = self.place.peer.as_socket();
        Poll::Ready(Ok(Some(DatagramMeta::new(len, peer))))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &[u8],
        meta: &DatagramMeta,
    ) -> Poll<Result<()>> {
        let (socket, to) = (&self.shared.socket, Some(&self.place.peer));
        let sent = ready!(self.out.poll_send(socket, to, cx, &buffer[..meta.len]));
        if sent.is_ok() {
            self.shared.mail.touch(&self.place, self.host.now());
        }
        Poll::Ready(sent)
    }

    fn max_size(&self) -> usize {
        self.out.max_size
    }
}

impl Drop for PeerIo {
    fn drop(&mut self) {
        self.shared.mail.leave(&self.place);
    }
}

/// What one poll reads before other tasks get their turn.
const TURN: usize = 64;
/// As long as any datagram of IP is.
const LONGEST: usize = 65_536;
/// The least time between two looks for idle sessions.
const LEAST_SWEEP: Duration = Duration::from_millis(10);

/// The one reader of a listener's socket.
struct Reading {
    shared: Arc<Shared>,
    ready: FdReady,
    host: Host,
    sweep: Option<Timer>,
}

impl Reading {
    async fn run(mut self) {
        let mut buffer = vec![0; LONGEST];
        let error = poll_fn(|cx| self.poll(cx, &mut buffer)).await;
        self.host.log(Level::Error, "peers", &format!("receiving has ended: {error}"));
        self.shared.mail.fail(&error);
    }

    fn poll(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Error> {
        self.sweep(cx);
        for _ in 0..TURN {
            let (len, peer) =
                match ready!(self.shared.socket.poll_recv(&mut self.ready, cx, buffer)) {
                    Ok(received) => received,
                    // The answer of one peer's machine to something we sent it.
                    Err(error) if error.kind() == ErrorKind::Unreachable => continue,
                    Err(error) => return Poll::Ready(error),
                };
            match buffer.get(..len) {
                Some(bytes) => parting::put(&self.host, &self.shared, &peer, bytes),
                None => self.shared.mail.drop_one(),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ends idle sessions from time to time.
    fn sweep(&mut self, cx: &mut Context<'_>) {
        let idle = self.shared.limits.idle;
        if idle.is_zero() {
            return;
        }
        let period = (idle / 4).max(LEAST_SWEEP);
        let host = self.host;
        let timer = self.sweep.get_or_insert_with(|| host.timer(period));
        while Pin::new(&mut *timer).poll(cx).is_ready() {
            self.shared.mail.expire(host.now());
            timer.reset(period);
        }
    }
}

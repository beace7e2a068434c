//! [`Link`]: one connection, what is known of it, and how many of its streams are in use.

use crate::agreed::{Agreed, shorter};
use crate::failure::{APPLICATION, Explain, code_of, shown};
use crate::flow::Flow;
use crate::mux::{Halves, Mux, Wanted};
use crate::room::{Most, Room};
use crate::runtime::HostSocket;
use crate::sockets::{self, Buffers};
use crate::transport::Keepalive;
use futures_util::future::BoxFuture;
use jackfield_certificates::{Described, with_facts};
use jackfield_plugin_api::{Error, ErrorKind, Event, Host, Info, Op, Result, Role};
use quinn::{Connection, ConnectionError, Dir, Endpoint, RecvStream, SendStream, VarInt};
use rustls_pki_types::CertificateDer;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// The socket of one or many connections.
pub(crate) struct Socket {
    endpoint: Endpoint,
    host: Host,
    buffers: Buffers,
}

impl Socket {
    pub(crate) fn new(endpoint: Endpoint, host: Host, buffers: Buffers) -> Self {
        Socket { endpoint, host, buffers }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Goes on with another socket, on which peers see another address.
    fn rebind(&self, bind: Option<&str>) -> Result<SocketAddr> {
        let now = self.endpoint.local_addr()?;
        let local = sockets::local(bind)?.unwrap_or_else(|| SocketAddr::new(now.ip(), 0));
        if local.is_ipv4() != now.is_ipv4() {
            return Err(Error::option("bind", "is of the other address family"));
        }
        let bound = sockets::bind(local, self.buffers, false, false)
            .map_err(|error| Error::from(error).with("bind", local))?;
        self.endpoint.rebind_abstract(Arc::new(HostSocket::new(self.host, bound)?))?;
        Ok(self.endpoint.local_addr()?)
    }
}

/// A connection.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) explain: Explain,
    socket: Arc<Socket>,
    verifies: bool,
    /// Asks for signs of life more often than quinn does.
    asking: OnceLock<Op<()>>,
    /// What the peer may open.
    room: Room,
    /// Streams in use.
    streams: watch::Sender<usize>,
    draining: AtomicBool,
}

/// A stream's place among those in use.
pub(crate) struct InUse(Arc<Link>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.streams.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Link {
    pub(crate) fn new(
        connection: Connection,
        socket: Arc<Socket>,
        explain: Explain,
        verifies: bool,
        most: Most,
    ) -> Arc<Self> {
        Arc::new(Link {
            connection,
            explain,
            socket,
            verifies,
            asking: OnceLock::new(),
            room: Room::new(most),
            streams: watch::Sender::new(0),
            draining: AtomicBool::new(false),
        })
    }

    pub(crate) fn host(&self) -> Host {
        self.socket.host
    }

    pub(crate) fn is_client(&self) -> bool {
        self.explain.role == Role::Client
    }

    /// Counts one more stream.
    pub(crate) fn enter(self: &Arc<Self>) -> InUse {
        self.streams.send_modify(|count| *count += 1);
        InUse(Arc::clone(self))
    }

    /// Whether new streams may begin.
    ///
    /// # Errors
    /// While it drains.
    pub(crate) fn may_open(&self) -> Result<()> {
        if self.draining.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Refused, "the connection takes no new streams"));
        }
        Ok(())
    }

    /// No new streams; done when none is in use or the connection is lost.
    pub(crate) async fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        let mut count = self.streams.subscribe();
        let idle = std::pin::pin!(count.wait_for(|count| *count == 0));
        let lost = std::pin::pin!(self.connection.closed());
        futures_util::future::select(idle, lost).await;
    }

    /// Moves this connection, and those that share its socket, to another local address.
    pub(crate) fn migrate(&self, bind: Option<&str>) -> Result<SocketAddr> {
        if !self.is_client() {
            return Err(Error::unsupported("migrating a listener's connection"));
        }
        self.socket.rebind(bind)
    }

    /// Sends what every peer must acknowledge and no application sees: one byte less and one byte more of
    /// window.
    fn nudge(&self, window: u32) {
        self.connection.set_receive_window(VarInt::from_u32(window.saturating_sub(1)));
        self.connection.set_receive_window(VarInt::from_u32(window));
    }

    /// As [`Link::nudge`]. Done when an acknowledgement has come.
    pub(crate) async fn ping(&self, window: u32) -> Result<Duration> {
        let connection = &self.connection;
        if let Some(lost) = connection.close_reason() {
            return Err(self.explain.loss(&lost));
        }
        let before = connection.stats().frame_rx.acks;
        self.nudge(window);
        let mut pause = (connection.rtt() / 2).clamp(LEAST_PAUSE, MOST_PAUSE);
        let mut timer = self.host().timer(pause);
        loop {
            (&mut timer).await;
            if let Some(lost) = connection.close_reason() {
                return Err(self.explain.loss(&lost));
            }
            if connection.stats().frame_rx.acks > before {
                return Ok(connection.rtt());
            }
            pause = (pause * 2).min(MOST_PAUSE);
            timer.reset(pause);
        }
    }

    /// Asks for a sign of life after at most half of the time for which both keep a silent connection, where
    /// that is less than the options say.
    pub(crate) fn keep_alive(self: &Arc<Self>, keepalive: Option<Keepalive>) {
        let Some(keepalive) = keepalive else { return };
        let asked = self.host().spawn(ask_often(Arc::downgrade(self), self.host(), keepalive));
        // It is called once.
        let _ = self.asking.set(asked);
    }

    /// The next stream of both directions that the peer opens.
    pub(crate) async fn bidi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let halves = self.connection.accept_bi().await?;
        self.room.came(&self.connection, Dir::Bi);
        Ok(halves)
    }

    /// The next stream on which only the peer writes.
    pub(crate) async fn uni(&self) -> Result<RecvStream, ConnectionError> {
        let recv = self.connection.accept_uni().await?;
        self.room.came(&self.connection, Dir::Uni);
        Ok(recv)
    }

    async fn both(&self) -> Result<Halves, ConnectionError> {
        self.bidi().await.map(|(send, recv)| (Some(send), Some(recv)))
    }

    async fn one(&self) -> Result<Halves, ConnectionError> {
        self.uni().await.map(|recv| (None, Some(recv)))
    }

    /// What is known now.
    pub(crate) fn facts(&self) -> Info {
        let connection = &self.connection;
        let stats = connection.stats();
        let local = self.socket.endpoint.local_addr().ok().map(|bound| {
            SocketAddr::new(connection.local_ip().unwrap_or(bound.ip()), bound.port()).to_string()
        });
        let mut info = Info::new()
            .peer(sockets::shown(connection.remote_address()).to_string())
            .encrypted()
            .with("tls_version", "1.3")
            .with("rtt_ms", millis(stats.path.rtt))
            .with("min_rtt_ms", millis(stats.path.min_rtt))
            .with("cwnd", stats.path.cwnd)
            .with("mtu", stats.path.current_mtu)
            .with("sent_packets", stats.path.sent_packets)
            .with("received_packets", stats.udp_rx.datagrams)
            .with("lost_packets", stats.path.lost_packets)
            .with("lost_bytes", stats.path.lost_bytes)
            .with("congestion_events", stats.path.congestion_events)
            .with("sent_bytes", stats.udp_tx.bytes)
            .with("received_bytes", stats.udp_rx.bytes)
            .with("max_datagram", connection.max_datagram_size().unwrap_or(0))
            .with("streams", *self.streams.borrow());
        info.local = local;
        if let Some(Agreed { tls: handshake, .. }) = handshake(connection) {
            if let Some(protocol) = handshake.protocol {
                info = info.with("alpn", String::from_utf8_lossy(&protocol));
            }
            if let Some(name) = handshake.server_name {
                info = info.with("server_name", name);
            }
        }
        self.with_peer(info)
    }

    fn with_peer(&self, info: Info) -> Info {
        let certificates = self.connection.peer_identity();
        let chain = certificates.and_then(|any| any.downcast::<Vec<CertificateDer<'_>>>().ok());
        let Some(first) = chain.as_deref().and_then(|chain| chain.first()) else { return info };
        let mut info = with_facts(info, first).with("peer_verified", self.verifies);
        // An unchecked certificate proves nothing.
        if self.verifies {
            info.identity = Described::new(first).and_then(|peer| peer.identity());
        }
        info
    }

    /// The end of a connection that has ended so.
    fn event(&self, lost: &ConnectionError) -> Event {
        let data = match lost {
            ConnectionError::ApplicationClosed(close) => json!({
                "by": "peer",
                "code": u64::from(close.error_code),
                "reason": shown(&String::from_utf8_lossy(&close.reason)),
            }),
            ConnectionError::LocallyClosed => json!({ "by": "us" }),
            other => json!({ "by": "transport", "reason": self.explain.loss(other).to_string() }),
        };
        Event::new("closed", data)
    }
}

/// How often an acknowledgement is looked for.
const LEAST_PAUSE: Duration = Duration::from_millis(1);
const MOST_PAUSE: Duration = Duration::from_millis(50);

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn handshake(connection: &Connection) -> Option<Agreed> {
    connection.handshake_data()?.downcast::<Agreed>().ok().map(|data| *data)
}

/// How often it is looked whether a connection with early data has its handshake.
const EARLY_PAUSE: Duration = Duration::from_millis(200);

async fn ask_often(link: Weak<Link>, host: Host, keepalive: Keepalive) {
    let agreed = loop {
        let Some(link) = link.upgrade() else { return };
        if link.connection.close_reason().is_some() {
            return;
        }
        if let Some(agreed) = handshake(&link.connection) {
            break agreed;
        }
        drop(link);
        host.timer(EARLY_PAUSE).await;
    };
    let idle = shorter(keepalive.idle, agreed.peer_idle);
    let Some(half) = idle.map(|idle| idle / 2).filter(|half| *half < keepalive.interval) else {
        return;
    };
    let mut heard = None;
    let mut timer = host.timer(half / 2);
    loop {
        (&mut timer).await;
        let Some(link) = link.upgrade() else { return };
        if link.connection.close_reason().is_some() {
            return;
        }
        let now = link.connection.stats().udp_rx.datagrams;
        // Nothing for a quarter of the time; the next look would be after half of it.
        if heard.replace(now) == Some(now) {
            link.nudge(keepalive.window);
        }
        timer.reset(half / 2);
    }
}

impl Mux for Arc<Link> {
    fn link(&self) -> &Arc<Link> {
        self
    }

    fn open(&self, uni: bool) -> BoxFuture<'_, Result<Halves>> {
        Box::pin(async move {
            let opened = if uni {
                self.connection.open_uni().await.map(|send| (Some(send), None))
            } else {
                self.connection.open_bi().await.map(|(send, recv)| (Some(send), Some(recv)))
            };
            opened.map_err(|error| self.explain.loss(&error))
        })
    }

    fn accept(&self, wanted: Wanted) -> BoxFuture<'_, Result<Option<Halves>>> {
        Box::pin(async move {
            let accepted = match wanted {
                Wanted::Bidi => self.both().await,
                Wanted::Any => {
                    let both = std::pin::pin!(self.both());
                    let one = std::pin::pin!(self.one());
                    futures_util::future::select(both, one).await.factor_first().0
                }
            };
            match accepted {
                Ok(halves) => Ok(Some(halves)),
                Err(error) if self.is_normal(&error) => Ok(None),
                Err(error) => Err(self.explain.loss(&error)),
            }
        })
    }

    fn close(&self, code: u64, reason: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.connection.close(code_of(code)?, reason.as_bytes());
            Ok(())
        })
    }

    fn loss(&self, error: &ConnectionError) -> Error {
        self.explain.loss(error)
    }

    fn is_normal(&self, error: &ConnectionError) -> bool {
        match error {
            ConnectionError::LocallyClosed => true,
            ConnectionError::ApplicationClosed(close) => close.error_code == VarInt::from_u32(0),
            _ => false,
        }
    }

    fn end(&self) -> BoxFuture<'_, Event> {
        Box::pin(async move { self.event(&self.connection.closed().await) })
    }

    fn info(&self) -> Info {
        self.facts()
    }

    fn wire_code(&self, code: u64) -> Result<VarInt> {
        code_of(code)
    }

    fn code(&self, code: VarInt) -> (&'static str, u64) {
        (APPLICATION, code.into_inner())
    }

    fn datagram_prefix(&self) -> &[u8] {
        &[]
    }

    fn flow(&self) -> Option<&Arc<Flow>> {
        None
    }
}

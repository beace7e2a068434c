//! Sockets for plugins: connect (several addresses race, RFC 8305), listen, datagrams.

use super::common::Common;
use super::host_names::{HostAddress, HostNames};
use super::kernel::{tcp_session, unix_session};
use super::listening::TcpListeners;
use super::unix::UnixListening;
use crate::handover::{self, Handover, HandoverName};
use futures_util::stream::{FuturesUnordered, StreamExt};
use jackfield_plugin_api::inside::AcceptInside;
use jackfield_plugin_api::services::{Socket, SocketKind};
use jackfield_plugin_api::{
    Accept, DatagramIo, DatagramMeta, Datagrams, Error, ErrorKind, Info, Listener, Result, Session,
};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{SockRef, TcpKeepalive};
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::net::{TcpSocket, TcpStream, UdpSocket, UnixStream};

/// Connects a socket of any stream kind. Not an `async fn`, which would keep room for the socket twice.
#[expect(clippy::manual_async_fn, reason = "what is said above")]
pub(super) fn connect(
    socket: Socket,
    common: Arc<Common>,
) -> impl Future<Output = Result<Session>> + Send {
    async move {
        match socket.kind {
            SocketKind::Tcp => {
                let address = HostAddress::of(&socket.host, socket.port);
                connect_tcp(&socket, address, common.host_names()).await
            }
            SocketKind::Unix => {
                let stream = UnixStream::connect(&socket.path).await;
                Ok(unix_session(at(stream, "connect", &socket.path)?, &socket.path))
            }
            other => Err(Error::unsupported(&format!("connecting a socket of kind {other:?}"))),
        }
    }
}

/// Listens on a socket of any stream kind: on the one of the service manager that is `wanted`, on one that was handed
/// over for its place, or on a new one.
pub(super) async fn listen(
    socket: Socket,
    wanted: Option<Arc<str>>,
    common: Arc<Common>,
) -> Result<Listener> {
    let handover = common.handover();
    if let Some(name) = wanted {
        let listener = at(listen_by(&name, &socket, handover), "socket", &name)?;
        return Ok(AcceptInside::listener(listener));
    }
    match socket.kind {
        SocketKind::Tcp => {
            let listeners = TcpListeners::bind(&socket, common.host_names(), handover).await?;
            Ok(AcceptInside::listener(HostListener::Tcp(listeners)))
        }
        SocketKind::Unix => {
            let listening = UnixListening::bind(&socket, handover);
            let listening = at(listening, "listen", &socket.path)?;
            Ok(AcceptInside::listener(HostListener::Unix(listening)))
        }
        other => Err(Error::unsupported(&format!("listening on a socket of kind {other:?}"))),
    }
}

/// What a service manager has opened by that name.
fn listen_by(
    name: &Arc<str>,
    socket: &Socket,
    handover: &Handover,
) -> std::io::Result<HostListener> {
    let mut taken = handover.take(&HandoverName::Named(name.to_string()))?;
    if taken.is_empty() {
        let text = handover::unknown_name(name, &handover.names());
        return Err(std::io::Error::new(std::io::ErrorKind::NotFound, text));
    }
    match socket.kind {
        SocketKind::Unix if taken.len() == 1 => {
            UnixListening::of(Arc::clone(name), taken.remove(0), handover).map(HostListener::Unix)
        }
        SocketKind::Unix => {
            Err(std::io::Error::other("several sockets of this name: expected one"))
        }
        _ => TcpListeners::named(name, taken, socket, handover).map(HostListener::Tcp),
    }
}

/// Adds to an error what was being done and where.
fn at<T>(result: std::io::Result<T>, call: &str, place: impl ToString) -> Result<T> {
    result.map_err(|error| Error::from(error).with(call, place))
}

/// Connects a TCP socket to `address`, whatever the host and port in `socket` are. Cancel safe.
///
/// # Errors
/// What resolving its name and the system say.
pub(crate) async fn connect_tcp(
    socket: &Socket,
    address: HostAddress<'_>,
    names: &HostNames,
) -> Result<Session> {
    match address {
        HostAddress::Known(only) => connect_only(socket, only).await,
        // Boxed: what has one address needs no room for it.
        HostAddress::Named(host, port) => Box::pin(connect_named(socket, host, port, names)).await,
    }
}

async fn connect_only(socket: &Socket, only: SocketAddr) -> Result<Session> {
    let stream = at(connect_one(socket, only).await, "connect", only)?;
    Ok(tcp_session(stream, None, Some(only)))
}

async fn connect_named(
    socket: &Socket,
    host: &str,
    port: u16,
    names: &HostNames,
) -> Result<Session> {
    let host = if host.is_empty() { "localhost" } else { host };
    let addresses = names.resolve(host, port, socket.family).await?;
    match addresses[..] {
        [only] => connect_only(socket, only).await,
        _ => race(socket, addresses).await,
    }
}

/// Starts one attempt after the other, `attempt_delay` apart or as soon as one fails; the first that
/// connects wins and the others are dropped.
async fn race(socket: &Socket, addresses: Vec<SocketAddr>) -> Result<Session> {
    let delay = if socket.attempt_delay.is_zero() { Duration::MAX } else { socket.attempt_delay };
    let mut waiting = addresses.into_iter();
    let mut running = FuturesUnordered::new();
    let mut last = None;
    loop {
        if let Some(address) = waiting.next() {
            running.push(async move { (address, connect_one(socket, address).await) });
        } else if running.is_empty() {
            break;
        }
        let pause = if waiting.len() == 0 { Duration::MAX } else { delay };
        match jackfield_timers::timeout(pause, running.next()).await {
            Ok(Some((address, Ok(stream)))) => {
                return Ok(tcp_session(stream, None, Some(address)));
            }
            Ok(Some((address, Err(error)))) => {
                last = Some(Error::from(error).with("connect", address));
            }
            Ok(None) | Err(_) => {}
        }
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorKind::NotFound, "no address to connect to")))
}

async fn connect_one(socket: &Socket, address: SocketAddr) -> std::io::Result<TcpStream> {
    let tcp = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(bind) = &socket.bind {
        bind_from(&tcp, bind)?;
    }
    if socket.send_buffer > 0 {
        tcp.set_send_buffer_size(socket.send_buffer)?;
    }
    if socket.recv_buffer > 0 {
        tcp.set_recv_buffer_size(socket.recv_buffer)?;
    }
    // Before it connects: each option for keepalive would set the timer of a connection anew.
    set_stream(&SockRef::from(&tcp), socket)?;
    tcp.connect(address).await
}

/// Takes the local address `IP` or `IP:PORT`.
fn bind_from(tcp: &TcpSocket, bind: &str) -> std::io::Result<()> {
    let local = bind
        .parse::<SocketAddr>()
        .or_else(|_| bind.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)))
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
    if local.port() == 0 {
        // The port is chosen when it connects, so that one port serves for several destinations. Kernels
        // before 4.2 do not know it, and then it works for fewer connections.
        let _ = setsockopt(tcp, sockopt::IpBindAddressNoPort, &true);
    } else {
        // A connection from there that was closed a moment ago does not keep the port.
        tcp.set_reuseaddr(true)?;
    }
    tcp.bind(local)
}

/// Options of a socket that connects, or that listens: what it accepts inherits them.
pub(super) fn set_stream(sock: &SockRef<'_>, socket: &Socket) -> std::io::Result<()> {
    if socket.nodelay {
        sock.set_tcp_nodelay(true)?;
    }
    // Urgent bytes are bytes: left out, they would be missing (RFC 6093 §6).
    sock.set_out_of_band_inline(true)?;
    if !socket.keepalive.is_zero() {
        let mut keepalive = TcpKeepalive::new().with_time(socket.keepalive);
        if !socket.keepalive_interval.is_zero() {
            keepalive = keepalive.with_interval(socket.keepalive_interval);
        }
        if socket.keepalive_count > 0 {
            keepalive = keepalive.with_retries(socket.keepalive_count);
        }
        sock.set_tcp_keepalive(&keepalive)?;
    }
    if !socket.user_timeout.is_zero() {
        sock.set_tcp_user_timeout(Some(socket.user_timeout))?;
    }
    Ok(())
}

/// A listening socket of the host's.
#[derive(Debug)]
pub(crate) enum HostListener {
    /// TCP.
    Tcp(Arc<TcpListeners>),
    /// A Unix socket and its file, which is removed after it.
    Unix(Arc<UnixListening>),
}

impl Accept for HostListener {
    fn info(&self) -> Info {
        match self {
            HostListener::Tcp(listeners) => listeners.info(),
            HostListener::Unix(listening) => Info::new().local(listening.path()),
        }
    }

    async fn accept(&self) -> Result<Session> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }
}

impl HostListener {
    /// The next session. Cancel safe.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Session>> {
        Poll::Ready(match self {
            HostListener::Tcp(listeners) => {
                let (stream, local, peer) = ready!(listeners.poll_accept(cx))?;
                Ok(tcp_session(stream, local, Some(peer)))
            }
            HostListener::Unix(listening) => {
                let (stream, _) = ready!(listening.listener.poll_accept(cx))?;
                Ok(unix_session(stream, listening.path()))
            }
        })
    }
}

/// Binds a UDP socket.
pub(super) async fn bind_datagrams(socket: Socket, common: Arc<Common>) -> Result<Datagrams> {
    if socket.kind != SocketKind::Udp {
        return Err(Error::unsupported(&format!("datagrams of kind {:?}", socket.kind)));
    }
    let host = if socket.host.is_empty() { "0.0.0.0" } else { &socket.host };
    let mut last = None;
    for address in common.host_names().resolve(host, socket.port, socket.family).await? {
        match UdpSocket::bind(address).await {
            Ok(udp) => return Ok(Datagrams::new(HostUdp(udp))),
            Err(error) => last = Some(Error::from(error).with("bind", address)),
        }
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorKind::NotFound, "no address to bind")))
}

struct HostUdp(UdpSocket);

impl DatagramIo for HostUdp {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        let mut buffer = ReadBuf::new(buffer);
        self.0.poll_recv_from(cx, &mut buffer).map(|received| {
            let peer = Some(received?);
            Ok(Some(DatagramMeta::new(buffer.filled().len(), peer)))
        })
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &[u8],
        meta: &DatagramMeta,
    ) -> Poll<Result<()>> {
        let sent = match meta.peer {
            Some(peer) => self.0.poll_send_to(cx, buffer, peer),
            None => self.0.poll_send(cx, buffer),
        };
        sent.map(|sent| sent.map(|_| ()).map_err(Error::from))
    }

    fn max_size(&self) -> usize {
        // The most that fits an IPv4 datagram: 65,535 less 20 and 8 bytes of headers.
        65_507
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_local_address_without_a_port_takes_none_until_it_connects() {
        let tcp = TcpSocket::new_v4().expect("a socket");
        bind_from(&tcp, "127.0.0.1").expect("an address");
        assert_eq!(tcp.local_addr().expect("an address").port(), 0);
        let peer = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let stream = tcp.connect(peer.local_addr().expect("an address")).await.expect("a peer");
        assert_ne!(stream.local_addr().expect("an address").port(), 0);
    }

    #[tokio::test]
    async fn a_local_port_can_be_used_again() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let bind = free.local_addr().expect("an address").to_string();
        drop(free);
        let tcp = TcpSocket::new_v4().expect("a socket");
        bind_from(&tcp, &bind).expect("an address");
        assert!(tcp.reuseaddr().expect("an option"));
        assert_eq!(tcp.local_addr().expect("an address").to_string(), bind);
    }
}

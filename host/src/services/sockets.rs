//! Sockets for plugins: connect (several addresses race, RFC 8305), listen, datagrams.

use super::kernel::{tcp_session, unix_session};
use super::unix;
use crate::work;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jackfield_plugin_api::inside::AcceptInside;
use jackfield_plugin_api::services::{Socket, SocketKind};
use jackfield_plugin_api::{
    Accept, DatagramIo, DatagramMeta, Datagrams, Error, ErrorKind, Info, Listener, Result, Session,
};
use socket2::{Domain, Protocol, SockAddr, SockRef, TcpKeepalive, Type};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket, UnixListener, UnixStream};

/// Connects a socket of any stream kind.
pub(super) async fn connect(socket: Socket) -> Result<Session> {
    match socket.kind {
        SocketKind::Tcp => connect_tcp(&socket).await,
        SocketKind::Unix => {
            let stream = UnixStream::connect(&socket.path).await;
            Ok(unix_session(at(stream, "connect", &socket.path)?, &socket.path))
        }
        other => Err(Error::unsupported(&format!("connecting a socket of kind {other:?}"))),
    }
}

/// Listens on a socket of any stream kind.
pub(super) async fn listen(socket: Socket) -> Result<Listener> {
    match socket.kind {
        SocketKind::Tcp => {
            let listener = listen_tcp(&socket).await?;
            Ok(AcceptInside::listener(HostListener::Tcp(listener, socket)))
        }
        SocketKind::Unix => {
            let (listener, file) = at(unix::bind(&socket), "listen", &socket.path)?;
            Ok(AcceptInside::listener(HostListener::Unix(listener, file)))
        }
        other => Err(Error::unsupported(&format!("listening on a socket of kind {other:?}"))),
    }
}

/// Adds to an error what was being done and where.
fn at<T>(result: std::io::Result<T>, call: &str, place: impl ToString) -> Result<T> {
    result.map_err(|error| Error::from(error).with(call, place))
}

/// Addresses of a host in the order of trying: families alternate, starting with the system's first.
pub(super) async fn resolve(host: &str, port: u16, family: u32) -> Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| {
        Error::new(ErrorKind::NotFound, format!("host name {host:?} does not resolve: {error}"))
    })?;
    let wanted = found.filter(|address| match family {
        4 => address.is_ipv4(),
        6 => address.is_ipv6(),
        _ => true,
    });
    let ordered = interleave(wanted.collect());
    if ordered.is_empty() {
        let text = format!("host name {host:?} has no address of the wanted family");
        return Err(Error::new(ErrorKind::NotFound, text));
    }
    work::resolved(host, &ordered);
    Ok(ordered)
}

fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().copied() else { return addresses };
    let (mut same, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut ordered = Vec::with_capacity(same.len() + other.len());
    while !same.is_empty() || !other.is_empty() {
        ordered.extend(same.pop_front());
        ordered.extend(other.pop_front());
    }
    ordered
}

async fn connect_tcp(socket: &Socket) -> Result<Session> {
    let host = if socket.host.is_empty() { "localhost" } else { &socket.host };
    let addresses = resolve(host, socket.port, socket.family).await?;
    if let [only] = addresses[..] {
        let stream = at(connect_one(socket, only).await, "connect", only)?;
        return Ok(tcp_session(stream, Some(only)));
    }
    race(socket, addresses).await
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
        match tokio::time::timeout(pause, running.next()).await {
            Ok(Some((address, Ok(stream)))) => return Ok(tcp_session(stream, Some(address))),
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
        let local = bind
            .parse::<SocketAddr>()
            .or_else(|_| bind.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)))
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        tcp.bind(local)?;
    }
    if socket.send_buffer > 0 {
        tcp.set_send_buffer_size(socket.send_buffer)?;
    }
    if socket.recv_buffer > 0 {
        tcp.set_recv_buffer_size(socket.recv_buffer)?;
    }
    let stream = tcp.connect(address).await?;
    set_stream(&stream, socket)?;
    Ok(stream)
}

/// Options of a connected socket, whichever side connected it.
fn set_stream(stream: &TcpStream, socket: &Socket) -> std::io::Result<()> {
    if socket.nodelay {
        stream.set_nodelay(true)?;
    }
    let sock = SockRef::from(stream);
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

async fn listen_tcp(socket: &Socket) -> Result<TcpListener> {
    let any = socket.host.is_empty() || socket.host == "*";
    let addresses = match (any, socket.family) {
        (true, 4) => vec![SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), socket.port)],
        (true, _) => vec![
            SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), socket.port),
            SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), socket.port),
        ],
        (false, family) => resolve(&socket.host, socket.port, family).await?,
    };
    let mut last = None;
    // A machine without IPv6 still listens on all IPv4 addresses.
    for address in addresses {
        match bind_tcp(socket, address, any && socket.family == 0) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(Error::from(error).with("listen", address)),
        }
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorKind::NotFound, "no address to listen on")))
}

fn bind_tcp(socket: &Socket, address: SocketAddr, dual: bool) -> std::io::Result<TcpListener> {
    let tcp = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        tcp.set_only_v6(!dual)?;
    }
    tcp.set_reuse_address(true)?;
    // As for what is dialled; what is accepted inherits it.
    SockRef::from(&tcp).set_out_of_band_inline(true)?;
    if socket.reuse_port {
        tcp.set_reuse_port(true)?;
    }
    // Accepted sockets inherit these.
    if socket.nodelay {
        tcp.set_tcp_nodelay(true)?;
    }
    if socket.send_buffer > 0 {
        tcp.set_send_buffer_size(socket.send_buffer as usize)?;
    }
    if socket.recv_buffer > 0 {
        tcp.set_recv_buffer_size(socket.recv_buffer as usize)?;
    }
    tcp.bind(&SockAddr::from(address))?;
    tcp.listen(i32::try_from(socket.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(tcp.into())
}

/// A listening socket of the host's.
pub(super) enum HostListener {
    /// TCP, with the options for accepted sockets.
    Tcp(TcpListener, Socket),
    /// A Unix socket and its file, which is removed after it.
    Unix(UnixListener, unix::SocketFile),
}

impl Accept for HostListener {
    fn info(&self) -> Info {
        let local = match self {
            HostListener::Tcp(listener, _) => listener.local_addr().ok().map(|a| a.to_string()),
            HostListener::Unix(_, file) => Some(file.path().to_owned()),
        };
        let mut info = Info::new();
        info.local = local;
        info
    }

    async fn accept(&self) -> Result<Session> {
        match self {
            HostListener::Tcp(listener, socket) => {
                let (stream, peer) = listener.accept().await?;
                // Nodelay was inherited; the rest is set only when it was asked for.
                if !socket.keepalive.is_zero() || !socket.user_timeout.is_zero() {
                    set_stream(&stream, socket)?;
                }
                Ok(tcp_session(stream, Some(peer)))
            }
            HostListener::Unix(listener, file) => {
                let (stream, _) = listener.accept().await?;
                Ok(unix_session(stream, file.path()))
            }
        }
    }
}

/// Binds a UDP socket.
pub(super) async fn bind_datagrams(socket: Socket) -> Result<Datagrams> {
    if socket.kind != SocketKind::Udp {
        return Err(Error::unsupported(&format!("datagrams of kind {:?}", socket.kind)));
    }
    let host = if socket.host.is_empty() { "0.0.0.0" } else { &socket.host };
    let mut last = None;
    for address in resolve(host, socket.port, socket.family).await? {
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

    #[test]
    fn families_alternate_in_the_systems_order() {
        let list = |text: &str| -> Vec<SocketAddr> {
            text.split(' ').filter_map(|address| address.parse().ok()).collect()
        };
        let ordered = interleave(list("[::1]:1 [::2]:1 127.0.0.1:1 [::3]:1 127.0.0.2:1"));
        assert_eq!(ordered, list("[::1]:1 127.0.0.1:1 [::2]:1 127.0.0.2:1 [::3]:1"));
    }
}

//! The UDP sockets, made as the options say. Making one does not block.

use crate::options::QuicOptions;
use jackfield_plugin_api::peers::{self, ListeningSocket};
use jackfield_plugin_api::{Error, ErrorKind, Host, Result};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Sizes of the socket's buffers in bytes; 0: the system's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffers {
    send: usize,
    recv: usize,
}

impl Buffers {
    pub(crate) fn of(options: &QuicOptions) -> Self {
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Buffers { send: size(options.send_buffer), recv: size(options.recv_buffer) }
    }
}

/// The local address that an option names; port 0 lets the system choose.
///
/// # Errors
/// Naming the option.
pub(crate) fn local(bind: Option<&str>) -> Result<Option<SocketAddr>> {
    let Some(text) = bind else { return Ok(None) };
    let address = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 0)));
    let wrong = |_| Error::option("bind", format!("{text:?} is neither IP nor IP:PORT"));
    address.map(Some).map_err(wrong)
}

/// Any address of a family, with a port that the system chooses.
pub(crate) fn anywhere(ipv4: bool) -> SocketAddr {
    let ip = if ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, 0)
}

/// Every address, with IPv4 peers on an IPv6 socket where the machine has IPv6.
pub(crate) fn everywhere(port: u16) -> Vec<SocketAddr> {
    vec![
        SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port),
        SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
    ]
}

/// A bound socket.
///
/// # Errors
/// What the system says.
pub(crate) fn bind(
    address: SocketAddr,
    buffers: Buffers,
    reuse_port: bool,
    dual: bool,
) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!dual)?;
    }
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    if buffers.send > 0 {
        socket.set_send_buffer_size(buffers.send)?;
    }
    if buffers.recv > 0 {
        socket.set_recv_buffer_size(buffers.recv)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The socket that the process before this one has handed over for this address, or a new one.
///
/// # Errors
/// What the system says.
pub(crate) fn listening(
    host: &Host,
    address: SocketAddr,
    buffers: Buffers,
    reuse_port: bool,
) -> io::Result<ListeningSocket> {
    let dual = address.ip().is_unspecified();
    peers::bind(host, address, || Ok(bind(address, buffers, reuse_port, dual)?.into()))
}

/// The first of `addresses` that can be taken.
///
/// # Errors
/// What the system says of the last one.
pub(crate) fn first(
    host: &Host,
    addresses: &[SocketAddr],
    buffers: Buffers,
    reuse_port: bool,
) -> Result<ListeningSocket> {
    let mut last = Error::new(ErrorKind::NotFound, "no address to listen on");
    for address in addresses {
        match listening(host, *address, buffers, reuse_port) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Error::from(error).with("listen", address),
        }
    }
    Err(last)
}

/// A peer as it writes itself: on a socket for both families, one of IPv4 is shown as one of IPv6.
pub(crate) fn shown(peer: SocketAddr) -> SocketAddr {
    match peer.ip() {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            SocketAddr::new(v6.to_canonical(), peer.port())
        }
        _ => peer,
    }
}

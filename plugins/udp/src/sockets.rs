//! The sockets, made as the options say. Making one does not block.

use crate::options::{Family, UdpOptions};
use jackfield_plugin_api::peers::{self, ListeningSocket};
use jackfield_plugin_api::{Error, ErrorKind, Host, Result};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// The local address that options name; port 0 lets the system choose.
///
/// # Errors
/// Naming the option.
pub(crate) fn local(bind: Option<&str>) -> Result<Option<SocketAddr>> {
    let Some(text) = bind else { return Ok(None) };
    let address = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 0)));
    let wrong = |_| Error::option("bind", format!("{text:?} is neither IP nor IP:PORT"));
    address.map(Some).map_err(wrong)
}

impl Family {
    pub(crate) fn has(self, address: &SocketAddr) -> bool {
        match self {
            Family::Any => true,
            Family::Ipv4 => address.is_ipv4(),
            Family::Ipv6 => address.is_ipv6(),
        }
    }
}

fn socket(options: &UdpOptions, address: &SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(*address);
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_broadcast(options.broadcast)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if options.send_buffer > 0 {
        socket.set_send_buffer_size(options.send_buffer as usize)?;
    }
    if options.recv_buffer > 0 {
        socket.set_recv_buffer_size(options.recv_buffer as usize)?;
    }
    Ok(socket)
}

/// A socket that sends to `peer` and receives from it alone.
pub(crate) fn connect(
    options: &UdpOptions,
    from: Option<SocketAddr>,
    peer: SocketAddr,
) -> Result<OwnedFd> {
    let made = || -> io::Result<OwnedFd> {
        let socket = socket(options, &peer)?;
        if let Some(local) = from {
            socket.bind(&local.into())?;
        }
        socket.connect(&peer.into())?;
        Ok(socket.into())
    };
    made().map_err(|error| Error::from(error).with("connect", peer))
}

/// Every address, with IPv4 peers on an IPv6 socket where the machine has IPv6.
pub(crate) fn everywhere(family: Family, port: u16) -> Vec<SocketAddr> {
    let all = [
        SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port),
        SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
    ];
    all.into_iter().filter(|address| family.has(address)).collect()
}

/// A socket that listens at `address`.
pub(crate) fn bind_one(options: &UdpOptions, address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket(options, &address)?;
    if address.is_ipv6() {
        socket.set_only_v6(options.family == Family::Ipv6 || !address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The first of `addresses` that can be taken.
pub(crate) fn first(
    host: &Host,
    options: &UdpOptions,
    addresses: &[SocketAddr],
) -> Result<ListeningSocket> {
    let mut last = Error::new(ErrorKind::NotFound, "no address of the wanted family to listen on");
    for address in addresses {
        match peers::bind(host, *address, || bind_one(options, *address)) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Error::from(error).with("listen", address),
        }
    }
    Err(last)
}

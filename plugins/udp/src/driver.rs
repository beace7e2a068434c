//! [`UdpDriver`].

use crate::options::UdpOptions;
use crate::sockets;
use jackfield_plugin_api::peers::{self, Limits};
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, ErrorKind, Facets, Host, Info, Listener, Request, Result, Role,
    Scheme, Session, bind_all,
};
use std::net::SocketAddr;
use std::time::Duration;

/// The `udp` driver.
#[derive(Debug)]
pub struct UdpDriver {
    host: Host,
}

/// Options, checked.
#[derive(Debug)]
pub struct Endpoint {
    options: UdpOptions,
    from: Option<SocketAddr>,
    limits: Limits,
}

impl Driver for UdpDriver {
    const INFO: DriverInfo = DriverInfo::transport(
        "udp",
        "UDP: datagrams to one peer, or a session for each peer that sends",
    )
    .schemes(&[Scheme::new("udp", "udp")])
    .client()
    .server()
    .facets(Facets::DATAGRAMS);
    type Options = UdpOptions;
    type Endpoint = Endpoint;

    fn new(host: Host) -> Result<Self> {
        Ok(UdpDriver { host })
    }

    fn needs_port() -> bool {
        true
    }

    fn configure(&self, options: UdpOptions, _role: Role) -> Result<Endpoint> {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let mut limits = Limits::default();
        limits.sessions = count(options.sessions);
        limits.queue = count(options.queue);
        limits.bytes = count(options.buffer);
        limits.idle = Duration::from_secs(u64::from(options.idle));
        limits.max_size = count(options.max_size);
        Ok(Endpoint { from: sockets::local(options.bind.as_deref())?, limits, options })
    }

    async fn open(&self, endpoint: &Endpoint, request: Request) -> Result<Session> {
        let address = request.address;
        let port = address.port.ok_or_else(|| {
            let message = "a udp address needs a port";
            Error::new(ErrorKind::Config, message).with("address", address.authority())
        })?;
        let host = if address.host.is_empty() { "localhost" } else { &address.host };
        let wanted = |peer: &SocketAddr| {
            endpoint.options.family.has(peer)
                && endpoint.from.is_none_or(|from| from.is_ipv4() == peer.is_ipv4())
        };
        let peers = self.host.resolve(host, port).await?;
        let mut last = Error::new(ErrorKind::NotFound, "no address of the wanted family");
        for peer in peers.into_iter().filter(wanted) {
            match sockets::connect(&endpoint.options, endpoint.from, peer) {
                Ok(fd) => {
                    let max = endpoint.limits.max_size;
                    return peers::connected(&self.host, fd, max, Info::default());
                }
                Err(error) => last = error,
            }
        }
        Err(last.with("host", host))
    }

    async fn listen(&self, endpoint: &Endpoint, request: Request) -> Result<Listener> {
        let (host, port) = (&request.address.host, request.address.port.unwrap_or(0));
        let options = &endpoint.options;
        let sockets = if host.is_empty() || host == "*" {
            vec![sockets::first(&self.host, options, &sockets::everywhere(options.family, port))?]
        } else {
            let mut found = self.host.resolve(host, port).await?;
            found.retain(|address| options.family.has(address));
            bind_all(&self.host, host, &found, |address| {
                peers::bind(&self.host, address, || sockets::bind_one(options, address))
            })?
        };
        let listeners = sockets
            .into_iter()
            .map(|fd| peers::listener(&self.host, fd, endpoint.limits, Info::default()));
        Ok(Listener::several(listeners.collect::<Result<_>>()?))
    }
}

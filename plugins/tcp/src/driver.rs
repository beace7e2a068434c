//! [`TcpDriver`]: options to sockets of the host, which does the rest.

use crate::options::{Family, TcpOptions};
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, ErrorKind, Facets, Host, Listener, Request, Result, Role, Scheme,
    Session, Socket, SocketKind,
};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The `tcp` driver.
#[derive(Debug)]
pub struct TcpDriver {
    host: Host,
}

impl Driver for TcpDriver {
    const INFO: DriverInfo = DriverInfo::transport("tcp", "TCP connections and listeners")
        .schemes(&[Scheme::new("tcp", "tcp")])
        .client()
        .server()
        .facets(Facets::STREAM.union(Facets::TAKE_FD));
    type Options = TcpOptions;
    type Endpoint = Socket;

    fn new(host: Host) -> Result<Self> {
        Ok(TcpDriver { host })
    }

    fn needs_port() -> bool {
        true
    }

    fn socket(socket: &Socket) -> Option<&Socket> {
        Some(socket)
    }

    fn configure(&self, options: TcpOptions, _role: Role) -> Result<Socket> {
        if let Some(bind) = &options.bind
            && bind.parse::<IpAddr>().is_err()
            && bind.parse::<SocketAddr>().is_err()
        {
            return Err(Error::option("bind", format!("{bind:?} is neither IP nor IP:PORT")));
        }
        let seconds = |count: u32| Duration::from_secs(u64::from(count));
        let mut socket = Socket::new(SocketKind::Tcp, "", 0);
        socket.bind = options.bind;
        socket.nodelay = options.nodelay;
        socket.reuse_port = options.reuse_port;
        socket.keepalive = seconds(options.keepalive);
        socket.keepalive_interval = seconds(options.keepalive_interval);
        socket.keepalive_count = options.keepalive_count;
        socket.user_timeout = seconds(options.user_timeout);
        socket.attempt_delay = Duration::from_millis(u64::from(options.attempt_delay));
        socket.backlog = options.backlog;
        socket.send_buffer = options.send_buffer;
        socket.recv_buffer = options.recv_buffer;
        socket.family = match options.family {
            Family::Any => 0,
            Family::Ipv4 => 4,
            Family::Ipv6 => 6,
        };
        Ok(socket)
    }

    // Not an `async fn`: each connection would keep room for the request and the socket until it is open.
    fn open(
        &self,
        socket: &Socket,
        request: Request,
    ) -> impl Future<Output = Result<Session>> + Send {
        let address = request.address;
        let Some(port) = address.port else {
            let error = Error::new(ErrorKind::Config, "a tcp address needs a port");
            return Op::ready(Err(error.with("address", address.authority())));
        };
        self.host.connect(&socket.to(address.host, port))
    }

    async fn listen(&self, socket: &Socket, request: Request) -> Result<Listener> {
        let address = request.address;
        let port = address.port.unwrap_or(0);
        self.host.listen(&socket.to(address.host, port)).await
    }
}

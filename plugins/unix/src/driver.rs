//! [`UnixDriver`] and [`UnixgramDriver`].

use crate::datagram::{self, Endpoint};
use crate::options::{UnixOptions, UnixgramOptions};
use crate::place::{Found, mode, path};
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, ErrorKind, Facets, Host, Listener, Request, Result, Role, Scheme,
    Session, Socket, SocketKind,
};

/// The `unix` driver: options to sockets of the host, which does the rest.
#[derive(Debug)]
pub struct UnixDriver {
    host: Host,
}

impl Driver for UnixDriver {
    const INFO: DriverInfo = DriverInfo::transport("unix", "Unix stream sockets, by path")
        .schemes(&[Scheme::new("unix", "unix")])
        .client()
        .server()
        .facets(Facets::STREAM.union(Facets::TAKE_FD));
    type Options = UnixOptions;
    type Endpoint = Socket;

    fn new(host: Host) -> Result<Self> {
        Ok(UnixDriver { host })
    }

    fn configure(&self, options: UnixOptions, _role: Role) -> Result<Socket> {
        let mode = mode(options.mode.as_deref())?;
        let mut socket = Socket::at_path(SocketKind::Unix, "");
        socket.mode = mode;
        socket.backlog = options.backlog;
        Ok(socket)
    }

    async fn open(&self, socket: &Socket, request: Request) -> Result<Session> {
        self.host.connect(&socket.to_path(path(&request.address)?)).await
    }

    async fn listen(&self, socket: &Socket, request: Request) -> Result<Listener> {
        let socket = socket.to_path(path(&request.address)?);
        // First as it is: a process before this one may hand its socket over.
        match self.host.listen(&socket).await {
            Err(error) if error.kind() == ErrorKind::InUse => {}
            listening => return listening,
        }
        if let Some(found) = Found::at(&socket.path)? {
            match self.host.connect(&socket).await {
                Ok(_) => return Err(found.in_use()),
                // A socket that refuses has no owner; whatever else is wrong is not ours to judge.
                Err(error) if error.kind() == ErrorKind::Unreachable => found.remove()?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(Error::new(ErrorKind::InUse, error.to_string())),
            }
        }
        self.host.listen(&socket).await
    }
}

/// The `unixgram` driver.
#[derive(Debug)]
pub struct UnixgramDriver {
    host: Host,
}

impl Driver for UnixgramDriver {
    const INFO: DriverInfo = DriverInfo::transport("unixgram", "Unix datagram sockets, by path")
        .schemes(&[Scheme::new("unixgram", "unixgram")])
        .client()
        .server()
        .facets(Facets::DATAGRAMS);
    type Options = UnixgramOptions;
    type Endpoint = Endpoint;

    fn new(host: Host) -> Result<Self> {
        Ok(UnixgramDriver { host })
    }

    fn configure(&self, options: UnixgramOptions, _role: Role) -> Result<Endpoint> {
        Endpoint::new(&options)
    }

    async fn open(&self, endpoint: &Endpoint, request: Request) -> Result<Session> {
        datagram::open(&self.host, endpoint, &path(&request.address)?)
    }

    async fn listen(&self, endpoint: &Endpoint, request: Request) -> Result<Listener> {
        datagram::listen(&self.host, endpoint, &path(&request.address)?)
    }
}

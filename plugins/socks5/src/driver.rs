//! [`Socks5Driver`]: a session is a proxy that is known to be there; each dial is a connection of its own to it.

use crate::options::{Resolve, Socks5Options};
use crate::protocol::{LONGEST, To, User, connect, greet};
use jackfield_plugin_api::{
    Address, Control, Driver, DriverInfo, Error, ErrorKind, Facets, Host, Info, Request, Result,
    Role, Scheme, Session, Socket, SocketKind, Stream,
};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The `socks5` driver.
#[derive(Debug)]
pub struct Socks5Driver {
    host: Host,
}

/// Options put in place.
#[derive(Debug)]
pub struct Socks5Endpoint {
    socket: Socket,
    user: Option<User>,
    resolve: Resolve,
}

impl Driver for Socks5Driver {
    const INFO: DriverInfo =
        DriverInfo::transport("socks5", "SOCKS 5 proxies, which connect for others (`via`)")
            .schemes(&[Scheme::new("socks5", "socks5").port(1080)])
            .client()
            .facets(Facets::STREAM.union(Facets::TAKE_FD).union(Facets::DIAL));
    type Options = Socks5Options;
    type Endpoint = Arc<Socks5Endpoint>;

    fn new(host: Host) -> Result<Self> {
        Ok(Socks5Driver { host })
    }

    fn needs_port() -> bool {
        true
    }

    fn configure(&self, options: Socks5Options, _role: Role) -> Result<Arc<Socks5Endpoint>> {
        if let Some(bind) = &options.bind
            && bind.parse::<IpAddr>().is_err()
            && bind.parse::<SocketAddr>().is_err()
        {
            return Err(Error::option("bind", format!("{bind:?} is neither IP nor IP:PORT")));
        }
        let user = match (options.username, options.password) {
            (Some(name), password) => Some(User { name, password: password.unwrap_or_default() }),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(Error::option("password", "a password needs a username beside it"));
            }
        };
        if let Some(user) = &user {
            check_user(user)?;
        }
        let mut socket = Socket::new(SocketKind::Tcp, "", 0);
        socket.bind = options.bind;
        socket.keepalive = Duration::from_secs(u64::from(options.keepalive));
        Ok(Arc::new(Socks5Endpoint { socket, user, resolve: options.resolve }))
    }

    async fn open(&self, endpoint: &Arc<Socks5Endpoint>, request: Request) -> Result<Session> {
        let through = through(&request.address.path)?;
        let Address { host, port, user, password, .. } = request.address;
        let port = port.ok_or_else(|| Error::new(ErrorKind::Config, "a proxy needs a port"))?;
        let user = match user {
            Some(name) => Some(User { name, password: password.unwrap_or_default() }),
            None => endpoint.user.clone(),
        };
        if let Some(user) = &user {
            check_user(user)?;
        }
        let socket = endpoint.socket.to(host, port);
        let proxy = Proxy { host: self.host, socket, user, resolve: endpoint.resolve };
        let (stream, info) = proxy.greeted().await?;
        let greeted = Mutex::new(Some(stream));
        let control = Socks5Control { proxy, info, greeted };
        match through {
            Some(to) => control.dial(to).await,
            None => Ok(Session::builder(control).facets(Facets::DIAL).build()),
        }
    }
}

/// Where a path such as `/host:port` leads; `None` without one.
fn through(path: &str) -> Result<Option<Address>> {
    let to = path.trim_start_matches('/');
    if to.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        let text = "expected no path, or the host and the port to connect to, as in /10.0.0.9:22";
        Error::new(ErrorKind::Config, text).with("path", path)
    };
    let (host, port) = to.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port.parse().map_err(|_| wrong())?;
    if host.is_empty() || host.contains('/') {
        return Err(wrong());
    }
    Ok(Some(Address::new(host, port)))
}

/// What does not fit into the protocol's fields (RFC 1929 §2).
fn check_user(user: &User) -> Result<()> {
    for (option, length) in
        [("username", user.name.len()), ("password", user.password.expose().len())]
    {
        if length > LONGEST {
            let text = format!("expected at most {LONGEST} bytes, found {length}");
            return Err(Error::option(option, text));
        }
    }
    Ok(())
}

/// A proxy, and who logs in there.
#[derive(Debug)]
struct Proxy {
    host: Host,
    socket: Socket,
    user: Option<User>,
    resolve: Resolve,
}

impl Proxy {
    /// A new connection to it, on which one is logged in.
    async fn greeted(&self) -> Result<(Stream, Info)> {
        let session = self.host.connect(&self.socket).await?;
        let info = session.info();
        let none = || Error::new(ErrorKind::Closed, "a connection without a stream");
        let mut stream = session.take_stream().ok_or_else(none)?;
        let greeted = greet(&mut stream, self.user.as_ref()).await;
        greeted.map_err(|error| self.named(error))?;
        Ok((stream, info))
    }

    fn named(&self, error: Error) -> Error {
        let Socket { host, port, .. } = &self.socket;
        error.with("proxy", format!("{host}:{port}"))
    }

    /// Where the proxy is told to connect to.
    async fn to(&self, address: &Address) -> Result<To> {
        let port = address.port.ok_or_else(|| {
            let text = "a proxy needs a host and a port to connect to";
            Error::new(ErrorKind::Config, text).with("address", address.authority())
        })?;
        if let Ok(ip) = address.host.parse::<IpAddr>() {
            return Ok(To::Address(SocketAddr::new(ip, port)));
        }
        if self.resolve == Resolve::Local {
            let found = self.host.resolve(&address.host, port).await?;
            let none = || Error::new(ErrorKind::NotFound, "the name has no address");
            return found.first().copied().map(To::Address).ok_or_else(none);
        }
        if address.host.is_empty() || address.host.len() > LONGEST {
            let text = format!("expected a host name of 1 to {LONGEST} bytes");
            return Err(Error::new(ErrorKind::Config, text));
        }
        Ok(To::Name(address.host.clone(), port))
    }
}

/// A proxy that has shown that it is there.
struct Socks5Control {
    proxy: Proxy,
    info: Info,
    /// The connection by which it has, for the first dial.
    greeted: Mutex<Option<Stream>>,
}

impl Control for Socks5Control {
    fn info(&self) -> Info {
        self.info.clone()
    }

    async fn dial(&self, address: Address) -> Result<Session> {
        let to = self.proxy.to(&address).await?;
        let named = |error: Error| self.proxy.named(error).with("to", address.authority());
        let kept = self.greeted.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut stream) = kept {
            match connect(&mut stream, &to).await {
                // It was unused for too long for the proxy.
                Err(error) if error.kind() == ErrorKind::Closed => {}
                connected => {
                    let local = connected.map_err(named)?;
                    return Ok(self.session(stream, self.info.clone(), local, &address));
                }
            }
        }
        let (mut stream, info) = self.proxy.greeted().await?;
        let local = connect(&mut stream, &to).await.map_err(|error| match error.kind() {
            // The next dial may well succeed: the proxy itself is not lost.
            ErrorKind::Closed => named(Error::new(ErrorKind::Refused, error.message())),
            _ => named(error),
        })?;
        Ok(self.session(stream, info, local, &address))
    }
}

impl Socks5Control {
    /// A connection through the proxy.
    fn session(&self, stream: Stream, info: Info, local: String, to: &Address) -> Session {
        let proxy = info.peer.clone().unwrap_or_default();
        let info = info.peer(to.authority()).with("proxy", proxy).with("proxy_local", local);
        Session::of_stream(info, stream)
    }
}

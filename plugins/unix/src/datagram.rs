//! Unix datagram sockets. They do not block for longer than it takes to make them.

use crate::options::UnixgramOptions;
use crate::place::{Found, mode};
use jackfield_plugin_api::peers::{self, Limits};
use jackfield_plugin_api::{Accept, Error, ErrorKind, Host, Info, Listener, Result, Session};
use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// Options, checked.
#[derive(Debug)]
pub struct Endpoint {
    mode: u32,
    bind: Option<String>,
    limits: Limits,
}

impl Endpoint {
    pub(crate) fn new(options: &UnixgramOptions) -> Result<Self> {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let mut limits = Limits::default();
        limits.sessions = count(options.sessions);
        limits.queue = count(options.queue);
        limits.bytes = count(options.buffer);
        limits.idle = Duration::from_secs(u64::from(options.idle));
        limits.max_size = count(options.max_size);
        Ok(Endpoint { mode: mode(options.mode.as_deref())?, bind: options.bind.clone(), limits })
    }
}

/// A socket's file, removed on drop unless another has its place by then.
struct Own(Option<Found>);

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(found) = &self.0 {
            // If it cannot be removed, the next listener will see that it is stale.
            let _ = found.remove();
        }
    }
}

fn at<T>(result: io::Result<T>, call: &str, path: &str) -> Result<T> {
    result.map_err(|error| Error::from(error).with(call, path))
}

fn socket() -> Result<Socket> {
    Ok(Socket::new(Domain::UNIX, Type::DGRAM.nonblocking(), None)?)
}

/// Takes `path` for `socket`, from a stale socket if there is one.
fn bind(socket: &Socket, path: &str) -> Result<Own> {
    if let Some(found) = Found::at(path)? {
        let probe = self::socket()?;
        match probe.connect(&at(SockAddr::unix(path), "listen", path)?) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => found.remove()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => return Err(found.in_use()),
        }
    }
    at(SockAddr::unix(path).and_then(|address| socket.bind(&address)), "listen", path)?;
    Ok(Own(Found::at(path)?))
}

/// A session of datagrams that keeps the file of its own end.
pub(crate) fn open(host: &Host, endpoint: &Endpoint, path: &str) -> Result<Session> {
    let socket = socket()?;
    let own = match &endpoint.bind {
        Some(bind) => bind_own(&socket, bind)?,
        None => {
            // An empty name asks for a free one in the abstract namespace, so that answers come.
            socket.bind(&unnamed()?)?;
            Own(None)
        }
    };
    at(SockAddr::unix(path).and_then(|peer| socket.connect(&peer)), "connect", path)?;
    let facts = Info::new().peer(path.to_owned());
    let session = peers::connected(host, socket.into(), endpoint.limits.max_size, facts)?;
    let none = || Error::new(ErrorKind::Other, "a session without datagrams");
    let datagrams = session.take_datagrams().ok_or_else(none)?;
    Ok(Session::builder(Kept { info: session.info(), _own: own }).datagrams(datagrams).build())
}

fn bind_own(socket: &Socket, path: &str) -> Result<Own> {
    bind(socket, path).map_err(|error| error.with("option", "bind"))
}

/// A free name for a socket that has no file.
fn unnamed() -> Result<SockAddr> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Ok(SockAddr::unix(format!("\0jackfield-{}-{number}", std::process::id()))?)
}

/// What is known of a connected session, and its file.
struct Kept {
    info: Info,
    _own: Own,
}

impl jackfield_plugin_api::Control for Kept {
    fn info(&self) -> Info {
        self.info.clone()
    }
}

pub(crate) fn listen(host: &Host, endpoint: &Endpoint, path: &str) -> Result<Listener> {
    let socket = socket()?;
    if endpoint.mode != 0 {
        // Linux gives the file the permissions that the socket has, less the umask.
        fchmod(&socket, Mode::from_raw_mode(endpoint.mode)).map_err(io::Error::from)?;
    }
    let own = bind(&socket, path)?;
    if endpoint.mode != 0 {
        at(fs::set_permissions(path, Permissions::from_mode(endpoint.mode)), "mode", path)?;
    }
    let inner = peers::listener(host, OwnedFd::from(socket), endpoint.limits, Info::default())?;
    Ok(Listener::new(Listening { inner, _own: own }))
}

/// A listener and its file.
struct Listening {
    inner: Listener,
    _own: Own,
}

impl Accept for Listening {
    fn info(&self) -> Info {
        self.inner.info()
    }
    async fn accept(&self) -> Result<Session> {
        self.inner.accept().await
    }
}

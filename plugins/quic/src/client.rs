//! [`Client`]: connecting. Connections of one endpoint share a socket for each address family, which
//! goes when the last of them has.

use crate::agreed::Telling;
use crate::endpoint::credentials;
use crate::failure::Explain;
use crate::link::{Link, Socket};
use crate::options::QuicOptions;
use crate::room::Most;
use crate::runtime::{HostRuntime, HostSocket};
use crate::session;
use crate::sockets::{self, Buffers};
use crate::transport::{Keepalive, most, transport};
use crate::webtransport;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jackfield_certificates::{Refusals, Reloading};
use jackfield_plugin_api::Timer;
use jackfield_plugin_api::{Address, Error, ErrorKind, Host, Result, Role, Session};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectError, Connection, Endpoint, EndpointConfig};
use rustls::client::Resumption;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

/// Time that one address of several is tried before the next starts beside it (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// What connecting needs.
pub(crate) struct Client {
    host: Host,
    config: Reloading<quinn::ClientConfig>,
    explain: Explain,
    /// Instead of the address's host.
    server_name: Option<String>,
    verifies: bool,
    early_data: bool,
    window: u32,
    keepalive: Option<Keepalive>,
    most: Most,
    ask: webtransport::Ask,
    from: Option<SocketAddr>,
    buffers: Buffers,
    /// IPv4 and IPv6.
    sockets: Mutex<[Weak<Socket>; 2]>,
}

impl Client {
    pub(crate) fn new(host: Host, options: QuicOptions) -> Result<Self> {
        let server_name = credentials(&options).name()?.map(|name| name.to_str().into_owned());
        if !options.resume && options.early_data {
            return Err(Error::option("early_data", "needs `resume`"));
        }
        let refusals = Arc::new(Refusals::default());
        let explain = Explain { role: Role::Client, refusals: Arc::clone(&refusals) };
        let keepalive = Keepalive::of(&options, Role::Client);
        let options = Arc::new(options);
        let (shared, files) = (Arc::clone(&options), credentials(&options).files());
        let make = move || config(&shared, &refusals);
        Ok(Client {
            host,
            config: Reloading::new(host, "quic", files, make)?,
            explain,
            server_name,
            verifies: !options.danger_skip_verification,
            early_data: options.early_data,
            window: options.window,
            keepalive,
            most: most(&options),
            ask: webtransport::Ask {
                origin: options.origin.clone(),
                protocols: options.protocols.clone(),
            },
            from: sockets::local(options.bind.as_deref())?,
            buffers: Buffers::of(&options),
            sockets: Mutex::default(),
        })
    }

    /// A connection as a session.
    pub(crate) async fn open(&self, address: &Address) -> Result<Session> {
        let link = self.connect(address).await?;
        Ok(session::of(Arc::new(link), self.window))
    }

    /// A connection, and a WebTransport session on it.
    pub(crate) async fn open_session(&self, address: &Address) -> Result<Session> {
        let link = self.connect(address).await?;
        Ok(session::of(webtransport::connect(link, address, &self.ask).await?, self.window))
    }

    /// A connection to the first address that answers.
    async fn connect(&self, address: &Address) -> Result<Arc<Link>> {
        let port = address.port.ok_or_else(|| {
            let message = "a quic address needs a port";
            Error::new(ErrorKind::Config, message).with("address", address.authority())
        })?;
        let host = if address.host.is_empty() { "localhost" } else { &address.host };
        let name = self.server_name.as_deref().unwrap_or(host);
        let found = self.host.resolve(host, port).await?;
        let fits = |peer: &SocketAddr| self.from.is_none_or(|at| at.is_ipv4() == peer.is_ipv4());
        let peers: Vec<SocketAddr> = found.into_iter().filter(fits).collect();
        self.race(peers, name).await.map_err(|error| error.with("server_name", name))
    }

    /// Starts one attempt after the other; the first that connects wins, the others are dropped.
    async fn race(&self, peers: Vec<SocketAddr>, name: &str) -> Result<Arc<Link>> {
        let mut waiting = peers.into_iter();
        let mut running = FuturesUnordered::new();
        let mut told: Option<Error> = None;
        let mut pause: Option<Timer> = None;
        loop {
            if pause.is_none()
                && let Some(peer) = waiting.next()
            {
                running.push(self.attempt(peer, name));
                pause = (waiting.len() > 0).then(|| self.host.timer(ATTEMPT_DELAY));
            }
            let step = poll_fn(|cx| {
                if let Poll::Ready(done) = running.poll_next_unpin(cx) {
                    return Poll::Ready(done);
                }
                match &mut pause {
                    Some(timer) => Pin::new(timer).poll(cx).map(|()| None),
                    None => Poll::Pending,
                }
            })
            .await;
            pause = None;
            match step {
                Some(Ok(link)) => return Ok(link),
                // What a server says tells more than the silence of another address.
                Some(Err(error)) => {
                    let keep = told.as_ref().is_some_and(|had| had.kind() != ErrorKind::TimedOut);
                    told = if keep { told } else { Some(error) };
                }
                None => {}
            }
            if running.is_empty() && waiting.len() == 0 {
                return Err(told.unwrap_or_else(|| {
                    Error::new(ErrorKind::NotFound, "no address of the wanted family")
                }));
            }
        }
    }

    async fn attempt(&self, peer: SocketAddr, name: &str) -> Result<Arc<Link>> {
        let socket = self.socket(peer.is_ipv4())?;
        let config = quinn::ClientConfig::clone(&self.config.current());
        let connecting = socket
            .endpoint()
            .connect_with(config, peer, name)
            .map_err(|error| refused(&error, name))?;
        let at = |error: Error| error.with("peer", peer);
        let connecting = if self.early_data {
            match connecting.into_0rtt() {
                // A ticket of this server's is the evidence that it was there before.
                Ok((connection, _)) => {
                    return Ok(self.link(connection, socket));
                }
                Err(connecting) => connecting,
            }
        } else {
            connecting
        };
        let connection = connecting.await.map_err(|error| at(self.explain.handshake(&error)))?;
        Ok(self.link(connection, socket))
    }

    fn link(&self, connection: Connection, socket: Arc<Socket>) -> Arc<Link> {
        let link = Link::new(connection, socket, self.explain.clone(), self.verifies, self.most);
        link.keep_alive(self.keepalive);
        link
    }

    fn socket(&self, ipv4: bool) -> Result<Arc<Socket>> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let place = &mut sockets[usize::from(!ipv4)];
        if let Some(socket) = place.upgrade() {
            return Ok(socket);
        }
        let local = self.from.unwrap_or_else(|| sockets::anywhere(ipv4));
        let bound = sockets::bind(local, self.buffers, false, false);
        let bound = bound.map_err(|error| Error::from(error).with("bind", local))?;
        let endpoint = Endpoint::new_with_abstract_socket(
            EndpointConfig::default(),
            None,
            Arc::new(HostSocket::new(self.host, bound)?),
            Arc::new(HostRuntime::new(self.host)),
        )?;
        let socket = Arc::new(Socket::new(endpoint, self.host, self.buffers));
        *place = Arc::downgrade(&socket);
        Ok(socket)
    }
}

/// How connections are made. Reads files; blocks.
fn config(options: &QuicOptions, refusals: &Arc<Refusals>) -> Result<quinn::ClientConfig> {
    let mut tls = credentials(options).client_telling(refusals)?;
    if !options.resume {
        tls.resumption = Resumption::disabled();
    }
    tls.enable_early_data = options.early_data;
    let unfit = |error| Error::option("alpn", format!("cannot be used for QUIC: {error}"));
    let crypto = QuicClientConfig::try_from(tls).map_err(unfit)?;
    let mut config = quinn::ClientConfig::new(Arc::new(Telling(Arc::new(crypto))));
    config.transport_config(Arc::new(transport(options, Role::Client)));
    Ok(config)
}

/// Why an attempt could not even start.
fn refused(error: &ConnectError, name: &str) -> Error {
    match error {
        ConnectError::InvalidServerName(_) => {
            let message = "the address has no host name for TLS; `server_name` can give one";
            Error::new(ErrorKind::Config, message).with("host", name)
        }
        ConnectError::CidsExhausted => Error::new(ErrorKind::Limit, error.to_string()),
        ConnectError::InvalidRemoteAddress(_) => Error::new(ErrorKind::Config, error.to_string()),
        other => Error::new(ErrorKind::Other, other.to_string()),
    }
}

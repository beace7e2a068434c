//! [`Server`]: listening. One task of the listener's does handshakes, a bounded number at once, and
//! keeps what is established, a bounded number too, until it is accepted.

use crate::agreed::Telling;
use crate::endpoint::{Protocol, credentials};
use crate::failure::Explain;
use crate::handing::Handing;
use crate::link::{Link, Socket};
use crate::mux::Mux;
use crate::options::QuicOptions;
use crate::room::Most;
use crate::runtime::{HostRuntime, HostSocket};
use crate::session;
use crate::sockets::{self, Buffers};
use crate::transport::{Keepalive, most, transport};
use crate::webtransport::{self, Rules};
use futures_util::stream::{FuturesUnordered, StreamExt};
use jackfield_certificates::{Refusals, Reloading};
use jackfield_plugin_api::Op;
use jackfield_plugin_api::peers::ListeningSocket;
use jackfield_plugin_api::{
    Accept, Address, Error, ErrorKind, Host, Info, Level, Listener, Result, Role, Session, bind_all,
};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connecting, Endpoint, EndpointConfig, Incoming};
use std::future::poll_fn;
use std::net::UdpSocket;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Mutex, mpsc::OwnedPermit};

/// Bytes that are kept of a peer whose handshake has not begun.
const EARLY: u64 = 64 * 1024;

/// What listening needs.
pub(crate) struct Server {
    host: Host,
    config: Arc<Reloading<Arc<quinn::ServerConfig>>>,
    explain: Explain,
    buffers: Buffers,
    reuse_port: bool,
    window: u32,
    keepalive: Option<Keepalive>,
    most: Most,
    /// For WebTransport sessions.
    rules: Option<Rules>,
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Limits {
    handshakes: usize,
    handshake_timeout: Duration,
    backlog: usize,
    validate_address: bool,
}

impl Server {
    pub(crate) fn new(host: Host, options: QuicOptions, protocol: Protocol) -> Result<Self> {
        let count = |number: u32| usize::try_from(number.max(1)).unwrap_or(usize::MAX);
        let limits = Limits {
            handshakes: count(options.handshakes),
            handshake_timeout: Duration::from_secs(u64::from(options.handshake_timeout.max(1))),
            backlog: count(options.backlog),
            validate_address: options.validate_address,
        };
        let options = Arc::new(options);
        let (shared, files) = (Arc::clone(&options), credentials(&options).files());
        let make = move || config(&shared).map(Arc::new);
        let config = Arc::new(Reloading::new(host, "quic", files, make)?);
        Ok(Server {
            host,
            config,
            explain: Explain { role: Role::Server, refusals: Arc::new(Refusals::default()) },
            buffers: Buffers::of(&options),
            reuse_port: options.reuse_port,
            window: options.window,
            keepalive: Keepalive::of(&options, Role::Server),
            most: most(&options),
            rules: (protocol == Protocol::WebTransport).then(|| Rules {
                path: String::new(),
                origins: options.origins.clone(),
                protocols: options.protocols.clone(),
            }),
            limits,
        })
    }

    /// Takes the address and begins to do handshakes.
    pub(crate) async fn listen(&self, address: &Address) -> Result<Listener> {
        let (host, port) = (&address.host, address.port.unwrap_or(0));
        let sockets = if host.is_empty() || host == "*" {
            let everywhere = sockets::everywhere(port);
            vec![sockets::first(&self.host, &everywhere, self.buffers, self.reuse_port)?]
        } else {
            let found = self.host.resolve(host, port).await?;
            bind_all(&self.host, host, &found, |address| {
                sockets::listening(&self.host, address, self.buffers, self.reuse_port)
            })?
        };
        let listeners = sockets.into_iter().map(|bound| self.listen_on(bound, &address.path));
        Ok(Listener::several(listeners.collect::<Result<_>>()?))
    }

    /// Begins to do handshakes on a socket.
    fn listen_on(&self, bound: ListeningSocket, path: &str) -> Result<Listener> {
        let (fd, name) = bound.into_parts();
        let bound = UdpSocket::from(fd);
        let (handing, offers) = Handing::new(self.host, &bound, name.unwrap_or_default())?;
        let mut of_endpoint = EndpointConfig::default();
        of_endpoint.cid_generator(handing.ids());
        let endpoint = Endpoint::new_with_abstract_socket(
            of_endpoint,
            Some(quinn::ServerConfig::clone(&self.config.current())),
            Arc::new(HostSocket::new(self.host, bound)?.handing(handing)),
            Arc::new(HostRuntime::new(self.host)),
        )?;
        let local = Some(endpoint.local_addr()?.to_string());
        let socket = Arc::new(Socket::new(endpoint, self.host, self.buffers));
        let (ready, accepted) = channel(self.limits.backlog);
        let door = Door {
            socket: Arc::clone(&socket),
            config: Arc::clone(&self.config),
            host: self.host,
            explain: self.explain.clone(),
            limits: self.limits,
            window: self.window,
            keepalive: self.keepalive,
            most: self.most,
            rules: self.rules.clone().map(|rules| Rules { path: path.to_owned(), ..rules }),
            ready,
        };
        let work = self.host.spawn(door.run());
        let mut info = Info::new();
        info.local = local;
        let accepted = Mutex::new(accepted);
        Ok(Listener::new(Listening { info, socket, accepted, _work: work, _offers: offers }))
    }
}

/// How connections are accepted. Reads files; blocks.
fn config(options: &QuicOptions) -> Result<quinn::ServerConfig> {
    let mut tls = credentials(options).server()?;
    tls.max_early_data_size = if options.early_data { u32::MAX } else { 0 };
    let unfit = |error| Error::option("key_file", format!("cannot be used for QUIC: {error}"));
    let crypto = QuicServerConfig::try_from(tls).map_err(unfit)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(Telling(Arc::new(crypto))));
    let handshakes = usize::try_from(options.handshakes.max(1)).unwrap_or(usize::MAX);
    config
        .transport_config(Arc::new(transport(options, Role::Server)))
        .migration(options.migration)
        .max_incoming(handshakes)
        .incoming_buffer_size(EARLY)
        .incoming_buffer_size_total(EARLY * u64::from(options.handshakes.clamp(1, 64)));
    Ok(config)
}

struct Listening {
    info: Info,
    socket: Arc<Socket>,
    accepted: Mutex<Receiver<Session>>,
    _work: Op<()>,
    _offers: Vec<Op<()>>,
}

impl Accept for Listening {
    fn info(&self) -> Info {
        self.info.clone()
    }

    async fn accept(&self) -> Result<Session> {
        let session = self.accepted.lock().await.recv().await;
        let over = || Error::new(ErrorKind::Closed, "the listener's socket has failed");
        session.ok_or_else(over)
    }
}

/// The sessions that are there go on; they keep the socket.
impl Drop for Listening {
    fn drop(&mut self) {
        self.socket.endpoint().set_server_config(None);
    }
}

/// Where peers come in.
struct Door {
    socket: Arc<Socket>,
    config: Arc<Reloading<Arc<quinn::ServerConfig>>>,
    host: Host,
    explain: Explain,
    limits: Limits,
    window: u32,
    keepalive: Option<Keepalive>,
    most: Most,
    rules: Option<Rules>,
    ready: Sender<Session>,
}

impl Door {
    async fn run(self) {
        let mut running = FuturesUnordered::new();
        loop {
            // A peer, or the end of a handshake.
            let knocked = {
                let mut knock = std::pin::pin!(self.socket.endpoint().accept());
                poll_fn(|cx| {
                    if let Poll::Ready(Some(())) = running.poll_next_unpin(cx) {
                        return Poll::Ready(None);
                    }
                    knock.as_mut().poll(cx).map(Some)
                })
                .await
            };
            match knocked {
                Some(Some(incoming)) => {
                    if let Some((connecting, place)) = self.admit(incoming, running.len()) {
                        running.push(self.shake(connecting, place));
                    }
                }
                Some(None) => return,
                None => {}
            }
        }
    }

    /// Whether there is room for one more.
    fn admit(
        &self,
        incoming: Incoming,
        running: usize,
    ) -> Option<(Connecting, OwnedPermit<Session>)> {
        let Ok(place) = self.ready.clone().try_reserve_owned() else {
            incoming.refuse();
            return None;
        };
        if running >= self.limits.handshakes {
            incoming.refuse();
            return None;
        }
        let crowded = running * 2 >= self.limits.handshakes;
        if (self.limits.validate_address || crowded) && incoming.may_retry() {
            // It may, as was just asked.
            let _ = incoming.retry();
            return None;
        }
        match incoming.accept_with(Arc::clone(&self.config.current())) {
            Ok(connecting) => Some((connecting, place)),
            Err(error) => {
                self.tell("?", &self.explain.handshake(&error));
                None
            }
        }
    }

    async fn shake(&self, connecting: Connecting, place: OwnedPermit<Session>) {
        let peer = sockets::shown(connecting.remote_address());
        let work = async {
            let connection = connecting.await.map_err(|error| self.explain.handshake(&error))?;
            let socket = Arc::clone(&self.socket);
            let link = Link::new(connection, socket, self.explain.clone(), true, self.most);
            link.keep_alive(self.keepalive);
            let mux: Arc<dyn Mux> = match &self.rules {
                Some(rules) => webtransport::accept(link, rules).await?,
                None => Arc::new(link),
            };
            Ok(session::of(mux, self.window))
        };
        match self.host.timeout(self.limits.handshake_timeout, "the handshake", work).await {
            Ok(session) => {
                place.send(session);
            }
            Err(error) => self.tell(&peer.to_string(), &error),
        }
    }

    fn tell(&self, peer: &str, error: &Error) {
        self.host.log(Level::Info, "quic", &format!("peer {peer} not accepted: {error}"));
    }
}

//! [`Stage`]: a host with a route between a peer of one kind and one of TCP, and [`World`]: the two, joined.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::symlink,
    process::Command,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream, unix::pipe};

use super::{
    Column, Role,
    breaker::{Breaker, HostIs, Order},
    kind::Kind,
    peers::Peer,
    requests::Chunks,
    tcp_listener,
};
use crate::support::{
    certs::Certs, host::TestHost, peers::quic::soon, peers::ssh_python::AskingSsh, process::tempdir,
};

/// A program that answers, ends as it is told, and tells beside what it sees.
const PROGRAM: &str = "exec 3>told; trap '' PIPE; trap 'echo the signal TERM >&3; exit' TERM; \
    while read word; do case $word in there) echo back;; exit) exit 0;; kill) kill -9 $$;; esac; done; \
    echo over; sleep 1000 & wait";

/// Where the peer of the kind that is tested is found, or finds the route.
enum Place {
    /// It dials the route, behind which the other waits.
    Route(TcpListener),
    /// It waits itself.
    Tcp(TcpListener),
    Unix(UnixListener),
    /// It is another host, which passes what it sees on to TCP.
    Host {
        _host: TestHost,
        far: TcpListener,
    },
    Line,
    Program,
    Ssh,
}

/// A host with a route between a peer of one kind and TCP.
pub(crate) struct Stage {
    /// Until it is stopped.
    host: Option<TestHost>,
    /// Of peers that dial.
    client: Option<TestHost>,
    certs: Certs,
    kind: Kind,
    role: Role,
    place: Place,
    pub(crate) breaker: Option<Breaker>,
    folder: TempDir,
}

fn at(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("an address")
}

fn listen(kind: Kind, folder: &TempDir) -> String {
    match kind {
        Kind::Unix => format!("unix://{}", folder.path().join("socket").display()),
        Kind::Http1 | Kind::Http2 => "http://127.0.0.1:0".to_owned(),
        other => format!("{}://127.0.0.1:0", other.name()),
    }
}

/// What the other side of a route speaks: bytes, or requests whose content is bytes.
fn other_side(kind: Kind) -> &'static str {
    if kind.is_http() { "http" } else { "tcp" }
}

/// A route as a configuration says it.
struct Ways {
    listen: String,
    listener: Vec<String>,
    to: String,
    options: Vec<String>,
    more: &'static str,
}

impl Ways {
    fn text(&self) -> String {
        let Self { listen, listener, to, options, more } = self;
        format!(
            "[host]\nshutdown_timeout = \"100ms\"\n[connections.d]\nuri = \"{to}\"\n\
             options = {{ {} }}\n[[routes]]\nlisten = \"{listen}\"\nto = \"connections.d\"\n\
             options = {{ {} }}\n{more}",
            options.join(", "),
            listener.join(", ")
        )
    }
}

fn served_with(kind: Kind, certs: &Certs) -> Vec<String> {
    let files = || {
        let pair = &certs.server;
        format!("certificate_file = {:?}, key_file = {:?}", pair.certificate, pair.key)
    };
    kind.has_certificate().then(files).into_iter().collect()
}

impl Stage {
    /// A stage for a column: limits are short only where they are what it is about.
    pub(crate) async fn new(kind: Kind, role: Role, column: Column) -> Self {
        let (folder, certs) = (tempdir(), Certs::new());
        let is_idle = column == Column::Idle;
        let mut ways = Ways {
            listen: listen(kind, &folder),
            listener: Vec::new(),
            to: String::new(),
            options: Vec::new(),
            more: if is_idle && !kind.is_http() { "idle_timeout = \"1s\"\n" } else { "" },
        };
        let mut limits = Vec::new();
        if is_idle && kind.is_http() {
            limits.push("body_timeout = 1".to_owned());
        }
        if column == Column::NoGoodbye && kind.is_quic() {
            limits.push("idle_timeout = 2".to_owned());
        }
        let (place, mut breaker) = match role {
            Role::Client => {
                let far = tcp_listener().await;
                ways.to = format!("{}://{}", other_side(kind), at(&far));
                ways.listener = served_with(kind, &certs);
                ways.listener.extend(limits);
                (Place::Route(far), None)
            }
            Role::Destination => {
                ways.listen = format!("{}://127.0.0.1:0", other_side(kind));
                ways.options = limits;
                destination(kind, column, &folder, &certs, &mut ways).await
            }
        };
        let host = TestHost::start(&ways.text()).await;
        let dials = role == Role::Client && !kind.is_bare();
        if dials && kind.is_quic() && column == Column::NoGoodbye {
            breaker = Some(Breaker::udp(host.address(0)).await);
        } else if dials && !kind.is_quic() {
            breaker = Some(Breaker::tcp(host.address(0), HostIs::Behind).await);
        }
        let client = if dials { Some(TestHost::start("").await) } else { None };
        Self { host: Some(host), client, certs, kind, role, place, breaker, folder }
    }

    /// A peer that is joined to a TCP peer.
    pub(crate) async fn world(&self) -> World {
        let (peer, tcp) = soon(async {
            if self.role == Role::Client {
                self.joined_by_peer().await
            } else {
                self.joined_by_tcp().await
            }
        })
        .await;
        World { peer, tcp }
    }

    /// Stops the host of the route.
    pub(crate) async fn stop(&mut self) {
        self.host.take().expect("a running host").shutdown().await;
    }

    /// Where the route listens.
    fn route(&self) -> SocketAddr {
        self.host.as_ref().expect("a running host").address(0)
    }

    /// Breaks the peer, if it can break so.
    pub(crate) async fn break_peer(&self, world: &mut World, column: Column) -> bool {
        let Self { kind, role, breaker, .. } = self;
        let order = match (column, &mut world.peer) {
            (Column::Ends, Peer::Line(_)) => return false,
            (Column::Ends, peer) if peer.obeys() => {
                world.tcp.send("exit\n").await;
                return true;
            }
            (Column::Ends, peer) => {
                peer.end().await;
                return true;
            }
            (Column::NoGoodbye, Peer::Chunks(chunks)) if *kind == Kind::Http1 => {
                chunks.cut().await;
                return true;
            }
            (Column::NoGoodbye, _) if *kind == Kind::Telnet => return false,
            (Column::NoGoodbye, _) => Order::End,
            (Column::Resets, Peer::Unix(_)) => return false,
            (Column::Resets, Peer::Program(_)) => {
                world.tcp.send("kill\n").await;
                return true;
            }
            (Column::Resets, peer) if kind.resets_streams() || kind.is_bare() => {
                peer.reset().await;
                return true;
            }
            (Column::Resets, _) => Order::Reset,
            (_, Peer::Chunks(chunks)) if *kind == Kind::Http1 => {
                chunks.wrong().await;
                return true;
            }
            _ => match kind.nonsense(*role) {
                Some(bytes) => Order::Say(bytes),
                None => return false,
            },
        };
        let Some(breaker) = breaker else { return false };
        breaker.order(order).await;
        true
    }

    async fn joined_by_peer(&self) -> (Peer, Peer) {
        let Place::Route(far) = &self.place else { panic!("a client dials the route") };
        let mut peer = self.dialled().await;
        // What has passed both ways was joined.
        peer.send("there\n").await;
        let (tcp, _) = far.accept().await.expect("a connection");
        let is_http = self.kind.is_http();
        let mut tcp = if is_http { Peer::Chunks(Chunks::server(tcp)) } else { Peer::Tcp(tcp) };
        tcp.hears("there\n").await;
        tcp.send("back\n").await;
        peer.hears("back\n").await;
        (peer, tcp)
    }

    async fn dialled(&self) -> Peer {
        let direct = async || TcpStream::connect(self.route()).await.expect("the route");
        match self.kind {
            Kind::Unix => {
                let path = self.folder.path().join("socket");
                Peer::Unix(UnixStream::connect(path).await.expect("the route"))
            }
            Kind::Tcp => Peer::Tcp(direct().await),
            Kind::Http1 => Peer::Chunks(Chunks::client(direct().await)),
            kind => {
                let address = match &self.breaker {
                    Some(breaker) => breaker.address,
                    None => self.route(),
                };
                let (scheme, options) = match kind {
                    Kind::Http2 => ("http", json!({ "version": "2" })),
                    _ if kind.has_certificate() => {
                        (kind.name(), json!({ "ca_file": self.certs.ca }))
                    }
                    _ => (kind.name(), json!({})),
                };
                let uri = format!("{scheme}://localhost:{}", address.port());
                let client = self.client.as_ref().expect("a host of its own");
                Peer::of(client.open(&uri, options).await.expect("a session"))
            }
        }
    }

    async fn joined_by_tcp(&self) -> (Peer, Peer) {
        let early = self.set_up().await;
        let tcp = TcpStream::connect(self.route()).await.expect("the route");
        let is_http = self.kind.is_http();
        let mut tcp = if is_http { Peer::Chunks(Chunks::client(tcp)) } else { Peer::Tcp(tcp) };
        tcp.send("there\n").await;
        let accepted = async |listener: &TcpListener| {
            let (stream, _) = listener.accept().await.expect("a connection");
            if is_http { Peer::Chunks(Chunks::server(stream)) } else { Peer::Tcp(stream) }
        };
        let mut peer = match (early, &self.place) {
            (Some(peer), _) => peer,
            (None, Place::Tcp(listener) | Place::Host { far: listener, .. }) => {
                accepted(listener).await
            }
            (None, Place::Unix(listener)) => {
                Peer::Unix(listener.accept().await.expect("a connection").0)
            }
            (None, _) => panic!("somebody waits there"),
        };
        peer.hears("there\n").await;
        peer.send("back\n").await;
        tcp.hears("back\n").await;
        (peer, tcp)
    }

    /// A destination that is new for each world.
    async fn set_up(&self) -> Option<Peer> {
        let inside = |name: &str| self.folder.path().join(name);
        Some(match &self.place {
            Place::Line => {
                let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty");
                grantpt(&master).expect("granted");
                unlockpt(&master).expect("unlocked");
                let name = ptsname(&master, Vec::new()).expect("its name");
                // It may be there from the world before.
                let _ = fs::remove_file(inside("line"));
                symlink(name.to_str().expect("a path"), inside("line")).expect("a link");
                Peer::Line(File::from(master).into())
            }
            Place::Program => {
                let told = inside("told");
                let _ = fs::remove_file(&told);
                let made = Command::new("mkfifo").arg(&told).status().expect("mkfifo");
                assert!(made.success());
                Peer::Program(pipe::OpenOptions::new().open_receiver(told).expect("a pipe"))
            }
            Place::Ssh => {
                let server = AskingSsh::start("ends").await;
                let breaker = self.breaker.as_ref().expect("a relay");
                breaker.aim((Ipv4Addr::LOCALHOST, server.port()).into());
                Peer::Ssh(server)
            }
            _ => return None,
        })
    }
}

async fn destination(
    kind: Kind,
    column: Column,
    folder: &TempDir,
    certs: &Certs,
    ways: &mut Ways,
) -> (Place, Option<Breaker>) {
    let inside = |name: &str| folder.path().join(name);
    match kind {
        Kind::Tcp | Kind::Http1 => {
            let far = tcp_listener().await;
            ways.to = format!("{}://{}", other_side(kind), at(&far));
            (Place::Tcp(far), None)
        }
        Kind::Unix => {
            let path = inside("socket");
            ways.to = format!("unix://{}", path.display());
            (Place::Unix(UnixListener::bind(path).expect("a socket")), None)
        }
        Kind::Serial => {
            ways.to = format!("serial://{}", inside("line").display());
            (Place::Line, None)
        }
        Kind::Process => {
            ways.to = "process:".to_owned();
            ways.options = vec![format!("shell = {PROGRAM:?}, cwd = {:?}", folder.path())];
            (Place::Program, None)
        }
        Kind::Ssh => {
            let nowhere = (Ipv4Addr::LOCALHOST, 1).into();
            let breaker = Breaker::tcp(nowhere, HostIs::Before).await;
            ways.to = format!("ssh://lab@{}", breaker.address);
            let options = "host_keys = \"danger_any\", agent = false, exec = \"ends\"";
            ways.options = vec![options.to_owned()];
            (Place::Ssh, Some(breaker))
        }
        _ => another_host(kind, column, folder, certs, ways).await,
    }
}

/// A host with a route from the kind to TCP.
async fn another_host(
    kind: Kind,
    column: Column,
    folder: &TempDir,
    certs: &Certs,
    ways: &mut Ways,
) -> (Place, Option<Breaker>) {
    let far = tcp_listener().await;
    let onward = Ways {
        listen: listen(kind, folder),
        listener: served_with(kind, certs),
        to: format!("{}://{}", other_side(kind), at(&far)),
        options: Vec::new(),
        more: "",
    };
    let behind = TestHost::start(&onward.text()).await;
    let there = behind.address(0);
    let breaker = match (kind.is_quic(), column) {
        (false, _) => Some(Breaker::tcp(there, HostIs::Before).await),
        (true, Column::NoGoodbye) => Some(Breaker::udp(there).await),
        (true, _) => None,
    };
    let port = breaker.as_ref().map_or(there, |breaker| breaker.address).port();
    let scheme = if kind.is_http() { "http" } else { kind.name() };
    ways.to = format!("{scheme}://localhost:{port}");
    match kind {
        Kind::Http2 => ways.options.push("version = \"2\"".to_owned()),
        _ if kind.has_certificate() => ways.options.push(format!("ca_file = {:?}", certs.ca)),
        _ => {}
    }
    (Place::Host { _host: behind, far }, breaker)
}

/// A peer of one kind and the TCP peer at the other side.
pub(crate) struct World {
    pub(crate) peer: Peer,
    pub(crate) tcp: Peer,
}

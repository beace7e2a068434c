//! Peers of every kind, each joined to a TCP peer by a route.

use std::{fmt, io, path::Path};

use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::{Error, Message, Messages, Session, Stream};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};

use super::{
    Break,
    breaker::{Breaker, reset_on_close},
    tcp_listener,
};
use crate::support::{certs::Certs, host::TestHost, peers::quic::soon, process::tempdir};

/// What a peer sees of the other side's end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// All was sent.
    End,
    /// A reset of the connection, or of the stream.
    Reset,
    /// An end without the protocol's goodbye.
    Cut,
    /// A close with a code.
    Closed(String),
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the end"),
            Self::Reset => f.write_str("a reset"),
            Self::Cut => f.write_str("no goodbye"),
            Self::Closed(code) => write!(f, "close {code}"),
        }
    }
}

/// What a peer of the listener speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Tcp,
    Unix,
    Tls,
    Ws,
    Telnet,
    Quic,
    WebTransport,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Telnet => "telnet",
            Self::Quic => "quic",
            Self::WebTransport => "webtransport",
        }
    }

    /// Whether an end of the connection is all the goodbye that it has.
    pub(crate) fn is_plain(self, how: Break) -> bool {
        how == Break::NoGoodbye && matches!(self, Self::Tcp | Self::Telnet)
    }

    /// What it does not know, where it knows any form at all.
    fn nonsense(self) -> Option<&'static [u8]> {
        match self {
            Self::Tls => Some(b"\x17\x03\x03\x00\x05wrong"),
            // A frame with a reserved bit.
            Self::Ws => Some(b"\xf2\x80\0\0\0\0"),
            _ => None,
        }
    }

    fn is_over_tcp(self) -> bool {
        !matches!(self, Self::Unix | Self::Quic | Self::WebTransport)
    }
}

/// A peer.
pub(crate) enum Near {
    /// Bytes of a socket of the test.
    Tcp(Option<TcpStream>),
    /// Bytes of a session of a host of its own.
    Stream(Session, Stream),
    /// Messages of one.
    Messages(Session, Messages),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Near {
    fn of(session: Session) -> Self {
        match session.take_stream() {
            Some(stream) => Self::Stream(session, stream),
            None => {
                let messages = session.take_messages().expect("bytes or messages");
                Self::Messages(session, messages)
            }
        }
    }

    /// Sends a word and flushes.
    async fn send(&mut self, word: &str) {
        async fn bytes(mut io: impl AsyncWrite + Unpin, word: &str) {
            io.write_all(word.as_bytes()).await.expect("taken");
            io.flush().await.expect("sent");
        }
        match self {
            Self::Tcp(tcp) => bytes(tcp.as_mut().expect("open"), word).await,
            Self::Stream(_, stream) => bytes(stream, word).await,
            Self::Unix(unix) => bytes(unix, word).await,
            Self::Messages(_, messages) => {
                messages.send(Message::binary(word.to_owned())).await.expect("taken");
            }
        }
    }

    /// Waits for a word.
    async fn hears(&mut self, word: &str) {
        async fn bytes(mut io: impl AsyncRead + Unpin, word: &str) {
            let mut got = vec![0; word.len()];
            io.read_exact(&mut got).await.expect("a word");
            assert_eq!(got, word.as_bytes());
        }
        match self {
            Self::Tcp(tcp) => bytes(tcp.as_mut().expect("open"), word).await,
            Self::Stream(_, stream) => bytes(stream, word).await,
            Self::Unix(unix) => bytes(unix, word).await,
            Self::Messages(_, messages) => {
                let message = messages.next().await.expect("a message").expect("no error");
                assert_eq!(&message.payload[..], word.as_bytes());
            }
        }
    }

    /// Says that all was sent.
    pub(crate) async fn end(&mut self) {
        match self {
            Self::Tcp(tcp) => tcp.as_mut().expect("open").shutdown().await.expect("ended"),
            Self::Stream(_, stream) => match stream.shutdown().await.map_err(Error::from) {
                Err(error) if error.to_string().contains("telnet") => *self = Self::Tcp(None),
                ended => ended.expect("ended"),
            },
            Self::Unix(unix) => unix.shutdown().await.expect("ended"),
            Self::Messages(_, messages) => messages.close().await.expect("ended"),
        }
    }

    pub(crate) fn reset(&mut self) {
        if let Self::Tcp(tcp) = self {
            let tcp = tcp.take().expect("open");
            reset_on_close(&tcp);
        }
    }

    /// Reads on and says what the end looks like.
    pub(crate) async fn sees(&mut self) -> Seen {
        let mut rest = Vec::new();
        match self {
            Self::Tcp(tcp) => of_io(tcp.as_mut().expect("open").read_to_end(&mut rest).await),
            Self::Unix(unix) => of_io(unix.read_to_end(&mut rest).await),
            Self::Stream(_, stream) => of_io(stream.read_to_end(&mut rest).await),
            Self::Messages(session, messages) => {
                let mut end = None;
                while let Some(message) = messages.next().await {
                    end = message.err();
                }
                let code = session.info().facts.get("close_code").map(ToString::to_string);
                match (code, end) {
                    (Some(code), _) => Seen::Closed(code),
                    (None, Some(_)) => Seen::Cut,
                    (None, None) => Seen::End,
                }
            }
        }
    }
}

fn of_io(end: io::Result<usize>) -> Seen {
    let Err(error) = end else { return Seen::End };
    let is_reset = error.kind() == io::ErrorKind::ConnectionReset;
    let text = Error::from(error).to_string();
    if text.contains("close_notify") {
        Seen::Cut
    } else if let Some((_, code)) = text.split_once("the stream up with code ") {
        let code = code.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        Seen::Closed(format!("{code} of the stream"))
    } else if let Some((_, code)) = text.split_once("closed with code ") {
        let code = code.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        Seen::Closed(code.to_owned())
    } else if is_reset || text.contains("reset") {
        Seen::Reset
    } else {
        Seen::Closed(text)
    }
}

/// What all kinds share: the host of the peers, and certificates.
pub(crate) struct Common {
    client: TestHost,
    certs: Certs,
}

impl Common {
    pub(crate) async fn new() -> Self {
        Self { client: TestHost::start("").await, certs: Certs::new() }
    }
}

/// A host with a route from peers of one kind to TCP.
pub(crate) struct Stage<'a> {
    pub(crate) host: TestHost,
    kind: Kind,
    far: TcpListener,
    common: &'a Common,
    folder: TempDir,
}

impl<'a> Stage<'a> {
    pub(crate) async fn new(common: &'a Common, kind: Kind, more: &str) -> Self {
        let (folder, far) = (tempdir(), tcp_listener().await);
        let to = far.local_addr().expect("an address");
        let listen = match kind {
            Kind::Unix => format!("unix://{}", folder.path().join("socket").display()),
            other => format!("{}://127.0.0.1:0", other.name()),
        };
        let certs = &common.certs;
        let options = match kind {
            Kind::Tls | Kind::Quic | Kind::WebTransport => format!(
                "options = {{ certificate_file = {:?}, key_file = {:?} }}\n",
                certs.server.certificate, certs.server.key
            ),
            _ => String::new(),
        };
        let host = TestHost::start(&format!(
            "[host]\nshutdown_timeout = \"100ms\"\n[[routes]]\nlisten = \"{listen}\"\n\
             to = \"tcp://{to}\"\n{options}{more}"
        ))
        .await;
        Self { host, kind, far, common, folder }
    }

    /// A peer that is joined to a TCP peer.
    pub(crate) async fn world(&self) -> World {
        let socket = self.folder.path().join("socket");
        let Common { client, certs } = self.common;
        let connecting = connect(self.kind, &self.host, client, certs, &socket);
        let (near, breaker) = soon(connecting).await;
        let mut world = World { near, far: Near::Tcp(None), kind: self.kind, breaker };
        // What has passed both ways was joined.
        world.near.send("there").await;
        world.far = Near::Tcp(Some(soon(self.far.accept()).await.expect("a connection").0));
        soon(world.far.hears("there")).await;
        world.far.send("back").await;
        soon(world.near.hears("back")).await;
        world
    }
}

/// A peer of one kind and the TCP peer behind it.
pub(crate) struct World {
    pub(crate) near: Near,
    pub(crate) far: super::Far,
    kind: Kind,
    breaker: Option<Breaker>,
}

impl World {
    /// Breaks the peer, if it can break so.
    pub(crate) async fn break_near(&mut self, how: Break) -> bool {
        match (how, &self.breaker, &mut self.near) {
            (Break::Ends, _, near) => {
                near.end().await;
                true
            }
            (Break::Nonsense, Some(breaker), _) => match self.kind.nonsense() {
                Some(bytes) => {
                    breaker.order(how, bytes).await;
                    true
                }
                None => false,
            },
            (_, Some(breaker), _) => {
                breaker.order(how, &[]).await;
                true
            }
            // A stream that is dropped before its end is reset.
            (Break::Resets, None, Near::Stream(..)) => {
                self.near = Near::Tcp(None);
                true
            }
            _ => false,
        }
    }
}

async fn connect(
    kind: Kind,
    host: &TestHost,
    client: &TestHost,
    certs: &Certs,
    socket: &Path,
) -> (Near, Option<Breaker>) {
    if kind == Kind::Unix {
        return (Near::Unix(UnixStream::connect(socket).await.expect("the listener")), None);
    }
    let address = host.address(0);
    let breaker = if kind.is_over_tcp() { Some(Breaker::before(address).await) } else { None };
    let port = breaker.as_ref().map_or(address, |breaker| breaker.address).port();
    let options = match kind {
        Kind::Tls | Kind::Quic | Kind::WebTransport => json!({ "ca_file": certs.ca }),
        _ => json!({}),
    };
    let uri = format!("{}://localhost:{port}", kind.name());
    let session = client.open(&uri, options).await.expect("a session");
    (Near::of(session), breaker)
}

/// What stands behind a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Behind {
    Process,
    Serial,
    Ws,
}

impl Behind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Serial => "serial",
            Self::Ws => "ws",
        }
    }
}

/// What a TCP client of the route sees when what is behind it ends, or is gone in the middle; `None` where that
/// does not exist.
pub(crate) async fn client_sees(behind: Behind, gone: bool) -> Option<Seen> {
    match behind {
        Behind::Process => {
            let last = if gone { "kill -9 $$" } else { "exit 0" };
            let host = TestHost::start(&format!(
                "[connections.p]\nuri = \"process:\"\noptions = {{ shell = \
                 \"read word; echo back; {last}\" }}\n[[routes]]\n\
                 listen = \"tcp://127.0.0.1:0\"\nto = \"connections.p\"\n"
            ))
            .await;
            let mut client = client_of(&host).await;
            client.send("there\n").await;
            client.hears("back").await;
            Some(client.sees().await)
        }
        Behind::Serial if !gone => None,
        Behind::Serial => {
            let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty");
            grantpt(&master).expect("granted");
            unlockpt(&master).expect("unlocked");
            let name = ptsname(&master, Vec::new()).expect("its name");
            let host = TestHost::start(&format!(
                "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"serial://{}\"\n",
                name.to_str().expect("a path")
            ))
            .await;
            let mut client = client_of(&host).await;
            client.send("there").await;
            // What has come out of the line was joined to it.
            let master = std::fs::File::from(master);
            let master = tokio::task::spawn_blocking(move || {
                io::Read::read_exact(&mut &master, &mut [0; 5]).expect("bytes");
                master
            });
            drop(master.await.expect("no panic"));
            Some(client.sees().await)
        }
        Behind::Ws => {
            let far = tcp_listener().await;
            let behind = TestHost::start(&format!(
                "[[routes]]\nlisten = \"ws://127.0.0.1:0\"\nto = \"tcp://{}\"\n",
                far.local_addr().expect("an address")
            ))
            .await;
            let host = TestHost::start(&format!(
                "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"ws://{}\"\n",
                behind.address(0)
            ))
            .await;
            let mut client = client_of(&host).await;
            client.send("there").await;
            let mut far = accepted(far).await;
            far.hears("there").await;
            if gone {
                far.reset()
            } else {
                far.end().await
            }
            Some(client.sees().await)
        }
    }
}

async fn accepted(listener: TcpListener) -> Near {
    Near::Tcp(Some(listener.accept().await.expect("a connection").0))
}

async fn client_of(host: &TestHost) -> Near {
    Near::Tcp(Some(TcpStream::connect(host.address(0)).await.expect("the host")))
}

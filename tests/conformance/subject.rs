//! What the suite knows of one driver, and the world in which a case meets it.

use std::{any::Any, net::SocketAddr};

use futures_util::future::LocalBoxFuture;
use jackfield_plugin_api::{DriverManifest, Facets, Result, Session};
use serde_json::{Map, Value};
use tokio::{sync::watch, time::timeout};

use super::{
    cases::Case,
    far::{self, Behaviour, Wrapping},
    mangler::Hostile,
    pipe::Pipe,
};
use crate::support::{
    host::TestHost,
    need::need_file,
    peers::echo::TcpPeer,
    process::{DEADLINE, script},
};

/// One driver under test.
#[derive(Clone, Copy)]
pub(super) struct Subject {
    /// Its name.
    pub(super) name: &'static str,
    /// Sessions of it to a far end that behaves so.
    pub(super) world: fn(Behaviour) -> LocalBoxFuture<'static, World>,
    /// The same session as that of `world` with another TCP address below, for drivers that have a
    /// form of their own on the wire. Without it every byte is data, and none can be wrong.
    pub(super) at: Option<fn(&World, SocketAddr) -> String>,
    /// How it can be met by datagrams that no honest peer sends.
    pub(super) on_datagrams: OnDatagrams,
    /// Where a session cannot be opened.
    pub(super) nowhere: Option<fn() -> (String, Value)>,
    /// More than a peer may say in one piece.
    pub(super) oversized: fn() -> Vec<Hostile>,
    /// Cases that its protocol does not know, though its facets would allow them, and why.
    pub(super) except: &'static [(&'static str, &'static str)],
}

/// What a driver that lives on datagrams does about those of others.
#[derive(Clone, Copy)]
pub(super) enum OnDatagrams {
    /// It lives on something else.
    No,
    /// Whatever comes is data; the URI of a session with that UDP address.
    Plain(fn(SocketAddr) -> String),
    /// Likewise, on a socket with a path: nobody can stand between.
    Unix,
    /// It knows its peer's from others; the URI likewise.
    Protected(fn(SocketAddr) -> String),
}

/// A driver without a form of its own on the wire.
pub(super) fn no_form() -> Vec<Hostile> {
    Vec::new()
}

impl Subject {
    /// Its constants, as its plugin declares them.
    pub(super) async fn manifest(&self) -> DriverManifest {
        let host = TestHost::start("").await;
        let manager = host.manager();
        manager.registry().driver(self.name).expect("a driver that was built").manifest.clone()
    }

    /// Whether a case makes sense for it.
    pub(super) fn takes(&self, case: &Case, manifest: &DriverManifest) -> bool {
        (case.offered)(self, manifest) && !self.except.iter().any(|(name, _)| *name == case.name)
    }

    /// A world whose far end echoes.
    pub(super) async fn echo(&self) -> World {
        (self.world)(Behaviour::Echoes).await
    }
}

/// A host with the driver, the far end of its sessions, and the way to it.
pub(super) struct World {
    pub(super) host: TestHost,
    pub(super) uri: String,
    pub(super) options: Value,
    pub(super) far: TcpPeer,
    /// Opens the gate of a far end that waits.
    pub(super) gate: watch::Sender<bool>,
    /// What speaks the driver's own protocol on the other side, if that is on TCP.
    pub(super) server: Option<SocketAddr>,
    /// Whether the far end hears of each session's end.
    pub(super) hears_ends: bool,
    pub(super) wrapping: Wrapping,
    /// An operation that shows that a session works, where no bytes come back.
    asks: Option<(&'static str, Value)>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

/// Handshakes and shutdowns end so soon that a case can wait for a peer that says nothing.
const LIMITS: &str = "[host]\nshutdown_timeout = \"2s\"\n[host.timeouts]\nhandshake = \"5s\"\n";

impl World {
    /// A host that listens with the driver and leads on to the far end: both its roles at once.
    pub(super) async fn of_both_roles(
        behaviour: Behaviour,
        listen: &str,
        listener_options: &str,
        wrapping: Wrapping,
    ) -> Self {
        let (far, gate) = far::start(behaviour, wrapping);
        let to = match wrapping {
            Wrapping::Bytes => far.uri(),
            Wrapping::Chunks => format!("http://{}", far.address()),
        };
        let host = TestHost::start(&format!(
            "{LIMITS}[[routes]]\nlisten = \"{listen}\"\nto = \"{to}\"\n\
             options = {{ {listener_options} }}\n"
        ))
        .await;
        let local = host.manager().listeners()[0].local.clone();
        let local = local.map(|local| local.to_string()).unwrap_or_default();
        let server = local.parse().ok();
        let mut world = Self::new(host, far, gate, wrapping);
        (world.server, world.uri) = (server, local);
        world
    }

    /// A host whose driver connects to a program of its own; the program connects to the far end.
    pub(super) async fn of_client(behaviour: Behaviour) -> Self {
        let (far, gate) = far::start(behaviour, Wrapping::Bytes);
        Self::new(TestHost::start(LIMITS).await, far, gate, Wrapping::Bytes)
    }

    /// A host that answers questions at its first listener, or that asks somebody else, without bytes that lead on.
    pub(super) async fn of_calls(behaviour: Behaviour, toml: &str) -> Self {
        let (far, gate) = far::start(behaviour, Wrapping::Bytes);
        let host = TestHost::start(&format!("{LIMITS}{toml}")).await;
        let local = host.manager().listeners().into_iter().next();
        let local = local.and_then(|listener| Some(listener.local?.to_string()));
        let mut world = Self::new(host, far, gate, Wrapping::Bytes);
        world.uri = local.unwrap_or_default();
        world.without_ends()
    }

    fn new(host: TestHost, far: TcpPeer, gate: watch::Sender<bool>, wrapping: Wrapping) -> Self {
        let (uri, options) = (String::new(), Value::Null);
        let kept = Vec::new();
        let (server, asks) = (None, None);
        Self { host, uri, options, far, gate, server, hears_ends: true, wrapping, asks, kept }
    }

    /// A program that joins its own input and output to the far end.
    pub(super) fn joining(&self) -> Vec<String> {
        let python = need_file("/usr/bin/python3", "python3").display().to_string();
        let script = script("join.py").display().to_string();
        vec![python, "-I".to_owned(), script, self.far.port().to_string()]
    }

    pub(super) fn with_uri(mut self, uri: impl FnOnce(&str) -> String) -> Self {
        self.uri = uri(&self.uri);
        self
    }

    pub(super) fn with_options(mut self, options: Value) -> Self {
        self.options = options;
        self
    }

    pub(super) fn with_server(mut self, server: SocketAddr) -> Self {
        self.server = Some(server);
        self
    }

    /// For a driver whose sessions are asked, and give no bytes back.
    pub(super) fn by_calls(mut self, operation: &'static str, parameters: Value) -> Self {
        self.asks = Some((operation, parameters));
        self
    }

    /// For a transport on which nobody can see that a session has ended.
    pub(super) fn without_ends(mut self) -> Self {
        self.hears_ends = false;
        self
    }

    /// Keeps something alive as long as the world.
    pub(super) fn keeping(mut self, value: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(value));
        self
    }

    /// Opens a session.
    pub(super) async fn open(&self) -> Result<Session> {
        self.open_at(&self.uri).await
    }

    /// Opens a session of the same options elsewhere.
    pub(super) async fn open_at(&self, uri: &str) -> Result<Session> {
        self.host.open(uri, self.options.clone()).await
    }

    /// A session and its data.
    pub(super) async fn pipe(&self) -> (Session, Pipe) {
        let session = self.open().await.unwrap_or_else(|error| panic!("opening: {error:?}"));
        let pipe = Pipe::take(&session).await.unwrap_or_else(|error| panic!("data: {error:?}"));
        (session, pipe)
    }

    /// The host lives: a new session carries bytes, or has an answer where it carries none.
    pub(super) async fn still_works(&self) {
        if let Some((operation, parameters)) = &self.asks {
            let session = self.open().await.unwrap_or_else(|error| panic!("opening: {error:?}"));
            session.call(operation, parameters).await.unwrap();
            return;
        }
        let session = self.open().await.unwrap_or_else(|error| panic!("opening: {error:?}"));
        if !session.facets().intersects(Facets::DATA) {
            let answered = timeout(DEADLINE, session.ping()).await.expect("in time");
            answered.unwrap_or_else(|error| panic!("a round trip: {error:?}"));
            return;
        }
        drop(session);
        let (_session, mut pipe) = self.pipe().await;
        assert_eq!(pipe.there_and_back(b"still there").await.unwrap(), b"still there");
    }

    /// The definition of a named connection to it.
    pub(super) fn definition(&self) -> Map<String, Value> {
        definition(&self.uri, &self.options)
    }
}

/// A definition of a named connection.
pub(super) fn definition(uri: &str, options: &Value) -> Map<String, Value> {
    let mut definition = Map::new();
    definition.insert("uri".to_owned(), uri.into());
    if options.is_object() {
        definition.insert("options".to_owned(), options.clone());
    }
    definition
}

//! [`Driver`] and [`Handler`]: what a plugin author writes.

use crate::error::{Error, Result};
use crate::health::Health;
use crate::listener::Listener;
use crate::manifest::{Below, DriverInfo, HandlerInfo, Operation};
use crate::request::Request;
use crate::services::{Host, Socket};
use crate::session::Session;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// What options are configured for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// For connecting.
    Client,
    /// For accepting or listening.
    Server,
}

/// One protocol.
///
/// The host calls `configure` once for each place where options stand, and then the other methods,
/// many at a time, with its result. A method's future is dropped when its deadline passes or its caller is
/// gone, so all must be cancel safe: nothing may be left half-open. A panic anywhere
/// costs its connection, not the host.
pub trait Driver: Send + Sync + Sized + 'static {
    /// Its constants.
    const INFO: DriverInfo;

    /// Its options, as they stand in a configuration file. Use `#[serde(deny_unknown_fields)]`,
    /// give every option a default and a doc comment: both become part of its description.
    type Options: DeserializeOwned + JsonSchema;

    /// What `configure` makes of options: checked, with files read, ready for many connections.
    type Endpoint: Send + Sync + 'static;

    /// Makes the driver, once for each time its plugin is loaded. Must not block.
    ///
    /// # Errors
    /// Any: the plugin is refused with it.
    fn new(host: Host) -> Result<Self>;

    /// Checks options as a whole and prepares them. May read files, must not use the network.
    ///
    /// # Errors
    /// [`Error::option`] naming the option at fault.
    fn configure(&self, options: Self::Options, role: Role) -> Result<Self::Endpoint>;

    /// The socket of the host's that `endpoint` is, where connecting is nothing else: the host then connects that one
    /// by itself, to the host and port of the address, and [`Driver::open`] is called only for an address without a
    /// port. Default: `None`.
    fn socket(endpoint: &Self::Endpoint) -> Option<&Socket> {
        let _ = endpoint;
        None
    }

    /// The operations of its sessions, for `call`.
    fn operations() -> Vec<Operation> {
        Vec::new()
    }

    /// The most sessions that one of its targets takes at the same time, such as 1 for a device that serves
    /// one session. A pool is no larger. Default: any number.
    fn max_sessions() -> Option<u32> {
        None
    }

    /// Whether an address of it needs a port, for connecting and for listening, so that one without is a
    /// mistake in a configuration. Default: false.
    fn needs_port() -> bool {
        false
    }

    /// Whether it tells who a client is: it is given [`Request::client`] when it connects, so that each session
    /// is for one client, and the `peer` of a session that it accepts is the client of a proxy. Default: false.
    fn tells_client() -> bool {
        false
    }

    /// What it wants of the layer directly below it where the user has not said; the first that fits
    /// its own options counts.
    fn below() -> Vec<Below> {
        Vec::new()
    }

    /// Its own state, shown to the operator. Must not block. Default: all is well.
    fn health(&self) -> Health {
        Health::ok()
    }

    /// Takes no new work, because it is removed or replaced, and completes when what it does beside its
    /// sessions has ended. Default: at once.
    fn drain(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Connects, and completes when the peer has shown that it is there.
    fn open(
        &self,
        endpoint: &Self::Endpoint,
        request: Request,
    ) -> impl Future<Output = Result<Session>> + Send {
        let _ = (endpoint, request);
        async { Err(Error::unsupported("connecting")) }
    }

    /// A layer's passive side: speaks with the peer at the other end of the request's carrier.
    fn accept(
        &self,
        endpoint: &Self::Endpoint,
        request: Request,
    ) -> impl Future<Output = Result<Session>> + Send {
        let _ = (endpoint, request);
        async { Err(Error::unsupported("accepting")) }
    }

    /// A transport's passive side.
    fn listen(
        &self,
        endpoint: &Self::Endpoint,
        request: Request,
    ) -> impl Future<Output = Result<Listener>> + Send {
        let _ = (endpoint, request);
        async { Err(Error::unsupported("listening")) }
    }
}

/// Code that answers sessions inside the host.
pub trait Handler: Send + Sync + Sized + 'static {
    /// Its constants.
    const INFO: HandlerInfo;

    /// Its options, as for a driver.
    type Options: DeserializeOwned + JsonSchema;

    /// Makes a handler, once for each place where its options stand.
    ///
    /// # Errors
    /// [`Error::option`] naming the option at fault.
    fn new(host: Host, options: Self::Options) -> Result<Self>;

    /// Its own state, shown to the operator. Must not block. Default: all is well.
    fn health(&self) -> Health {
        Health::ok()
    }

    /// Takes no new sessions, because it is removed or replaced, and completes when what it does beside
    /// its sessions has ended. Default: at once.
    fn drain(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Serves one session to its end. Many run at once; dropping the future ends the session.
    fn serve(&self, session: Session) -> impl Future<Output = Result<()>> + Send;
}

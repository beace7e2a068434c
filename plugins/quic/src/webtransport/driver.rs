//! [`WebTransportDriver`].

use crate::endpoint::{Protocol, QuicEndpoint, Side};
use crate::options::QuicOptions;
use crate::session;
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, Host, Listener, Operation, Request, Result, Role, Scheme, Session,
};

/// The `webtransport` driver.
#[derive(Debug)]
pub struct WebTransportDriver {
    host: Host,
}

impl Driver for WebTransportDriver {
    const INFO: DriverInfo = DriverInfo::transport(
        "webtransport",
        "WebTransport over HTTP/3: QUIC's streams and datagrams, also for browsers",
    )
    .schemes(&[Scheme::new("webtransport", "webtransport").port(443)])
    .client()
    .server()
    .facets(session::FACETS);
    type Options = QuicOptions;
    type Endpoint = QuicEndpoint;

    fn new(host: Host) -> Result<Self> {
        Ok(WebTransportDriver { host })
    }

    fn configure(&self, options: QuicOptions, role: Role) -> Result<QuicEndpoint> {
        QuicEndpoint::new(self.host, options, role, Protocol::WebTransport)
    }

    fn operations() -> Vec<Operation> {
        session::operations()
    }

    async fn open(&self, endpoint: &QuicEndpoint, request: Request) -> Result<Session> {
        match &endpoint.0 {
            Side::Client(client) => client.open_session(&request.address).await,
            Side::Server(_) => Err(Error::unsupported("connecting with a listener's options")),
        }
    }

    async fn listen(&self, endpoint: &QuicEndpoint, request: Request) -> Result<Listener> {
        match &endpoint.0 {
            Side::Server(server) => server.listen(&request.address).await,
            Side::Client(_) => Err(Error::unsupported("listening with a client's options")),
        }
    }
}

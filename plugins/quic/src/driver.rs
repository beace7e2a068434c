//! [`QuicDriver`].

use crate::endpoint::{Protocol, QuicEndpoint, Side};
use crate::options::QuicOptions;
use crate::session;
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, Host, Listener, Operation, Request, Result, Role, Scheme, Session,
};

/// The `quic` driver.
#[derive(Debug)]
pub struct QuicDriver {
    host: Host,
}

impl Driver for QuicDriver {
    const INFO: DriverInfo = DriverInfo::transport(
        "quic",
        "QUIC: encrypted connections of many streams and datagrams over UDP",
    )
    .schemes(&[Scheme::new("quic", "quic")])
    .client()
    .server()
    .facets(session::FACETS);
    type Options = QuicOptions;
    type Endpoint = QuicEndpoint;

    fn new(host: Host) -> Result<Self> {
        Ok(QuicDriver { host })
    }

    fn needs_port() -> bool {
        true
    }

    fn configure(&self, options: QuicOptions, role: Role) -> Result<QuicEndpoint> {
        QuicEndpoint::new(self.host, options, role, Protocol::Quic)
    }

    fn operations() -> Vec<Operation> {
        session::operations()
    }

    async fn open(&self, endpoint: &QuicEndpoint, request: Request) -> Result<Session> {
        match &endpoint.0 {
            Side::Client(client) => client.open(&request.address).await,
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

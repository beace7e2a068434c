//! [`WsDriver`]: opening handshakes over a carrier.

use crate::endpoint::WsEndpoint;
use crate::options::WsOptions;
use crate::session::session;
use crate::{client, server};
use jackfield_plugin_api::{
    Driver, DriverInfo, Facets, Host, Kind, Query, Request, Result, Role, RuntimeMode, Scheme,
    Session,
};

/// The `ws` driver.
#[derive(Debug)]
pub struct WsDriver {
    host: Host,
}

impl Driver for WsDriver {
    const INFO: DriverInfo = DriverInfo {
        name: "ws",
        summary: "WebSocket (RFC 6455) over any byte stream",
        kind: Kind::Layer,
        schemes: &[
            Scheme { name: "ws", stack: "ws+tcp", port: Some(80) },
            Scheme { name: "wss", stack: "ws+tls+tcp", port: Some(443) },
        ],
        client: true,
        server: true,
        facets: Facets::MESSAGES.and(Facets::PING).and(Facets::CLOSE_CODE),
        runtime: RuntimeMode::Host,
        query: Query::Address,
    };
    type Options = WsOptions;
    type Endpoint = WsEndpoint;

    fn new(host: Host) -> Result<Self> {
        Ok(WsDriver { host })
    }

    fn configure(&self, options: WsOptions, role: Role) -> Result<WsEndpoint> {
        WsEndpoint::new(options, role)
    }

    async fn open(&self, endpoint: &WsEndpoint, mut request: Request) -> Result<Session> {
        let (carrier, below) = request.take_carrier()?;
        let (ws, info) = client::connect(endpoint, &request.address, carrier, &below).await?;
        Ok(session(ws, info, endpoint, self.host))
    }

    async fn accept(&self, endpoint: &WsEndpoint, mut request: Request) -> Result<Session> {
        let (carrier, below) = request.take_carrier()?;
        let (ws, info) =
            server::accept(endpoint, &request.address, carrier, &below, self.host).await?;
        Ok(session(ws, info, endpoint, self.host))
    }
}

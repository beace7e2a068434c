//! [`WsDriver`]: opening handshakes over a carrier.

use crate::endpoint::WsEndpoint;
use crate::options::WsOptions;
use crate::session::session;
use crate::{client, server};
use jackfield_plugin_api::{
    Driver, DriverInfo, Facets, Host, Request, Result, Role, Scheme, Session,
};

/// The `ws` driver.
#[derive(Debug)]
pub struct WsDriver {
    host: Host,
}

impl Driver for WsDriver {
    const INFO: DriverInfo = DriverInfo::layer("ws", "WebSocket (RFC 6455) over any byte stream")
        .schemes(&[
            Scheme::new("ws", "ws+tcp").port(80),
            Scheme::new("wss", "ws+tls+tcp").port(443),
        ])
        .client()
        .server()
        .facets(Facets::MESSAGES.union(Facets::PING).union(Facets::CLOSE_CODE));
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

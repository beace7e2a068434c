//! [`WsDriver`]: opening handshakes over a carrier.

use crate::endpoint::WsEndpoint;
use crate::options::WsOptions;
use crate::server::Shaken;
use crate::session::{operations, session};
use crate::{client, server, upgrade};
use jackfield_plugin_api::{
    Driver, DriverInfo, Facets, Host, Operation, Request, Result, Role, Scheme, Session,
};

/// What sessions of this driver take beside messages; calls only while an answer waits, events where they are wanted.
const CALLS: Facets =
    Facets::PING.union(Facets::CLOSE_CODE).union(Facets::CALL).union(Facets::EVENTS);

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
        .facets(Facets::MESSAGES.union(CALLS));
    type Options = WsOptions;
    type Endpoint = WsEndpoint;

    fn new(host: Host) -> Result<Self> {
        Ok(WsDriver { host })
    }

    fn configure(&self, options: WsOptions, role: Role) -> Result<WsEndpoint> {
        WsEndpoint::new(options, role)
    }

    fn operations() -> Vec<Operation> {
        operations()
    }

    async fn open(&self, endpoint: &WsEndpoint, mut request: Request) -> Result<Session> {
        let (carrier, below) = request.take_carrier()?;
        let (address, offered) = (&request.address, request.protocols().to_vec());
        let asked = client::Asked { endpoint, address, offered };
        let (ws, info) = client::connect(&asked, carrier, &below, self.host).await?;
        Ok(session(Shaken { ws, info, held: None }, endpoint, self.host))
    }

    async fn accept(&self, endpoint: &WsEndpoint, mut request: Request) -> Result<Session> {
        if let Some(exchange) = request.take_exchange() {
            let shaken = upgrade::accept(endpoint, &request.address, exchange, self.host).await?;
            return Ok(session(shaken, endpoint, self.host));
        }
        let (carrier, below) = request.take_carrier()?;
        let how = (self.host, request.is_deferred());
        let shaken = server::accept(endpoint, &request.address, carrier, &below, how).await?;
        Ok(session(shaken, endpoint, self.host))
    }
}

//! [`HttpDriver`]: connections over a carrier.

use crate::endpoint::HttpEndpoint;
use crate::options::HttpOptions;
use crate::session::{CALLED, session};
use crate::{call, client, server, sse};
use jackfield_plugin_api::{
    Below, Driver, DriverInfo, Facets, Host, Operation, Request, Result, Role, Scheme, Session,
};
use serde_json::Map;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The `http` driver.
#[derive(Debug)]
pub struct HttpDriver {
    host: Host,
}

impl Driver for HttpDriver {
    const INFO: DriverInfo = DriverInfo::layer(
        "http",
        "HTTP/1.1 and HTTP/2 (RFC 9110, 9112, 9113) over any byte stream",
    )
    .schemes(&[
        Scheme::new("http", "http+tcp").port(80),
        Scheme::new("https", "http+tls+tcp").port(443),
    ])
    .client()
    .server()
    .facets(Facets::EXCHANGE.union(Facets::MESSAGES).union(CALLED));
    type Options = HttpOptions;
    type Endpoint = Arc<HttpEndpoint>;

    fn new(host: Host) -> Result<Self> {
        Ok(HttpDriver { host })
    }

    fn configure(&self, options: HttpOptions, role: Role) -> Result<Arc<HttpEndpoint>> {
        HttpEndpoint::new(&options, role).map(Arc::new)
    }

    fn operations() -> Vec<Operation> {
        call::operations()
    }

    /// HTTP/2 over TLS is agreed on by ALPN (RFC 9113 §3.2).
    fn below() -> Vec<Below> {
        vec![
            Below::new("alpn", ["http/1.1"].as_slice()).when("version", "1.1"),
            Below::new("alpn", ["h2"].as_slice()).when("version", "2"),
            Below::new("alpn", ["h2", "http/1.1"].as_slice()),
        ]
    }

    async fn open(&self, endpoint: &Arc<HttpEndpoint>, mut request: Request) -> Result<Session> {
        let (carrier, below) = request.take_carrier()?;
        let address = &request.address;
        let endpoint = Arc::clone(endpoint);
        let client = client::connect(endpoint, address, carrier, &below, self.host).await?;
        // Without a host the path is the carrier's: a socket's in the file system.
        let target = if address.host.is_empty() { "/".to_owned() } else { address.target() };
        if !client.endpoint.events {
            return Ok(session(client, target));
        }
        let answer = sse::asked_for(&client, &target, &BTreeMap::new()).await?;
        sse::session(client, answer, |_| Map::new())
    }

    async fn accept(&self, endpoint: &Arc<HttpEndpoint>, mut request: Request) -> Result<Session> {
        let (carrier, below) = request.take_carrier()?;
        server::accept(Arc::clone(endpoint), &request.address, carrier, &below, self.host).await
    }
}

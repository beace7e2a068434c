//! [`ProxyDriver`]: one header before the first byte.

use crate::header::{encode, read};
use crate::options::{ProxyOptions, Version, networks};
use ipnet::IpNet;
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, ErrorKind, Facets, Host, Request, Result, Role, Scheme, Session,
};
use std::net::{IpAddr, SocketAddr};
use tokio::io::AsyncWriteExt;

/// The `proxy` driver.
#[derive(Debug)]
pub struct ProxyDriver;

/// Options put in place.
#[derive(Debug)]
pub struct ProxyEndpoint {
    trusted: Vec<IpNet>,
    version: Version,
    tls: bool,
}

impl ProxyEndpoint {
    /// A peer without an address of the network is there by the rights of a file.
    fn trusts(&self, peer: Option<&str>) -> bool {
        match peer.and_then(|peer| peer.parse::<SocketAddr>().ok()) {
            Some(address) => self.holds(address.ip().to_canonical()),
            None => true,
        }
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

impl Driver for ProxyDriver {
    const INFO: DriverInfo = DriverInfo::layer(
        "proxy",
        "the PROXY protocol, versions 1 and 2: who the client of a proxy is",
    )
    .schemes(&[Scheme::new("proxy", "proxy+tcp")])
    .client()
    .server()
    .facets(Facets::STREAM.union(Facets::TAKE_FD));
    type Options = ProxyOptions;
    type Endpoint = ProxyEndpoint;

    fn new(_host: Host) -> Result<Self> {
        Ok(ProxyDriver)
    }

    fn tells_client() -> bool {
        true
    }

    fn configure(&self, options: ProxyOptions, role: Role) -> Result<ProxyEndpoint> {
        let trusted = networks("trusted", &options.trusted)?;
        if role == Role::Server && trusted.is_empty() {
            let message = "a listener needs the addresses of the proxies that it believes, as in \
                           [\"10.0.0.5\", \"10.1.0.0/16\"]";
            return Err(Error::option("trusted", message));
        }
        let is_v2 = options.version == Version::V2;
        if options.tls == Some(true) && !is_v2 {
            return Err(Error::option("tls", "version 1 of the header has no room for it"));
        }
        Ok(ProxyEndpoint { trusted, version: options.version, tls: options.tls.unwrap_or(is_v2) })
    }

    async fn open(&self, endpoint: &ProxyEndpoint, mut request: Request) -> Result<Session> {
        let header = encode(request.client(), endpoint.version, endpoint.tls)?;
        let (mut stream, info) = request.take_carrier()?;
        stream.write_all(&header).await?;
        stream.flush().await?;
        Ok(Session::of_stream(info, stream))
    }

    async fn accept(&self, endpoint: &ProxyEndpoint, mut request: Request) -> Result<Session> {
        let (mut stream, carrier) = request.take_carrier()?;
        let proxy = carrier.peer.clone().unwrap_or_default();
        if !endpoint.trusts(carrier.peer.as_deref()) {
            let message = "this address may not say who the client is";
            return Err(Error::new(ErrorKind::Denied, message)
                .with("peer", proxy)
                .with("option", "trusted"));
        }
        let client = read(&mut stream).await.map_err(|error| error.with("peer", &proxy))?;
        // Without a client the proxy itself has connected, as for a health check.
        let info = client.unwrap_or_default().with("proxy", proxy).over(&carrier);
        Ok(Session::of_stream(info, stream))
    }
}

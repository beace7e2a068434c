//! [`TlsDriver`]: handshakes over a carrier.

use crate::endpoint::{Side, TlsEndpoint};
use crate::options::TlsOptions;
use crate::plain_http::{self, Peeked};
use crate::session::{Before, session};
use bytes::Bytes;
use jackfield_certificates::{explain, server_name};
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, ErrorKind, Facets, Host, Info, Request, Result, Role, Scheme,
    Session,
};
use tokio_rustls::TlsStream;

/// The `tls` driver.
#[derive(Debug)]
pub struct TlsDriver {
    host: Host,
}

impl Driver for TlsDriver {
    const INFO: DriverInfo = DriverInfo::layer("tls", "TLS 1.2 and 1.3 over any byte stream")
        .schemes(&[Scheme::new("tls", "tls+tcp")])
        .client()
        .server()
        .facets(Facets::STREAM);
    type Options = TlsOptions;
    type Endpoint = TlsEndpoint;

    fn new(host: Host) -> Result<Self> {
        Ok(TlsDriver { host })
    }

    fn configure(&self, options: TlsOptions, role: Role) -> Result<TlsEndpoint> {
        TlsEndpoint::new(options, role, self.host)
    }

    async fn open(&self, endpoint: &TlsEndpoint, mut request: Request) -> Result<Session> {
        let Side::Client(client) = &endpoint.0 else {
            return Err(Error::unsupported("connecting with a listener's options"));
        };
        let name = match &client.server_name {
            Some(name) => name.clone(),
            None => server_name(&request.address.host).ok_or_else(|| {
                let message = "the address has no host name for TLS; `server_name` can give one";
                Error::new(ErrorKind::Config, message).with("address", request.address.authority())
            })?,
        };
        let asked = name.to_str().into_owned();
        let (carrier, info) = request.take_carrier()?;
        match client.connector.current().connect(name, Peeked::new(carrier, Bytes::new())).await {
            Ok(stream) => Ok(session(
                TlsStream::from(stream),
                &Before {
                    role: Role::Client,
                    server_name: Some(asked),
                    verified: client.verifies,
                    carrier: info,
                },
            )),
            Err(error) => Err(at(explain(error, Role::Client), &info).with("server_name", asked)),
        }
    }

    async fn accept(&self, endpoint: &TlsEndpoint, mut request: Request) -> Result<Session> {
        let Side::Server(acceptor) = &endpoint.0 else {
            return Err(Error::unsupported("accepting with a client's options"));
        };
        let (carrier, info) = request.take_carrier()?;
        let carrier = plain_http::peek(carrier).await.map_err(|error| at(error.into(), &info))?;
        if plain_http::is_http(&carrier) {
            return Err(at(plain_http::refuse(carrier, self.host).await, &info));
        }
        match acceptor.current().accept(carrier).await {
            Ok(stream) => {
                let server_name = stream.get_ref().1.server_name().map(str::to_owned);
                let before =
                    Before { role: Role::Server, server_name, verified: true, carrier: info };
                Ok(session(TlsStream::from(stream), &before))
            }
            Err(error) => Err(at(explain(error, Role::Server), &info)),
        }
    }
}

/// Names the peer of a handshake that failed.
fn at(error: Error, carrier: &Info) -> Error {
    match &carrier.peer {
        Some(peer) => error.with("peer", peer),
        None => error,
    }
}

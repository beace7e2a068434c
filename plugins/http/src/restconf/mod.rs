//! [`RestconfDriver`]: RESTCONF (RFC 8040), whose requests a client of `http` makes.

mod discovery;
mod failure;
mod options;
mod session;
mod streams;

pub use options::{Form, RestconfOptions};

use crate::client;
use crate::endpoint::HttpEndpoint;
use jackfield_plugin_api::{
    Below, Driver, DriverInfo, Error, Facets, Host, Operation, Request, Result, Role, Scheme,
    Session,
};
use std::sync::Arc;

/// The `restconf` driver.
#[derive(Debug)]
pub struct RestconfDriver {
    host: Host,
}

/// Options that are checked.
#[derive(Debug)]
pub struct RestconfEndpoint {
    http: Arc<HttpEndpoint>,
    root: Option<String>,
    format: Form,
    stream: Option<streams::Wanted>,
}

impl Driver for RestconfDriver {
    const INFO: DriverInfo = DriverInfo::layer("restconf", "RESTCONF (RFC 8040) over HTTP")
        .schemes(&[Scheme::new("restconf", "restconf+tls+tcp").port(443)])
        .client()
        .facets(session::FACETS.union(Facets::MESSAGES))
        .query_options();
    type Options = RestconfOptions;
    type Endpoint = RestconfEndpoint;

    fn new(host: Host) -> Result<Self> {
        Ok(RestconfDriver { host })
    }

    fn configure(&self, options: RestconfOptions, role: Role) -> Result<RestconfEndpoint> {
        let root = options.root.as_ref().map(|root| root.trim_end_matches('/').to_owned());
        if root.as_ref().is_some_and(|root| !root.is_empty() && !root.starts_with('/')) {
            return Err(Error::option("root", "expected a path such as /restconf"));
        }
        if options.client.sse {
            return Err(Error::option(
                "client.sse",
                "is of http alone; expected the option stream",
            ));
        }
        let stream = streams::Wanted::new(&options)?;
        let http = Arc::new(HttpEndpoint::new(&options.client, role)?);
        Ok(RestconfEndpoint { http, root, format: options.format, stream })
    }

    fn operations() -> Vec<Operation> {
        session::operations()
    }

    fn below() -> Vec<Below> {
        vec![Below::new("alpn", ["h2", "http/1.1"].as_slice())]
    }

    async fn open(&self, endpoint: &RestconfEndpoint, mut request: Request) -> Result<Session> {
        let (carrier, below) = request.take_carrier()?;
        let http = Arc::clone(&endpoint.http);
        let client = client::connect(http, &request.address, carrier, &below, self.host).await?;
        let control = session::RestconfControl::new(client, endpoint.root.clone(), endpoint.format);
        match &endpoint.stream {
            Some(wanted) => control.within(streams::open(&control, wanted)).await,
            None => Ok(control.session()),
        }
    }
}

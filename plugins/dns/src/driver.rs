//! [`DnsDriver`].

use crate::operations;
use crate::options::DnsOptions;
use crate::session::{self, DnsEndpoint};
use crate::way::Way;
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, ErrorKind, Host, Operation, Request, Result, Role, Scheme, Session,
};
use std::sync::Arc;

/// The `dns` driver.
#[derive(Debug)]
pub struct DnsDriver {
    host: Host,
}

impl Driver for DnsDriver {
    const INFO: DriverInfo =
        DriverInfo::transport("dns", "Names by DNS, over UDP, TCP, TLS and HTTPS")
            .schemes(&[
                Scheme::new("dns", "dns"),
                Scheme::new("dot", "dns").port(853),
                Scheme::new("doh", "dns").port(443),
            ])
            .client()
            .facets(session::FACETS)
            .query_options();
    type Options = DnsOptions;
    type Endpoint = Arc<DnsEndpoint>;

    fn new(host: Host) -> Result<Self> {
        Ok(DnsDriver { host })
    }

    fn configure(&self, options: DnsOptions, _role: Role) -> Result<Arc<DnsEndpoint>> {
        DnsEndpoint::new(options).map(Arc::new)
    }

    fn operations() -> Vec<Operation> {
        operations::all()
    }

    async fn open(&self, endpoint: &Arc<DnsEndpoint>, request: Request) -> Result<Session> {
        if request.address.host.is_empty() {
            let text = "expected a server, such as dns://10.0.0.2";
            return Err(Error::new(ErrorKind::Config, text));
        }
        let way = Way::new(self.host, request.address, &endpoint.options).await?;
        Ok(session::session(self.host, endpoint, way))
    }
}

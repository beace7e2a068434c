//! [`SntpDriver`].

use crate::kisses::Kisses;
use crate::operations;
use crate::options::SntpOptions;
use crate::session::{self, SntpEndpoint};
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, ErrorKind, Host, Operation, Request, Result, Role, Scheme, Session,
};
use std::sync::Arc;

/// The port of servers (RFC 5905 §7.2).
const PORT: u16 = 123;

/// The `sntp` driver.
#[derive(Debug)]
pub struct SntpDriver {
    host: Host,
    kisses: Arc<Kisses>,
}

impl Driver for SntpDriver {
    const INFO: DriverInfo =
        DriverInfo::transport("sntp", "The time by SNTP, from servers of NTP versions 3 and 4")
            .schemes(&[Scheme::new("sntp", "sntp").port(PORT)])
            .client()
            .facets(session::FACETS)
            .query_options();
    type Options = SntpOptions;
    type Endpoint = Arc<SntpEndpoint>;

    fn new(host: Host) -> Result<Self> {
        Ok(SntpDriver { host, kisses: Arc::default() })
    }

    fn configure(&self, options: SntpOptions, _role: Role) -> Result<Arc<SntpEndpoint>> {
        SntpEndpoint::new(options).map(Arc::new)
    }

    fn operations() -> Vec<Operation> {
        operations::all()
    }

    async fn open(&self, endpoint: &Arc<SntpEndpoint>, request: Request) -> Result<Session> {
        let address = request.address;
        if address.host.is_empty() {
            let text = "expected a server, such as sntp://10.0.0.2";
            return Err(Error::new(ErrorKind::Config, text));
        }
        let mut found = self.host.resolve(&address.host, address.port.unwrap_or(PORT)).await?;
        found.retain(|address| endpoint.options.family.has(address));
        if found.is_empty() {
            let text = "the server has no address of the wanted family";
            return Err(Error::new(ErrorKind::NotFound, text).with("host", address.host));
        }
        Ok(session::session(self.host, endpoint, &self.kisses, found))
    }
}

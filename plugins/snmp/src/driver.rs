//! [`SnmpDriver`].

use crate::endpoint::SnmpEndpoint;
use crate::options::SnmpOptions;
use crate::{listener, operations, session, wire};
use jackfield_plugin_api::{
    Driver, DriverInfo, Host, Listener, Operation, Request, Result, Role, Scheme, Session,
};
use std::sync::Arc;

/// The `snmp` driver.
#[derive(Debug)]
pub struct SnmpDriver {
    host: Host,
}

impl Driver for SnmpDriver {
    const INFO: DriverInfo = DriverInfo::transport(
        "snmp",
        "SNMP v1, v2c and v3: reads and sets objects, sends and receives notifications",
    )
    .schemes(&[Scheme::new("snmp", "snmp").port(161)])
    .client()
    .server()
    .facets(session::FACETS)
    .query_options();
    type Options = SnmpOptions;
    type Endpoint = Arc<SnmpEndpoint>;

    fn new(host: Host) -> Result<Self> {
        Ok(SnmpDriver { host })
    }

    fn configure(&self, options: SnmpOptions, role: Role) -> Result<Arc<SnmpEndpoint>> {
        SnmpEndpoint::new(&self.host, options, role).map(Arc::new)
    }

    fn operations() -> Vec<Operation> {
        operations::all()
    }

    async fn open(&self, endpoint: &Arc<SnmpEndpoint>, request: Request) -> Result<Session> {
        let who = {
            let (endpoint, address) = (Arc::clone(endpoint), request.address.clone());
            // Keys of passwords are slow on purpose.
            self.host.blocking(move || endpoint.credentials(&address)).await??
        };
        let below = wire::connect(&self.host, endpoint, &request.address).await?;
        session::open(self.host, Arc::clone(endpoint), who, below).await
    }

    async fn listen(&self, endpoint: &Arc<SnmpEndpoint>, request: Request) -> Result<Listener> {
        listener::listen(self.host, endpoint, &request.address).await
    }
}

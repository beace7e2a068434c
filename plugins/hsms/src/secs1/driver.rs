//! [`Secs1Driver`].

use super::Secs1Options;
use crate::endpoint::SecsEndpoint;
use crate::link::Link;
use crate::{operations, session};
use jackfield_plugin_api::{
    Driver, DriverInfo, Host, Operation, Request, Result, Role, Scheme, Session,
};
use std::sync::Arc;

/// The `secs1` driver.
#[derive(Debug)]
pub struct Secs1Driver {
    host: Host,
}

impl Driver for Secs1Driver {
    // The query of a URI is the serial line's: `secs1+serial:///dev/ttyS0?baud=9600`.
    const INFO: DriverInfo = DriverInfo::layer(
        "secs1",
        "SECS-I (SEMI E4) with SECS-II (E5), on a line or over a stream",
    )
    .schemes(&[Scheme::new("secs1", "secs1+tcp").port(5000)])
    .client()
    .server()
    .facets(session::FACETS);
    type Options = Secs1Options;
    type Endpoint = Arc<SecsEndpoint>;

    fn new(host: Host) -> Result<Self> {
        Ok(Secs1Driver { host })
    }

    fn configure(&self, options: Secs1Options, role: Role) -> Result<Arc<SecsEndpoint>> {
        SecsEndpoint::of_line(options, role).map(Arc::new)
    }

    fn operations() -> Vec<Operation> {
        operations::of_line()
    }

    async fn open(&self, endpoint: &Arc<SecsEndpoint>, request: Request) -> Result<Session> {
        begin(self.host, endpoint, request, Role::Client).await
    }

    async fn accept(&self, endpoint: &Arc<SecsEndpoint>, request: Request) -> Result<Session> {
        begin(self.host, endpoint, request, Role::Server).await
    }
}

/// Who has connected to whom makes no difference: a line is there, and either may speak.
async fn begin(
    host: Host,
    endpoint: &Arc<SecsEndpoint>,
    mut request: Request,
    role: Role,
) -> Result<Session> {
    let (carrier, below) = request.take_carrier()?;
    let link = Link::new(host, Arc::clone(endpoint), role, below)?;
    let held = session::begin(link, carrier, ());
    session::established(&held.link, request.deadline).await?;
    Ok(session::session(held))
}

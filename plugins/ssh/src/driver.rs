//! [`SshDriver`]: from a carrier to a session.

use crate::connection::connect;
use crate::endpoint::Endpoint;
use crate::options::SshOptions;
use crate::session;
use jackfield_plugin_api::{
    Carrier, Driver, DriverInfo, Host, Operation, Request, Result, Role, Scheme, Session,
};

/// The `ssh` driver.
#[derive(Debug)]
pub struct SshDriver {
    host: Host,
}

impl Driver for SshDriver {
    const INFO: DriverInfo = DriverInfo::layer(
        "ssh",
        "SSH 2 client: shells, commands, subsystems and onward connections",
    )
    .schemes(&[Scheme::new("ssh", "ssh+tcp").port(22)])
    .client()
    .facets(session::FACETS)
    .private_runtime()
    .query_options();
    type Options = SshOptions;
    type Endpoint = Endpoint;

    fn new(host: Host) -> Result<Self> {
        Ok(SshDriver { host })
    }

    fn configure(&self, options: SshOptions, _role: Role) -> Result<Endpoint> {
        Endpoint::new(options, self.host)
    }

    fn operations() -> Vec<Operation> {
        session::operations()
    }

    async fn open(&self, endpoint: &Endpoint, mut request: Request) -> Result<Session> {
        let (stream, below) = request.take_carrier()?;
        let carrier = Carrier::new(stream)?;
        let connection = connect(endpoint, &request.address, carrier, &below).await?;
        Ok(session::main(connection))
    }
}

//! [`SshDriver`]: from a carrier to a session.

use crate::connection::connect;
use crate::endpoint::Endpoint;
use crate::options::SshOptions;
use crate::session;
use jackfield_plugin_api::{
    Carrier, Driver, DriverInfo, Host, Kind, Operation, Query, Request, Result, Role, RuntimeMode,
    Scheme, Session,
};

/// The `ssh` driver.
#[derive(Debug)]
pub struct SshDriver;

impl Driver for SshDriver {
    const INFO: DriverInfo = DriverInfo {
        name: "ssh",
        summary: "SSH 2 client: shells, commands, subsystems and onward connections",
        kind: Kind::Layer,
        schemes: &[Scheme { name: "ssh", stack: "ssh+tcp", port: Some(22) }],
        client: true,
        server: false,
        facets: session::FACETS,
        runtime: RuntimeMode::Private,
        query: Query::Options,
    };
    type Options = SshOptions;
    type Endpoint = Endpoint;

    fn new(_host: Host) -> Result<Self> {
        Ok(SshDriver)
    }

    fn configure(&self, options: SshOptions, _role: Role) -> Result<Endpoint> {
        Endpoint::new(options)
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

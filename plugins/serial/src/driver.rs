//! [`SerialDriver`].

use crate::line::Line;
use crate::options::SerialOptions;
use crate::{place, session};
use jackfield_plugin_api::services::FdStream;
use jackfield_plugin_api::{
    Driver, DriverInfo, Host, Kind, Operation, Query, Request, Result, Role, RuntimeMode, Scheme,
    Session,
};
use std::time::Duration;

/// The `serial` driver.
#[derive(Debug)]
pub struct SerialDriver {
    host: Host,
}

impl Driver for SerialDriver {
    const INFO: DriverInfo = DriverInfo {
        name: "serial",
        summary: "Serial lines, by device path",
        kind: Kind::Transport,
        schemes: &[Scheme { name: "serial", stack: "serial", port: None }],
        client: true,
        server: false,
        facets: session::FACETS,
        runtime: RuntimeMode::Host,
        query: Query::Options,
    };
    type Options = SerialOptions;
    type Endpoint = SerialOptions;

    fn new(host: Host) -> Result<Self> {
        Ok(SerialDriver { host })
    }

    fn configure(&self, options: SerialOptions, _role: Role) -> Result<SerialOptions> {
        Ok(options)
    }

    fn max_sessions() -> Option<u32> {
        // The line is locked.
        Some(1)
    }

    fn operations() -> Vec<Operation> {
        session::operations()
    }

    async fn open(&self, options: &SerialOptions, request: Request) -> Result<Session> {
        let path = place::path(&request.address)?.to_owned();
        let (device, wanted) = (path.clone(), options.clone());
        let line = self.host.blocking(move || Line::open(&device, &wanted)).await??;
        let io = FdStream::new(&self.host, line.descriptor()?)?;
        let poll = Duration::from_millis(u64::from(options.modem_poll));
        Ok(session::of(self.host, path, line, io, poll))
    }
}

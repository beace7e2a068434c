//! [`SerialDriver`].

use crate::line::Line;
use crate::options::SerialOptions;
use crate::{place, session};
use jackfield_plugin_api::FdStream;
use jackfield_plugin_api::{
    Driver, DriverInfo, Host, Operation, Request, Result, Role, Scheme, Session,
};
use std::time::Duration;

/// The `serial` driver.
#[derive(Debug)]
pub struct SerialDriver {
    host: Host,
}

impl Driver for SerialDriver {
    const INFO: DriverInfo = DriverInfo::transport("serial", "Serial lines, by device path")
        .schemes(&[Scheme::new("serial", "serial")])
        .client()
        .facets(session::FACETS)
        .query_options();
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

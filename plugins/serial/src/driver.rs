//! [`SerialDriver`].

use crate::line::Line;
use crate::listener::LineListener;
use crate::options::SerialOptions;
use crate::{place, session};
use jackfield_plugin_api::{
    Driver, DriverInfo, Host, Listener, Operation, Request, Result, Role, Scheme, Session,
};

/// The `serial` driver.
#[derive(Debug)]
pub struct SerialDriver {
    host: Host,
}

impl Driver for SerialDriver {
    const INFO: DriverInfo = DriverInfo::transport("serial", "Serial lines, by device path")
        .schemes(&[Scheme::new("serial", "serial")])
        .client()
        .server()
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
        session::over(self.host, path, line, options)
    }

    async fn listen(&self, options: &SerialOptions, request: Request) -> Result<Listener> {
        let path = place::path(&request.address)?.to_owned();
        let listener = LineListener::new(self.host, path, options.clone()).await?;
        Ok(Listener::new(listener))
    }
}

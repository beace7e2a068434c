//! [`ProcessDriver`].

use crate::ending::{Endings, Running};
use crate::options::ProcessOptions;
use crate::session;
use crate::spawn::{self, Started};
use jackfield_plugin_api::FdStream;
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, ErrorKind, Host, Operation, Request, Result, Role, Scheme, Session,
};
use std::sync::Arc;
use std::time::Duration;

/// The `process` driver.
pub struct ProcessDriver {
    host: Host,
    endings: Arc<Endings>,
}

impl std::fmt::Debug for ProcessDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProcessDriver")
    }
}

impl Driver for ProcessDriver {
    const INFO: DriverInfo =
        DriverInfo::transport("process", "A program of this machine, over a socket or a terminal")
            .schemes(&[Scheme::new("process", "process")])
            .client()
            .facets(session::FACETS)
            .query_options();
    type Options = ProcessOptions;
    type Endpoint = Arc<ProcessOptions>;

    fn new(host: Host) -> Result<Self> {
        Ok(ProcessDriver { host, endings: Arc::default() })
    }

    fn configure(&self, options: ProcessOptions, _role: Role) -> Result<Arc<ProcessOptions>> {
        spawn::command(&options)?;
        if options.raw && !options.pty {
            return Err(Error::option("raw", "there is no terminal without `pty`"));
        }
        Ok(Arc::new(options))
    }

    fn operations() -> Vec<Operation> {
        session::operations()
    }

    async fn open(&self, options: &Arc<ProcessOptions>, request: Request) -> Result<Session> {
        let address = request.address;
        if !(address.host.is_empty() && address.path.is_empty()) {
            let message = "nothing follows `process:`; what to run is in the options";
            return Err(Error::new(ErrorKind::Config, message));
        }
        let shared = Arc::clone(options);
        let Started { kid, io } = self.host.blocking(move || spawn::start(&shared)).await??;
        let terminal = if options.pty { Some(io.try_clone()?) } else { None };
        let io = FdStream::new(&self.host, io)?;
        let running = Running {
            kid: Arc::new(kid),
            host: self.host,
            terminal,
            grace: Duration::from_millis(u64::from(options.grace)),
            endings: Arc::clone(&self.endings),
        };
        let (program, _) = spawn::command(options)?;
        Ok(session::of(running, program, io))
    }
}

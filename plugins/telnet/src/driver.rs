//! [`TelnetDriver`].

use crate::options::TelnetOptions;
use crate::session;
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, ErrorKind, Host, Kind, Operation, Query, Request, Result, Role,
    RuntimeMode, Scheme, Session,
};
use std::sync::Arc;

/// The `telnet` driver.
#[derive(Debug)]
pub struct TelnetDriver {
    host: Host,
}

impl Driver for TelnetDriver {
    const INFO: DriverInfo = DriverInfo {
        name: "telnet",
        summary: "Telnet (RFC 854) over any byte stream, with control of serial lines (RFC 2217)",
        kind: Kind::Layer,
        schemes: &[
            Scheme { name: "telnet", stack: "telnet+tcp", port: Some(23) },
            Scheme { name: "telnets", stack: "telnet+tls+tcp", port: Some(992) },
        ],
        client: true,
        server: true,
        facets: session::FACETS,
        runtime: RuntimeMode::Host,
        query: Query::Options,
    };
    type Options = TelnetOptions;
    type Endpoint = Arc<TelnetOptions>;

    fn new(host: Host) -> Result<Self> {
        Ok(TelnetDriver { host })
    }

    fn configure(&self, options: TelnetOptions, role: Role) -> Result<Arc<TelnetOptions>> {
        options.check(role)?;
        Ok(Arc::new(options))
    }

    fn operations() -> Vec<Operation> {
        session::operations()
    }

    async fn open(&self, options: &Arc<TelnetOptions>, mut request: Request) -> Result<Session> {
        if request.address.password.is_some() {
            let text = "Telnet itself has no passwords; `login` of a connection gives one";
            return Err(Error::new(ErrorKind::Config, text));
        }
        let carrier = request.take_carrier()?;
        let user = request.address.user.as_deref();
        session::begin(carrier, options, Role::Client, user, self.host).await
    }

    async fn accept(&self, options: &Arc<TelnetOptions>, mut request: Request) -> Result<Session> {
        let carrier = request.take_carrier()?;
        session::begin(carrier, options, Role::Server, None, self.host).await
    }
}

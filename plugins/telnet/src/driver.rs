//! [`TelnetDriver`].

use crate::options::TelnetOptions;
use crate::session;
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, ErrorKind, Host, Operation, Request, Result, Role, Scheme, Session,
};
use std::sync::Arc;

/// The `telnet` driver.
#[derive(Debug)]
pub struct TelnetDriver {
    host: Host,
}

impl Driver for TelnetDriver {
    const INFO: DriverInfo = DriverInfo::layer(
        "telnet",
        "Telnet (RFC 854) over any byte stream, with control of serial lines (RFC 2217)",
    )
    .schemes(&[
        Scheme::new("telnet", "telnet+tcp").port(23),
        Scheme::new("telnets", "telnet+tls+tcp").port(992),
    ])
    .client()
    .server()
    .facets(session::FACETS)
    .query_options();
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

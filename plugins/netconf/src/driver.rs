//! [`NetconfDriver`]: sessions over a carrier.

use crate::operations::operations;
use crate::options::NetconfOptions;
use crate::session::{FACETS, connect};
use jackfield_plugin_api::{
    Below, Driver, DriverInfo, Error, Host, Operation, Request, Result, Role, Scheme, Session,
};
use std::sync::Arc;

/// The `netconf` driver.
#[derive(Debug)]
pub struct NetconfDriver {
    host: Host,
}

impl Driver for NetconfDriver {
    const INFO: DriverInfo =
        DriverInfo::layer("netconf", "NETCONF (RFC 6241) over SSH, TLS or any byte stream")
            .schemes(&[
                Scheme::new("netconf", "netconf+ssh+tcp").port(830),
                Scheme::new("netconfs", "netconf+tls+tcp").port(6513),
            ])
            .client()
            .facets(FACETS)
            .query_options();
    type Options = NetconfOptions;
    type Endpoint = Arc<NetconfOptions>;

    fn new(host: Host) -> Result<Self> {
        Ok(NetconfDriver { host })
    }

    fn configure(&self, options: NetconfOptions, _role: Role) -> Result<Arc<NetconfOptions>> {
        let limits = [
            ("max_message", options.max_message, 1024),
            ("max_depth", options.max_depth, 8),
            ("max_requests", options.max_requests, 1),
            ("events", options.events, 1),
        ];
        if let Some((name, _, least)) = limits.iter().find(|(_, value, least)| value < least) {
            return Err(Error::option(name, format!("must be at least {least}")));
        }
        if options.max_depth > 1024 || options.max_requests > 1024 {
            let name = if options.max_depth > 1024 { "max_depth" } else { "max_requests" };
            return Err(Error::option(name, "must be at most 1024"));
        }
        Ok(Arc::new(options))
    }

    fn operations() -> Vec<Operation> {
        operations()
    }

    /// The subsystem of SSH (RFC 6242 §3).
    fn below() -> Vec<Below> {
        vec![Below::new("subsystem", "netconf")]
    }

    async fn open(&self, endpoint: &Arc<NetconfOptions>, mut request: Request) -> Result<Session> {
        let (stream, below) = request.take_carrier()?;
        connect(self.host, Arc::clone(endpoint), stream, &below).await
    }
}

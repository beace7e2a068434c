//! [`HsmsDriver`].

use crate::endpoint::SecsEndpoint;
use crate::link::Link;
use crate::options::HsmsOptions;
use crate::{operations, session};
use jackfield_plugin_api::{
    Driver, DriverInfo, Error, ErrorKind, Host, Operation, Request, Result, Role, Scheme, Session,
};
use std::sync::Arc;

/// The `hsms` driver.
#[derive(Debug)]
pub struct HsmsDriver {
    host: Host,
}

impl Driver for HsmsDriver {
    const INFO: DriverInfo =
        DriverInfo::layer("hsms", "HSMS (SEMI E37) with SECS-II (E5) over any byte stream")
            .schemes(&[
                Scheme::new("hsms", "hsms+tcp").port(5000),
                Scheme::new("hsmss", "hsms+tls+tcp").port(5000),
            ])
            .client()
            .server()
            .facets(session::FACETS)
            .query_options();
    type Options = HsmsOptions;
    type Endpoint = Arc<SecsEndpoint>;

    fn new(host: Host) -> Result<Self> {
        Ok(HsmsDriver { host })
    }

    fn configure(&self, options: HsmsOptions, role: Role) -> Result<Arc<SecsEndpoint>> {
        SecsEndpoint::new(options, role).map(Arc::new)
    }

    fn operations() -> Vec<Operation> {
        operations::all()
    }

    async fn open(&self, endpoint: &Arc<SecsEndpoint>, mut request: Request) -> Result<Session> {
        let (carrier, below) = request.take_carrier()?;
        let target = request.address.authority();
        if let Some(left) = endpoint.separation(&target, self.host.now()) {
            // The peer must not see another connection yet, and whoever tries again must not try too soon.
            drop(carrier);
            let wait = left + left.mul_f64(fastrand::f64() / 4.0);
            self.host.timer(wait.min(request.deadline.saturating_sub(session::SPARE))).await;
            let text = format!(
                "the last connection to {target} ended less than T5 ago: {left:?} were left"
            );
            return Err(Error::new(ErrorKind::TimedOut, text));
        }
        let link = Link::new(self.host, Arc::clone(endpoint), Role::Client, below)?;
        let ended = Ended { endpoint: Arc::clone(endpoint), target, host: self.host };
        let held = session::begin(link, carrier, ended);
        session::select(&held.link, None).await?;
        session::established(&held.link, request.deadline).await?;
        Ok(session::session(held))
    }

    async fn accept(&self, endpoint: &Arc<SecsEndpoint>, mut request: Request) -> Result<Session> {
        let (carrier, below) = request.take_carrier()?;
        let link = Link::new(self.host, Arc::clone(endpoint), Role::Server, below)?;
        let held = session::begin(link, carrier, ());
        held.link.until_selected().await?;
        session::established(&held.link, request.deadline).await?;
        Ok(session::session(held))
    }
}

/// Remembers when a connection of a client has ended, however it did.
struct Ended {
    endpoint: Arc<SecsEndpoint>,
    target: String,
    host: Host,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.endpoint.ended(&self.target, self.host.now());
    }
}

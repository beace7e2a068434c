//! [`ServerLayer`]: the passive side of one driver, for sessions that are not accepted by a stack.

use super::within;
use crate::deadline::Deadline;
use crate::driver::{DriverHandle, Prepared};
use jackfield_plugin_api::{Address, Origin, Request, Result, Session};
use std::sync::Arc;
use std::time::Duration;

/// A layer with its options in place, which accepts what it is given: what requests of a listener turn into. Made
/// by [`Manager::server_layer`](crate::manager::Manager::server_layer).
#[derive(Debug)]
pub struct ServerLayer {
    driver: Arc<DriverHandle>,
    endpoint: Prepared,
}

impl ServerLayer {
    pub(crate) fn new(driver: Arc<DriverHandle>, endpoint: Prepared) -> Self {
        ServerLayer { driver, endpoint }
    }

    /// The name of its driver.
    pub fn name(&self) -> &str {
        self.driver.name()
    }

    /// Lets it speak with the peer of `carrier`, at `address`, within `limit`. Cancel safe: the peer is dropped.
    pub(crate) async fn accept(
        &self,
        carrier: Session,
        address: Address,
        limit: Duration,
    ) -> Result<Session> {
        let deadline = Deadline::after(limit);
        let request = Request::new(address, deadline.left()).with_carrier(carrier);
        let accepted = within(deadline, self.endpoint.accept(request)).await;
        let tell = |error: jackfield_plugin_api::Error| error.with("layer", self.name());
        accepted.map_err(|error| tell(error.with_origin(Origin::Downstream)))
    }
}

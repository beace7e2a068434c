//! The driver without a host: what it writes and reads, and agents that do what they must not.

mod agents;
mod codec;
mod keys;
mod names;
mod notifications;
mod rows;
mod secured;

use crate::{SnmpDriver, SnmpEndpoint, SnmpOptions};
use jackfield_plugin_api::{Address, Driver, Request, Result, Role, Secret, Session, testing};
use std::sync::Arc;

/// Options of a client that gives up soon and asks nothing when it opens.
fn quick() -> SnmpOptions {
    SnmpOptions { timeout: 0.2, retries: 1, probe: false, ..SnmpOptions::default() }
}

fn driver() -> SnmpDriver {
    SnmpDriver::new(testing::host()).expect("a driver")
}

fn endpoint(options: SnmpOptions, role: Role) -> Result<Arc<SnmpEndpoint>> {
    driver().configure(options, role)
}

/// A session with the agent at `port` of this machine.
async fn open(port: u16, options: SnmpOptions) -> Result<Session> {
    let address = Address::new("127.0.0.1", port).with_password(Secret::new("hidden"));
    let endpoint = endpoint(options, Role::Client)?;
    driver().open(&endpoint, Request::new(address, testing::DEADLINE)).await
}

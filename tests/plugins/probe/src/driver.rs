//! A transport that reaches nobody.

use crate::session::{Probing, operations};
use crate::state::State;
use jackfield_plugin_api::{
    Driver, DriverInfo, Event, Facets, Health, Host, Operation, Request, Result, Role, Scheme,
    Session,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a reset comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// It is done.
    #[default]
    Works,
    /// It fails.
    Fails,
    /// It never ends.
    Hangs,
}

/// Options.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What a reset comes to.
    #[schemars(extend("x-apply" = "live"))]
    pub reset: Reset,
    /// Only shown.
    #[schemars(extend("x-apply" = "restart"))]
    pub label: String,
    /// Only shown, too.
    pub depth: u32,
}

/// The driver.
#[derive(Debug)]
pub struct Probe {
    host: Host,
    state: Arc<State>,
}

impl Driver for Probe {
    const INFO: DriverInfo = DriverInfo::transport("probe", "Uses the services of the host")
        .schemes(&[Scheme::new("probe", "probe")])
        .client()
        .facets(Facets::CALL.union(Facets::RESET))
        .description("Each of its operations uses one service,\nas it is told.");
    type Options = Options;
    type Endpoint = Options;

    fn new(host: Host) -> Result<Self> {
        Ok(Probe { host, state: Arc::default() })
    }

    fn configure(&self, options: Options, _role: Role) -> Result<Options> {
        Ok(options)
    }

    fn operations() -> Vec<Operation> {
        operations()
    }

    fn health(&self) -> Health {
        self.state.health()
    }

    async fn drain(&self) -> Result<()> {
        self.host.event(&Event::new("drained", ()));
        if self.state.keeps_on() {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn open(&self, options: &Options, _request: Request) -> Result<Session> {
        let probing = Probing::new(self.host, Arc::clone(&self.state), options.reset);
        Ok(Session::builder(probing).facets(Facets::CALL | Facets::RESET).build())
    }
}

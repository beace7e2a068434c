//! [`MqttDriver`]: connections over a carrier.

use crate::endpoint::MqttEndpoint;
use crate::operations::operations;
use crate::options::MqttOptions;
use crate::session::{CALLS, session};
use crate::{client, server};
use jackfield_plugin_api::{
    Below, Driver, DriverInfo, Facets, Host, Operation, Request, Result, Role, Scheme, Session,
};
use std::sync::Arc;

/// The `mqtt` driver.
#[derive(Debug)]
pub struct MqttDriver {
    host: Host,
}

impl Driver for MqttDriver {
    const INFO: DriverInfo =
        DriverInfo::layer("mqtt", "MQTT 3.1.1 and 5.0 over any byte stream or WebSocket")
            .schemes(&[
                Scheme::new("mqtt", "mqtt+tcp").port(1883),
                Scheme::new("mqtts", "mqtt+tls+tcp").port(8883),
            ])
            .client()
            .server()
            .facets(Facets::MESSAGES.union(CALLS))
            .query_options();
    type Options = MqttOptions;
    type Endpoint = Arc<MqttEndpoint>;

    fn new(host: Host) -> Result<Self> {
        Ok(MqttDriver { host })
    }

    fn configure(&self, options: MqttOptions, role: Role) -> Result<Arc<MqttEndpoint>> {
        MqttEndpoint::new(options, role).map(Arc::new)
    }

    fn operations() -> Vec<Operation> {
        operations()
    }

    /// The subprotocol of WebSocket (MQTT 5.0 §6).
    fn below() -> Vec<Below> {
        vec![Below::new("subprotocols", ["mqtt"].as_slice())]
    }

    async fn open(&self, endpoint: &Arc<MqttEndpoint>, mut request: Request) -> Result<Session> {
        let carrier = request.take_carrier()?;
        let connected = client::connect(endpoint, &request.address, carrier, self.host).await?;
        Ok(session(&connected))
    }

    async fn accept(&self, endpoint: &Arc<MqttEndpoint>, mut request: Request) -> Result<Session> {
        let asks = request.is_deferred();
        let carrier = request.take_carrier()?;
        let accepted = server::accept(endpoint, carrier, asks, self.host).await?;
        Ok(session(&accepted))
    }
}

//! [`MqttBroker`]: a broker inside the host, for sessions of `mqtt` listeners.

mod hub;
mod options;
mod outbox;
mod retained;
mod serving;
mod tree;

pub use options::BrokerOptions;

use crate::server::conversation_of;
use hub::Hub;
use jackfield_plugin_api::{Error, Facets, Handler, HandlerInfo, Host, Level, Op, Result, Session};
use serde_json::json;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often what is over is ended, wills that wait are looked at and counts are told.
const SWEEP: Duration = Duration::from_secs(1);

/// The `mqtt_broker` handler.
pub struct MqttBroker {
    host: Host,
    hub: Arc<Hub>,
    /// Runs while this is held.
    _sweeping: Op<()>,
}

impl Handler for MqttBroker {
    const INFO: HandlerInfo = HandlerInfo::new(
        "mqtt_broker",
        "A broker of MQTT 3.1.1 and 5.0 for the clients of mqtt listeners",
        Facets::MESSAGES,
    );
    type Options = BrokerOptions;

    fn new(host: Host, options: BrokerOptions) -> Result<Self> {
        let hub = Arc::new(Hub::new(options));
        let sweeping = host.spawn(sweep(host, Arc::downgrade(&hub)));
        Ok(MqttBroker { host, hub, _sweeping: sweeping })
    }

    async fn serve(&self, session: Session) -> Result<()> {
        let conversation = conversation_of(&session.info()).ok_or_else(|| {
            Error::unsupported(
                "a session of another driver than mqtt: expected listen = \"mqtt://…\"",
            )
        })?;
        serving::serve(self.host, &self.hub, &conversation).await
    }
}

/// Looks after what has its time, until the broker is gone.
async fn sweep(host: Host, hub: Weak<Hub>) {
    let mut timer = host.timer(SWEEP);
    let mut told = [usize::MAX; 4];
    loop {
        (&mut timer).await;
        let Some(hub) = hub.upgrade() else { return };
        let counts = hub.sweep(host.now());
        let now = [counts.clients, counts.sessions, counts.subscriptions, counts.retained];
        let names = ["clients", "sessions", "subscriptions", "retained"];
        for ((name, count), told) in names.iter().zip(now).zip(&mut told) {
            if count != *told {
                *told = count;
                let name = format!("mqtt_broker_{name}");
                host.metric(
                    "gauge",
                    &name,
                    &json!({}),
                    f64::from(u32::try_from(count).unwrap_or(u32::MAX)),
                );
            }
        }
        if counts.dropped > 0 {
            let count = f64::from(u32::try_from(counts.dropped).unwrap_or(u32::MAX));
            host.metric("counter", "mqtt_broker_dropped", &json!({}), count);
            let text = format!(
                "messages were dropped: queues or retained messages are full [count={}]",
                counts.dropped
            );
            host.log(Level::Warn, "mqtt", &text);
        }
        drop(hub);
        timer.reset(SWEEP);
    }
}

//! A session whose operations are the host's services.

use crate::driver::Reset;
use crate::state::{Ail, State};
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Event, Host, NoParams, Operation, Result, params,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new::<NoParams, Value>(
            "state",
            "Which session it is, and how often it was reset",
        ),
        Operation::new::<Measure, ()>("measure", "Records a measurement"),
        Operation::new::<Tell, ()>("tell", "Tells an event"),
        Operation::new::<Read, String>("read", "Reads a secret"),
        Operation::new::<NoParams, Value>(
            "from_a_thread",
            "Uses services from a thread of its own",
        ),
        Operation::new::<Ail, ()>("ail", "Is from now on as it is told to be"),
        Operation::new::<NoParams, ()>("stopping", "Ends when the host begins to stop"),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Measure {
    kind: String,
    name: String,
    #[serde(default)]
    labels: Value,
    value: f64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tell {
    name: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Read {
    name: String,
}

pub(crate) struct Probing {
    host: Host,
    state: Arc<State>,
    reset: Reset,
    number: u64,
    resets: AtomicU64,
}

impl Probing {
    pub(crate) fn new(host: Host, state: Arc<State>, reset: Reset) -> Self {
        let number = state.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        Probing { host, state, reset, number, resets: AtomicU64::new(0) }
    }
}

impl Control for Probing {
    async fn call(&self, operation: String, given: Value) -> Result<Value> {
        match operation.as_str() {
            "state" => {
                params::<NoParams>(given)?;
                let resets = self.resets.load(Ordering::Relaxed);
                return Ok(json!({ "session": self.number, "resets": resets }));
            }
            "measure" => {
                let Measure { kind, name, labels, value } = params(given)?;
                self.host.metric(&kind, &name, &labels, value);
            }
            "tell" => {
                let Tell { name, data } = params(given)?;
                self.host.event(&Event::new(name, data));
            }
            "read" => {
                let Read { name } = params(given)?;
                let secret = self.host.secret(&name).await?;
                return Ok(String::from_utf8_lossy(&secret).into_owned().into());
            }
            "from_a_thread" => {
                params::<NoParams>(given)?;
                let host = self.host;
                return self.host.blocking(move || crate::thread::services(host)).await?;
            }
            "ail" => self.state.set(params(given)?),
            "stopping" => {
                self.host.event(&Event::new("waits", Value::Null));
                self.host.stopping().await;
                self.host.event(&Event::new("stops", Value::Null));
            }
            other => return Err(Error::unsupported(&format!("operation {other:?}"))),
        }
        Ok(Value::Null)
    }

    async fn reset(&self) -> Result<()> {
        match self.reset {
            Reset::Works => {
                self.resets.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Reset::Fails => Err(Error::new(ErrorKind::Refused, "told to fail")),
            Reset::Hangs => std::future::pending().await,
        }
    }
}

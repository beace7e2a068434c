//! The verbs on named connections, over a driver without a peer and over in-process targets.

mod defects;
mod restart;
mod sockets;
mod verbs;

use super::{AllOptions, Existing, Filter, Manager, Own};
use crate::config::model::ConnectionConfig;
use crate::driver::Registry;
use crate::services::PluginServices;
use crate::stack::Stack;
use jackfield_plugin_api::load::Module;
use jackfield_plugin_api::{Error, ErrorKind, Info, Result, Session, Stream};
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

/// The driver `null`, linked in: whatever it is asked to open is open.
pub(super) fn registry() -> Registry {
    let services = PluginServices::new("null", Arc::default(), Box::new(|_| ()));
    let module = Module::of_static::<bench_null::Plugin>();
    let plugin = module.init(Arc::new(services), "{}").unwrap();
    let mut registry = Registry::default();
    registry.add_plugin(&plugin, module.describe().unwrap());
    registry
}

pub(super) fn manager(max: usize) -> Manager {
    Manager::empty(registry(), max, SOON)
}

/// What `json` defines.
fn config(json: serde_json::Value) -> ConnectionConfig {
    serde_json::from_value(json).unwrap()
}

fn null() -> ConnectionConfig {
    config(serde_json::json!({"uri": "null://x", "options": {"pending": true}}))
}

/// A target of one's own that opens after `delay`, or never does.
fn own(delay: Option<Duration>) -> Stack {
    Stack::of_source("test:", move |_| async move {
        let Some(delay) = delay else {
            return Err(Error::new(ErrorKind::Unreachable, "nobody there"));
        };
        tokio::time::sleep(delay).await;
        Ok(session())
    })
}

fn session() -> Session {
    let (near, _far) = tokio::io::duplex(64);
    Session::of_stream(Info::default(), Stream::new(near))
}

fn replace() -> Own {
    Own { existing: Existing::Replace, ..Own::default() }
}

async fn kind<T>(result: impl Future<Output = Result<T>>) -> ErrorKind {
    result.await.err().expect("an error").kind()
}

//! Names by connections and upstreams of the configuration: `host.resolver`.
//!
//! Whatever driver they have, its operation `resolve` is asked: parameters `name` and `type` (`A`, `AAAA`, `SRV`), the
//! answer a list `answers` of records with `type` and `data`, and a `ttl` in seconds. Of addresses the data has
//! `address`, of services `priority`, `weight`, `port` and `target`. Answers are kept by the driver.

use super::Manager;
use super::core::Core;
use crate::config::model::HostConfig;
use crate::services::NameLookup;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::{Arc, Weak};

impl Manager {
    /// Has host names looked up as `host` says from now on.
    pub(super) fn take_over_names(&self, host: &HostConfig) {
        let lookup = (!host.resolver.is_empty()).then(|| lookup(Arc::downgrade(&self.core)));
        self.core.common.host_names().set(lookup, host.timeouts.resolve.0);
    }
}

/// Looks up addresses of hosts by what the configuration of this host names.
fn lookup(core: Weak<Core>) -> NameLookup {
    Arc::new(move |host| {
        let core = core.clone();
        Box::pin(async move {
            let gone = || Error::new(ErrorKind::Cancelled, "the host is stopping");
            let manager = Manager { core: core.upgrade().ok_or_else(gone)? };
            addresses(&manager, &host).await
        })
    })
}

/// The records of a name, of one kind, of the first who answers: that there is no such name is an answer.
///
/// # Errors
/// [`ErrorKind::NotFound`] if there is no such name; else that of the last who was asked.
pub(super) async fn records(manager: &Manager, name: &str, kind: &str) -> Result<Value> {
    let nobody = "host.resolver names nobody who is asked for names";
    let mut last = Error::new(ErrorKind::Config, nobody);
    let params = json!({ "name": name, "type": kind });
    for by in &manager.core.host().resolver {
        let by = by.to_string();
        last = match manager.call(&by, &Map::new(), "resolve", &params).await {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                let text = format!("host name {name:?} does not resolve: {}", error.message());
                let told = Error::new(error.kind(), text).with_retry(error.retry());
                told.with_origin(error.origin()).with("resolver", by)
            }
        };
        if last.kind() == ErrorKind::NotFound {
            break;
        }
    }
    Err(last)
}

/// The addresses of both families, those of IPv6 first. That one family fails is no matter if there is one of the
/// other.
async fn addresses(manager: &Manager, host: &str) -> Result<Vec<IpAddr>> {
    let asked = tokio::join!(records(manager, host, "AAAA"), records(manager, host, "A"));
    let (mut found, mut failed) = (Vec::new(), None);
    for answer in [asked.0, asked.1] {
        match answer {
            Ok(answer) => found.extend(of_answer(&answer)),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

fn of_answer(answer: &Value) -> impl Iterator<Item = IpAddr> + '_ {
    let records = answer["answers"].as_array().into_iter().flatten();
    records.filter_map(|record| record["data"]["address"].as_str()?.parse().ok())
}

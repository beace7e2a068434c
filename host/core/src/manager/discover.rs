//! Targets that are found by name: SRV records, looked up by `host.resolver` as long as their TTL says.
//!
//! What is found comes and goes by the verbs that add and remove targets, so that others are untouched, sessions of
//! one that is gone run on, and all that is told of targets is told of these.

use super::Manager;
use super::core::Core;
use super::layer::{SERVICE, TargetEdit};
use super::names;
use super::upstreams::name_of;
use crate::config::{DiscoverOptions, TargetConfig};
use crate::stack::uri::StackUri;
use crate::upstream::Upstream;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use jackfield_timers::sleep;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The parts of a record.
#[derive(Debug, PartialEq, Deserialize)]
struct ServiceRecord {
    priority: u16,
    weight: u16,
    port: u16,
    target: String,
}

/// Keeps the targets of an upstream as its services say, until it is gone or replaced.
pub(super) async fn follow(core: Weak<Core>, upstream: Weak<Upstream>, options: DiscoverOptions) {
    let mut failing = vec![false; options.services.len()];
    loop {
        let wait = {
            let (Some(core), Some(upstream)) = (core.upgrade(), upstream.upgrade()) else { return };
            let manager = Manager { core };
            let current = manager.upstream(upstream.name());
            if !current.is_ok_and(|current| Arc::ptr_eq(&current, &upstream)) {
                return;
            }
            let mut wait = options.interval(None);
            for (service, failing) in options.services.iter().zip(&mut failing) {
                let looked = look(&manager, upstream.name(), service, &options).await;
                wait = wait.min(told(upstream.name(), service, looked, failing, &options));
            }
            wait
        };
        sleep(wait).await;
    }
}

/// Tells of a lookup that fails for the first time, and of one that no longer does; answers when the next one is due.
fn told(
    upstream: &str,
    service: &StackUri,
    looked: Result<Option<Duration>>,
    failing: &mut bool,
    options: &DiscoverOptions,
) -> Duration {
    let name = host(service);
    let was = std::mem::replace(failing, looked.is_err());
    match looked {
        Ok(ttl) => {
            if was {
                tracing::info!(upstream, service = name, "the service is found again");
            }
            options.interval(ttl)
        }
        Err(error) => {
            if !was {
                tracing::warn!(upstream, service = name, %error, "a service is not taken over as it is: targets that are there stay");
            }
            options.interval(None)
        }
    }
}

fn host(service: &StackUri) -> &str {
    service.host.as_deref().unwrap_or_default()
}

/// Looks one service up and takes over what is different. That it has no records, or no name, is an answer.
async fn look(
    manager: &Manager,
    upstream: &str,
    service: &StackUri,
    options: &DiscoverOptions,
) -> Result<Option<Duration>> {
    let answer = match names::records(manager, host(service), "SRV").await {
        Err(error) if error.kind() == ErrorKind::NotFound => Value::Null,
        answer => answer?,
    };
    let most = usize::try_from(options.most).unwrap_or(usize::MAX);
    let like = TargetConfig { options: options.options.clone(), ..service.clone().into() };
    let wanted = targets(&like, of_answer(&answer)?, most);
    let there: BTreeMap<String, TargetConfig> = manager.core.targets.of(upstream).found;
    let is_ours = |config: &TargetConfig| {
        config.labels.get(SERVICE).is_some_and(|label| label == host(service))
    };
    // One that cannot be added, such as one that the definition has, keeps no other away.
    let mut failed = None;
    for (name, config) in &wanted {
        let before = there.get(name).filter(|before| is_ours(before));
        if before == Some(config) {
            continue;
        }
        if before.is_some() {
            manager.take_target(upstream, name)?;
        }
        if let Err(error) = manager.find_target(upstream, config.clone()).await {
            if before.is_some() {
                manager.note_target(upstream, name, TargetEdit::Remove)?;
            }
            failed = Some(error);
        }
    }
    // Last, so that there is always one of them.
    for (name, config) in &there {
        if is_ours(config) && !wanted.contains_key(name) {
            manager.remove_target(upstream, name)?;
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(answer["ttl"].as_u64().map(Duration::from_secs))
}

fn of_answer(answer: &Value) -> Result<Vec<ServiceRecord>> {
    let records = answer["answers"].as_array().into_iter().flatten();
    let services = records.filter(|record| record["type"] == "SRV");
    let read = |record: &Value| {
        ServiceRecord::deserialize(&record["data"]).map_err(|error| {
            Error::new(ErrorKind::Protocol, format!("a record of a service is none: {error}"))
        })
    };
    services.map(read).collect()
}

/// The targets that records stand for, by their names: `like` that of the service but for what the records say, those of
/// the best priorities, as many as there may be.
fn targets(
    like: &TargetConfig,
    mut records: Vec<ServiceRecord>,
    most: usize,
) -> BTreeMap<String, TargetConfig> {
    // A service whose target is the root is not there (RFC 2782).
    records.retain(|record| !matches!(record.target.as_str(), "" | "."));
    records.sort_by(|one, other| {
        (one.priority, &one.target, one.port).cmp(&(other.priority, &other.target, other.port))
    });
    records.truncate(most);
    let heaviest = records.iter().map(|record| record.weight).max().unwrap_or(0);
    let mut ranks: Vec<u16> = records.iter().map(|record| record.priority).collect();
    ranks.dedup();
    let target = |record: ServiceRecord| {
        let rank = ranks.iter().position(|priority| *priority == record.priority);
        let rank = rank.and_then(|rank| u16::try_from(rank).ok()).unwrap_or(u16::MAX);
        let mut target = like.clone();
        target.weight = weight(record.weight, heaviest);
        target.priority = rank.min(1000);
        target.labels.insert(SERVICE.to_owned(), host(&like.uri).to_owned());
        (target.uri.host, target.uri.port) = (Some(record.target), Some(record.port));
        (name_of(&target), target)
    };
    records.into_iter().map(target).collect()
}

/// A weight of a record as that of a target, 1 to 1000: nothing drains that the zone names.
fn weight(weight: u16, heaviest: u16) -> u16 {
    let scaled = match heaviest {
        0..=1000 => u32::from(weight),
        _ => u32::from(weight) * 1000 / u32::from(heaviest),
    };
    u16::try_from(scaled.clamp(1, 1000)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(records: &[(u16, u16, u16, &str)], most: usize) -> Vec<(String, u16, u16)> {
        let service: TargetConfig = "http://_http._tcp.test/p".parse().expect("a target");
        let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| ServiceRecord {
            priority: *priority,
            weight: *weight,
            port: *port,
            target: (*target).to_owned(),
        };
        let found = targets(&service, records.iter().map(record).collect(), most);
        let found = found.into_iter();
        found.map(|(name, target)| (name, target.priority, target.weight)).collect()
    }

    #[test]
    fn a_record_is_a_target_with_its_host_port_rank_and_weight() {
        let records = [(10, 5, 80, "a.test"), (20, 0, 81, "b.test"), (20, 7, 81, "c.test")];
        let expected = [
            ("http://a.test:80/p".to_owned(), 0, 5),
            ("http://b.test:81/p".to_owned(), 1, 1),
            ("http://c.test:81/p".to_owned(), 1, 7),
        ];
        assert_eq!(found(&records, 9), expected);
        assert_eq!(found(&records, 1), expected[..1]);
    }

    #[test]
    fn heavy_records_keep_their_shares() {
        let records = [(0, 60_000, 80, "a.test"), (0, 30_000, 80, "b.test"), (0, 1, 80, "c.test")];
        let weights: Vec<u16> = found(&records, 9).into_iter().map(|found| found.2).collect();
        assert_eq!(weights, [1000, 500, 1]);
    }

    #[test]
    fn a_service_that_is_not_there_has_no_targets() {
        assert!(found(&[(0, 0, 0, ".")], 9).is_empty());
    }

    #[test]
    fn records_of_other_kinds_are_passed_over_and_broken_ones_told() {
        let answer = serde_json::json!({ "answers": [
            { "type": "CNAME", "data": { "target": "x" } },
            { "type": "SRV", "data": { "priority": 1, "weight": 2, "port": 3, "target": "a.test" } },
        ] });
        assert_eq!(of_answer(&answer).expect("records").len(), 1);
        let broken = serde_json::json!({ "answers": [{ "type": "SRV", "data": { "port": 3 } }] });
        assert!(of_answer(&broken).is_err());
    }
}

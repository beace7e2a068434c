//! Names for completions: of the drivers, connections, devices and upstreams that a running host has, if one is there
//! and answers at once.

use super::admin::{AdminArgs, HostSearch, ask};
use clap_complete::CompletionCandidate;
use clap_complete::engine::ArgValueCandidates;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// How long somebody who has typed a tab waits for a host.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The items of lists of the host; none where there is no host.
fn items(paths: &[&str]) -> Vec<Vec<Value>> {
    let asking = async {
        let HostSearch::Host(link) = AdminArgs::default().find().await? else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for path in paths {
            let page = link.json("GET", &format!("/v1/{path}?limit=1000"), None).await?;
            all.push(page["items"].as_array().cloned().unwrap_or_default());
        }
        Ok(all)
    };
    // Without names there is nothing to complete, and nowhere to say why.
    ask(async { timeout(AT_ONCE, asking).await.unwrap_or_else(|_| Ok(Vec::new())) })
        .unwrap_or_default()
}

fn named(items: &[Value]) -> Vec<&str> {
    let mut names: Vec<&str> = items.iter().filter_map(|item| item["name"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    names.into_iter().map(CompletionCandidate::new).collect()
}

fn of(noun: &'static str) -> ArgValueCandidates {
    ArgValueCandidates::new(move || {
        let all = items(&[noun]);
        candidates(all.iter().flat_map(|list| named(list)).map(str::to_owned))
    })
}

/// Of drivers.
pub(super) fn drivers() -> ArgValueCandidates {
    of("drivers")
}

/// Of connections.
pub(super) fn connections() -> ArgValueCandidates {
    of("connections")
}

/// Of upstreams.
pub(super) fn upstreams() -> ArgValueCandidates {
    of("upstreams")
}

/// Of exclusive paths, as DEVICE.PATH.
pub(super) fn leases() -> ArgValueCandidates {
    of("leases")
}

/// Of upstreams and connections.
pub(super) fn upstreams_and_connections() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let all = items(&["upstreams", "connections"]);
        candidates(all.iter().flat_map(|list| named(list)).map(str::to_owned))
    })
}

/// Of all that can be connected to, as it is written there.
pub(super) fn destinations() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let all = items(&["connections", "upstreams", "devices"]);
        let [connections, upstreams, devices] = &all[..] else { return Vec::new() };
        let mut names: Vec<String> = Vec::new();
        names.extend(named(connections).iter().map(|name| format!("connections.{name}")));
        names.extend(named(upstreams).iter().map(|name| format!("upstreams.{name}")));
        for device in devices {
            // They have the name of the device in theirs.
            let paths = device["paths"].as_array().map(Vec::as_slice).unwrap_or_default();
            names.extend(named(paths).iter().map(|path| (*path).to_owned()));
        }
        candidates(names)
    })
}

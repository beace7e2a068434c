//! The load sequence over all files of the folders.

use super::file::{Candidate, Probe, probe, refusal, scan};
use super::health::Health;
use super::refusal::Refusal;
use super::registry::Registry;
use super::{LoadOptions, PluginReport};
use crate::services::PluginServices;
use jackfield_plugin_api::load::{Module, Plugin};
use jackfield_plugin_api::{ErrorKind, PluginManifest};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Loads every plugin of the folders. Never fails as a whole: each file has its report.
///
/// Needs a tokio runtime: the plugins' services run on it. Not cancel safe in that plugins already
/// loaded stay in memory.
pub async fn load(options: &LoadOptions) -> Registry {
    let paths = scan(options);
    let shared = Arc::new(options.clone());
    let tasks: Vec<_> = paths
        .into_iter()
        .map(|path| {
            let options = Arc::clone(&shared);
            let file = path.clone();
            (path, tokio::task::spawn_blocking(move || probe(&file, &options)))
        })
        .collect();
    let mut probes = Vec::with_capacity(tasks.len());
    for (path, task) in tasks {
        let panicked = |_| Probe::refused(path, Refusal::NotElf("reading it panicked".to_owned()));
        probes.push(task.await.unwrap_or_else(panicked));
    }
    refuse_duplicates(&mut probes);
    let starting: Vec<_> = probes.into_iter().map(|probe| start(probe, &shared)).collect();
    let mut registry = Registry::default();
    registry.set_common(&options.common);
    registry.set_searched(options.folders.iter().chain(&options.beside).cloned().collect());
    for started in futures_util::future::join_all(starting).await {
        registry.add(started.0, started.1);
    }
    registry
}

/// Names are unique over all files; the first file in order keeps one, before any code runs.
fn refuse_duplicates(probes: &mut [Probe]) {
    let mut owners: HashMap<(&'static str, String), PathBuf> = HashMap::new();
    for probe in probes {
        let Ok(candidate) = &probe.result else { continue };
        let names = names_of(&candidate.manifest);
        let taken = names.iter().find_map(|key| Some((key, owners.get(key)?)));
        if let Some(((what, name), first)) = taken {
            let (what, name, first) = (*what, name.clone(), first.clone());
            probe.result = Err(Refusal::Duplicate { what, name, first });
            continue;
        }
        owners.extend(names.into_iter().map(|key| (key, candidate.path.clone())));
    }
}

fn names_of(manifest: &PluginManifest) -> Vec<(&'static str, String)> {
    let drivers = manifest.drivers.iter().map(|driver| ("driver", driver.name.clone()));
    let handlers = manifest.handlers.iter().map(|handler| ("handler", handler.name.clone()));
    let schemes = manifest
        .drivers
        .iter()
        .flat_map(|driver| &driver.schemes)
        .map(|scheme| ("scheme", scheme.name.clone()));
    let interceptors = manifest.interceptors.iter().map(|it| ("interceptor", it.name.clone()));
    drivers.chain(handlers).chain(interceptors).chain(schemes).collect()
}

/// A plugin that runs, with its whole manifest.
pub(super) type Running = (Plugin, PluginManifest);

async fn start(probe: Probe, options: &LoadOptions) -> (PluginReport, Option<Running>) {
    let mut report = PluginReport {
        path: probe.path,
        sha256: probe.sha256,
        manifest: probe.manifest,
        refusal: None,
        health: Arc::new(Health::new(options.max_panics, options.init_timeout)),
    };
    let started = match probe.result {
        Ok(candidate) => run(candidate, options, &report.health).await,
        Err(refusal) => Err(refusal),
    };
    match started {
        Ok((plugin, manifest)) => {
            if manifest.panic == "abort" {
                let file = report.path.display();
                tracing::warn!(%file, "a panic of this plugin ends the host: it is built so");
            }
            super::annotations::warn(&manifest);
            report.manifest = Some(manifest.clone());
            (report, Some((plugin, manifest)))
        }
        Err(refusal) => {
            report.refusal = Some(refusal);
            (report, None)
        }
    }
}

/// Loads and initialises on a thread of its own: a plugin that hangs keeps that thread, not the host.
async fn run(
    candidate: Candidate,
    options: &LoadOptions,
    health: &Arc<Health>,
) -> Result<Running, Refusal> {
    let health = Arc::clone(health);
    let services = Arc::new(PluginServices::new(
        &candidate.manifest.name,
        options.log_rate,
        Arc::clone(&options.common),
        Box::new(move |report| health.panicked(&report.message)),
    ));
    let settings = serde_json::json!({ "runtime_threads": options.runtime_threads }).to_string();
    let cache = options.cache.clone();
    let (send, receive) = oneshot::channel();
    let work = move || {
        // The receiver is gone when the deadline has passed.
        let _ = send.send(load_one(&candidate, &cache, services, &settings));
    };
    std::thread::Builder::new()
        .name("plugin-init".to_owned())
        .spawn(work)
        .map_err(|error| Refusal::InitFailed(error.to_string()))?;
    match tokio::time::timeout(options.init_timeout, receive).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Refusal::InitPanicked("the loading thread ended".to_owned())),
        Err(_) => Err(Refusal::InitHung(options.init_timeout)),
    }
}

fn load_one(
    candidate: &Candidate,
    cache: &Path,
    services: Arc<PluginServices>,
    settings: &str,
) -> Result<Running, Refusal> {
    let place = candidate.generation(cache)?;
    let module = Module::load(&place, &candidate.manifest.symbol).map_err(refusal)?;
    let failed = |error: jackfield_plugin_api::Error| match error.kind() {
        ErrorKind::Panicked => Refusal::InitPanicked(error.message().to_owned()),
        _ => Refusal::InitFailed(error.to_string()),
    };
    let manifest = module.describe().map_err(failed)?;
    // What was checked for duplicates is what will be registered.
    if names_of(&manifest) != names_of(&candidate.manifest) {
        let text = "its code describes other drivers, handlers or schemes than its file";
        return Err(Refusal::BadManifest(text.to_owned()));
    }
    let plugin = module.init(services, settings).map_err(failed)?;
    Ok((plugin, manifest))
}

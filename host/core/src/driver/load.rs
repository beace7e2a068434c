//! The load sequence over all files of the folders.

use super::aside::set_aside;
use super::cache::{check_cache, remove_unused};
use super::file::{Candidate, FoundFile, ProbedFile, probe, refusal, scan};
use super::health::FileHealth;
use super::records::{Records, TrialRecord, TrialResult};
use super::refusal::Refusal;
use super::registry::Registry;
use super::sentinel::{self, Crash};
use super::trial::{self, TrialCommand};
use super::{LoadOptions, PluginReport};
use crate::services::PluginServices;
use jackfield_plugin_api::load::{Module, Plugin};
use jackfield_plugin_api::{ErrorKind, PluginManifest};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::oneshot;

/// How many files are tried at a time, at most.
const TRIALS: usize = 4;

/// Loads every plugin of the folders, one after the other: the same files give the same reports each time.
/// Never fails as a whole: each file has its report.
///
/// Needs a tokio runtime: the plugins' services run on it. Not cancel safe in that plugins already
/// loaded stay in memory.
pub async fn load(options: &LoadOptions) -> Registry {
    let crashes = crashes(options, &Records::of(&options.cache));
    let mut registry = Registry::of(options, crashes);
    // Everything is new to it, so that nothing is of another generation.
    load_files(&mut registry, scan(options), &[], options).await;
    // While a file hangs in the system's loader, a thread of the runtime that keeps something of its own for the first
    // time waits for it, if need be with the lock of all threads for blocking work.
    if registry.hung.is_none() {
        let cache = options.cache.clone();
        // Its result is not needed.
        drop(tokio::task::spawn_blocking(move || remove_unused(&cache)));
    }
    registry
}

/// Takes files through all steps, in their order, into `registry`; before they are started, the plugins of files that
/// are `gone` are taken out. One that was loaded from the same file before goes on until the new one is taken, and
/// after that if it is refused. Answers the transports that are of another generation.
pub(super) async fn load_files(
    registry: &mut Registry,
    found: Vec<FoundFile>,
    gone: &[PathBuf],
    options: &LoadOptions,
) -> Vec<String> {
    let records = Records::of(&options.cache);
    for file in &found {
        registry.note_judged(file);
    }
    let mut probes = probe_all(&Arc::new(options.clone()), found.clone(), &records).await;
    if let Some(command) = &options.trial {
        probes = try_all(probes, command, options, &records).await;
    }
    refuse_duplicates(&mut probes, registry, gone);
    refuse_too_many(&mut probes, registry, options.generations);
    if let Some(schemes) = &options.only {
        registry.aside = set_aside(&mut probes, found, schemes);
    }
    let mut transports = Vec::new();
    for file in gone {
        registry.judged.remove(file);
        registry.reports.retain(|report| report.path != *file);
        registry.remove(file);
    }
    for probe in probes {
        let (path, sum) = (probe.path.clone(), probe.sha256.clone());
        let (mut report, running) = start(probe, options, &mut registry.hung).await;
        if let Some((plugin, manifest)) = running {
            let from = (sum.as_deref().unwrap_or_default(), path.as_path());
            match registry.offer(plugin, manifest, from, &report.health).await {
                Ok(offered) => {
                    registry.take(offered).await;
                    let taken = registry.plugins.last();
                    transports.extend(taken.into_iter().flat_map(|it| it.transports()).cloned());
                }
                Err(error) => report.refusal = Some(Refusal::DoesNotFit(error.to_string())),
            }
        }
        registry.report(report);
    }
    transports
}

/// What hosts before this one left behind. If their plugins are to be left out, that is remembered until
/// an operator brings them back.
fn crashes(options: &LoadOptions, records: &Records) -> Vec<Crash> {
    // Nothing is taken from a folder that others may write.
    if check_cache(&options.cache).is_err() {
        return Vec::new();
    }
    let crashes = sentinel::crashes(&options.cache);
    for crash in crashes.iter().filter(|_| options.leave_out_after_crash) {
        // From here on the records say it, until one is removed.
        crash.forget();
        for plugin in &crash.plugins {
            let pid = crash.pid;
            let reason =
                format!("was in use when the host with pid {pid} ended without a clean stop");
            let known = TrialResult::InUseAtCrash { reason };
            if let Err(error) = records.put(&TrialRecord::new(&plugin.sha256, &plugin.file, known))
            {
                let file = plugin.file.display();
                tracing::warn!(%file, "cannot be left out: {error}");
            }
        }
    }
    crashes
}

/// Reads, hashes and copies the files, as many at a time as there are processors.
async fn probe_all(
    options: &Arc<LoadOptions>,
    found: Vec<FoundFile>,
    records: &Records,
) -> Vec<ProbedFile> {
    let found: Arc<[FoundFile]> = found.into();
    let next = Arc::new(AtomicUsize::new(0));
    let at_a_time = std::thread::available_parallelism().map_or(1, usize::from).min(found.len());
    let workers: Vec<_> = (0..at_a_time)
        .map(|_| {
            let (options, records) = (Arc::clone(options), records.clone());
            let (found, next) = (Arc::clone(&found), Arc::clone(&next));
            tokio::task::spawn_blocking(move || probe_some(&found, &next, &options, &records))
        })
        .collect();
    let mut probes: Vec<Option<ProbedFile>> = found.iter().map(|_| None).collect();
    for worker in workers {
        for (index, probe) in worker.await.unwrap_or_default() {
            if let Some(place) = probes.get_mut(index) {
                *place = Some(probe);
            }
        }
    }
    let unread = || Refusal::NotElf("reading it panicked".to_owned());
    let probes = probes.into_iter().zip(found.iter());
    probes
        .map(|(probe, found)| {
            probe.unwrap_or_else(|| ProbedFile::refused(found.path.clone(), unread()))
        })
        .collect()
}

/// Takes one file after the other that no other worker has taken.
fn probe_some(
    found: &[FoundFile],
    next: &AtomicUsize,
    options: &LoadOptions,
    records: &Records,
) -> Vec<(usize, ProbedFile)> {
    let (mut probes, mut bytes) = (Vec::new(), Vec::new());
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(file) = found.get(index) else { return probes };
        probes.push((index, probe(file, options, records, &mut bytes)));
    }
}

/// Tries what was never tried, several files at a time.
async fn try_all(
    probes: Vec<ProbedFile>,
    command: &TrialCommand,
    options: &LoadOptions,
    records: &Records,
) -> Vec<ProbedFile> {
    let places = tokio::sync::Semaphore::new(TRIALS);
    let tries = probes.into_iter().map(|mut probe| async {
        probe.result = match probe.result {
            Ok(candidate) if !candidate.tried => {
                // Never closed: an error would only mean more trials at a time.
                let _place = places.acquire().await;
                let Candidate { path, sha256, place, .. } = &candidate;
                let file = (path.as_path(), sha256.as_str(), place.as_path());
                let passed = trial::passed(command, file, options.init_timeout, records).await;
                passed.map(|()| candidate)
            }
            other => other,
        };
        probe
    });
    futures_util::future::join_all(tries).await
}

/// Names are unique over all files; the first file in order keeps one, before any code runs. One that runs keeps
/// its names, unless its file is `gone`.
fn refuse_duplicates(probes: &mut [ProbedFile], registry: &Registry, gone: &[PathBuf]) {
    let mut owners: HashMap<(&'static str, String), PathBuf> = HashMap::new();
    let probed =
        |file: &Path| probes.iter().any(|probe| probe.path == file && probe.result.is_ok());
    for plugin in &registry.plugins {
        let file = plugin.file();
        if !probed(file) && !gone.iter().any(|gone| gone == file) {
            owners.extend(plugin.names().map(|key| (key, file.to_owned())));
        }
    }
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

/// Code is never unloaded: how much of it comes in is bounded.
fn refuse_too_many(probes: &mut [ProbedFile], registry: &Registry, most: usize) {
    for probe in probes {
        let Ok(candidate) = &probe.result else { continue };
        let plugin = candidate.manifest.name.clone();
        if registry.images_with(&plugin, &candidate.sha256) > most {
            probe.result = Err(Refusal::TooManyGenerations { plugin, most });
        }
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

async fn start(
    probe: ProbedFile,
    options: &LoadOptions,
    hung: &mut Option<PathBuf>,
) -> (PluginReport, Option<Running>) {
    let plugin = probe.manifest.as_ref().map_or("", |manifest| &manifest.name);
    let health = FileHealth::new(plugin, options.quarantine.clone(), options.init_timeout);
    let mut report = PluginReport {
        path: probe.path,
        sha256: probe.sha256,
        manifest: probe.manifest,
        refusal: None,
        health: Arc::new(health),
    };
    let started = match (probe.result, &*hung) {
        (Ok(_), Some(hung)) => Err(Refusal::NotTried(hung.clone())),
        (Ok(candidate), None) => run(candidate, options, &report.health, hung).await,
        (Err(refusal), _) => Err(refusal),
    };
    match started {
        Ok((plugin, manifest)) => {
            if manifest.panic == "abort" {
                let file = report.path.display();
                tracing::warn!(%file, "built with panic = \"abort\": a panic of this plugin ends the host");
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

/// What a plugin is told when it is made.
pub(super) fn settings(runtime_threads: u16) -> String {
    serde_json::json!({ "runtime_threads": runtime_threads }).to_string()
}

/// Loads and initialises on a thread of its own: a plugin that hangs keeps that thread, not the host.
async fn run(
    candidate: Candidate,
    options: &LoadOptions,
    health: &Arc<FileHealth>,
    hung: &mut Option<PathBuf>,
) -> Result<Running, Refusal> {
    let health = Arc::clone(health);
    let services = Arc::new(PluginServices::new(
        &candidate.manifest.name,
        Arc::clone(&options.common),
        Box::new(move |report| health.panicked(report)),
    ));
    let settings = settings(options.runtime_threads);
    let path = candidate.path.clone();
    let loaded = Arc::new(AtomicBool::new(false));
    let (send, receive) = oneshot::channel();
    let tell = Arc::clone(&loaded);
    // A thread that begins while a file is loaded waits for the system's loader, to register what it keeps for itself. The
    // time limit needs a worker of the runtime that has begun before.
    let _ = tokio::spawn(std::future::ready(())).await;
    let work = move || {
        // The receiver is gone when the deadline has passed.
        let _ = send.send(load_one(&candidate, services, &settings, &tell));
    };
    std::thread::Builder::new()
        .name("plugin-init".to_owned())
        .spawn(work)
        .map_err(|error| Refusal::InitFailed(error.to_string()))?;
    match jackfield_timers::timeout(options.init_timeout, receive).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Refusal::InitPanicked("the loading thread ended".to_owned())),
        Err(_) => {
            *hung = (!loaded.load(Ordering::Acquire)).then_some(path);
            Err(Refusal::InitHung(options.init_timeout))
        }
    }
}

fn load_one(
    candidate: &Candidate,
    services: Arc<PluginServices>,
    settings: &str,
    loaded: &AtomicBool,
) -> Result<Running, Refusal> {
    let module = Module::load(&candidate.place, &candidate.manifest.symbol);
    loaded.store(true, Ordering::Release);
    let module = module.map_err(refusal)?;
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

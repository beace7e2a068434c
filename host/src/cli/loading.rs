//! Plugins as every command loads them, and what is said of them.

use super::failure::one_line;
use super::output::complain;
use crate::config::Loaded;
use crate::driver::{LoadOptions, Registry, TrialCommand};
use crate::handover::Handover;
use crate::manager::Plugins;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The hidden command by which this program tries a plugin in a process of its own.
pub(super) const TRIAL: &str = "__trial";

/// Loads what a configuration wants; files that were never tried are tried first.
pub(super) async fn load_plugins(loaded: &Loaded) -> Plugins {
    Plugins::load_with(loaded, tried).await
}

/// As [`load_plugins`], for one stack of these schemes alone: what it is not made of is started when it is asked for.
pub(super) async fn load_plugins_of(loaded: &Loaded, schemes: &[String]) -> Plugins {
    let only = |options: &mut LoadOptions| {
        options.only = Some(schemes.to_vec());
        tried(options);
    };
    Plugins::load_with(loaded, only).await
}

/// As [`load_plugins`], for a host that takes over what `handover` has, and can hand it over.
pub(super) async fn load_plugins_with(loaded: &Loaded, handover: &Arc<Handover>) -> Plugins {
    let change = |options: &mut LoadOptions| {
        tried(options);
        options.common.set_handover(Arc::clone(handover));
    };
    Plugins::load_with(loaded, change).await
}

/// As [`load_plugins`], but one file and nothing else.
pub(super) async fn load_file(loaded: &Loaded, file: &Path) -> Plugins {
    let only = |options: &mut LoadOptions| {
        options.folders.clear();
        options.beside = None;
        options.usual.clear();
        options.files = vec![file.to_owned()];
        tried(options);
    };
    Plugins::load_with(loaded, only).await
}

fn tried(options: &mut LoadOptions) {
    // This very program, even when its file was replaced since it was started.
    let program = PathBuf::from("/proc/self/exe");
    options.trial = Some(TrialCommand { program, arguments: vec![TRIAL.into()] });
}

/// The folders that were searched, for people.
pub(super) fn searched(registry: &Registry) -> String {
    let folders: Vec<String> =
        registry.searched().iter().map(|folder| folder.display().to_string()).collect();
    folders.join(" ")
}

/// Says what is wrong with the folders that were named; how the command ends by it.
pub(super) fn complain_of(plugins: &Plugins) -> ExitCode {
    let faults = plugins.faults();
    for fault in &faults {
        complain(&one_line(&format!("error: {fault}")));
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! What `jackfield plugins` shows of a plugin beside its file: what it has, how it is, its README.

use super::failure::{Failure, Outcome};
use super::output::print;
use crate::driver::{PluginReport, PluginState};
use crate::manager::{health_detail, health_word};
use crate::nearest::did_you_mean;
use jackfield_plugin_api::{ABI_MINOR, HealthStatus, PluginManifest};

/// The state that the plugin of `report` told of itself.
pub(super) fn state_of<'a>(
    report: &PluginReport,
    states: &'a [PluginState],
) -> Option<&'a PluginState> {
    let name = &report.manifest.as_ref()?.name;
    states.iter().find(|state| report.refusal.is_none() && state.name == *name)
}

/// `ok`, or how it is and why.
pub(super) fn health(state: Option<&PluginState>) -> String {
    let Some(health) = state.and_then(|state| state.health.as_ref()) else { return "-".to_owned() };
    match health.status {
        HealthStatus::Ok => "ok".to_owned(),
        status => format!("{}: {}", health_word(status), health_detail(health)),
    }
}

/// Drivers, handlers and interceptors, and what is worth knowing of how it was built.
pub(super) fn has(manifest: &PluginManifest) -> String {
    let drivers = manifest.drivers.iter().map(|it| ("driver", &it.name));
    let handlers = manifest.handlers.iter().map(|it| ("handler", &it.name));
    let interceptors = manifest.interceptors.iter().map(|it| ("interceptor", &it.name));
    let all = drivers.chain(handlers).chain(interceptors);
    let all: Vec<String> = all.map(|(what, name)| format!("{what} {name}")).collect();
    let remarks = remarks(manifest);
    let remarks = if remarks.is_empty() { remarks } else { format!(" ({remarks})") };
    format!("{}{remarks}", all.join(", "))
}

fn remarks(manifest: &PluginManifest) -> String {
    let mut remarks = Vec::new();
    if manifest.profile == "debug" {
        remarks.push("a debug build, which is slow".to_owned());
    }
    if manifest.abi.minor != ABI_MINOR {
        let (theirs, major) = (manifest.abi.minor, manifest.abi.major);
        remarks.push(format!("built for ABI {major}.{theirs}, this host has {major}.{ABI_MINOR}"));
    }
    if manifest.panic == "abort" {
        remarks.push("a panic of it ends the host".to_owned());
    }
    remarks.join("; ")
}

/// Prints the README of the plugin `name`.
pub(super) fn readme(reports: &[PluginReport], name: &str) -> Outcome {
    let manifests = || reports.iter().filter_map(|report| report.manifest.as_ref());
    let Some(manifest) = manifests().find(|manifest| manifest.name == name) else {
        let known: Vec<&str> = manifests().map(|manifest| manifest.name.as_str()).collect();
        let near = did_you_mean(name, known.iter().copied());
        let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(" ") };
        return Err(Failure::config(format!("there is no plugin {name:?}{hint} [known={known}]")));
    };
    if manifest.readme.is_empty() {
        return Err(Failure::config(format!("{name} contains no README")));
    }
    let end = if manifest.readme.ends_with('\n') { "" } else { "\n" };
    print(&format!("{}{end}", manifest.readme))
}

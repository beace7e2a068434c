//! `jackfield plugins`.

use super::about_plugins::{has, health, readme, state_of};
use super::admin::{AdminArgs, running_plugins};
use super::args::ConfigArgs;
use super::failure::Outcome;
use super::loading::{complain_of, load_file, load_plugins, searched};
use super::output::{print, print_json, table, width};
use super::quarantine::{self, SHORT};
use super::runtime::{block_on, start_client_log};
use crate::driver::{PluginReport, PluginState};
use crate::manager::Plugins;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PluginsArgs {
    /// A plugin file to be looked at, in place of all that are installed
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Show those of a running host, with the generations that sessions run on
    #[arg(long, conflicts_with_all = ["file", "quarantined", "forget", "readme"])]
    running: bool,
    #[command(flatten)]
    admin: AdminArgs,
    /// List the files that are not loaded any more, with the reason
    #[arg(long, conflicts_with_all = ["file", "forget"])]
    quarantined: bool,
    /// Try a file anew that is in quarantine or was left out; the beginning of its sha256 will do
    #[arg(long, value_name = "HASH", conflicts_with_all = ["file", "json"])]
    forget: Option<String>,
    /// Print whole reports, manifests included, as JSON
    #[arg(long)]
    json: bool,
    /// Print the README that a plugin has in it, and nothing else
    #[arg(long, value_name = "NAME")]
    readme: Option<String>,
}

const EXAMPLES: &str = "\
A file that no host has tried before is loaded, started and stopped in a process of its own first. One
that crashes or hangs there is in quarantine, by its sha256, until it is forgotten.

A file that was refused has its reason; the other files are used all the same. The exit code is 1 when
a file in a folder that was named (--plugins, host.plugins) was refused, or such a folder has none.

Examples:
  jackfield plugins
  jackfield plugins target/release/libmine.so          one file, as a host would judge it
  jackfield plugins --plugins /opt/plugins --json
  jackfield plugins --running                          what a running host has loaded
  jackfield plugins --quarantined
  jackfield plugins --forget 3f2a9c
  jackfield plugins --readme jackfield-ssh";

pub(super) fn plugins(args: &PluginsArgs, verbose: u8) -> Outcome {
    start_client_log(verbose)?;
    if args.running || args.admin.is_named() {
        return running_plugins(args.admin.clone(), args.json);
    }
    let loaded = args.config.load_any(|_| ())?;
    let cache = Plugins::cache_folder(&loaded);
    if args.quarantined {
        return quarantine::list(&cache, args.json);
    }
    if let Some(hash) = &args.forget {
        return quarantine::forget(&cache, hash);
    }
    let limit = loaded.config.host.timeouts.health.0;
    let load = async {
        let plugins = match &args.file {
            Some(file) => load_file(&loaded, file).await,
            None => load_plugins(&loaded).await,
        };
        let states = plugins.registry().ask_health(limit).await;
        Ok((plugins, states))
    };
    let (plugins, states) = block_on(&loaded.config, load)?;
    if let Some(name) = &args.readme {
        return readme(plugins.registry().reports(), name);
    }
    show(&plugins, &states, args.json)?;
    let refused = args.file.is_some() && plugins.refused().next().is_some();
    Ok(if refused { ExitCode::FAILURE } else { complain_of(&plugins) })
}

fn show(plugins: &Plugins, states: &[PluginState], as_json: bool) -> Outcome {
    let registry = plugins.registry();
    let reports = registry.reports();
    if as_json {
        let searched: Vec<String> =
            registry.searched().iter().map(|folder| folder.display().to_string()).collect();
        let reports: Vec<Value> = reports.iter().map(|one| to_json(one, states)).collect();
        return print_json(&json!({ "searched": searched, "plugins": reports }));
    }
    let looked_in = searched(registry);
    if reports.is_empty() {
        return print(&format!("no plugins in {looked_in}\n"));
    }
    let head =
        ["FILE", "NAME", "VERSION", "STATE", "HEALTH", "SHA256", "HAS"].map(str::to_owned).to_vec();
    let rows = reports.iter().map(|report| row(report, states));
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let mut text = table(&rows, 0, width());
    if !looked_in.is_empty() {
        text.push_str(&format!("\nlooked in {looked_in}\n"));
    }
    print(&text)
}

fn row(report: &PluginReport, states: &[PluginState]) -> Vec<String> {
    let manifest = report.manifest.as_ref();
    let sha256 = report.sha256.as_deref().unwrap_or("-");
    let has = match &report.refusal {
        Some(refusal) => refusal.to_string(),
        None => manifest.map(has).unwrap_or_default(),
    };
    vec![
        report.path.display().to_string(),
        manifest.map_or("-", |manifest| &manifest.name).to_owned(),
        manifest.map_or("-", |manifest| &manifest.version).to_owned(),
        report.state().to_owned(),
        health(state_of(report, states)),
        sha256.get(..SHORT).unwrap_or(sha256).to_owned(),
        has,
    ]
}

fn to_json(report: &PluginReport, states: &[PluginState]) -> Value {
    json!({
        "path": report.path.display().to_string(),
        "state": report.state(),
        "reason": report.refusal.as_ref().map(ToString::to_string),
        "health": state_of(report, states).and_then(|state| state.health.as_ref()),
        "sha256": report.sha256,
        "manifest": report.manifest,
    })
}

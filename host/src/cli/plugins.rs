//! `jackfield plugins`.

use super::about_plugins::{has, health, readme, state_of};
use super::args::ConfigArgs;
use super::failure::Outcome;
use super::output::{print, print_json, table, width};
use super::runtime::{block_on, start_client_log};
use crate::driver::{PluginReport, PluginState};
use crate::manager::Plugins;
use serde_json::{Value, json};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PluginsArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print whole reports, manifests included, as JSON
    #[arg(long)]
    json: bool,
    /// Print the README that a plugin has in it, and nothing else
    #[arg(long, value_name = "NAME")]
    readme: Option<String>,
}

const EXAMPLES: &str = "\
A file that was refused has its reason; the other files are used all the same.

Examples:
  jackfield plugins
  jackfield plugins --plugins ./plugins --json
  jackfield plugins --readme jackfield-ssh";

pub(super) fn plugins(args: &PluginsArgs, verbose: u8) -> Outcome {
    start_client_log(verbose)?;
    let loaded = args.config.load_any(|_| ())?;
    let (plugins, states) = block_on(&loaded.config, async {
        let plugins = Plugins::load(&loaded).await;
        let limit = loaded.config.host.timeouts.health.0;
        let states = plugins.registry().ask_health(limit).await;
        Ok((plugins, states))
    })?;
    let registry = plugins.registry();
    let reports = registry.reports();
    let searched: Vec<String> =
        registry.searched().iter().map(|folder| folder.display().to_string()).collect();
    if let Some(name) = &args.readme {
        return readme(reports, name);
    }
    if args.json {
        let reports: Vec<Value> = reports.iter().map(|one| as_json(one, &states)).collect();
        return print_json(&json!({ "searched": searched, "plugins": reports }));
    }
    if reports.is_empty() {
        return print(&format!("no plugins in {}\n", searched.join(" ")));
    }
    let head =
        ["FILE", "NAME", "VERSION", "STATE", "HEALTH", "SHA256", "HAS"].map(str::to_owned).to_vec();
    let rows = reports.iter().map(|report| as_row(report, &states));
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    print(&table(&rows, 0, width()))
}

/// Enough of a sha256 to tell files apart.
const SHORT: usize = 12;

fn as_row(report: &PluginReport, states: &[PluginState]) -> Vec<String> {
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

fn as_json(report: &PluginReport, states: &[PluginState]) -> Value {
    json!({
        "path": report.path.display().to_string(),
        "state": report.state(),
        "reason": report.refusal.as_ref().map(ToString::to_string),
        "health": state_of(report, states).and_then(|state| state.health.as_ref()),
        "sha256": report.sha256,
        "manifest": report.manifest,
    })
}

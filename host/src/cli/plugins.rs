//! `jackfield plugins`.

use super::args::ConfigArgs;
use super::failure::Outcome;
use super::output::{print, print_json, table, width};
use super::runtime::{block_on, start_client_log};
use crate::driver::PluginReport;
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
}

const EXAMPLES: &str = "\
A file that was refused has its reason; the other files are used all the same.

Examples:
  jackfield plugins
  jackfield plugins --plugins ./plugins --json";

pub(super) fn plugins(args: &PluginsArgs, verbose: u8) -> Outcome {
    start_client_log(verbose)?;
    let loaded = args.config.load_any(|_| ())?;
    let plugins = block_on(&loaded.config, async { Ok(Plugins::load(&loaded).await) })?;
    let registry = plugins.registry();
    let reports = registry.reports();
    let searched: Vec<String> =
        registry.searched().iter().map(|folder| folder.display().to_string()).collect();
    if args.json {
        let reports: Vec<Value> = reports.iter().map(as_json).collect();
        return print_json(&json!({ "searched": searched, "plugins": reports }));
    }
    if reports.is_empty() {
        return print(&format!("no plugins in {}\n", searched.join(" ")));
    }
    let head = ["FILE", "NAME", "VERSION", "STATE", "SHA256", "HAS"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(reports.iter().map(as_row)).collect();
    print(&table(&rows, 0, width()))
}

/// Enough of a sha256 to tell files apart.
const SHORT: usize = 12;

fn as_row(report: &PluginReport) -> Vec<String> {
    let manifest = report.manifest.as_ref();
    let sha256 = report.sha256.as_deref().unwrap_or("-");
    let has = match &report.refusal {
        Some(refusal) => refusal.to_string(),
        None => has(report),
    };
    vec![
        report.path.display().to_string(),
        manifest.map_or("-", |manifest| &manifest.name).to_owned(),
        manifest.map_or("-", |manifest| &manifest.version).to_owned(),
        report.state().to_owned(),
        sha256.get(..SHORT).unwrap_or(sha256).to_owned(),
        has,
    ]
}

fn has(report: &PluginReport) -> String {
    let Some(manifest) = &report.manifest else { return String::new() };
    let drivers = manifest.drivers.iter().map(|driver| ("driver", &driver.name));
    let handlers = manifest.handlers.iter().map(|handler| ("handler", &handler.name));
    let all: Vec<String> =
        drivers.chain(handlers).map(|(what, name)| format!("{what} {name}")).collect();
    all.join(", ")
}

fn as_json(report: &PluginReport) -> Value {
    json!({
        "path": report.path.display().to_string(),
        "state": report.state(),
        "reason": report.refusal.as_ref().map(ToString::to_string),
        "sha256": report.sha256,
        "manifest": report.manifest,
    })
}

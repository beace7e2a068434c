//! `jackfield plugins`.

use super::args::ConfigArgs;
use super::failure::Outcome;
use super::loading::{complain_of, load_file, load_plugins, searched};
use super::output::{print, print_json, table, width};
use super::quarantine::{self, SHORT};
use super::runtime::{block_on, start_client_log};
use crate::driver::PluginReport;
use crate::manager::Plugins;
use jackfield_plugin_api::{ABI_MINOR, PluginManifest};
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
    /// List the files that are not loaded any more, with the reason
    #[arg(long, conflicts_with_all = ["file", "forget"])]
    quarantined: bool,
    /// Try a file anew that is in quarantine or was left out; the beginning of its sha256 will do
    #[arg(long, value_name = "HASH", conflicts_with_all = ["file", "json"])]
    forget: Option<String>,
    /// Print whole reports, manifests included, as JSON
    #[arg(long)]
    json: bool,
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
  jackfield plugins --quarantined
  jackfield plugins --forget 3f2a9c";

pub(super) fn plugins(args: &PluginsArgs, verbose: u8) -> Outcome {
    start_client_log(verbose)?;
    let loaded = args.config.load_any(|_| ())?;
    let cache = Plugins::cache_folder(&loaded);
    if args.quarantined {
        return quarantine::list(&cache, args.json);
    }
    if let Some(hash) = &args.forget {
        return quarantine::forget(&cache, hash);
    }
    let load = async {
        Ok(match &args.file {
            Some(file) => load_file(&loaded, file).await,
            None => load_plugins(&loaded).await,
        })
    };
    let plugins = block_on(&loaded.config, load)?;
    show(&plugins, args.json)?;
    let refused = args.file.is_some() && plugins.refused().next().is_some();
    Ok(if refused { ExitCode::FAILURE } else { complain_of(&plugins) })
}

fn show(plugins: &Plugins, as_json: bool) -> Outcome {
    let registry = plugins.registry();
    let reports = registry.reports();
    if as_json {
        let searched: Vec<String> =
            registry.searched().iter().map(|folder| folder.display().to_string()).collect();
        let reports: Vec<Value> = reports.iter().map(to_json).collect();
        return print_json(&json!({ "searched": searched, "plugins": reports }));
    }
    let looked_in = searched(registry);
    if reports.is_empty() {
        return print(&format!("no plugins in {looked_in}\n"));
    }
    let head = ["FILE", "NAME", "VERSION", "STATE", "SHA256", "HAS"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(reports.iter().map(row)).collect();
    let mut text = table(&rows, 0, width());
    if !looked_in.is_empty() {
        text.push_str(&format!("\nlooked in {looked_in}\n"));
    }
    print(&text)
}

fn row(report: &PluginReport) -> Vec<String> {
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
        sha256.get(..SHORT).unwrap_or(sha256).to_owned(),
        has,
    ]
}

fn has(manifest: &PluginManifest) -> String {
    let drivers = manifest.drivers.iter().map(|driver| ("driver", &driver.name));
    let handlers = manifest.handlers.iter().map(|handler| ("handler", &handler.name));
    let all: Vec<String> =
        drivers.chain(handlers).map(|(what, name)| format!("{what} {name}")).collect();
    let remarks = remarks(manifest);
    let remarks = if remarks.is_empty() { remarks } else { format!(" ({remarks})") };
    format!("{}{remarks}", all.join(", "))
}

/// What is worth knowing of how a plugin was built.
fn remarks(manifest: &PluginManifest) -> String {
    let mut remarks = Vec::new();
    if manifest.abi.minor != ABI_MINOR {
        let (theirs, major) = (manifest.abi.minor, manifest.abi.major);
        remarks.push(format!("built for ABI {major}.{theirs}, this host has {major}.{ABI_MINOR}"));
    }
    if manifest.panic == "abort" {
        remarks.push("a panic of it ends the host".to_owned());
    }
    remarks.join("; ")
}

fn to_json(report: &PluginReport) -> Value {
    json!({
        "path": report.path.display().to_string(),
        "state": report.state(),
        "reason": report.refusal.as_ref().map(ToString::to_string),
        "sha256": report.sha256,
        "manifest": report.manifest,
    })
}

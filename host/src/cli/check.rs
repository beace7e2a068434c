//! `jackfield check`.

use super::args::ConfigArgs;
use super::failure::{Outcome, one_line};
use super::loading::{complain_of, load_plugins, searched};
use super::output::{complain, print};
use super::runtime::{block_on, start_client_log};
use crate::admin::AdminSockets;
use crate::config::model::Config;
use crate::config::{KeyPath, Loaded, Options};
use crate::driver::Registry;
use crate::manager::{Manager, Programs};
use crate::secret;
use crate::stack::uri::StackUri;
use crate::stack::{Plan, options};
use jackfield_plugin_api::Role;
use serde_json::{Map, Value};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Run the programs that secrets come from, { command = [...] }, as `jackfield run` does
    #[arg(long)]
    resolve: bool,
}

const EXAMPLES: &str = "\
Plugins are loaded and every option is held against its driver's schema; nothing listens and nothing
is connected to. No program is run for a secret without --resolve; what needs one is held against the
schemas only. Each mistake is one line, `file:line:column: key: …`, and the exit code is 2. It is 1 when
there is none, but a folder of plugins that was named cannot be read or has none, or a file in it was
refused. Other plugin files that are refused, and secrets in plain text, are warnings.

Examples:
  jackfield check --config config/demo.toml
  jackfield check -c base.toml -c lab.toml --plugins target/release";

pub(super) fn check(args: &CheckArgs, verbose: u8) -> Outcome {
    start_client_log(verbose)?;
    let loaded = args.config.load()?;
    let code = block_on(&loaded.config, build(&loaded, args.resolve))?;
    if code != ExitCode::SUCCESS {
        return Ok(code);
    }
    if let [_, _, ..] = loaded.files() {
        let files: Vec<String> =
            loaded.files().iter().map(|file| file.display().to_string()).collect();
        print(&format!("files: {}\n", files.join(" ")))?;
    }
    let Config { routes, connections, devices, upstreams, handlers, .. } = &loaded.config;
    print(&format!(
        "ok: {} routes, {} connections, {} devices, {} upstreams, {} handlers\n",
        routes.len(),
        connections.len(),
        devices.len(),
        upstreams.len(),
        handlers.len()
    ))
}

async fn build(loaded: &Loaded, resolve: bool) -> Outcome {
    let plugins = load_plugins(loaded).await;
    let named = loaded.plugin_folders();
    for report in plugins.refused() {
        let is_fault = named.iter().any(|folder| report.path.parent() == Some(folder));
        if let Some(refusal) = report.refusal.as_ref().filter(|_| !is_fault) {
            complain(&one_line(&format!("warning: {}: {refusal}", report.path.display())));
        }
    }
    let code = complain_of(&plugins);
    let looked_in = searched(plugins.registry());
    for line in plain_secrets(loaded, plugins.registry()) {
        complain(&line);
    }
    let programs = if resolve { Programs::Run } else { Programs::Leave };
    AdminSockets::check(loaded)?;
    for key in Manager::check(plugins, loaded, programs).await? {
        let place = loaded.sources.locate(&key);
        let line = "its secrets come from programs, which were not run; --resolve runs them";
        complain(&one_line(&format!("{place}: {key}: not checked whole: {line}")));
    }
    print(&format!("plugins: looked in {looked_in}\n"))?;
    Ok(code)
}

/// A line for each secret that stands in the configuration itself.
fn plain_secrets(loaded: &Loaded, registry: &Registry) -> Vec<String> {
    let mut lines = Vec::new();
    let mut warn = |key: &KeyPath, schema: &Value, options: &Map<String, Value>| {
        for finding in secret::check(options, schema) {
            if finding.problem.is_warning() {
                let key = key.pointer(&finding.pointer);
                let place = loaded.sources.locate(&key);
                let line = format!("{place}: {key}: warning: {}", finding.problem);
                // Credentials are held against each driver.
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
    };
    let config = &loaded.config;
    for (key, uri, options, role) in stacks(config) {
        // A stack that cannot be planned has its own mistake.
        let Ok(plan) = Plan::new(uri, registry, role, false) else { continue };
        for layer in options::share_out(&plan, options) {
            let key = layer.path.iter().fold(key.key("options"), |key, name| key.key(name));
            warn(&key, &layer.driver.manifest.options, &layer.options);
        }
    }
    for (name, credentials) in &config.credentials {
        let key = KeyPath::from_iter(["credentials", name.as_str()]);
        for driver in registry.drivers() {
            warn(&key, &driver.manifest.options, &credentials.options);
        }
    }
    for (name, handler) in &config.handlers {
        let plugin_name = handler.handler.as_deref().unwrap_or(name);
        let Ok(handle) = registry.handler(plugin_name) else { continue };
        let key = KeyPath::from_iter(["handlers", name.as_str(), "options"]);
        warn(&key, &handle.manifest.options, &handler.options);
    }
    for (name, interceptor) in &config.interceptors {
        let plugin_name = interceptor.interceptor.as_deref().unwrap_or(name);
        let Ok(handle) = registry.interceptor(plugin_name) else { continue };
        let key = KeyPath::from_iter(["interceptors", name.as_str(), "options"]);
        warn(&key, &handle.manifest.options, &interceptor.options);
    }
    lines
}

type OptionsAt<'a> = (KeyPath, &'a StackUri, &'a Options, Role);

/// Every stack of the configuration that can have options, and its place.
fn stacks(config: &Config) -> Vec<OptionsAt<'_>> {
    let connections = config.connections.iter().map(|(name, connection)| {
        let key = KeyPath::from_iter(["connections", name.as_str()]);
        (key, &connection.uri, &connection.options, Role::Client)
    });
    let targets = config.upstreams.iter().flat_map(|(name, upstream)| {
        let key = KeyPath::from_iter(["upstreams", name.as_str(), "targets"]);
        let targets = upstream.targets.iter().enumerate();
        targets.map(move |(at, target)| (key.index(at), &target.uri, &target.options, Role::Client))
    });
    let paths = config.devices.iter().flat_map(|(device, with)| {
        with.paths.iter().map(move |(name, path)| {
            let key = KeyPath::from_iter(["devices", device.as_str(), "paths", name.as_str()]);
            (key, &path.uri, &path.options, Role::Client)
        })
    });
    let routes = config.routes.iter().enumerate().map(|(at, route)| {
        let key = KeyPath::from_iter(["routes"]).index(at);
        (key, &route.listen, &route.options, Role::Server)
    });
    connections.chain(paths).chain(targets).chain(routes).collect()
}

//! `jackfield probe`.

use super::admin::{self, AdminArgs, HostSearch, none_at};
use super::args::ConfigArgs;
use super::failure::{Failure, Outcome};
use super::loading::load_plugins;
use super::names;
use super::output::{print, print_json, table, width};
use super::runtime::{Signals, block_on, start_client_log};
use crate::config::{Loaded, Reference};
use crate::connection::Target;
use crate::manager::Manager;
use crate::probe::probe_many;
use crate::session::POLITE_CLOSE;
use crate::units::Timespan;
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use std::sync::Arc;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ProbeArgs {
    /// URIs such as ws+tls://host/path, or connections.NAME, devices.NAME.PATH or upstreams.NAME of
    /// the configuration; of an upstream each target is probed
    #[arg(required = true, add = names::destinations())]
    to: Vec<String>,
    /// Time for each, all layers and the ping included
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Timespan,
    /// Probes at a time
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
    /// Print what was found as JSON, with all facts of the sessions
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

const EXAMPLES: &str = "\
A probe opens a session by the whole stack, each layer with its handshake, pings the peer where the
driver on top can, and closes. Exit code 0 if all succeeded, 1 if one failed. Names alone are probed by a
running host, if there is one and no configuration is given.

Examples:
  jackfield probe tcp://10.0.0.7:22 ssh://lab@10.0.0.7 wss://host/path
  jackfield probe upstreams.lab connections.bastion --config lab.toml --timeout 2s --json";

pub(super) fn probe(args: &ProbeArgs, verbose: u8) -> Outcome {
    start_client_log(verbose)?;
    if args.timeout.is_zero() {
        return Err(Failure::config("--timeout: expected more than \"0s\""));
    }
    let to: Result<Vec<Reference>, _> = args.to.iter().map(|to| to.parse()).collect();
    let to = to.map_err(Failure::config)?;
    let found = match by_host(args, &to)? {
        Some(found) => found,
        None => {
            let loaded = load(args, &to)?;
            block_on(&loaded.config, run(args, &to, &loaded))?
        }
    };
    if args.json {
        print_json(&json!(found))?;
    } else {
        print(&table(&rows(&found), 0, width()))?;
    }
    let all = found.iter().all(|probed| probed["ok"] == true);
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a running host has found, if one is there and can be asked; `None`: this command looks by itself.
fn by_host(args: &ProbeArgs, to: &[Reference]) -> Outcome<Option<Vec<Value>>> {
    let is_named = |to: &Reference| !matches!(to, Reference::Uri(_));
    if args.config.says() || !to.iter().all(is_named) {
        if args.admin.is_named() {
            let text = "--admin: a running host probes connections.NAME, devices.NAME.PATH and upstreams.NAME, without a \
                        configuration";
            return Err(Failure::config(text));
        }
        return Ok(None);
    }
    admin::ask(async {
        let host = match args.admin.find().await? {
            HostSearch::Host(host) => host,
            HostSearch::Nowhere(places) if args.admin.is_named() => return Err(none_at(&places)),
            HostSearch::Nowhere(_) => return Ok(None),
        };
        let path = format!("/v1/probe?within={}", args.timeout);
        let answer = host.json("POST", &path, Some(&json!({ "to": args.to }))).await?;
        Ok(Some(answer["items"].as_array().cloned().unwrap_or_default()))
    })
}

/// The configuration without parts that are not probed, so that mistakes in them do not matter.
fn load(args: &ProbeArgs, to: &[Reference]) -> Outcome<Loaded> {
    let mut loaded = args.config.load_any(|_| ())?;
    let whole = loaded.config.clone();
    loaded.config.routes.clear();
    loaded.config.handlers.clear();
    if !to.iter().any(|to| matches!(to, Reference::Upstream(_))) {
        loaded.config.upstreams.clear();
    }
    if to.iter().all(|to| matches!(to, Reference::Uri(_))) {
        loaded.config.connections.clear();
        loaded.config.devices.clear();
    }
    loaded.config.keep_resolver(&whole);
    loaded.config.retain_used_interceptors();
    Ok(loaded)
}

async fn run(args: &ProbeArgs, to: &[Reference], loaded: &Loaded) -> Outcome<Vec<Value>> {
    let mut signals = Signals::of_command()?;
    let plugins = load_plugins(loaded).await;
    let manager = Manager::build(plugins, loaded).await?;
    let mut targets: Vec<(String, Arc<Target>)> = Vec::new();
    for to in to {
        let destination = manager.destination(to, &Map::new()).await.map_err(Failure::config)?;
        // A URI is shown without its password.
        targets.extend(destination.targets(&to.to_string()));
    }
    let probing = probe_many(targets, usize::from(args.parallel), args.timeout.0);
    let found = tokio::select! {
        found = probing => found,
        ended = signals.next() => return Err(Failure::run(ended.name)),
    };
    // What carried others (`via`) ends politely too.
    manager.close_all(POLITE_CLOSE).await;
    Ok(found.iter().map(|probed| json!(probed)).collect())
}

fn rows(found: &[Value]) -> Vec<Vec<String>> {
    let head = ["TARGET", "STATE", "OPEN", "PING", "PEER"].map(str::to_owned).to_vec();
    let time = |ms: &Value| ms.as_f64().map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}ms"));
    let row = |probed: &Value| {
        let said = probed["error"]["text"].as_str().or(probed["info"]["peer"].as_str());
        vec![
            probed["name"].as_str().unwrap_or_default().to_owned(),
            probed["error"]["kind"].as_str().unwrap_or("ok").to_owned(),
            time(&probed["open_ms"]),
            time(&probed["ping_ms"]),
            super::failure::one_line(said.unwrap_or("-")),
        ]
    };
    std::iter::once(head).chain(found.iter().map(row)).collect()
}

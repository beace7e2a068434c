//! `jackfield relay`.

use super::args::ConfigArgs;
use super::assign;
use super::client::parse_assignments;
use super::descriptors::raise_limit;
use super::failure::{Failure, Outcome};
use super::loading::load_plugins;
use super::output::complain;
use super::run::stop;
use super::runtime::{Signals, serve_on, start_log};
use crate::config::model::LogConfig;
use crate::config::{KeyPath, Loaded, Overrides, Reference};
use crate::driver::Registry;
use crate::manager::Manager;
use crate::stack::uri::StackUri;
use jackfield_plugin_api::Role;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RelayArgs {
    /// What to listen on, a URI; port 0 is any free one
    from: String,
    /// What each session is joined to: a URI, handlers.NAME, or connections.NAME, devices.NAME.PATH or
    /// upstreams.NAME of the configuration
    to: String,
    /// Option of the stack listened on; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE")]
    from_option: Vec<String>,
    /// Option of the stack connected to, or of the handler; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE")]
    to_option: Vec<String>,
    /// End when the first session has ended
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

const EXAMPLES: &str = "\
Sessions that fail are logged; -v logs more. SIGINT or SIGTERM ends it, as in `jackfield run`.
Routes of a configuration are left out.

Examples:
  jackfield relay tcp://127.0.0.1:0 handlers.echo
  jackfield relay tcp://127.0.0.1:2323 ssh://lab@10.0.0.7
  jackfield relay ws://127.0.0.1:8080/ tcp://10.0.0.7:23 -f max_message=65536 --once";

/// The name that a target with options gets in the configuration.
const NAME: &str = "relay";

pub(super) fn relay(args: &RelayArgs, verbose: u8) -> Outcome {
    let log = match verbose {
        0 => {
            "warn,jackfield::listener=info,jackfield::session::failed=info,jackfield::request::failed=info"
        }
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    start_log(log, &LogConfig::default())?;
    let from: StackUri = args.from.parse().map_err(|error| named("FROM", error))?;
    let to: Reference = args.to.parse().map_err(|error| named("TO", error))?;
    let loaded = args.config.load_any(|_| ())?;
    raise_limit(&loaded.config.host, false);
    serve_on(&loaded.config, serve(args, &from, &to, &loaded))
}

fn named(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::config(format!("{what}: {error}"))
}

async fn serve(args: &RelayArgs, from: &StackUri, to: &Reference, loaded: &Loaded) -> Outcome {
    let mut signals = Signals::of_host(loaded.config.host.shutdown_timeout.0)?;
    let plugins = load_plugins(loaded).await.without_sentinel();
    let route = one_route(args, from, to, loaded, plugins.registry())?;
    let manager = Manager::start_on(plugins, &route).await?;
    for listener in manager.listeners() {
        let local = listener.local.map_or_else(|| listener.listen.clone(), |it| it.to_string());
        complain(&format!("listening on {local} ({}), joined to {to}", listener.listen));
    }
    let served = async {
        if !args.once {
            std::future::pending::<()>().await;
        }
        manager.served(1).await;
    };
    tokio::select! {
        () = served => {
            manager.shutdown().await;
            Ok(ExitCode::SUCCESS)
        }
        ended = signals.next() => stop(manager, ended.name, route.config.host.shutdown_timeout.0).await,
    }
}

/// The configuration with FROM and TO as its only route.
fn one_route(
    args: &RelayArgs,
    from: &StackUri,
    to: &Reference,
    loaded: &Loaded,
    registry: &Registry,
) -> Outcome<Loaded> {
    let from_options = parse_assignments("--from-option", &args.from_option)?;
    let to_options = parse_assignments("--to-option", &args.to_option)?;
    let listen = assign::options(registry, from, Role::Server, Map::new(), &from_options)?;
    let (table, name, target) = match to {
        Reference::Uri(_) if to_options.is_empty() => (None, args.to.clone(), Map::new()),
        Reference::Uri(uri) => {
            let options = assign::options(registry, uri, Role::Client, Map::new(), &to_options)?;
            (Some("connections"), format!("connections.{NAME}"), options)
        }
        Reference::Handler(name) => {
            let known = loaded.config.handlers.get(name);
            let plugin_name = known.and_then(|handler| handler.handler.as_deref()).unwrap_or(name);
            let handler = registry.handler(plugin_name).map_err(|error| named("TO", error))?;
            let options = assign::params(&handler.manifest.options, &to_options);
            (Some("handlers"), args.to.clone(), options)
        }
        Reference::Admin => {
            let text = "TO: only `jackfield run` has an admin API for a route to lead to";
            return Err(Failure::config(text));
        }
        _ if to_options.is_empty() => (None, args.to.clone(), Map::new()),
        _ => {
            let text = format!("--to-option: {to} has its options in the configuration");
            return Err(Failure::config(text));
        }
    };
    args.config.load_any(|overrides| {
        let root = KeyPath::root();
        if let (Some(table), Reference::Uri(_)) = (table, to) {
            let key = root.key(table).key(NAME);
            overrides.set("TO", key.clone(), json!({}));
            overrides.set("TO", key.key("uri"), Value::String(args.to.clone()));
            set_all(overrides, "--to-option", &key.key("options"), target);
        } else if let (Some(table), Reference::Handler(name)) = (table, to) {
            let key = root.key(table).key(name);
            if !loaded.config.handlers.contains_key(name) {
                overrides.set("TO", key.clone(), json!({}));
            }
            set_all(overrides, "--to-option", &key.key("options"), target);
        }
        let routes = root.key("routes");
        overrides.set("FROM", routes.clone(), json!([]));
        let route = routes.index(0);
        overrides.set("FROM", route.key("listen"), Value::String(args.from.clone()));
        overrides.set("TO", route.key("to"), Value::String(name));
        set_all(overrides, "--from-option", &route.key("options"), listen);
    })
}

fn set_all(overrides: &mut Overrides, flag: &str, at: &KeyPath, options: Map<String, Value>) {
    for (name, value) in options {
        overrides.set(flag, at.key(name), value);
    }
}

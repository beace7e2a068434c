//! What `connect` and `call` share: from TO and options to something that can be opened.

use super::args::ConfigArgs;
use super::assign::{self, Assignment};
use super::failure::{Failure, Outcome};
use super::loading::{load_plugins, load_plugins_of};
use super::names;
use crate::config::{Config, Link, Loaded, Reference};
use crate::driver::{DriverHandle, Registry};
use crate::manager::Manager;
use crate::route::Destination;
use crate::session::POLITE_CLOSE;
use crate::stack::Plan;
use jackfield_plugin_api::Role;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::time::timeout;

/// What to connect to.
#[derive(clap::Args)]
pub(super) struct TargetArgs {
    /// A URI such as ws+tls://host/path, or connections.NAME, devices.NAME.PATH or upstreams.NAME of
    /// the configuration
    #[arg(add = names::destinations())]
    to: String,
    /// Option of the stack, as in nodelay=false, or tcp.nodelay=false for a layer below the top;
    /// may be repeated
    #[arg(short, long = "option", value_name = "KEY=VALUE")]
    option: Vec<String>,
    /// Options of the stack as one JSON object
    #[arg(long, value_name = "JSON")]
    options: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Options that a command adds by itself where the driver on top has them and they are not set.
pub(super) type AddedOptions = Vec<(&'static str, Value)>;

/// A manager and what of it is to be opened.
pub(super) struct Client {
    /// Lives as long as what is opened.
    manager: Manager,
    /// Where it leads.
    pub(super) to: Destination,
}

impl Client {
    /// Ends what was opened beside the session itself, politely.
    pub(super) async fn close(&self) {
        if let Destination::Connection(managed) = &self.to
            && let Some(live) = managed.last()
        {
            let _ = timeout(POLITE_CLOSE, live.close(0, "")).await;
        }
        self.manager.registry().common().stop();
        self.manager.close_all(POLITE_CLOSE).await;
        self.manager.registry().drain(POLITE_CLOSE).await;
    }
}

impl TargetArgs {
    /// What it is, if a running host can be asked for it: by its name, with nothing said that only this command knows.
    pub(super) fn named(&self) -> Outcome<Option<&str>> {
        let to: Reference = self.to.parse().map_err(Failure::config)?;
        let is_name = !matches!(to, Reference::Uri(_) | Reference::Handler(_) | Reference::Admin);
        let is_own = !self.option.is_empty() || self.options.is_some() || self.config.says();
        Ok((is_name && !is_own).then_some(&*self.to))
    }

    /// The configuration, without what TO does not need: a mistake elsewhere is no matter here.
    pub(super) fn load(&self) -> Outcome<(Reference, Loaded)> {
        let to: Reference = self.to.parse().map_err(Failure::config)?;
        let mut loaded = self.config.load_any(|_| ())?;
        let whole = loaded.config.clone();
        loaded.config.routes.clear();
        loaded.config.handlers.clear();
        match &to {
            Reference::Uri(_) => {
                loaded.config.upstreams.clear();
                loaded.config.connections.clear();
                loaded.config.devices.clear();
            }
            Reference::Connection(name) => {
                loaded.config.upstreams.clear();
                loaded.config.retain_chain(Link::Connection(name));
            }
            Reference::Device(path) => {
                loaded.config.upstreams.clear();
                let found = loaded.config.path(path);
                let link = found.map_err(|problem| {
                    let hint = problem.near.map(|near| format!(" (did you mean {near:?}?)"));
                    Failure::config(format!("{}{}", problem.message, hint.unwrap_or_default()))
                })?;
                if let Link::Path(device, path) = link {
                    let (device, path) = (device.to_owned(), path.to_owned());
                    loaded.config.retain_chain(Link::Path(&device, &path));
                }
            }
            Reference::Handler(name) => {
                let text = format!("handlers.{name} answers sessions; it cannot be connected to");
                return Err(Failure::config(text));
            }
            Reference::Admin => {
                let text = "admin answers sessions of routes; it cannot be connected to";
                return Err(Failure::config(text));
            }
            Reference::Upstream(_) => {}
        }
        loaded.config.keep_resolver(&whole);
        loaded.config.retain_used_interceptors();
        Ok((to, loaded))
    }

    /// Loads plugins and puts the options in place; nothing is opened.
    pub(super) async fn resolve(
        &self,
        to: &Reference,
        loaded: &Loaded,
        extras: AddedOptions,
    ) -> Outcome<Client> {
        let plugins = match to {
            Reference::Uri(uri) if names_no_plugin(&loaded.config) => {
                load_plugins_of(loaded, &uri.layers).await
            }
            _ => load_plugins(loaded).await,
        };
        let options = self.options(to, plugins.registry(), extras)?;
        let manager = Manager::build(plugins, loaded).await?;
        let to = manager.destination(to, &options).await.map_err(Failure::config)?;
        Ok(Client { manager, to })
    }

    fn options(
        &self,
        to: &Reference,
        registry: &Registry,
        extras: AddedOptions,
    ) -> Outcome<Map<String, Value>> {
        let json = parse_options("--options", self.options.as_deref())?;
        let assignments = parse_assignments("-o", &self.option)?;
        let Reference::Uri(uri) = to else {
            if json.is_empty() && assignments.is_empty() {
                return Ok(Map::new());
            }
            let text = format!("-o, --options: {to} has its options in the configuration");
            return Err(Failure::config(format!("{text}; use --set {to}.options.KEY=VALUE")));
        };
        let mut options = assign::options(registry, uri, Role::Client, json, &assignments)?;
        let plan = Plan::new(uri, registry, Role::Client, false).map_err(Failure::config)?;
        let schema = plan.layers.first().map_or(&Value::Null, |top| &top.manifest.options);
        for (name, value) in extras {
            let in_uri = plan.query_options.contains_key(name);
            if schema["properties"].get(name).is_some() && !in_uri {
                options.entry(name).or_insert(value);
            }
        }
        Ok(options)
    }
}

/// Whether nothing but a URI says which plugins there have to be.
fn names_no_plugin(config: &Config) -> bool {
    config.plugins.is_empty() && config.interceptors.is_empty() && config.host.resolver.is_empty()
}

/// A JSON object given to `flag`; none is empty.
pub(super) fn parse_options(flag: &str, text: Option<&str>) -> Outcome<Map<String, Value>> {
    let text = text.unwrap_or("{}");
    // The parser's own words hold no part of the text, which may be secret.
    serde_json::from_str(text)
        .map_err(|error| Failure::config(format!("{flag}: expected a JSON object: {error}")))
}

/// Several `key=value` given to `flag`.
pub(super) fn parse_assignments(flag: &str, texts: &[String]) -> Outcome<Vec<Assignment>> {
    texts.iter().map(|text| Assignment::parse(flag, text)).collect()
}

/// Whether sessions of `driver` have an operation of that name.
pub(super) fn has_operation(driver: Option<&Arc<DriverHandle>>, name: &str) -> bool {
    driver.is_some_and(|driver| driver.manifest.operations.iter().any(|have| have.name == name))
}

//! [`TestPlugin`]: a plugin as a host sees it.

use super::TestHost;
use crate::driver::Role;
use crate::error::{Error, ErrorKind, Result};
use crate::export::Exports;
use crate::health::PluginHealth;
use crate::load::{self, Endpoint, Module};
use crate::manifest::PluginManifest;
use serde_json::Value;
use std::time::Duration;

/// A plugin of this very binary, used through the tables that a host uses: options are JSON and are
/// refused as a host's would be, panics are errors, sessions have the facets that were declared, and what
/// is not exported is not there. Only the checks that a host makes by the schema of the options, such as
/// ranges, are not made.
#[derive(Debug)]
pub struct TestPlugin {
    plugin: load::Plugin,
    manifest: PluginManifest,
}

impl TestPlugin {
    /// The plugin that `export_plugin!` has made: `TestPlugin::of::<crate::Plugin>(&host)`.
    ///
    /// # Errors
    /// What `new` of a driver or an interceptor says, or what a host would refuse the plugin for.
    pub fn of<P: Exports>(host: &TestHost) -> Result<Self> {
        let module = Module::of_static::<P>();
        let manifest = module.describe()?;
        if let Some(problem) = manifest.problem() {
            return Err(Error::new(ErrorKind::Config, problem));
        }
        Ok(TestPlugin { plugin: module.init(host.services(), "{}")?, manifest })
    }

    /// What it says of itself, schemas and operations included, as JSON.
    ///
    /// # Errors
    /// None that a manifest of this build could cause.
    pub fn describe(&self) -> Result<Value> {
        serde_json::to_value(&self.manifest)
            .map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
    }

    /// Configures a driver. The endpoint opens, accepts and listens.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] naming the drivers that there are, or what `configure` says.
    pub fn driver(&self, name: &str, role: Role, options: &Value) -> Result<Endpoint> {
        let names = self.manifest.drivers.iter().map(|it| it.name.as_str());
        self.plugin.configure_driver(find("driver", name, names)?, role, &options.to_string())
    }

    /// Configures a handler. The endpoint serves.
    ///
    /// # Errors
    /// As [`TestPlugin::driver`], with what `new` says.
    pub fn handler(&self, name: &str, options: &Value) -> Result<Endpoint> {
        let names = self.manifest.handlers.iter().map(|it| it.name.as_str());
        self.plugin.configure_handler(find("handler", name, names)?, &options.to_string())
    }

    /// Configures an interceptor. The endpoint intercepts.
    ///
    /// # Errors
    /// As [`TestPlugin::driver`], with what `new` says.
    pub fn interceptor(&self, name: &str, options: &Value) -> Result<Endpoint> {
        let names = self.manifest.interceptors.iter().map(|it| it.name.as_str());
        self.plugin.configure_interceptor(find("interceptor", name, names)?, &options.to_string())
    }

    /// What its parts say of themselves.
    pub fn health(&self) -> PluginHealth {
        self.plugin.health()
    }

    /// Takes no new work; completes when what it does beside its sessions has ended.
    ///
    /// # Errors
    /// What a part says.
    pub async fn drain(&self, deadline: Duration) -> Result<()> {
        self.plugin.drain(deadline).await
    }
}

fn find<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a str>) -> Result<u32> {
    let names: Vec<_> = names.collect();
    let found = names.iter().position(|have| *have == name).map(u32::try_from);
    match found {
        Some(Ok(index)) => Ok(index),
        _ => {
            let text = format!("there is no {what} {name:?}; there are: {}", names.join(" "));
            Err(Error::new(ErrorKind::NotFound, text))
        }
    }
}

//! The verbs on handlers, and from their definitions to what serves.

use super::Manager;
use super::define::check_name;
use super::definitions::Made;
use super::entries::DefinedBy;
use super::named::Existing;
use super::target_builder::{Programs, TargetBuilder, Unbuilt, option_faults};
use crate::config::model::HandlerConfig;
use crate::config::{KeyPath, Options, Reference};
use crate::driver::Prepared;
use crate::secret::{self, Secret};
use crate::stack::{ServerLayer, options};
use jackfield_plugin_api::{Error, ErrorKind, Result, Role};
use serde_json::{Map, Value};
use std::sync::Arc;

impl TargetBuilder<'_> {
    /// A handler with its options.
    pub(super) async fn handler(
        &self,
        name: &str,
        config: &HandlerConfig,
    ) -> Result<Prepared, Unbuilt> {
        let key = KeyPath::from_iter(["handlers", name]);
        let plugin_name = config.handler.as_deref().unwrap_or(name);
        let handler = self.registry.handler(plugin_name);
        let handler = Arc::clone(handler.map_err(|error| Unbuilt::at(key.clone(), error))?);
        let options = key.key("options");
        let text = self.options(&options, &handler.manifest.options, &config.options).await?;
        handler.configure(text).await.map_err(|error| Unbuilt::at(options, error))
    }

    /// Options of a handler or an interceptor against its schema, as JSON with their secrets in them.
    pub(super) async fn options(
        &self,
        key: &KeyPath,
        schema: &Value,
        options: &Options,
    ) -> Result<Secret, Unbuilt> {
        let needed = || !secret::programs(&options.0, schema).is_empty();
        if self.programs == Programs::Leave && needed() {
            let found = option_faults(key, options::check(schema, &options.0, &[], &[]));
            return Err(Unbuilt::without_programs(key, found));
        }
        let made = options::prepare(schema, &options.0, &[], &[], &self.resolver(key)).await;
        made.map_err(|problems| Unbuilt::Faults(option_faults(key, problems)))
    }
}

impl Manager {
    /// The passive side of a driver that stands on others, such as `ws`, with options: what requests of a listener
    /// turn into by [`ServedRequest::upgrade_to`](crate::listener::ServedRequest::upgrade_to).
    ///
    /// # Errors
    /// [`NotFound`](jackfield_plugin_api::ErrorKind::NotFound) with the nearest name;
    /// [`Unsupported`](jackfield_plugin_api::ErrorKind::Unsupported) for a driver that does not accept over others;
    /// [`Config`](jackfield_plugin_api::ErrorKind::Config) for options that are not acceptable.
    pub async fn server_layer(
        &self,
        driver: &str,
        options: &Map<String, Value>,
    ) -> Result<ServerLayer> {
        let registry = self.registry();
        let driver = Arc::clone(registry.driver(driver)?);
        if driver.is_transport() || !driver.manifest.roles.iter().any(|role| role == "server") {
            let text = format!("{}: expected a layer that can listen", driver.name());
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let (key, options) = (KeyPath::root(), Options(options.clone()));
        let schema = &driver.manifest.options;
        let text = self.run_time_builder().options(&key, schema, &options).await?;
        let endpoint = driver.configure(Role::Server, text).await?;
        Ok(ServerLayer::new(driver, endpoint))
    }

    /// Defines a handler of a plugin, for routes that lead to it. Those that lead to one that is replaced lead to
    /// the new one; what the old one serves goes on.
    ///
    /// # Errors
    /// [`InUse`](jackfield_plugin_api::ErrorKind::InUse) for a name that is taken by another definition, unless it
    /// is replaced; an equal one is used again. [`Config`](jackfield_plugin_api::ErrorKind::Config) for a name or
    /// options that are not acceptable.
    pub async fn define_handler(
        &self,
        name: &str,
        config: HandlerConfig,
        existing: Existing,
    ) -> Result<()> {
        check_name(name)?;
        if self.core.handlers.equal(name, &config, existing)?.is_some() {
            return Ok(());
        }
        let made = self.run_time_builder().handler(name, &config).await?;
        let by = DefinedBy::Call;
        let replaced = self.enter_handler(name, &config, made, by, existing)?;
        self.tell_defined(format!("handlers.{name}"), replaced);
        if replaced {
            self.reroute(&Reference::Handler(name.to_owned())).await;
        }
        Ok(())
    }

    /// Enters a handler; returns whether it replaced another.
    pub(super) fn enter_handler(
        &self,
        name: &str,
        config: &HandlerConfig,
        made: Prepared,
        by: DefinedBy,
        existing: Existing,
    ) -> Result<bool> {
        let made = Made { config: config.clone(), made: Arc::new(made), by };
        Ok(self.core.handlers.enter(name, made, existing)?.is_some())
    }

    /// Removes a handler; the sessions it serves go on.
    ///
    /// # Errors
    /// [`NotFound`](jackfield_plugin_api::ErrorKind::NotFound) with the nearest name;
    /// [`InUse`](jackfield_plugin_api::ErrorKind::InUse) while a route leads to it.
    pub fn remove_handler(&self, name: &str) -> Result<()> {
        self.core.handlers.get(name)?;
        self.leads_nowhere_else(&Reference::Handler(name.to_owned()))?;
        self.core.handlers.remove(name);
        self.tell_removed(format!("handlers.{name}"));
        Ok(())
    }
}

//! [`InterceptorHandle`]: an interceptor that runs.

use super::health::FileHealth;
use super::prepared::Prepared;
use crate::secret::Secret;
use jackfield_plugin_api::load::Plugin;
use jackfield_plugin_api::watch::Owner;
use jackfield_plugin_api::{InterceptorManifest, PluginManifest, Result};
use std::sync::Arc;

/// An interceptor that runs.
#[derive(Debug)]
pub struct InterceptorHandle {
    /// What it says of itself, schema included.
    pub manifest: InterceptorManifest,
    /// The plugin it is of.
    pub plugin_name: String,
    /// That plugin's version.
    pub plugin_version: String,
    /// Marks the calls into it.
    pub owner: Owner,
    plugin: Plugin,
    health: Arc<FileHealth>,
    index: u32,
}

/// The interceptors of `plugin`, by name.
pub(super) fn handles(
    plugin: &Plugin,
    manifest: &PluginManifest,
    health: &Arc<FileHealth>,
    owner: impl Fn(&'static str, &str) -> Owner,
) -> Vec<(String, Arc<InterceptorHandle>)> {
    let handle = |(index, interceptor): (u32, &InterceptorManifest)| {
        let handle = InterceptorHandle {
            plugin_name: manifest.name.clone(),
            plugin_version: manifest.version.clone(),
            owner: owner("interceptor", &interceptor.name),
            plugin: plugin.clone(),
            health: Arc::clone(health),
            index,
            manifest: interceptor.clone(),
        };
        (interceptor.name.clone(), Arc::new(handle))
    };
    (0..).zip(&manifest.interceptors).map(handle).collect()
}

impl InterceptorHandle {
    pub(super) fn health(&self) -> &Arc<FileHealth> {
        &self.health
    }

    /// As [`DriverHandle::configure`](super::DriverHandle::configure).
    ///
    /// # Errors
    /// As there.
    pub async fn configure(&self, options: Secret) -> Result<Prepared> {
        let (plugin, index) = (self.plugin.clone(), self.index);
        let work = move || plugin.configure_interceptor(index, options.expose());
        let endpoint = self.health.prepare(work).await;
        endpoint
            .map(|endpoint| Prepared::new(endpoint.owned_by(self.owner), Arc::clone(&self.health)))
            .map_err(|error| error.with("interceptor", &self.manifest.name))
    }
}

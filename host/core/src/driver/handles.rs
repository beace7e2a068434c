//! [`DriverHandle`], [`HandlerHandle`] and [`InterceptorHandle`]: what a registry has by name, as its plugin's present
//! generation describes it.

use super::part::{PartRole, PluginPart};
use super::prepared::Prepared;
use crate::dialogue;
use crate::secret::Secret;
use jackfield_plugin_api::watch::Owner;
use jackfield_plugin_api::{
    DriverManifest, HandlerManifest, InterceptorManifest, Kind, Operation, Result, Role,
    SchemeManifest,
};
use std::sync::Arc;

/// A driver that runs.
#[derive(Debug)]
pub struct DriverHandle {
    /// What it says of itself, schemas included.
    pub manifest: DriverManifest,
    /// The plugin it is of.
    pub plugin_name: String,
    /// That plugin's version.
    pub plugin_version: String,
    /// Marks the calls into it.
    pub owner: Owner,
    pub(super) part: Arc<PluginPart>,
}

impl DriverHandle {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// The driver of that name as its plugin's present generation describes it; itself if there is none.
    pub fn current(this: &Arc<Self>) -> Arc<Self> {
        this.part.described().unwrap_or_else(|| Arc::clone(this))
    }

    /// All about it as JSON: its manifest with schemas, whose it is, and what any stream has.
    pub fn describe(&self) -> serde_json::Value {
        let mut value = serde_json::json!(self.manifest);
        value["plugin"] = serde_json::json!(self.plugin_name);
        value["version"] = serde_json::json!(self.plugin_version);
        if self.manifest.facets.contains(jackfield_plugin_api::Facets::STREAM) {
            value["stream_operations"] = serde_json::json!(dialogue::operations());
        }
        value
    }

    /// The operation of that name of its sessions.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.manifest.operations.iter().find(|operation| operation.name == name)
    }

    /// Whether it reaches the outside world by itself.
    pub fn is_transport(&self) -> bool {
        self.manifest.kind == Kind::Transport
    }

    /// Prepares it with options as JSON, within the time that plugins have to start.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](jackfield_plugin_api::ErrorKind::Config), naming the option;
    /// [`ErrorKind::TimedOut`](jackfield_plugin_api::ErrorKind::TimedOut).
    pub async fn configure(&self, role: Role, options: Secret) -> Result<Prepared> {
        self.part.prepare(PartRole::Driver(role), options).await
    }
}

/// A handler that runs.
#[derive(Debug)]
pub struct HandlerHandle {
    /// What it says of itself, schema included.
    pub manifest: HandlerManifest,
    /// The plugin it is of.
    pub plugin_name: String,
    /// Marks the calls into it.
    pub owner: Owner,
    pub(super) part: Arc<PluginPart>,
}

impl HandlerHandle {
    /// As [`DriverHandle::configure`].
    ///
    /// # Errors
    /// As [`DriverHandle::configure`].
    pub async fn configure(&self, options: Secret) -> Result<Prepared> {
        self.part.prepare(PartRole::Handler, options).await
    }
}

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
    pub(super) part: Arc<PluginPart>,
}

impl InterceptorHandle {
    /// As [`DriverHandle::configure`].
    ///
    /// # Errors
    /// As there.
    pub async fn configure(&self, options: Secret) -> Result<Prepared> {
        self.part.prepare(PartRole::Interceptor, options).await
    }
}

/// A scheme and the driver that it starts with.
#[derive(Clone, Debug)]
pub struct SchemeEntry {
    /// What it stands for.
    pub manifest: SchemeManifest,
    /// The driver that declared it.
    pub driver: Arc<DriverHandle>,
}

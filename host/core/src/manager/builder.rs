//! [`ManagerBuilder`]: a host without a file.

use super::{Manager, Plugins, StartError};
use crate::config::{self, ConfigError, ConfigErrors, KeyPath, Loaded, Overrides};
use crate::connection::{ForAllConnections, Live, SessionHandler};
use jackfield_plugin_api::Error;
use jackfield_plugin_api::load::Module;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// Makes a [`Manager`] of what a program says, with a configuration that was loaded or without one.
///
/// ```no_run
/// # use jackfield_core as jackfield;
/// # async fn run() -> Result<(), jackfield::manager::StartError> {
/// let manager = jackfield::manager::Manager::builder()
///     .plugins("plugins")
///     .set("host.max_connections", 10_000)
///     .build()
///     .await?;
/// # manager.shutdown().await; Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct ManagerBuilder {
    overrides: Overrides,
    loaded: Option<Loaded>,
    folders: Vec<String>,
    linked: Vec<Module>,
    for_all: ForAllConnections,
}

impl std::fmt::Debug for ManagerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagerBuilder").field("folders", &self.folders).finish_non_exhaustive()
    }
}

impl ManagerBuilder {
    /// Takes plugins from this folder, which is meant from the working directory if it is relative. Without
    /// one, the folders beside the program are searched.
    #[must_use]
    pub fn plugins(mut self, folder: impl AsRef<Path>) -> Self {
        self.folders.push(folder.as_ref().display().to_string());
        self
    }

    /// Takes drivers, handlers and interceptors that are linked into this program, beside those of files:
    /// `Module::of_static::<Plugin>()`, where `Plugin` is what `export_plugin!` has made. Their panics are not
    /// told from those of the host.
    #[must_use]
    pub fn plugin(mut self, module: Module) -> Self {
        self.linked.push(module);
        self
    }

    /// Sets a key of the configuration, such as `host.shutdown_timeout` to `"5s"`. A key or value that is not
    /// acceptable is an error of [`ManagerBuilder::build`].
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        let key = KeyPath::from_iter(key.split('.'));
        self.overrides.set("set", key, value.into());
        self
    }

    /// Takes a configuration that was loaded; what [`ManagerBuilder::set`] and
    /// [`ManagerBuilder::plugins`] say is then left out.
    #[must_use]
    pub fn config(mut self, loaded: Loaded) -> Self {
        self.loaded = Some(loaded);
        self
    }

    /// Sets the handler of all connections that have none of their own. It is told what happens to each, accepted and
    /// dialled. It is given what is received where nothing else reads: on named connections on which neither a
    /// handler was set nor a program asks by `receive`, and on what [`Manager::listen_default`] accepts. It has the
    /// stream of a named connection then: `execute`, `send_expect` and `take_stream` need a session of one's own
    /// ([`Manager::open`]).
    #[must_use]
    pub fn default_handler(mut self, handler: Arc<dyn SessionHandler>) -> Self {
        self.for_all.handler = Some(handler);
        self
    }

    /// Sets what is told each thing that goes wrong on a connection, accepted or dialled: an attempt, a call or a
    /// check that fails, and a handler that panics. It is called where that happens and must not block.
    #[must_use]
    pub fn on_error(mut self, hook: impl Fn(&Live, &Error) + Send + Sync + 'static) -> Self {
        self.for_all.on_error = Some(Arc::new(hook));
        self
    }

    /// Loads plugins, builds what is configured and starts what listens.
    ///
    /// # Errors
    /// Every mistake found.
    pub async fn build(self) -> Result<Manager, StartError> {
        let ManagerBuilder { mut overrides, loaded, folders, linked, for_all } = self;
        let loaded = match loaded {
            Some(loaded) => loaded,
            None => {
                if !folders.is_empty() {
                    let key = KeyPath::from_iter(["host", "plugins"]);
                    overrides.set("plugins", key, folders.into());
                }
                config::load(&[], &overrides).map_err(StartError::Config)?
            }
        };
        let mut plugins = Plugins::load(&loaded).await;
        for module in linked {
            plugins.link(&module).map_err(|error| {
                let key = KeyPath::from_iter(["plugins"]);
                let position = loaded.sources.locate(&key);
                StartError::Plugins(ConfigErrors::new(vec![ConfigError::new(
                    position,
                    key,
                    error.to_string(),
                )]))
            })?;
        }
        Manager::start_for(plugins, &loaded, for_all).await
    }
}

impl Manager {
    /// A host of what a program says; see [`ManagerBuilder`].
    pub fn builder() -> ManagerBuilder {
        ManagerBuilder::default()
    }

    /// A host of a configuration that was loaded: as [`Manager::start`].
    ///
    /// # Errors
    /// Every mistake found, with its place.
    pub async fn from_config(loaded: &Loaded) -> Result<Self, StartError> {
        Self::start(loaded).await
    }
}

//! From a configuration to a host that does not listen yet: whole, or not at all. It is a change of a host in which
//! nothing is configured.

use super::Manager;
use super::change::{StagedRoute, stage};
use super::core::Core;
use super::parts::Parts;
use super::plugins::Plugins;
use super::target_builder::Programs;
use crate::config::diff::Changes;
use crate::config::{ConfigErrors, KeyPath, Loaded};
use crate::connection::Lives;
use crate::driver::PluginFolders;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{Error, ErrorKind};
use std::sync::{Arc, Weak};

/// What was built: all of it, or all that can be without the programs that secrets come from.
pub(super) struct Built {
    pub(super) manager: Manager,
    /// Routes that do not listen yet.
    pub(super) routes: Vec<StagedRoute>,
    /// What is missing because of them.
    pub(super) unresolved: Vec<KeyPath>,
}

/// Builds everything, and remembers every mistake.
pub(super) async fn build(
    plugins: Plugins,
    loaded: &Loaded,
    programs: Programs,
) -> Result<Built, ConfigErrors> {
    let Plugins { registry, options, .. } = plugins;
    let common = Arc::clone(registry.common());
    let config = &loaded.config;
    let mut parts = Parts { loaded, errors: Vec::new(), programs, unresolved: Vec::new() };
    let host = &config.host;
    let lives = Lives::waiting(
        host.max_connections as usize,
        host.timeouts.room.0,
        Some(host.max_connections_per_peer as usize).filter(|most| *most > 0),
    );
    let mut core = Core::new(registry, lives, config.host.clone());
    core.folders = Arc::new(tokio::sync::Mutex::new(Some(PluginFolders::new(
        options,
        loaded.plugin_folders(),
    ))));
    let manager = Manager { core: Arc::new(core) };
    let waiting = manager.waiting_in(loaded);
    manager.set_waiting(&waiting);
    // With a plugin that is to come its table is no mistake.
    if !config.reload.plugins.wait {
        parts.unknown_plugins(&manager.registry());
    }
    let changes = Changes::everything(loaded, &waiting);
    let mut staged = stage(&manager, &mut parts, &changes).await;
    #[cfg(feature = "otlp")]
    manager.check_collector(&mut parts).await;
    let Parts { errors, mut unresolved, .. } = parts;
    unresolved.sort();
    unresolved.dedup();
    if !errors.is_empty() {
        return Err(ConfigErrors::new(errors));
    }
    manager.enter(&staged, &changes, config.reload.drain);
    let core = Arc::downgrade(&manager.core);
    manager.take_over_names(&config.host);
    common.set_opener(Arc::new(move |uri, options| open_for_plugin(core.clone(), uri, options)));
    let routes = std::mem::take(&mut staged.routes);
    Ok(Built { manager, routes, unresolved })
}

fn open_for_plugin(
    core: Weak<Core>,
    uri: String,
    options: String,
) -> Op<jackfield_plugin_api::Session> {
    Op::new(async move {
        let gone = || Error::new(ErrorKind::Cancelled, "the host is stopping");
        let manager = Manager { core: core.upgrade().ok_or_else(gone)? };
        let options = serde_json::from_str(&options)
            .map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
        match manager.open(&uri, &options).await {
            // What it is made of may not have been started.
            Err(error) if error.kind() == ErrorKind::NotFound && manager.start_rest().await => {
                manager.open(&uri, &options).await
            }
            opened => opened,
        }
    })
}

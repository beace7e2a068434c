//! A change of the configuration, taken over by a host that runs; the start of a host is a change of an empty one.
//!
//! ```text
//! Changes ─ stage: tables beside those in use, with all that is new in them (nothing is used yet)
//!         ─ bind: addresses that are new
//!         ─ enter: the tables in use take over what was staged; listeners change under their sockets
//!         ─ leave: what is there no more drains
//! ```
//!
//! Everything that can fail is done before anything in use is touched, so that a mistake leaves all as it was. What
//! `Changes` does not name is the same object in both tables: no session of it is closed, and no state is lost. A
//! connection that is defined otherwise stays the same object, too, and becomes another ([`super::becoming`]).
//!
//! One thing has to be stopped before what is new is there: a listener whose address a new one needs. When that one
//! cannot listen, the old one is begun again.

mod bind;
mod effects;
mod enter;
mod leave;
mod orphans;
mod patch;
mod stage;
#[cfg(test)]
mod tests;

pub(super) use stage::{Staged, StagedRoute, stage};

use super::Manager;
use super::parts::Parts;
use super::target_builder::Programs;
use crate::config::diff::{ChangeKind, Changes, ObjectKind, OptionEffects};
use crate::config::{ConfigErrors, Loaded};

impl Manager {
    /// What changes of the options of this host's drivers, handlers and interceptors do.
    pub fn option_effects(&self) -> impl OptionEffects {
        effects::SchemaEffects(self.registry())
    }

    /// Takes over `loaded`, in which `changes` says what is different from what runs. With `dry_run` everything is
    /// built, but no address is taken and nothing changes. What only a restart of the host changes is in `loaded` as it
    /// was.
    ///
    /// Not cancel safe: to be run to its end. One at a time.
    ///
    /// # Errors
    /// Every mistake found, with its place; nothing has changed then.
    pub(crate) async fn take_over(
        &self,
        loaded: &Loaded,
        changes: &Changes,
        dry_run: bool,
    ) -> Result<(), ConfigErrors> {
        let programs = Programs::Run;
        let mut parts = Parts { loaded, errors: Vec::new(), programs, unresolved: Vec::new() };
        let mut staged = stage(self, &mut parts, changes).await;
        let is_plugin = |kind: ChangeKind| kind != ChangeKind::Removed;
        if !loaded.config.reload.plugins.wait
            && changes.of_kind(ObjectKind::Plugin).any(|change| is_plugin(change.kind))
        {
            parts.unknown_plugins(&self.registry());
        }
        #[cfg(feature = "otlp")]
        self.check_collector(&mut parts).await;
        orphans::refuse(self, &mut parts, &staged, changes);
        if !parts.errors.is_empty() {
            return Err(ConfigErrors::new(parts.errors));
        }
        if dry_run {
            return Ok(());
        }
        let leaving = self.leaving(changes);
        let routes = std::mem::take(&mut staged.routes);
        let ready = self.bind_routes(loaded, routes, &leaving.listeners).await?;
        let drain = loaded.config.reload.drain;
        self.take_over_settings(loaded);
        self.enter(&staged, changes, drain);
        self.enter_routes(ready);
        self.begin_changed(&staged, changes);
        self.leave(&staged, changes, leaving, drain).await;
        Ok(())
    }
}

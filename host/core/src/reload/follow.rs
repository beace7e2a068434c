//! [`ConfigFollower`]: what beside the manager is as the configuration in force says.

use crate::config::diff::Changes;
use crate::config::{ConfigErrors, Loaded};

/// Puts in force what was made ready; dropped, it is undone.
pub type Adoption = Box<dyn FnOnce() + Send>;

/// What beside the manager is as the configuration in force says, such as a log or an admin API.
pub trait ConfigFollower: Send + Sync {
    /// Makes ready for `loaded`, in which `changes` says what is different; what only a restart changes is in it as it
    /// was. Nothing that is in use changes before what this gives is run, which cannot fail; it is not run when
    /// something else fails, nor with `dry_run`, with which no address is taken.
    ///
    /// # Errors
    /// Every mistake, with its place.
    fn prepare(
        &self,
        loaded: &Loaded,
        changes: &Changes,
        dry_run: bool,
    ) -> Result<Adoption, ConfigErrors>;
}

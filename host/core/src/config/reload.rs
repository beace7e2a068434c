//! The keys of `[reload]`.

use jackfield_text::range::{Problem, Ranges};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::Timespan;

/// `[reload]`: how a running host takes over changes of its configuration.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReloadOptions {
    /// Whether a change of a file of the configuration is taken over by itself; SIGHUP has it taken over in any case.
    /// Default: false.
    pub watch: bool,
    /// How often the files are looked at besides, for where the system tells of no change, as on a network file
    /// system; `"0s"` never. Default: `"10s"`.
    pub poll: Timespan,
    /// `[reload.drain]`: how sessions end of what is there no more.
    pub drain: DrainOptions,
    /// `[reload.plugins]`: plugin files that come, change and go.
    pub plugins: PluginFilesOptions,
}

/// `[reload.plugins]`: plugin files that come, change and go while the host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PluginFilesOptions {
    /// Whether a plugin file that is new, has other content or is gone is taken over by itself; `jackfield reload` and
    /// SIGHUP do so in any case. Default: false.
    pub watch: bool,
    /// Whether what needs a driver, handler or interceptor that no plugin has waits for it, instead of being a
    /// mistake. Default: false.
    pub wait: bool,
    /// How many different files of one plugin may be loaded until the host is restarted, as code is never unloaded; 1
    /// to 1000. Default: 64.
    pub generations: u16,
}

/// `[reload.drain]`: how sessions end of what a change of the configuration has taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DrainOptions {
    /// How long they may go on. Default: `"30s"`.
    pub within: Timespan,
    /// Over how long those that are left then are closed, one after the other, so that their peers do not all come
    /// back at once; `"0s"` closes them together. Default: `"5s"`.
    pub spread: Timespan,
}

impl Default for ReloadOptions {
    fn default() -> Self {
        ReloadOptions {
            watch: false,
            poll: Timespan::seconds(10),
            drain: DrainOptions::default(),
            plugins: PluginFilesOptions::default(),
        }
    }
}

impl PluginFilesOptions {
    /// Values out of range.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let number = "expected a whole number from 1 to 1000";
        Ranges::new()
            .expect((1..=1000).contains(&self.generations), "generations", number)
            .problems()
    }
}

impl Default for PluginFilesOptions {
    fn default() -> Self {
        PluginFilesOptions { watch: false, wait: false, generations: 64 }
    }
}

impl Default for DrainOptions {
    fn default() -> Self {
        DrainOptions { within: Timespan::seconds(30), spread: Timespan::seconds(5) }
    }
}

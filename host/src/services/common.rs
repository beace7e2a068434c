//! [`Common`]: what the services of all plugins of one host share.

use super::Opener;
use super::host_names::HostNames;
use super::secrets::PluginSecrets;
use crate::events::Bus;
use crate::handover::Handover;
use crate::metrics::{MetricLimits, Metrics};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// What the services of all plugins of one host share: what they measure, tell and may read, and when
/// they are to stop.
#[derive(Debug)]
pub struct Common {
    opener: OnceLock<OpenerSlot>,
    metrics: Metrics,
    events: Bus,
    event_rate: u32,
    secrets: BTreeMap<String, PluginSecrets>,
    stopping: watch::Sender<bool>,
    handover: OnceLock<Arc<Handover>>,
    host_names: HostNames,
}

struct OpenerSlot(Opener);

impl std::fmt::Debug for OpenerSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener")
    }
}

impl Default for Common {
    /// Default limits, and no secrets.
    fn default() -> Self {
        Common::new(MetricLimits::default(), Common::EVENT_RATE, BTreeMap::new())
    }
}

impl Common {
    /// The default of `event_rate`.
    pub const EVENT_RATE: u32 = 1000;

    /// With these limits, `event_rate` events a second of each plugin, and the secrets of plugins by the
    /// names of their packages.
    pub fn new(
        metrics: MetricLimits,
        event_rate: u32,
        secrets: BTreeMap<String, PluginSecrets>,
    ) -> Self {
        Common {
            opener: OnceLock::new(),
            metrics: Metrics::new(metrics),
            events: Bus::lasting(),
            event_rate,
            secrets,
            stopping: watch::Sender::new(false),
            handover: OnceLock::new(),
            host_names: HostNames::default(),
        }
    }

    /// By which plugins open stacks through the host from now on. Only the first counts.
    pub fn set_opener(&self, opener: Opener) {
        // That it is set already is no matter.
        let _ = self.opener.set(OpenerSlot(opener));
    }

    pub(super) fn opener(&self) -> Option<&Opener> {
        self.opener.get().map(|slot| &slot.0)
    }

    /// How names of hosts become addresses.
    pub fn host_names(&self) -> &HostNames {
        &self.host_names
    }

    /// What other processes hand over, and take over, from now on. Only the first counts.
    #[cfg(feature = "cli")]
    pub(crate) fn set_handover(&self, handover: Arc<Handover>) {
        // That it is set already is no matter.
        let _ = self.handover.set(handover);
    }

    /// What other processes hand over, and take over.
    pub(crate) fn handover(&self) -> &Arc<Handover> {
        self.handover.get_or_init(Arc::default)
    }

    /// What plugins measure.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What plugins tell, each event with the name of its plugin. It ends with `closed` when the host
    /// stops.
    pub fn events(&self) -> &Bus {
        &self.events
    }

    pub(super) fn event_rate(&self) -> u32 {
        self.event_rate
    }

    /// What the plugin of that name may read.
    pub(super) fn secrets(&self, plugin: &str) -> PluginSecrets {
        self.secrets.get(plugin).cloned().unwrap_or_default()
    }

    /// Tells plugins that the host begins to stop.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Hears of that.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }
}

//! [`Common`]: what the services of all plugins of one host share.

use super::Opener;
use super::host_names::HostNames;
use super::rate::RateLimit;
use super::secrets::PluginSecrets;
use crate::events::Bus;
use crate::handover::Handover;
use crate::metrics::{MetricLimits, Metrics};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// What the services of all plugins of one host share: what they measure, tell and may read, and when
/// they are to stop.
#[derive(Debug)]
pub struct Common {
    opener: OnceLock<OpenerSlot>,
    metrics: Metrics,
    events: Bus,
    log_rate: RateLimit,
    event_rate: RateLimit,
    secrets: ArcSwap<BTreeMap<String, PluginSecrets>>,
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

/// How much each plugin may say, a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PluginRates {
    /// Lines of the log. Default: 1000.
    pub log: u32,
    /// Events of its own. Default: 1000.
    pub events: u32,
}

impl Default for PluginRates {
    fn default() -> Self {
        PluginRates { log: 1000, events: 1000 }
    }
}

impl Default for Common {
    /// Default limits, and no secrets.
    fn default() -> Self {
        Common::new(MetricLimits::default(), PluginRates::default(), BTreeMap::new())
    }
}

impl Common {
    /// With these limits, so much of each plugin, and the secrets of plugins by the names of their packages.
    pub fn new(
        metrics: MetricLimits,
        rates: PluginRates,
        secrets: BTreeMap<String, PluginSecrets>,
    ) -> Self {
        Common {
            opener: OnceLock::new(),
            metrics: Metrics::new(metrics),
            events: Bus::lasting(),
            log_rate: RateLimit::new(rates.log.into()),
            event_rate: RateLimit::new(rates.events.into()),
            secrets: ArcSwap::from_pointee(secrets),
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
    pub fn set_handover(&self, handover: Arc<Handover>) {
        // That it is set already is no matter.
        let _ = self.handover.set(handover);
    }

    /// What other processes hand over, and take over.
    pub fn handover(&self) -> &Arc<Handover> {
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

    pub(super) fn log_rate(&self) -> RateLimit {
        Arc::clone(&self.log_rate)
    }

    pub(super) fn event_rate(&self) -> RateLimit {
        Arc::clone(&self.event_rate)
    }

    /// Takes other limits and secrets: they hold for plugins that run, too.
    pub(crate) fn take_over(&self, next: &Common) {
        self.metrics.set_limits(next.metrics.limits());
        for (mine, other) in
            [(&self.log_rate, &next.log_rate), (&self.event_rate, &next.event_rate)]
        {
            mine.store(other.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.secrets.store(next.secrets.load_full());
    }

    /// What the plugin of that name may read.
    pub(super) fn secrets(&self, plugin: &str) -> PluginSecrets {
        self.secrets.load().get(plugin).cloned().unwrap_or_default()
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

//! The metrics of a host: what is read of its snapshots when somebody asks, and what its plugins measure. Nothing on
//! the way of data is locked for it. [`TABLE`] has every name.

use super::exposition::{Exposition, SeriesLabels, whole};
use super::server::AdminApi;
use crate::connection::STATES;
use crate::listener::{DURATIONS_MS, ListenerTotals};
use crate::manager::Manager;
use crate::metrics::{Dropped, MetricKind, Reading};
use crate::upstream::{PoolSnapshot, TargetSnapshot, UpstreamSnapshot};
use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

/// Every metric of the host: its name without `_total`, its type, its labels and what it says.
#[rustfmt::skip]
pub(super) const TABLE: &[(&str, MetricKind, &[&str], &str)] = &[
    ("jackfield_build_info", MetricKind::Gauge, &["version"], "1, with the version of the host."),
    ("jackfield_start_time_seconds", MetricKind::Gauge, &[], "When the host began, in seconds since 1970."),
    ("jackfield_ready", MetricKind::Gauge, &[], "1, or 0 once the host stops."),
    ("jackfield_connections", MetricKind::Gauge, &["state"], "Connections that live, accepted and dialled."),
    ("jackfield_connections_limit", MetricKind::Gauge, &[], "How many may live: host.max_connections."),
    ("jackfield_connections_opened", MetricKind::Counter, &["side"], "Connections so far: accepted or dialled."),
    ("jackfield_listener_connections", MetricKind::Gauge, &["listener"], "Accepted connections that live."),
    ("jackfield_listener_accepted", MetricKind::Counter, &["listener"], "Connections accepted."),
    ("jackfield_listener_refused", MetricKind::Counter, &["listener"], "Connections refused: by address, by their number, or for want of room."),
    ("jackfield_listener_sessions_ended", MetricKind::Counter, &["listener", "outcome"], "Sessions that have ended: ok or failed."),
    ("jackfield_listener_bytes", MetricKind::Counter, &["listener", "direction"], "Bytes of sessions that have ended: in or out."),
    ("jackfield_listener_session_seconds", MetricKind::Histogram, &["listener"], "How long sessions lasted."),
    ("jackfield_upstream_panic", MetricKind::Gauge, &["upstream"], "1 while no target is healthy, so that all serve."),
    ("jackfield_upstream_retries_refused", MetricKind::Counter, &["upstream"], "Attempts at a further target that the retry budget refused."),
    ("jackfield_upstream_calls", MetricKind::Counter, &["upstream"], "Operations run on its targets."),
    ("jackfield_upstream_call_failures", MetricKind::Counter, &["upstream"], "Those that had an error."),
    ("jackfield_upstream_targets", MetricKind::Gauge, &["upstream", "state"], "Targets in each state."),
    ("jackfield_target_up", MetricKind::Gauge, &["upstream", "target"], "1 if it may get sessions: neither down, nor ejected, nor draining."),
    ("jackfield_target_weight", MetricKind::Gauge, &["upstream", "target"], "Its part of the sessions."),
    ("jackfield_target_sessions", MetricKind::Gauge, &["upstream", "target"], "Sessions that live or are being opened."),
    ("jackfield_target_sessions_opened", MetricKind::Counter, &["upstream", "target"], "Sessions opened."),
    ("jackfield_target_failures", MetricKind::Counter, &["upstream", "target"], "Attempts and sessions that failed."),
    ("jackfield_target_connect_seconds", MetricKind::Gauge, &["upstream", "target"], "What opening a session takes: the slowest lately, fading; a failed attempt counts as all the time that it had."),
    ("jackfield_pool_sessions", MetricKind::Gauge, &["upstream", "target", "state"], "Sessions of a pool: idle, in_use or opening."),
    ("jackfield_pool_waiting", MetricKind::Gauge, &["upstream", "target"], "Callers that wait for a session."),
    ("jackfield_pool_limit", MetricKind::Gauge, &["upstream", "target"], "Sessions at most."),
    ("jackfield_pool_opened", MetricKind::Counter, &["upstream", "target"], "Sessions opened."),
    ("jackfield_pool_open_failures", MetricKind::Counter, &["upstream", "target"], "Openings that failed."),
    ("jackfield_pool_closed", MetricKind::Counter, &["upstream", "target", "cause"], "Sessions that left the pool, by cause."),
    ("jackfield_pool_callers", MetricKind::Counter, &["upstream", "target", "outcome"], "Callers: served_at_once, served_after_wait, timed_out or refused."),
    ("jackfield_pool_wait_seconds", MetricKind::Histogram, &["upstream", "target"], "How long those served after a wait waited."),
    ("jackfield_lease_held", MetricKind::Gauge, &["path"], "1 while somebody has an exclusive path."),
    ("jackfield_lease_waiting", MetricKind::Gauge, &["path"], "Who waits for it."),
    ("jackfield_plugin_up", MetricKind::Gauge, &["plugin", "state"], "1 if it runs and is not in quarantine."),
    ("jackfield_plugin_panics", MetricKind::Counter, &["plugin"], "Panics of its code."),
    ("jackfield_plugin_metrics_dropped", MetricKind::Counter, &["plugin", "reason"], "Measurements of a plugin that were left out: full or invalid."),
    ("jackfield_traces_dropped", MetricKind::Counter, &[], "Spans that were lost: no room for them, or no collector has taken them."),
];

/// What the metrics of a host are written to, by the table.
struct HostSeries {
    text: Exposition,
}

impl HostSeries {
    fn put(&mut self, name: &str, labels: SeriesLabels<'_>, value: f64) {
        let Some((name, kind, _, help)) = TABLE.iter().find(|(known, ..)| *known == name) else {
            return;
        };
        match kind {
            MetricKind::Counter => self.text.counter(name, help, labels, value),
            _ => self.text.gauge(name, help, labels, value),
        }
    }

    fn count(&mut self, name: &str, labels: SeriesLabels<'_>, value: u64) {
        self.put(name, labels, whole(value));
    }

    fn size(&mut self, name: &str, labels: SeriesLabels<'_>, value: usize) {
        self.put(name, labels, whole(value as u64));
    }

    fn spread(
        &mut self,
        name: &str,
        labels: SeriesLabels<'_>,
        buckets: &[(f64, u64)],
        totals: (u64, f64),
    ) {
        let help = TABLE.iter().find(|(known, ..)| *known == name).map_or("", |row| row.3);
        self.text.histogram(name, help, labels, buckets, totals);
    }

    fn flag(&mut self, name: &str, labels: SeriesLabels<'_>, value: bool) {
        self.put(name, labels, f64::from(u8::from(value)));
    }
}

/// All metrics, or those of these names.
pub(super) fn text(api: &AdminApi, names: &[&str]) -> String {
    let mut to = HostSeries { text: Exposition::of(names) };
    let manager = &api.manager;
    let start = api.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    to.put("jackfield_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    to.put("jackfield_start_time_seconds", &[], start.as_secs_f64());
    to.flag("jackfield_ready", &[], !api.is_stopping());
    to.count("jackfield_traces_dropped", &[], manager.traces_dropped());
    connections(&mut to, manager);
    let most = match api.target_series.left() {
        Some(_) => usize::MAX,
        None => api.settings().config.target_metrics as usize,
    };
    upstreams(&mut to, manager, most);
    leases(&mut to, manager);
    for plugin in manager.plugins() {
        let Some(name) = &plugin.name else { continue };
        let labels = [("plugin", name.as_str()), ("state", plugin.state)];
        to.flag("jackfield_plugin_up", &labels, plugin.state == "running");
        to.count("jackfield_plugin_panics", &labels[..1], plugin.panics.into());
    }
    of_plugins(&mut to, manager);
    to.text.text()
}

fn connections(to: &mut HostSeries, manager: &Manager) {
    let count = manager.count();
    to.size("jackfield_connections_limit", &[], count.max);
    let dialled = count.total.saturating_sub(count.accepted_total);
    to.count("jackfield_connections_opened", &[("side", "accepted")], count.accepted_total);
    to.count("jackfield_connections_opened", &[("side", "dialled")], dialled);
    let mut by_state: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_listener: BTreeMap<String, usize> = BTreeMap::new();
    let mut totals: BTreeMap<String, ListenerTotals> = BTreeMap::new();
    for snapshot in manager.listeners() {
        // Several may be written alike, with port 0: they are one series.
        totals_of(&mut totals, snapshot.listen.clone(), &snapshot.totals);
        by_listener.insert(snapshot.listen, 0);
    }
    for (listener, totals) in &totals {
        self::listener(to, listener, totals);
    }
    for live in manager.lives() {
        *by_state.entry(live.state().as_str()).or_default() += 1;
        if let Some(count) = live.listener().and_then(|name| by_listener.get_mut(&**name)) {
            *count += 1;
        }
    }
    for state in STATES.iter().filter(|state| !state.is_final()) {
        let count = by_state.get(state.as_str()).copied().unwrap_or_default();
        to.size("jackfield_connections", &[("state", state.as_str())], count);
    }
    for (listener, count) in by_listener {
        to.size("jackfield_listener_connections", &[("listener", &listener)], count);
    }
}

/// Adds what one listener has counted to what others of its name have.
fn totals_of(all: &mut BTreeMap<String, ListenerTotals>, name: String, more: &ListenerTotals) {
    let sum = all.entry(name).or_default();
    sum.accepted += more.accepted;
    sum.refused += more.refused;
    sum.ended += more.ended;
    sum.failed += more.failed;
    sum.bytes_in += more.bytes_in;
    sum.bytes_out += more.bytes_out;
    sum.duration_ms += more.duration_ms;
    for (sum, more) in sum.durations.iter_mut().zip(more.durations) {
        *sum += more;
    }
}

fn listener(to: &mut HostSeries, name: &str, totals: &ListenerTotals) {
    let listener = ("listener", name);
    to.count("jackfield_listener_accepted", &[listener], totals.accepted);
    to.count("jackfield_listener_refused", &[listener], totals.refused);
    for (outcome, count) in [("ok", totals.ended), ("failed", totals.failed)] {
        let labels = [listener, ("outcome", outcome)];
        to.count("jackfield_listener_sessions_ended", &labels, count);
    }
    for (direction, count) in [("in", totals.bytes_in), ("out", totals.bytes_out)] {
        let labels = [listener, ("direction", direction)];
        to.count("jackfield_listener_bytes", &labels, count);
    }
    let bounds = DURATIONS_MS.iter().map(|bound| whole(*bound) / 1e3);
    let buckets: Vec<(f64, u64)> = bounds.zip(totals.durations).collect();
    let count = totals.ended + totals.failed;
    let sum = whole(totals.duration_ms) / 1e3;
    to.spread("jackfield_listener_session_seconds", &[listener], &buckets, (count, sum));
}

fn upstreams(to: &mut HostSeries, manager: &Manager, most: usize) {
    let all: Vec<UpstreamSnapshot> = manager.upstreams().iter().map(|it| it.snapshot()).collect();
    let with_targets = all.iter().map(|upstream| upstream.targets.len()).sum::<usize>() <= most;
    for upstream in &all {
        let labels = [("upstream", upstream.name.as_str())];
        to.flag("jackfield_upstream_panic", &labels, upstream.panic);
        to.count("jackfield_upstream_retries_refused", &labels, upstream.retries_refused);
        to.count("jackfield_upstream_calls", &labels, upstream.calls.total);
        to.count("jackfield_upstream_call_failures", &labels, upstream.calls.failed);
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        for target in &upstream.targets {
            *states.entry(target.state).or_default() += 1;
            if with_targets {
                self::target(to, &upstream.name, target);
            }
        }
        for (state, count) in states {
            to.size("jackfield_upstream_targets", &[labels[0], ("state", state)], count);
        }
    }
}

fn target(to: &mut HostSeries, upstream: &str, target: &TargetSnapshot) {
    let labels = [("upstream", upstream), ("target", target.name.as_str())];
    let is_up = !["down", "ejected", "draining"].contains(&target.state);
    to.flag("jackfield_target_up", &labels, is_up);
    to.count("jackfield_target_weight", &labels, target.weight.into());
    to.count("jackfield_target_sessions", &labels, target.in_flight.into());
    to.count("jackfield_target_sessions_opened", &labels, target.successes);
    to.count("jackfield_target_failures", &labels, target.failures);
    if let Some(latency) = target.latency_us {
        to.put("jackfield_target_connect_seconds", &labels, seconds(latency));
    }
    if let Some(pool) = &target.pool {
        self::pool(to, labels, pool);
    }
}

fn pool(to: &mut HostSeries, labels: [(&str, &str); 2], pool: &PoolSnapshot) {
    let [upstream, target] = labels;
    for (state, count) in [("idle", pool.idle), ("in_use", pool.in_use), ("opening", pool.opening)]
    {
        to.size("jackfield_pool_sessions", &[upstream, target, ("state", state)], count);
    }
    to.size("jackfield_pool_waiting", &labels, pool.waiting);
    to.size("jackfield_pool_limit", &labels, pool.max_size);
    to.count("jackfield_pool_opened", &labels, pool.opened);
    to.count("jackfield_pool_open_failures", &labels, pool.open_failed);
    for (cause, count) in &pool.closed {
        to.count("jackfield_pool_closed", &[upstream, target, ("cause", cause)], *count);
    }
    for (outcome, count) in [
        ("served_at_once", pool.served_at_once),
        ("served_after_wait", pool.served_after_wait),
        ("timed_out", pool.timed_out),
        ("refused", pool.refused),
    ] {
        to.count("jackfield_pool_callers", &[upstream, target, ("outcome", outcome)], count);
    }
    // Each bucket has those below its bound and not below the one before.
    let mut below = 0;
    let buckets: Vec<(f64, u64)> = pool
        .waits
        .iter()
        .filter_map(|(bound, count)| {
            below += count;
            bound.map(|bound| (seconds(bound), below))
        })
        .collect();
    let totals = (pool.served_after_wait.max(below), seconds(pool.total_wait_us));
    to.spread("jackfield_pool_wait_seconds", &labels, &buckets, totals);
}

fn seconds(micros: u64) -> f64 {
    whole(micros) / 1e6
}

fn leases(to: &mut HostSeries, manager: &Manager) {
    for device in manager.devices().all() {
        for path in device.paths() {
            let Some(lease) = path.lease().map(|lease| lease.snapshot()) else { continue };
            let name = format!("{}.{}", device.name(), path.name());
            let labels = [("path", name.as_str())];
            to.flag("jackfield_lease_held", &labels, lease.holder.is_some());
            to.size("jackfield_lease_waiting", &labels, lease.waiters.len());
        }
    }
}

/// What plugins measure, with the name of each plugin as a label. Their names are their own; where two use one name
/// for different types, the first by name of plugin is written.
fn of_plugins(to: &mut HostSeries, manager: &Manager) {
    let measured = manager.metrics();
    // Of all that run, so that the first of them is a rise.
    let plugins = manager.plugins().into_iter().filter(|plugin| plugin.state == "running");
    let mut all: BTreeMap<String, Dropped> =
        plugins.filter_map(|plugin| Some((plugin.name?, Dropped::default()))).collect();
    all.extend(measured.dropped);
    for (plugin, dropped) in &all {
        for (reason, count) in [("full", dropped.full), ("invalid", dropped.invalid)] {
            let labels = [("plugin", plugin.as_str()), ("reason", reason)];
            to.count("jackfield_plugin_metrics_dropped", &labels, count);
        }
    }
    for series in measured.series {
        let name = series.name.strip_suffix("_total").unwrap_or(&series.name);
        if TABLE.iter().any(|(known, ..)| *known == name) {
            continue;
        }
        let labels = series.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut labels: Vec<_> =
            std::iter::once(("plugin", series.plugin.as_str())).chain(labels).collect();
        labels.dedup_by_key(|(key, _)| *key);
        let help = "Measured by a plugin.";
        match &series.reading {
            Reading::Counter { value } => to.text.counter(name, help, &labels, *value),
            Reading::Gauge { value } => to.text.gauge(name, help, &labels, *value),
            Reading::Histogram { count, sum, buckets } => {
                to.text.histogram(name, help, &labels, buckets, (*count, *sum));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_open_metrics() {
        for (name, kind, labels, help) in TABLE {
            assert!(name.starts_with("jackfield_"), "{name}");
            assert!(!name.ends_with("_total") && !name.ends_with("_count"), "{name}");
            assert!(*kind != MetricKind::Histogram || name.ends_with("_seconds"), "{name}");
            assert!(help.ends_with('.') && labels.iter().all(|label| *label != "le"), "{name}");
        }
        let mut names: Vec<_> = TABLE.iter().map(|row| row.0).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn every_metric_is_documented_as_it_is() {
        let page = include_str!("../../../config/README.md");
        for (name, kind, labels, help) in TABLE {
            let (end, kind) = match kind {
                MetricKind::Counter => ("_total", "counter"),
                MetricKind::Gauge => ("", "gauge"),
                MetricKind::Histogram => ("", "histogram"),
            };
            let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>();
            let row = format!("| `{name}{end}` | {kind} | {} | {help} |", labels.join(", "));
            assert!(page.lines().any(|line| line == row), "expected in config/README.md: {row}");
        }
    }

    /// The names of metrics in a text.
    fn names(text: &str) -> Vec<&str> {
        let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
        let words = text.split(|c| !is_part(c));
        words.filter(|word| word.starts_with("jackfield_")).collect()
    }

    #[test]
    fn the_dashboard_and_the_alerts_use_only_names_that_there_are() {
        let files = [
            include_str!("../../../config/grafana/jackfield.json"),
            include_str!("../../../config/prometheus/alerts.yaml"),
        ];
        let shown = |known: &str, kind: MetricKind| match kind {
            MetricKind::Counter => vec![format!("{known}_total")],
            MetricKind::Histogram => {
                ["bucket", "sum", "count"].map(|end| format!("{known}_{end}")).to_vec()
            }
            _ => vec![known.to_owned()],
        };
        let all: Vec<String> =
            TABLE.iter().flat_map(|(known, kind, ..)| shown(known, *kind)).collect();
        for used in files.into_iter().flat_map(names) {
            assert!(all.iter().any(|known| known == used), "{used} is not in /metrics");
        }
        serde_json::from_str::<serde_json::Value>(files[0]).unwrap();
        assert_eq!(yaml_rust2::YamlLoader::load_from_str(files[1]).unwrap().len(), 1);
    }
}

//! [`Metrics`]: what plugins measure, by plugin, name and labels, for whatever renders it.
//!
//! A plugin chooses its names while it runs, so each measurement is held against the rules of Prometheus
//! (names, labels) and against limits; what breaks them is left out and counted, and a warning tells of the
//! first.

use crate::lock::IgnorePoison;
use arc_swap::ArcSwap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Upper bounds of the buckets of every histogram, three for each power of ten, in whatever unit the plugin
/// measures: from a tenth of a millisecond, in seconds, to a megabyte, in bytes.
pub const BUCKETS: [f64; 31] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5,
    1e6,
];

/// The longest name of a metric or label, in bytes.
pub const MAX_NAME: usize = 128;
/// The most labels of one series.
pub const MAX_LABELS: usize = 16;
/// The longest value of a label, in bytes.
pub const MAX_VALUE: usize = 256;

/// How many series there may be, each a metric with one set of labels: keys of `[host.limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MetricLimits {
    /// Series that one plugin may measure; measurements of more are counted and left out. Default: 1000.
    #[serde(rename = "plugin_metrics")]
    pub per_plugin: u32,
    /// Series of all plugins together. Default: 10000.
    #[serde(rename = "metrics")]
    pub in_all: u32,
}

impl Default for MetricLimits {
    fn default() -> Self {
        MetricLimits { per_plugin: 1000, in_all: 10_000 }
    }
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// A sum that only grows; recorded values are added to it.
    Counter,
    /// What was recorded last.
    Gauge,
    /// How many of the values recorded are at most as large as each of [`BUCKETS`].
    Histogram,
}

impl MetricKind {
    const ALL: [(&'static str, MetricKind); 3] = [
        ("counter", MetricKind::Counter),
        ("gauge", MetricKind::Gauge),
        ("histogram", MetricKind::Histogram),
    ];

    /// `counter`, `gauge` or `histogram`.
    pub fn as_str(self) -> &'static str {
        MetricKind::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    fn of(name: &str) -> Option<Self> {
        MetricKind::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }
}

/// Free names and values that travel with what they are written on: shown wherever it is listed,
/// never interpreted.
pub type Labels = BTreeMap<String, String>;

/// One series as others read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// The plugin's name.
    pub plugin: String,
    /// The metric's.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// What it comes to.
    #[serde(flatten)]
    pub reading: Reading,
}

/// What a series comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reading {
    /// Of a counter.
    Counter {
        /// The sum.
        value: f64,
    },
    /// Of a gauge.
    Gauge {
        /// The last value.
        value: f64,
    },
    /// Of a histogram.
    Histogram {
        /// How many values there were.
        count: u64,
        /// Their sum.
        sum: f64,
        /// For each of [`BUCKETS`], how many were at most as large.
        buckets: Vec<(f64, u64)>,
    },
}

/// Measurements of one plugin that were left out.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
pub struct Dropped {
    /// For want of room for one more series.
    pub full: u64,
    /// Because the name, a label or the value breaks a rule.
    pub invalid: u64,
}

/// All series at one moment.
#[derive(Clone, Default, PartialEq, Debug, Serialize)]
pub struct MetricsSnapshot {
    /// By plugin, then name, then labels.
    pub series: Vec<Series>,
    /// What was left out, by plugin; those without any are not named.
    pub dropped: BTreeMap<String, Dropped>,
}

/// The measurements of all plugins of one host. Cheap to clone; the clones are one.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<HostMetrics>);

#[derive(Debug, Default)]
struct HostMetrics {
    limits: Mutex<MetricLimits>,
    /// Of all plugins.
    series: AtomicUsize,
    plugins: Mutex<BTreeMap<String, PluginMetrics>>,
}

impl Metrics {
    /// Measurements with these limits.
    pub fn new(limits: MetricLimits) -> Self {
        Metrics(Arc::new(HostMetrics { limits: Mutex::new(limits), ..HostMetrics::default() }))
    }

    /// Puts other limits in force; series that are there stay.
    pub fn set_limits(&self, limits: MetricLimits) {
        *lock(&self.0.limits) = limits;
    }

    /// The limits in force.
    pub fn limits(&self) -> MetricLimits {
        *lock(&self.0.limits)
    }

    /// Where `plugin` records. Two of that name are one.
    pub fn of(&self, plugin: &str) -> PluginMetrics {
        let mut plugins = lock(&self.0.plugins);
        let new = || PluginMetrics {
            plugin: plugin.into(),
            all: Arc::clone(&self.0),
            own: Arc::default(),
        };
        plugins.entry(plugin.to_owned()).or_insert_with(new).clone()
    }

    /// All series at this moment.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let plugins: Vec<PluginMetrics> = lock(&self.0.plugins).values().cloned().collect();
        let mut snapshot = MetricsSnapshot::default();
        for plugin in plugins {
            let dropped = plugin.own.dropped();
            if dropped != Dropped::default() {
                snapshot.dropped.insert(plugin.plugin.to_string(), dropped);
            }
            for (name, family) in plugin.own.families.load().iter() {
                snapshot.series.extend(family.series.load().iter().map(|(labels, tally)| Series {
                    plugin: plugin.plugin.to_string(),
                    name: name.clone(),
                    labels: Labels::clone(labels),
                    reading: tally.reading(family.kind),
                }));
            }
        }
        snapshot
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().ignore_poison()
}

/// Where one plugin records.
#[derive(Clone)]
pub struct PluginMetrics {
    plugin: Arc<str>,
    all: Arc<HostMetrics>,
    own: Arc<OwnSeries>,
}

impl fmt::Debug for PluginMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PluginMetrics").field(&self.plugin).finish()
    }
}

/// What a plugin has recorded. Requests pass it: who adds to a series that is there, and who reads all of them, takes no
/// lock. A new series makes a new table.
#[derive(Default)]
struct OwnSeries {
    families: ArcSwap<BTreeMap<String, Arc<Family>>>,
    /// Held while a series is added: how many there are.
    adding: Mutex<usize>,
    full: AtomicU64,
    invalid: AtomicU64,
}

impl OwnSeries {
    fn dropped(&self) -> Dropped {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Dropped { full: of(&self.full), invalid: of(&self.invalid) }
    }
}

/// The series of one name.
type Tallies = BTreeMap<Arc<Labels>, Arc<Tally>>;

struct Family {
    kind: MetricKind,
    series: ArcSwap<Tallies>,
}

/// What has been recorded in one series.
#[derive(Default)]
struct Tally {
    /// The bits of a sum, or of the last value.
    value: AtomicU64,
    /// Values by the bucket they are in, and those beyond the last; empty unless a histogram.
    buckets: Box<[AtomicU64]>,
}

impl Tally {
    fn of(kind: MetricKind) -> Self {
        let buckets = if kind == MetricKind::Histogram { BUCKETS.len() + 1 } else { 0 };
        let buckets = std::iter::repeat_with(AtomicU64::default).take(buckets);
        Tally { buckets: buckets.collect(), ..Tally::default() }
    }

    fn record(&self, kind: MetricKind, value: f64) {
        let set = |bits: u64| match kind {
            MetricKind::Gauge => value.to_bits(),
            _ => (f64::from_bits(bits) + value).to_bits(),
        };
        // It never gives up: what is set is always something.
        let _ =
            self.value.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| Some(set(bits)));
        let at = BUCKETS.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn reading(&self, kind: MetricKind) -> Reading {
        let value = f64::from_bits(self.value.load(Ordering::Relaxed));
        match kind {
            MetricKind::Counter => Reading::Counter { value },
            MetricKind::Gauge => Reading::Gauge { value },
            MetricKind::Histogram => {
                let mut count = 0;
                let below = self.buckets.iter().map(|bucket| {
                    count += bucket.load(Ordering::Relaxed);
                    count
                });
                let buckets: Vec<u64> = below.collect();
                let count = buckets.last().copied().unwrap_or_default();
                let buckets = BUCKETS.iter().copied().zip(buckets).collect();
                Reading::Histogram { count, sum: value, buckets }
            }
        }
    }
}

/// Why a measurement is left out.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Full(&'static str),
    Invalid(String),
}

impl PluginMetrics {
    /// Records `value`. `kind` is `counter`, `gauge` or `histogram`; `labels` are a JSON object of texts,
    /// numbers and booleans, or null. What breaks a rule or has no room is left out and counted.
    pub fn record(&self, kind: &str, name: &str, labels: &str, value: f64) {
        let checked = check(kind, name, labels, value);
        let done = checked.and_then(|(kind, labels)| self.add(kind, name, labels, value));
        let Err(refused) = done else { return };
        let count = match refused {
            Refused::Full(_) => &self.own.full,
            Refused::Invalid(_) => &self.own.invalid,
        };
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            let plugin = &*self.plugin;
            match refused {
                Refused::Full(key) => {
                    tracing::warn!(plugin, key, "no room for a new series; others are counted");
                }
                Refused::Invalid(reason) => {
                    tracing::warn!(
                        plugin,
                        reason,
                        "a measurement was left out; others are counted"
                    );
                }
            }
        }
    }

    fn add(&self, kind: MetricKind, name: &str, labels: Labels, value: f64) -> Result<(), Refused> {
        let there = |families: &BTreeMap<String, Arc<Family>>| {
            let Some(family) = families.get(name) else { return Ok(None) };
            if family.kind != kind {
                let text = format!("{name} is a {}, not a {}", family.kind.as_str(), kind.as_str());
                return Err(Refused::Invalid(text));
            }
            Ok(Some(Arc::clone(family)))
        };
        let known = there(&self.own.families.load())?;
        if let Some(tally) = known.and_then(|family| family.series.load().get(&labels).cloned()) {
            tally.record(kind, value);
            return Ok(());
        }
        // Only where a series is new: one that is there asks for no limit.
        let mut count = lock(&self.own.adding);
        let families = self.own.families.load_full();
        let family = there(&families)?;
        if let Some(tally) = family.as_ref().and_then(|it| it.series.load().get(&labels).cloned()) {
            tally.record(kind, value);
            return Ok(());
        }
        let limits = *lock(&self.all.limits);
        if *count >= limits.per_plugin as usize {
            return Err(Refused::Full("host.limits.plugin_metrics"));
        }
        let most = limits.in_all as usize;
        let more = |have: usize| (have < most).then_some(have + 1);
        if self.all.series.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            return Err(Refused::Full("host.limits.metrics"));
        }
        *count += 1;
        let tally = Arc::new(Tally::of(kind));
        tally.record(kind, value);
        let before = family.as_ref().map(|family| family.series.load_full());
        let mut series = before.map(|before| Tallies::clone(&before)).unwrap_or_default();
        series.insert(Arc::new(labels), tally);
        match family {
            Some(family) => family.series.store(Arc::new(series)),
            None => {
                let mut families = BTreeMap::clone(&families);
                let series = ArcSwap::from_pointee(series);
                families.insert(name.to_owned(), Arc::new(Family { kind, series }));
                self.own.families.store(Arc::new(families));
            }
        }
        Ok(())
    }
}

fn check(
    kind: &str,
    name: &str,
    labels: &str,
    value: f64,
) -> Result<(MetricKind, Labels), Refused> {
    let invalid = |text: String| Err(Refused::Invalid(text));
    let Some(kind) = MetricKind::of(kind) else {
        return invalid(format!("expected counter, gauge or histogram, found {:?}", cut(kind)));
    };
    if name.len() > MAX_NAME || !is_name(name, true) {
        return invalid(format!(
            "expected a name of a-z, A-Z, 0-9, _ and :, found {:?}",
            cut(name)
        ));
    }
    if !value.is_finite() || kind == MetricKind::Counter && value < 0.0 {
        return invalid(format!("{name}: expected a finite value, of a counter not below 0"));
    }
    let labels = match serde_json::from_str(labels) {
        Ok(Value::Object(labels)) => labels,
        Ok(Value::Null) => Map::new(),
        _ => return invalid(format!("{name}: expected labels as an object")),
    };
    if labels.len() > MAX_LABELS {
        return invalid(format!("{name}: expected at most {MAX_LABELS} labels"));
    }
    let labels = labels.into_iter().map(|(label, value)| {
        // What renders it uses these itself.
        let taken = label == "plugin" || kind == MetricKind::Histogram && label == "le";
        let reserved = taken || label.starts_with("__");
        if reserved || label.len() > MAX_NAME || !is_name(&label, false) {
            let text = format!("{name}: expected a name of a label, found {:?}", cut(&label));
            return Err(Refused::Invalid(text));
        }
        let value = match value {
            Value::String(text) => text,
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => String::from("\0"),
        };
        if value.len() > MAX_VALUE || value.contains('\0') {
            let text = format!("{name}: expected a text of at most {MAX_VALUE} bytes as {label}");
            return Err(Refused::Invalid(text));
        }
        Ok((label, value))
    });
    Ok((kind, labels.collect::<Result<_, _>>()?))
}

/// Enough of a text of the plugin's to recognise it.
fn cut(text: &str) -> String {
    text.chars().take(32).collect()
}

fn is_name(name: &str, colons: bool) -> bool {
    let is = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || colons && byte == b':';
    name.bytes().next().is_some_and(is) && name.bytes().all(|b| is(b) || b.is_ascii_digit())
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;

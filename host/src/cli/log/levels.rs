//! [`LogControl`]: the level of the log, changed while it is written and only for a time.
//!
//! A filter knows the place in the code that a line is from, and lines of all drivers are from one place. So the filter
//! lets the most that any driver is to have through there, and [`DriverGate`] holds back what is of another one.

use super::limit::Limit;
use super::{Outcome, filter, level, parsed, with_kinds};
use crate::admin::{LevelChange, LogLevels};
use crate::config::model::{LogConfig, LogFormat};
use crate::lock::IgnorePoison;
use crate::services::PLUGIN_LINES;
use arc_swap::ArcSwap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Instant;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// What the configuration says of the log.
struct ConfiguredLog {
    /// As a filter; the environment wins.
    base: String,
    config: LogConfig,
}

/// A change and when it is over.
struct TimedChange {
    change: LevelChange,
    until: Instant,
}

/// What the level of the log is changed by.
pub(in crate::cli) struct LogControl {
    own: Weak<LogControl>,
    filter: Handle<EnvFilter, Registry>,
    configured: Mutex<ConfiguredLog>,
    limit: &'static Limit,
    is_json: Arc<AtomicBool>,
    gate: Arc<ArcSwap<GateLevels>>,
    changes: Mutex<Vec<TimedChange>>,
}

/// The filter of a log, what holds back lines of other drivers, and what both are changed by.
type Controlled = (reload::Layer<EnvFilter, Registry>, DriverGate, Arc<LogControl>);

impl LogControl {
    /// With the filter that `base` is in force.
    pub(super) fn new(
        (base, filter): (String, EnvFilter),
        config: &LogConfig,
        (limit, is_json): (&'static Limit, Arc<AtomicBool>),
    ) -> Controlled {
        let (layer, filter) = reload::Layer::new(filter);
        let gate = Arc::new(ArcSwap::from_pointee(GateLevels::default()));
        let own = DriverGate(Arc::clone(&gate));
        let control = Arc::new_cyclic(|own| LogControl {
            own: Weak::clone(own),
            filter,
            configured: Mutex::new(ConfiguredLog { base, config: config.clone() }),
            limit,
            is_json,
            gate,
            changes: Mutex::default(),
        });
        (layer, own, control)
    }

    /// Is as `config` says from now on, with its level raised by `verbose`; levels that hold for a time go on.
    pub(in crate::cli) fn configure(&self, config: &LogConfig, verbose: u8) {
        let applied = filter(level(config.level, verbose), config).map(|(base, _)| {
            let config = config.clone();
            *self.configured.lock().ignore_poison() = ConfiguredLog { base, config };
            self.apply(&mut self.changes())
        });
        self.limit.configure(config);
        self.is_json.store(config.format == LogFormat::Json, Ordering::Relaxed);
        match applied {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error, "the level of the log stays as it was"),
            Err(_) => tracing::warn!("the level of the log stays as it was"),
        }
    }

    fn changes(&self) -> MutexGuard<'_, Vec<TimedChange>> {
        self.changes.lock().ignore_poison()
    }

    /// Puts in force what is left of changes.
    fn apply(&self, changes: &mut Vec<TimedChange>) -> Result<(), String> {
        let now = Instant::now();
        changes.retain(|timed| timed.until > now);
        let all = || changes.iter().map(|timed| &timed.change);
        let whole = all().rev().find(|change| change.driver.is_none());
        let configured = self.configured.lock().ignore_poison();
        let mut text = match whole {
            Some(change) => with_kinds(&change.level, &configured.config),
            None => configured.base.clone(),
        };
        drop(configured);
        let mut levels = GateLevels { others: level_of(&text, PLUGIN_LINES), drivers: Vec::new() };
        for change in all() {
            if let (Some(driver), Ok(level)) = (&change.driver, change.level.parse()) {
                levels.drivers.push((driver.clone(), level));
            }
        }
        if let Some(most) = levels.drivers.iter().map(|(_, level)| *level).max() {
            let most = most.max(levels.others);
            text.push_str(&format!(",{PLUGIN_LINES}={most}"));
        }
        self.gate.store(Arc::new(levels));
        let filter: Outcome<EnvFilter> = parsed(&text);
        let filter = filter.map_err(|_| format!("{text:?} is no filter"))?;
        // The filter itself is put in another's place, which works, and not a layer with a filter of its own, where
        // that is a panic. It also makes every place in the code ask anew.
        self.filter.reload(filter).map_err(|error| error.to_string())
    }
}

impl LogLevels for LogControl {
    fn change(&self, change: &LevelChange) -> Result<(), String> {
        let mut changes = self.changes();
        changes.retain(|timed| timed.change.driver != change.driver);
        let until = Instant::now() + change.within;
        changes.push(TimedChange { change: change.clone(), until });
        self.apply(&mut changes)?;
        drop(changes);
        let own = Weak::clone(&self.own);
        tokio::spawn(async move {
            tokio::time::sleep_until(until.into()).await;
            let Some(control) = own.upgrade() else { return };
            let applied = control.apply(&mut control.changes());
            match applied {
                Ok(()) => tracing::info!("the level of the log is what it was before the change"),
                Err(error) => tracing::warn!(error, "the level of the log stays changed"),
            }
        });
        Ok(())
    }

    fn levels(&self) -> (String, Vec<(LevelChange, u64)>) {
        let now = Instant::now();
        let left = |timed: &TimedChange| {
            let left = timed.until.saturating_duration_since(now);
            (timed.change.clone(), u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
        };
        (
            self.configured.lock().ignore_poison().base.clone(),
            self.changes().iter().map(left).collect(),
        )
    }
}

/// The level that the text of a filter gives to a place in the code.
fn level_of(filter: &str, place: &str) -> LevelFilter {
    let mut found = (0, LevelFilter::ERROR);
    for directive in filter.split(',').map(str::trim) {
        let (target, level) = directive.split_once('=').unwrap_or(("", directive));
        let Ok(level) = level.parse() else { continue };
        if place.starts_with(target) && target.len() >= found.0 {
            found = (target.len(), level);
        }
    }
    found.1
}

/// The levels of drivers.
#[derive(Debug)]
struct GateLevels {
    drivers: Vec<(String, LevelFilter)>,
    /// Of those that are not named.
    others: LevelFilter,
}

impl Default for GateLevels {
    fn default() -> Self {
        GateLevels { drivers: Vec::new(), others: LevelFilter::TRACE }
    }
}

/// Holds back lines of drivers that are not to have so many.
pub(super) struct DriverGate(Arc<ArcSwap<GateLevels>>);

impl<S: Subscriber> Layer<S> for DriverGate {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let levels = self.0.load();
        if levels.drivers.is_empty() || event.metadata().target() != PLUGIN_LINES {
            return true;
        }
        let mut driver = DriverField(String::new());
        event.record(&mut driver);
        let known = levels.drivers.iter().find(|(name, _)| *name == driver.0);
        *event.metadata().level() <= known.map_or(levels.others, |(_, level)| *level)
    }
}

/// Which driver a line is of.
struct DriverField(String);

impl Visit for DriverField {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "driver" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_directive_for_a_place_counts() {
        let level = |filter: &str| level_of(filter, PLUGIN_LINES);
        assert_eq!(level("info"), LevelFilter::INFO);
        assert_eq!(level("warn,jackfield=debug"), LevelFilter::DEBUG);
        assert_eq!(
            level("warn,jackfield=debug,jackfield_core::services=error"),
            LevelFilter::ERROR
        );
        assert_eq!(level("info,jackfield::session=off"), LevelFilter::INFO);
    }
}

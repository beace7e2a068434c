//! [`TestHost`]: a host that remembers what plugins tell it.

use super::services::TokioServices;
use crate::error::Result;
use crate::info::Event;
use crate::secret::Secret;
use crate::services::{Host, Level, Services, export_services};
use crate::session::Session;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The most lines, events and measurements that are remembered of each; later ones are dropped.
const MOST: usize = 10_000;

/// A log line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// Where it comes from.
    pub target: String,
    /// The text.
    pub message: String,
}

/// A measurement.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Measurement {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its labels, an object.
    pub labels: Value,
    /// The value.
    pub value: f64,
}

/// A host for tests, on the tokio runtime that the test runs in: tasks, timers (a paused clock holds
/// them), blocking work, TCP, Unix and UDP sockets, watched descriptors, names. It remembers log lines,
/// events and measurements, has the secrets and stacks that it is given, and stops when it is told to.
/// Clones are the same host.
#[derive(Clone)]
pub struct TestHost(pub(super) Arc<Shared>);

type Open = Box<dyn Fn(&str, &Value) -> Result<Session> + Send + Sync>;

pub(super) struct Shared {
    told: Mutex<Told>,
    secrets: Mutex<BTreeMap<String, Secret>>,
    open: Mutex<Option<Open>>,
    tasks: AtomicUsize,
    pub(super) stopping: watch::Sender<bool>,
}

#[derive(Default)]
struct Told {
    lines: Vec<Line>,
    events: Vec<Event>,
    measurements: Vec<Measurement>,
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for TestHost {
    fn default() -> Self {
        TestHost::new()
    }
}

impl std::fmt::Debug for TestHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestHost")
    }
}

impl TestHost {
    /// A host that was told nothing yet.
    pub fn new() -> Self {
        TestHost(Arc::new(Shared {
            told: Mutex::default(),
            secrets: Mutex::default(),
            open: Mutex::default(),
            tasks: AtomicUsize::new(0),
            stopping: watch::Sender::new(false),
        }))
    }

    /// Lets plugins read `secret` by `reference`.
    #[must_use]
    pub fn secret(self, reference: &str, secret: &str) -> Self {
        held(&self.0.secrets).insert(reference.to_owned(), Secret::new(secret));
        self
    }

    /// What [`Host::open`] gives: called with the URI and the options.
    #[must_use]
    pub fn opens(
        self,
        open: impl Fn(&str, &Value) -> Result<Session> + Send + Sync + 'static,
    ) -> Self {
        *held(&self.0.open) = Some(Box::new(open));
        self
    }

    /// The host as a plugin sees it. Each one lives as long as the process, and does all in the runtime that
    /// this is called in; outside of one, in that of its first use. What is used outside of any, where
    /// [`run`](super::run) and [`paused`](super::paused) are not, fails.
    pub fn host(&self) -> Host {
        let (table, context) = export_services(self.services());
        // SAFETY: both come from the call above.
        unsafe { Host::new(table, context) }
    }

    /// The services behind it, for a plugin that is loaded from a file.
    #[doc(hidden)]
    pub fn services(&self) -> Arc<dyn Services> {
        Arc::new(TokioServices::new(Arc::clone(&self.0)))
    }

    /// Begins to stop: [`Host::stopping`] completes.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// The log lines so far.
    pub fn lines(&self) -> Vec<Line> {
        held(&self.0.told).lines.clone()
    }

    /// The events so far, those of [`Host::event`].
    pub fn events(&self) -> Vec<Event> {
        held(&self.0.told).events.clone()
    }

    /// The measurements so far.
    pub fn measurements(&self) -> Vec<Measurement> {
        held(&self.0.told).measurements.clone()
    }

    /// Tasks of [`Host::spawn`] that have not ended. A task that was dropped ends when the test's
    /// runtime comes to it: `tokio::task::yield_now` lets it.
    pub fn tasks(&self) -> usize {
        self.0.tasks.load(Ordering::SeqCst)
    }
}

impl Shared {
    pub(super) fn log(&self, level: Level, target: &str, message: &str) {
        let line = Line { level, target: target.to_owned(), message: message.to_owned() };
        keep(&mut held(&self.told).lines, line);
    }

    pub(super) fn event(&self, event: &str) {
        if let Ok(event) = serde_json::from_str(event) {
            keep(&mut held(&self.told).events, event);
        }
    }

    pub(super) fn metric(&self, kind: &str, name: &str, labels: &str, value: f64) {
        let labels = serde_json::from_str(labels).unwrap_or(Value::Null);
        let (kind, name) = (kind.to_owned(), name.to_owned());
        keep(&mut held(&self.told).measurements, Measurement { kind, name, labels, value });
    }

    pub(super) fn secret(&self, reference: &str) -> Option<Secret> {
        held(&self.secrets).get(reference).cloned()
    }

    pub(super) fn open(&self, uri: &str, options: &str) -> Option<Result<Session>> {
        let options = serde_json::from_str(options).unwrap_or(Value::Null);
        held(&self.open).as_ref().map(|open| open(uri, &options))
    }

    /// One more task, until the result is dropped.
    pub(super) fn task(self: &Arc<Self>) -> Task {
        self.tasks.fetch_add(1, Ordering::SeqCst);
        Task(Arc::clone(self))
    }
}

pub(super) struct Task(Arc<Shared>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Ordering::SeqCst);
    }
}

fn keep<T>(list: &mut Vec<T>, one: T) {
    if list.len() < MOST {
        list.push(one);
    }
}

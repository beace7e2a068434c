//! [`FileHealth`]: what the code of one plugin file did wrong while it ran, and whether it is still used.

use super::circuit::{Admitted, Circuit, FileStanding, QuarantineOptions, SharedQuarantine};
use super::culprit::{Culprit, told};
use crate::lock::IgnorePoison;
use jackfield_plugin_api::services::PanicReport;
use jackfield_plugin_api::{Error, ErrorKind, Origin, Result, Retry};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// Kept for each file, and shared by all its drivers and handlers: they are one piece of code. A file
/// that is replaced by another starts anew.
///
/// A file gets no new sessions while it is in quarantine for its panics, while one of its calls does not
/// come back, and for ever once its options were not taken in time. Sessions that are open go on.
#[derive(Debug)]
pub struct FileHealth {
    plugin: String,
    options: SharedQuarantine,
    patience: Duration,
    panics: AtomicU32,
    given_up: OnceLock<Error>,
    /// Whether a new session has to look at what follows.
    is_troubled: AtomicBool,
    troubles: Mutex<Troubles>,
    hold: watch::Sender<StuckCall>,
}

#[derive(Debug)]
struct Troubles {
    circuit: Circuit,
    /// Why it was opened last.
    reason: String,
    /// How it stood when a line told of it.
    told: FileStanding,
}

/// What a call that does not come back means for new sessions.
#[derive(Clone, Debug, PartialEq)]
enum StuckCall {
    /// There is none.
    Free,
    /// They wait: the call may come back soon.
    Wait,
    /// They are refused.
    Refuse(Error),
}

/// The session that tries a file that is half open; it has tried when this is dropped.
#[derive(Debug)]
pub(super) struct Trial<'a>(&'a FileHealth);

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.0.troubles().circuit.tried();
    }
}

impl Default for FileHealth {
    fn default() -> Self {
        FileHealth::new("", SharedQuarantine::default(), Duration::from_secs(10))
    }
}

impl FileHealth {
    /// For the file of `plugin`; preparing options may take as long as `patience`.
    pub(super) fn new(plugin: &str, options: SharedQuarantine, patience: Duration) -> Self {
        let circuit = Circuit::new();
        let troubles = Troubles { circuit, reason: String::new(), told: FileStanding::Closed };
        FileHealth {
            plugin: plugin.to_owned(),
            options,
            patience,
            panics: AtomicU32::new(0),
            given_up: OnceLock::new(),
            is_troubled: AtomicBool::new(false),
            troubles: Mutex::new(troubles),
            hold: watch::Sender::new(StuckCall::Free),
        }
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().ignore_poison()
    }

    /// Panics of its code so far, in calls, sessions and drops alike.
    pub fn panics(&self) -> u32 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Why it gets no new sessions, or only one at a time; `None` if it does.
    pub fn reason(&self) -> Option<Error> {
        if let Some(reason) = self.given_up.get() {
            return Some(reason.clone());
        }
        if let StuckCall::Refuse(reason) = &*self.hold.borrow() {
            return Some(reason.clone());
        }
        let mut troubles = self.troubles();
        let standing = troubles.circuit.standing(&self.options.load(), Instant::now());
        (standing != FileStanding::Closed).then(|| self.refusal(&troubles.reason, standing))
    }

    /// `running`; `quarantined` for its panics, or for options that were not taken; `half_open` while one
    /// session at a time tries it after that; `stuck` while a call does not come back.
    pub fn state(&self) -> &'static str {
        if self.given_up.get().is_some() {
            return "quarantined";
        }
        if matches!(*self.hold.borrow(), StuckCall::Refuse(_)) {
            return "stuck";
        }
        match self.troubles().circuit.standing(&self.options.load(), Instant::now()) {
            FileStanding::Closed => "running",
            FileStanding::Open(_) => "quarantined",
            FileStanding::HalfOpen => "half_open",
        }
    }

    pub(super) fn options(&self) -> Arc<QuarantineOptions> {
        self.options.load_full()
    }

    fn refusal(&self, reason: &str, standing: FileStanding) -> Error {
        let when = match standing {
            FileStanding::Open(until) => {
                let left = until.saturating_duration_since(Instant::now());
                format!("it is tried again in {}s", left.as_secs() + 1)
            }
            _ => "one session at a time tries it".to_owned(),
        };
        let text = format!("the plugin {} is in quarantine {reason}; {when}", self.plugin);
        Error::new(ErrorKind::Limit, text)
    }

    /// Whether what is new must be admitted; where not, there is nothing to wait for.
    pub(super) fn is_troubled(&self) -> bool {
        self.is_troubled.load(Ordering::Acquire)
    }

    /// Whether a new session may begin; one that tries it, until the answer is dropped. While a call has
    /// not come back for a moment, it waits, at most for the limit of such calls. Cancel safe.
    ///
    /// # Errors
    /// Why it gets no new sessions.
    pub(super) async fn admit(&self) -> Result<Option<Trial<'_>>> {
        if !self.is_troubled() {
            return Ok(None);
        }
        if let Some(reason) = self.given_up.get() {
            return Err(reason.clone());
        }
        let mut hold = self.hold.subscribe();
        // The sender is in here: it cannot be gone.
        if let Ok(now) = hold.wait_for(|hold| *hold != StuckCall::Wait).await
            && let StuckCall::Refuse(reason) = &*now
        {
            return Err(reason.clone());
        }
        self.admit_by_circuit()
    }

    fn admit_by_circuit(&self) -> Result<Option<Trial<'_>>> {
        let mut troubles = self.troubles();
        let admitted = troubles.circuit.admit(&self.options.load(), Instant::now());
        match admitted {
            Ok(Admitted::Freely) => {
                if std::mem::replace(&mut troubles.told, FileStanding::Closed)
                    != FileStanding::Closed
                {
                    tracing::info!(
                        plugin = self.plugin,
                        "the plugin has not panicked again: it is used as before"
                    );
                }
                let is_held = *self.hold.borrow() != StuckCall::Free;
                self.is_troubled.store(is_held, Ordering::Release);
                Ok(None)
            }
            Ok(Admitted::OnTrial) => {
                if std::mem::replace(&mut troubles.told, FileStanding::HalfOpen)
                    != FileStanding::HalfOpen
                {
                    let plugin = self.plugin.as_str();
                    tracing::info!(plugin, "the plugin is tried again, with one session at a time");
                }
                Ok(Some(Trial(self)))
            }
            Err(standing) => Err(self.refusal(&troubles.reason, standing)),
        }
    }

    /// Counts a panic and tells of it. On the thread that panicked.
    pub(super) fn panicked(&self, report: &PanicReport) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let culprit = Culprit::here(&self.plugin);
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (location, thread) = (some(&report.location), some(&report.thread));
        told!(ERROR, culprit, location = location, thread = thread, panic = report.message;
            "a plugin panicked");
        let mut troubles = self.troubles();
        let Some(opened) = troubles.circuit.panicked(&self.options.load(), Instant::now()) else {
            return;
        };
        let panics = opened.panics;
        troubles.reason = format!("after {panics} panics, the last: {}", report.message);
        troubles.told = FileStanding::Open(Instant::now());
        self.is_troubled.store(true, Ordering::Release);
        told!(ERROR, culprit, panics = panics, pause = tracing::field::debug(opened.pause);
            "the plugin is in quarantine: it gets no new sessions for a while");
    }

    /// Lets new sessions wait: a call has not come back for a moment.
    pub(super) fn hold(&self) {
        self.set_hold(|hold| if *hold == StuckCall::Free { Some(StuckCall::Wait) } else { None });
    }

    /// Refuses new sessions: a call has not come back in time.
    pub(super) fn refuse(&self, culprit: &Culprit, since: Duration) {
        let text = format!(
            "the plugin {} gets no new sessions: {culprit} did not return within {since:?}",
            self.plugin
        );
        let reason = Error::new(ErrorKind::Limit, text);
        let anew = |hold: &StuckCall| {
            (!matches!(hold, StuckCall::Refuse(_))).then_some(StuckCall::Refuse(reason))
        };
        self.set_hold(anew);
    }

    /// All calls have come back.
    pub(super) fn release(&self) {
        self.set_hold(|hold| (*hold != StuckCall::Free).then_some(StuckCall::Free));
    }

    fn set_hold(&self, next: impl FnOnce(&StuckCall) -> Option<StuckCall>) {
        let _troubles = self.troubles();
        self.hold.send_if_modified(|hold| {
            let Some(next) = next(hold) else { return false };
            *hold = next;
            if *hold != StuckCall::Free {
                self.is_troubled.store(true, Ordering::Release);
            }
            true
        });
    }

    fn give_up(&self, reason: &Error) {
        // The first reason stays.
        if let Ok(()) = self.given_up.set(reason.clone()) {
            self.is_troubled.store(true, Ordering::Release);
            let plugin = self.plugin.as_str();
            tracing::error!(plugin, %reason, "the plugin is disabled until the host restarts");
        }
    }

    /// Runs code of the plugin that may block on a thread of its own: if it does not come back in
    /// time, it keeps that thread, but neither a runtime's nor the end of this process.
    ///
    /// # Errors
    /// The code's own; [`ErrorKind::TimedOut`] if it does not come back, and from then on.
    pub(super) async fn prepare<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if let Some(reason) = self.given_up.get() {
            return Err(reason.clone());
        }
        let (send, receive) = oneshot::channel();
        let run = move || {
            // The receiver is gone when the time is over.
            let _ = send.send(work());
        };
        std::thread::Builder::new().name("plugin-options".to_owned()).spawn(run)?;
        match jackfield_timers::timeout(self.patience, receive).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::new(ErrorKind::Panicked, "preparing options panicked")),
            Err(_) => {
                let text = format!("options were not taken within {:?}", self.patience);
                let hung = Error::new(ErrorKind::TimedOut, text);
                let hung = hung.with_origin(Origin::Internal).with_retry(Retry::Never);
                self.give_up(&hung);
                Err(hung)
            }
        }
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;

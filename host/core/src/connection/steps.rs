//! The state changes of a life, their history, and their events.

use super::live::Live;
use super::machinery::Machinery;
use super::record::{Decider, History, Transition};
use super::state::State;
use crate::events::{Cause, EventKind};
use crate::lock::IgnorePoison;
use crate::work::OpeningStep;
use jackfield_plugin_api::{Error, ErrorKind, Facets, Info, Session};
use std::sync::MutexGuard;
use std::sync::atomic::{Ordering, fence};

impl Live {
    pub(super) fn record(&self) -> MutexGuard<'_, History> {
        self.record.lock().ignore_poison()
    }

    pub(super) fn note_error(&self, error: &Error) {
        self.keep_error(error);
        self.tell(EventKind::Error { cause: Cause::from(error) });
    }

    pub(super) fn keep_error(&self, error: &Error) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.record().cause = Some(error.clone());
        self.tell_error(error);
    }

    pub(super) fn cause(&self) -> Option<Error> {
        self.machinery.get().and_then(|_| self.record().cause.clone())
    }

    pub(super) fn steps(&self) -> Vec<Transition> {
        self.machinery
            .get()
            .map_or_else(Vec::new, |_| self.record().steps.iter().cloned().collect())
    }

    pub(super) fn last_session_info(&self) -> Option<Info> {
        self.machinery.get().and_then(|_| self.record().info.clone())
    }

    /// Why it has ended.
    pub(crate) fn end_cause(&self) -> Error {
        let closed = || Error::new(ErrorKind::Closed, "the connection was closed");
        // An error of long ago is not why it was closed.
        if self.state() == State::Closed {
            return closed();
        }
        self.cause().unwrap_or_else(closed)
    }

    /// Tells what has happened: to those who listen to this life, to its name, and to the whole host.
    pub(super) fn tell(&self, kind: EventKind) {
        self.tell_above(&kind);
        if let Some(machinery) = self.machinery.get() {
            machinery.events.emit_of(self.id, &self.spec.source, kind);
        }
    }

    /// What is done at this moment to open it.
    pub(crate) fn note_opening(&self, step: OpeningStep) {
        self.opening.store(step as u8, Ordering::Relaxed);
    }

    /// Tells that it has begun; no subscriber can be there before that.
    pub(super) fn tell_created(&self) {
        self.tell_above(&EventKind::Created);
    }

    /// Tells those who listen to its name, and to the whole host.
    fn tell_above(&self, kind: &EventKind) {
        let spec = &self.spec;
        let host =
            spec.lives.as_ref().and_then(|lives| lives.host()).filter(|it| it.has_subscribers());
        if let Some(host) = host {
            host.emit_of(self.id, &spec.source, kind.clone());
        }
        if let Some(name) = &spec.events {
            name.emit_of(self.id, &spec.source, kind.clone());
        }
    }

    /// Takes a legal step and tells of it; an illegal one is a bug and changes nothing.
    pub(super) fn step(&self, to: State, by: Decider, because: &str, event: EventKind) {
        if self.stepped(to, by, because) {
            self.arrived(to, event);
        }
    }

    /// Tells of a step that was taken.
    fn arrived(&self, at: State, event: EventKind) {
        self.tell(event);
        if let Some(machinery) = self.machinery.get() {
            machinery.changed.send_replace(at);
        }
    }

    /// Takes a step and writes it to the log; its record is kept if there is one.
    fn stepped(&self, to: State, by: Decider, because: &str) -> bool {
        let stepped = match self.machinery.get() {
            Some(machinery) => {
                let mut record = machinery.record.lock().ignore_poison();
                self.state.step(to).map(|_| record.step(self.traffic.age_ms(), to, by, because))
            }
            None => self.state.step(to).map(drop),
        };
        // Who makes the machinery at this moment sees the state, or is seen by what follows.
        fence(Ordering::SeqCst);
        if let Err(illegal) = &stepped {
            tracing::error!(connection = &*self.name, %illegal, "state");
            return false;
        }
        self.log(to, because);
        true
    }

    /// The last step: by then it is in no count any more, and every post has its answer.
    pub(super) fn end(&self, state: State, by: Decider, cause: Cause) {
        if let Some(machinery) = self.machinery.get() {
            self.seal(machinery, &cause.text);
        }
        if let Some(lives) = &self.spec.lives {
            lives.leave(self);
        }
        if self.stepped(state, by, &cause.text) {
            self.arrived(state, EventKind::Closed { cause });
        }
    }

    fn log(&self, state: State, because: &str) {
        // Those that are accepted have lines of their listener.
        if self.spec.inbound.is_none() {
            tracing::info!(connection = &*self.name, id = self.id, %state, because, "connection");
        }
    }

    /// Takes nothing more.
    pub(super) fn seal(&self, machinery: &Machinery, cause: &str) {
        machinery.session.store(None);
        self.end_dialogue();
        let text = format!("{}: {cause}", self.name);
        machinery.outbox.refuse(&Error::new(ErrorKind::Closed, text));
    }
}

/// Whether a session has requests and nothing that a handler is given.
pub(super) fn only_requests(session: &Session) -> bool {
    let facets = session.facets();
    let others = Facets::STREAM.union(Facets::MESSAGES).union(Facets::DATAGRAMS);
    facets.contains(Facets::EXCHANGE) && facets.bits() & others.bits() == 0
}

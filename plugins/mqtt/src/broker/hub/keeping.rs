//! What of the state of a broker is written to its journal, and how it is read and rewritten.

use super::replay::Replay;
use super::{Hub, State};
use crate::broker::state::{
    Journal, Queued, Record, WrittenFilter, WrittenMessage, records_of, unix_now,
};
use crate::engine::Kept;
use crate::packet::Publication;
use crate::reason;
use jackfield_plugin_api::{ErrorKind, Level, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a broker waits for another one to leave its state directory.
const LEAVES: Duration = Duration::from_secs(10);

/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

impl Hub {
    /// Reads the state directory where there is one and it was not read yet; clients wait for that. While another
    /// broker uses it, such as that of a host which ends, this waits for ten seconds. Cancel safe.
    ///
    /// # Errors
    /// It cannot be used; it is tried again when this is called again.
    pub(in crate::broker) async fn open(self: &Arc<Self>) -> Result<()> {
        let mut opened = self.opened.lock().await;
        if *opened {
            return Ok(());
        }
        let until = self.host.now() + LEAVES;
        loop {
            let hub = Arc::clone(self);
            match self.host.blocking(move || hub.read()).await? {
                Err(error) if error.kind() == ErrorKind::InUse && self.host.now() < until => {
                    self.host.timer(LOOK).await;
                }
                read => {
                    *opened = read.is_ok();
                    return read;
                }
            }
        }
    }

    /// Opens the journal and takes up what it has.
    fn read(&self) -> Result<()> {
        // Who has begun it may not have waited for its end.
        if self.state().journal.is_some() {
            return Ok(());
        }
        let folder = PathBuf::from(&self.limits().state_dir);
        let mut replay = Replay::default();
        let (journal, found) = Journal::open(&folder, |record| replay.apply(record))?;
        if let Some(damage) = found.damage {
            let text =
                format!("the state of the broker is damaged, and read up to there: {damage}");
            self.host.log(Level::Error, "mqtt", &text);
        }
        if found.torn {
            let text = "the last record of the broker's state was cut off, and is left out";
            self.host.log(Level::Warn, "mqtt", &format!("{text} [folder={}]", folder.display()));
        }
        let left_out = self.restore(replay, Some(journal));
        if left_out > 0 {
            let text = format!(
                "sessions and messages of the broker's state are left out: they are more than its limits [count={left_out}]"
            );
            self.host.log(Level::Warn, "mqtt", &text);
        }
        Ok(())
    }

    /// Takes up what stands in a journal that is not written; returns how much of it is whole.
    pub(in crate::broker) fn read_bytes(&self, bytes: &[u8]) -> usize {
        let mut replay = Replay::default();
        let read = records_of(bytes, |record| replay.apply(record));
        self.restore(replay, None);
        self.sweep(self.host.now());
        read
    }

    /// Writes what was noted. A disk that does not take it costs what is kept, and not the service.
    pub(super) fn commit(&self, state: &mut State) {
        let Some(journal) = &mut state.journal else { return };
        if let Err(error) = journal.commit(self.host.now()) {
            let text = format!(
                "the broker's state is not written, and would be lost with the host: {error}"
            );
            self.host.log(Level::Error, "mqtt", &text);
        }
    }

    /// Rewrites the journal when most of it is of no use. Blocks; clients wait only while the state is copied.
    pub(in crate::broker) fn rewrite(&self) {
        let (rewriting, records) = {
            let mut state = self.state();
            let now = self.host.now();
            let wants = |journal: &&mut Journal| journal.wants_rewriting(now);
            let Some(journal) = state.journal.as_mut().filter(wants) else { return };
            let rewriting = journal.begin_rewriting();
            (rewriting, state.records(now))
        };
        let written = rewriting.write(records.into_iter());
        let mut state = self.state();
        let now = self.host.now();
        match state.journal.as_mut().map(|journal| journal.end_rewriting(written, now)) {
            Some(Err(error)) => {
                let text = format!("the broker's state was not rewritten: {error}");
                self.host.log(Level::Warn, "mqtt", &text);
            }
            Some(Ok(true)) => {
                self.host.log(Level::Info, "mqtt", "the broker's state is written again");
            }
            Some(Ok(false)) | None => {}
        }
    }

    /// Whether the journal is to be rewritten.
    pub(in crate::broker) fn wants_rewriting(&self) -> bool {
        let now = self.host.now();
        self.state().journal.as_ref().is_some_and(|journal| journal.wants_rewriting(now))
    }

    /// The host stops: leaves the state directory to the next broker once no client is here. True when it has.
    pub(in crate::broker) fn leave_state(&self) -> bool {
        let mut state = self.state();
        if state.connected > 0 {
            return false;
        }
        state.has_left = true;
        if let Some(journal) = state.journal.take() {
            journal.sync();
        }
        true
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(journal) = &self.state().journal {
            journal.sync();
        }
    }
}

impl State {
    /// Notes a change where there is a journal.
    pub(super) fn note(&mut self, record: impl FnOnce() -> Record) {
        if let Some(journal) = &mut self.journal {
            journal.note(&record());
        }
    }

    /// Ends the connection that a session has, for what the session goes on with.
    pub(super) fn take_left(&mut self, number: u64) -> Option<Kept> {
        let session = self.sessions.get_mut(&number)?;
        let Some((_, old)) = session.online.take() else { return session.kept.take() };
        self.connected -= 1;
        let (kept, taken_over) = old.link.with(|engine| {
            engine.leave(reason::TAKEN_OVER, None);
            (engine.take_kept(), engine.outgoing.taken_over())
        });
        self.note_taken(number, taken_over, None);
        kept
    }

    /// Notes messages that a client has taken over.
    pub(super) fn note_taken(&mut self, number: u64, numbers: Vec<u64>, last_id: Option<u16>) {
        let Some(session) = self.sessions.get(&number) else { return };
        if session.expiry > 0 && !numbers.is_empty() {
            let client = session.client_id.clone();
            self.note(|| Record::Taken { client, numbers, last_id });
        }
    }

    /// The same of all that are connected.
    pub(super) fn note_all_taken(&mut self) {
        if self.journal.is_none() {
            return;
        }
        let kept = self.sessions.iter().filter(|(_, session)| session.expiry > 0);
        let taken = kept.filter_map(|(number, session)| {
            let (_, conversation) = session.online.as_ref()?;
            let taken = conversation
                .link
                .with(|engine| (engine.outgoing.taken_over(), engine.outgoing.last_id()));
            Some((*number, taken))
        });
        let taken: Vec<(u64, (Vec<u64>, u16))> = taken.collect();
        for (number, (numbers, last_id)) in taken {
            self.note_taken(number, numbers, Some(last_id));
        }
    }

    /// Notes a session whose connection has ended.
    pub(super) fn note_left(&mut self, number: u64, now: Duration) {
        let left = self.sessions.get(&number).filter(|session| session.expiry > 0);
        if let Some(left) = left.map(|session| session.left(now)) {
            self.note(|| left);
        }
    }

    /// All that is kept, as records.
    fn records(&self, now: Duration) -> Vec<Record> {
        let mut records = Vec::new();
        for (publication, since) in self.retained.all() {
            records.push(Record::Message {
                message: Box::new(WrittenMessage::of(publication)),
                at: unix(*since, now),
                copies: Vec::new(),
                retained: true,
            });
        }
        for session in self.sessions.values().filter(|session| session.expiry > 0) {
            session.records(now, &mut records);
        }
        records
    }
}

impl super::Session {
    fn records(&self, now: Duration, to: &mut Vec<Record>) {
        let client = || self.client_id.clone();
        let user = self.user.clone();
        to.push(Record::Session { client: client(), user, expiry: self.expiry });
        for (filter, number) in self.filters.values() {
            let (filter, number) = (WrittenFilter::of(filter), *number);
            to.push(Record::Subscribe { client: client(), filter, number });
        }
        let mut unanswered = Vec::new();
        if let Some((_, conversation)) = &self.online {
            let (untaken, last_id) = conversation
                .link
                .with(|engine| (engine.outgoing.untaken(), engine.outgoing.last_id()));
            unanswered = untaken;
            to.push(Record::Taken {
                client: client(),
                numbers: Vec::new(),
                last_id: Some(last_id),
            });
        } else if let Some(kept) = &self.kept {
            let sent = kept.unanswered.messages.iter();
            unanswered.extend(sent.filter_map(|it| Some((it.number?, it.publication.clone()?))));
        }
        for (number, publication) in unanswered {
            to.push(self.copy(number, &publication, unix_now()));
        }
        for (number, publication, since) in self.outbox.written() {
            to.push(self.copy(number, &publication, unix(since, now)));
        }
        if self.online.is_none() {
            to.push(self.left(now));
        }
    }

    fn copy(&self, number: u64, publication: &Publication, at: u64) -> Record {
        let copy = Queued {
            client: self.client_id.clone(),
            number,
            qos: publication.qos,
            retain: publication.retain,
            subscriptions: publication.properties.subscriptions.clone(),
        };
        let message = Box::new(WrittenMessage::of(publication));
        Record::Message { message, at, copies: vec![copy], retained: false }
    }

    /// That its connection has ended.
    fn left(&self, now: Duration) -> Record {
        let at = |at: Duration| unix_now() + at.saturating_sub(now).as_secs();
        let nothing = Kept::default();
        let kept = self.kept.as_ref().unwrap_or(&nothing);
        let sent = kept.unanswered.messages.iter();
        let unanswered = sent.map(|it| (it.id, it.publication.as_ref().and(it.number)));
        Record::Left {
            client: self.client_id.clone(),
            ends: self.ends.map_or_else(unix_now, at),
            unanswered: unanswered.collect(),
            last_id: kept.unanswered.last_id,
            held: kept.held.iter().copied().collect(),
            will: self
                .will
                .as_ref()
                .map(|(will, due)| (Box::new(WrittenMessage::of(will)), at(*due))),
        }
    }
}

/// A moment of the host's clock in seconds since 1970.
fn unix(since: Duration, now: Duration) -> u64 {
    unix_now().saturating_sub(now.saturating_sub(since).as_secs())
}

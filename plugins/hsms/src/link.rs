//! [`Link`]: one connection, which all of its users and its task share. What there is of it stands in
//! [`State`] behind a lock that is never held across an await.

pub(crate) use crate::state::{ENDED, End, SEPARATED, State, Waiting};

use crate::communication;
use crate::endpoint::SecsEndpoint;
use crate::header::{ALL_SESSIONS, HEADER, Header, Kind, LENGTH, select};
use crate::options::Mode;
use crate::peers::{Peer, Place};
use crate::secs1::BlockHeader;
use crate::transactions::{Asked, Asker};
use crate::values::hex;
use futures_util::future;
use jackfield_plugin_api::sync::{Notify, oneshot};
use jackfield_plugin_api::{Error, ErrorKind, EventQueue, Host, Info, Level, Result, Retry, Role};
use serde_json::json;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One connection.
pub(crate) struct Link {
    pub(crate) host: Host,
    pub(crate) endpoint: Arc<SecsEndpoint>,
    pub(crate) role: Role,
    pub(crate) below: Info,
    /// Whom the connection may be with, by what was known before it said anything.
    pub(crate) known: Vec<Arc<Peer>>,
    pub(crate) news: EventQueue,
    state: Mutex<State>,
    /// Something is to be sent.
    pub(crate) to_send: Notify,
    /// Something is due sooner than the keeper knows.
    pub(crate) sooner: Notify,
    /// Somebody has read: there may be room for what came.
    pub(crate) room: Notify,
    /// Something was sent, was selected, or has ended.
    pub(crate) changed: Notify,
}

impl Link {
    pub(crate) fn new(
        host: Host,
        endpoint: Arc<SecsEndpoint>,
        role: Role,
        below: Info,
    ) -> Result<Arc<Self>> {
        let known = endpoint.peers.known(&below);
        if known.is_empty() && !endpoint.peers.any() {
            let from = below.peer.as_deref().unwrap_or("an unknown address");
            let text = format!("{from} fits none of `peers`: the connection is refused");
            host.log(Level::Warn, endpoint.name(), &text);
            return Err(Error::new(ErrorKind::Denied, text));
        }
        let mut state = State::default();
        state.users.add_main();
        if let Some(line) = &endpoint.line {
            // Its devices are there as long as it is.
            state.selected.clone_from(&line.devices);
            state.place = place_at(&endpoint, &known)?;
        } else {
            state.t7 = Some(host.now() + endpoint.times.t7);
        }
        Ok(Arc::new(Link {
            news: EventQueue::new(endpoint.most.events),
            host,
            endpoint,
            role,
            below,
            known,
            state: Mutex::new(state),
            to_send: Notify::new(),
            sooner: Notify::new(),
            room: Notify::new(),
            changed: Notify::new(),
        }))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log(&self, level: Level, text: &str) {
        self.host.log(level, self.endpoint.name(), text);
    }

    /// The header of a message, which is ours or the peer's, as equipment names it to say what is wrong with it.
    pub(crate) fn on_the_wire(&self, header: Header, ours: bool) -> [u8; HEADER] {
        match self.endpoint.line {
            Some(_) => BlockHeader::only(header, self.endpoint.equipment == ours).bytes(),
            None => header.bytes(),
        }
    }

    /// The message that equipment names so.
    pub(crate) fn named(&self, bytes: [u8; HEADER]) -> Header {
        match self.endpoint.line {
            Some(_) => BlockHeader::of(bytes).message(),
            None => Header::of(bytes),
        }
    }

    /// Whether the one session is selected as a whole.
    pub(crate) fn is_single(&self) -> bool {
        self.endpoint.mode == Mode::Single
    }

    /// The session id of a Select or Deselect of ours.
    pub(crate) fn selects(&self, session: Option<u16>) -> u16 {
        if self.is_single() { ALL_SESSIONS } else { session.unwrap_or(self.endpoint.session_id) }
    }

    /// Lets the keeper know of something that is due.
    pub(crate) fn due(&self, state: &State, when: Duration) {
        if state.alarm.is_none_or(|alarm| when < alarm) {
            self.sooner.notify_one();
        }
    }

    /// Tells a message that `by` has sent, where each is wanted: without its content.
    pub(crate) fn note(&self, by: &str, header: Header, content: usize) {
        if self.endpoint.packets {
            let facts = json!({
                "by": by, "packet": header.title(), "session_id": header.session,
                "system": header.system, "header": hex(&header.bytes()), "bytes": content,
            });
            self.news.tell("packet", facts);
        }
    }

    /// Sends a control message.
    pub(crate) fn control(&self, state: &mut State, header: Header) {
        self.note("us", header, 0);
        state.out.control.extend(header.frame(&[]));
        self.to_send.notify_one();
    }

    /// Sends a message whose length was checked. Gives the number under which it is sent.
    pub(crate) fn data(&self, state: &mut State, header: Header, body: &[u8]) -> u64 {
        self.question(state, header, body, None)
    }

    /// The same, of one whose answer may take so long.
    pub(crate) fn question(
        &self,
        state: &mut State,
        header: Header,
        body: &[u8],
        t3: Option<Duration>,
    ) -> u64 {
        if let Some(frame) = header.frame(body) {
            self.note("us", header, body.len());
            state.out.bytes += frame.len();
            state.out.queued += 1;
            state.out.data.push_back(Waiting { frame, t3 });
            self.to_send.notify_one();
        }
        state.out.queued
    }

    /// So many messages have left, of so many bytes.
    pub(crate) fn sent(&self, state: &mut State, messages: u64, bytes: usize) {
        state.out.sent += messages;
        state.out.bytes -= bytes;
        state.users.wake_writers();
        self.changed.notify_waiters();
    }

    /// Asks by a control message; T6 begins. The answer is its status.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) fn ask(&self, kind: Kind, session: u16) -> Result<oneshot::Receiver<Result<u8>>> {
        let mut state = self.state();
        if let Some(error) = state.closed() {
            return Err(error);
        }
        let most = self.endpoint.most.transactions;
        if state.open.control.len() >= most {
            let text =
                format!("{most} control messages wait for their answers (`max_transactions`)");
            return Err(Error::new(ErrorKind::Limit, text));
        }
        let (answer, answered) = oneshot::channel();
        self.ask_for(&mut state, kind, session, Some(answer));
        Ok(answered)
    }

    pub(crate) fn ask_for(
        &self,
        state: &mut State,
        kind: Kind,
        session: u16,
        answer: Option<oneshot::Sender<Result<u8>>>,
    ) {
        let system = state.open.next_system();
        let deadline = self.host.now() + self.endpoint.times.t6;
        state.open.control.insert(system, Asked { kind, session, answer, deadline });
        self.control(state, Header::control(kind, session, 0, system));
        self.due(state, deadline);
    }

    /// Whoever has asked has no answer.
    pub(crate) fn unanswered(&self, state: &mut State, who: Asker, error: Error) {
        match who {
            // Who has asked may be gone.
            Asker::Call(answer) => drop(answer.send(Err(error))),
            Asker::Establish => communication::failed(self, state, error),
            Asker::User(..) => {}
        }
    }

    /// An answer is dropped: whoever waits for it fails at once.
    pub(crate) fn dropped(&self, state: &mut State, header: Header, why: &str) {
        if header.is_primary() {
            return;
        }
        if let Some(who) = state.open.ours.dropped(header) {
            let text = format!("{} was dropped: {why}", header.title());
            let error = Error::new(ErrorKind::Protocol, text).with_retry(Retry::Never);
            self.unanswered(state, who, error);
        }
    }

    /// A session is selected now.
    pub(crate) fn selected(&self, state: &mut State, session: u16) {
        state.selected.insert(if self.is_single() { ALL_SESSIONS } else { session });
        state.t7 = None;
        self.linktest_later(state);
        self.changed.notify_waiters();
        let session = if self.is_single() { self.endpoint.session_id } else { session };
        communication::selected(self, state, session);
    }

    /// A session is not selected any more.
    pub(crate) fn deselected(&self, state: &mut State, session: u16) {
        communication::deselected(self, state, session);
        state.selected.remove(&if self.is_single() { ALL_SESSIONS } else { session });
        if state.selected.is_empty() {
            let t7 = self.host.now() + self.endpoint.times.t7;
            (state.t7, state.linktest) = (Some(t7), None);
            self.due(state, t7);
        }
    }

    /// The next linktest is due in an interval from now, if a session is selected.
    pub(crate) fn linktest_later(&self, state: &mut State) {
        let interval = self.endpoint.times.linktest.filter(|_| !state.selected.is_empty());
        state.linktest = interval.map(|interval| self.host.now() + interval);
        if let Some(due) = state.linktest {
            self.due(state, due);
        }
    }

    /// Ends the connection once what waits was sent, or T6 has passed.
    pub(crate) fn close(&self, state: &mut State, end: End) {
        if state.end.is_none() && state.out.closing.is_none() {
            let deadline = self.host.now() + self.endpoint.times.t6;
            state.out.closing = Some((end, deadline));
            self.due(state, deadline);
            self.to_send.notify_one();
        }
    }

    /// Ends the connection now. The first reason counts.
    pub(crate) fn end(&self, end: End) {
        let failed = {
            let mut state = self.state();
            if state.end.is_some() {
                return;
            }
            // What was decided before stands, whatever happened to its last words.
            let end = state.out.closing.take().map_or(end, |(end, _)| end);
            let error = end.error();
            state.end = Some(end);
            communication::lost(self, &mut state);
            state.place = None;
            state.users.wake_all();
            state.open.fail(&error)
        };
        // Woken without the lock.
        drop(failed);
        self.news.end();
        self.to_send.notify_one();
        self.sooner.notify_one();
        self.room.notify_waiters();
        self.changed.notify_waiters();
    }

    /// Waits until the state says so.
    pub(crate) async fn until<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            // Made before the look, so that no change in between is missed.
            let changed = self.changed.notified();
            if let Some(ready) = ready(&mut self.state()) {
                return ready;
            }
            changed.await;
        }
    }

    /// Waits until a session is selected.
    ///
    /// # Errors
    /// How the connection has ended before.
    pub(crate) async fn until_selected(&self) -> Result<()> {
        self.until(|state| match &state.end {
            Some(end) => Some(Err(end.error())),
            None => (!state.selected.is_empty()).then_some(Ok(())),
        })
        .await
    }

    /// Waits until all that was sent under numbers up to `number` has left.
    ///
    /// # Errors
    /// How the connection has ended before.
    pub(crate) async fn until_sent(&self, number: u64) -> Result<()> {
        self.until(|state| match &state.end {
            _ if state.out.sent >= number => Some(Ok(())),
            Some(end) => Some(Err(end.error())),
            None => None,
        })
        .await
    }

    /// The same of one message that has that number.
    ///
    /// # Errors
    /// Also that it has left and did not arrive.
    pub(crate) async fn until_arrived(&self, number: u64) -> Result<()> {
        self.until_sent(number).await?;
        self.state().out.has_arrived(number)
    }

    /// Whether a message may be sent whose content has so many bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if not.
    pub(crate) fn fits(&self, bytes: usize) -> Result<()> {
        let most = self.endpoint.most.message;
        // The length has four bytes, of which the header takes ten.
        if bytes > most || u32::try_from(bytes + HEADER + LENGTH).is_err() {
            let text = format!("the content has {bytes} bytes; `max_message` is {most}");
            return Err(Error::new(ErrorKind::Limit, text));
        }
        Ok(())
    }

    /// Waits, at most until then.
    pub(crate) async fn sleep_or(&self, until: Duration, other: impl Future<Output = ()>) {
        let timer = self.host.timer(until.saturating_sub(self.host.now()));
        future::select(pin!(timer), pin!(other)).await;
    }
}

/// Whose place it is at a line, where that matters.
///
/// # Errors
/// It is taken, or not open now.
fn place_at(endpoint: &SecsEndpoint, known: &[Arc<Peer>]) -> Result<Option<Place>> {
    if endpoint.peers.any() {
        return Ok(None);
    }
    endpoint.peers.select(known, ALL_SESSIONS).map(Some).map_err(|status| {
        let text = format!("it is none of `peers` that may connect: {}", select::words(status));
        Error::new(ErrorKind::Denied, text)
    })
}

/// The peer has broken a rule of the protocol; another connection may do better.
pub(crate) fn broken(text: impl Into<String>) -> End {
    End::Failed(Error::new(ErrorKind::Protocol, text).with_retry(Retry::Now))
}

/// A timer of the protocol has ended.
pub(crate) fn timed_out(text: impl Into<String>) -> End {
    End::Failed(Error::new(ErrorKind::TimedOut, text))
}

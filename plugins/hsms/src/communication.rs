//! Communications by GEM (E30 §3.2), above the session: whether both applications have agreed to talk, by an S1F13 of
//! either that the other has accepted. All of it stands behind the lock of the connection, so that there are no races.

use crate::endpoint::{Establish, accepted};
use crate::header::Header;
use crate::item::Item;
use crate::link::{Link, State};
use crate::outgoing;
use crate::sml::{self, Text};
use crate::transactions::Asker;
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Level, Result, Retry};
use serde_json::json;
use std::time::Duration;

/// The most characters of an answer in an error.
const SHOWN: usize = 200;
/// Messages that wait to be sent, before no more aborts are made.
const MOST: usize = 64;

/// The states of E30. `ENABLED` is all but the first of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    Disabled,
    #[default]
    NotCommunicating,
    /// Of equipment that does not ask by itself.
    WaitCrFromHost,
    /// Our S1F13 has no answer yet.
    WaitCra,
    /// It was denied or not answered; the next one is due later.
    WaitDelay,
    Communicating,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Disabled => "disabled",
            Phase::NotCommunicating => "not_communicating",
            Phase::WaitCrFromHost => "wait_cr_from_host",
            Phase::WaitCra => "wait_cra",
            Phase::WaitDelay => "wait_delay",
            Phase::Communicating => "communicating",
        }
    }
}

/// How far a connection is.
#[derive(Default)]
pub(crate) struct Communication {
    pub(crate) phase: Phase,
    /// The session that it is about.
    session: u16,
    /// When the next S1F13 of ours is due.
    pub(crate) due: Option<Duration>,
    /// Why the last one was in vain.
    why: Option<Error>,
}

/// A session was selected, or a line is there.
pub(crate) fn selected(link: &Link, state: &mut State, session: u16) {
    let Some(establish) = &link.endpoint.establish else { return };
    if state.communication.phase == Phase::Disabled {
        state.communication.session = session;
    } else if state.communication.phase == Phase::NotCommunicating {
        state.communication.session = session;
        begin(link, state, establish);
    }
}

fn begin(link: &Link, state: &mut State, establish: &Establish) {
    let equipment = link.endpoint.equipment;
    match &link.endpoint.line {
        _ if !establish.initiate && equipment => to(link, state, Phase::WaitCrFromHost),
        _ if !establish.initiate => {}
        // Equipment asks as soon as the line is there: a host that did so in the same moment would have to give way.
        Some(line) if !equipment => later(link, state, line.times.t1),
        _ => ask(link, state, establish),
    }
}

fn to(link: &Link, state: &mut State, phase: Phase) {
    let was = std::mem::replace(&mut state.communication.phase, phase);
    state.communication.due = None;
    if was == phase {
        return;
    }
    link.news.tell("communication", json!({ "state": phase.name(), "was": was.name() }));
    if was == Phase::Communicating || phase == Phase::Communicating {
        link.log(Level::Info, &format!("communications (GEM): {}", phase.name()));
    }
    state.users.wake_writers();
    link.changed.notify_waiters();
}

fn later(link: &Link, state: &mut State, after: Duration) {
    let due = link.host.now() + after;
    state.communication.due = Some(due);
    link.due(state, due);
}

/// Sends S1F13.
fn ask(link: &Link, state: &mut State, establish: &Establish) {
    if state.closed().is_some() || !state.is_selected(state.communication.session) {
        return;
    }
    let header = Header::data(state.communication.session, 1, 13, true, 0);
    outgoing::begin(
        link,
        state,
        header,
        &establish.question,
        Some(establish.timeout),
        Asker::Establish,
    );
    to(link, state, Phase::WaitCra);
}

/// Our S1F13 was answered.
pub(crate) fn answered(link: &Link, state: &mut State, header: Header, body: &Bytes) {
    let item = Item::read(body, link.endpoint.most.items).ok().flatten();
    if header.function() == 14 && is_accepted(item.as_ref()) {
        if state.communication.phase == Phase::WaitCra {
            to(link, state, Phase::Communicating);
        }
        return;
    }
    let said = sml::write(&Text::new(header.stream(), header.function(), false, item));
    let said: String = said.chars().take(SHOWN).collect();
    let text = format!("the peer does not accept communications (S1F13): it says {said}");
    failed(link, state, Error::new(ErrorKind::Refused, text).with_retry(Retry::Now));
}

/// Whether an S1F14 says yes.
pub(crate) fn is_accepted(item: Option<&Item>) -> bool {
    matches!(item, Some(Item::List(items)) if items.first() == Some(&accepted()))
}

/// Our S1F13 was in vain: it is sent again after a while.
pub(crate) fn failed(link: &Link, state: &mut State, error: Error) {
    let Some(establish) = &link.endpoint.establish else { return };
    if state.communication.phase == Phase::WaitCra {
        state.communication.why = Some(error);
        to(link, state, Phase::WaitDelay);
        later(link, state, establish.delay);
    }
}

/// We have accepted an S1F13 of the peer.
pub(crate) fn agreed(link: &Link, state: &mut State, session: u16) {
    if link.endpoint.establish.is_some()
        && state.communication.phase != Phase::Disabled
        && concerns(link, state, session)
    {
        to(link, state, Phase::Communicating);
    }
}

/// A session is not selected any more.
pub(crate) fn deselected(link: &Link, state: &mut State, session: u16) {
    if concerns(link, state, session) {
        lost(link, state);
    }
}

/// The session has ended, or a message did not arrive, which is a failure of communications at a line.
pub(crate) fn lost(link: &Link, state: &mut State) {
    let Some(establish) = &link.endpoint.establish else { return };
    if state.communication.phase != Phase::Disabled {
        to(link, state, Phase::NotCommunicating);
        match link.endpoint.line {
            Some(_) if state.end.is_none() && establish.initiate => {
                later(link, state, establish.delay);
            }
            Some(_) if state.end.is_none() => begin(link, state, establish),
            _ => {}
        }
    }
}

/// Does what is due.
pub(crate) fn due(link: &Link, state: &mut State, now: Duration) {
    if let Some(establish) = &link.endpoint.establish
        && state.communication.due.is_some_and(|due| due <= now)
    {
        state.communication.due = None;
        ask(link, state, establish);
    }
}

/// Whether a message of that session needs communications. In `generic` mode, and of several devices at a line, those of
/// one are no matter of the others.
fn concerns(link: &Link, state: &State, session: u16) -> bool {
    link.is_single() || session == state.communication.session
}

fn is_question(header: Header) -> bool {
    (header.stream(), header.function()) == (1, 13)
}

/// Whether a message of ours has to wait: before communications are established only S1F13 and stream 9 are sent, and
/// answers.
pub(crate) fn holds_back(link: &Link, state: &State, header: Header) -> bool {
    link.endpoint.establish.is_some()
        && state.communication.phase != Phase::Communicating
        && header.is_primary()
        && header.stream() != 9
        && !(is_question(header) && state.communication.phase != Phase::Disabled)
        && concerns(link, state, header.session)
}

/// Whether messages of any kind can be taken of users now.
pub(crate) fn is_open(link: &Link, state: &State) -> bool {
    link.endpoint.establish.is_none()
        || state.communication.phase == Phase::Communicating
        || !link.is_single() && link.endpoint.line.is_none()
}

/// Whether a message of the peer is not for now: it is aborted (SxF0) where an answer is asked for, and dropped.
pub(crate) fn refuses(link: &Link, state: &mut State, header: Header) -> bool {
    // The same messages as ours.
    if !holds_back(link, state, header) {
        return false;
    }
    let Some(establish) = &link.endpoint.establish else { return false };
    let phase = state.communication.phase;
    if header.waits() && phase != Phase::Disabled && state.out.data.len() < MOST {
        link.data(state, header.answer(0), &[]);
    }
    told(link, "peer", header);
    if phase == Phase::WaitDelay {
        // The peer is there (E30, transition 8).
        ask(link, state, establish);
    }
    true
}

/// A message was dropped, as there are no communications.
pub(crate) fn told(link: &Link, by: &str, header: Header) {
    let mut facts = header.facts();
    facts["by"] = by.into();
    link.news.tell("not_communicating", facts);
}

/// Why nothing can be sent now.
pub(crate) fn error(state: &State) -> Error {
    let text = format!("communications are not established: {}", state.communication.phase.name());
    Error::new(ErrorKind::Closed, text).with_retry(Retry::Now)
}

/// Waits until communications are established.
///
/// # Errors
/// They are not within the limit, or the connection has ended.
pub(crate) async fn until(link: &Link, limit: Duration) -> Result<()> {
    let established = link.until(|state| match state.closed() {
        Some(error) => Some(Err(error)),
        None => (state.communication.phase == Phase::Communicating).then_some(Ok(())),
    });
    match link.host.timeout(limit, "communications (S1F13)", established).await {
        Err(error) if error.kind() == ErrorKind::TimedOut && link.state().end.is_none() => {
            let state = link.state();
            // Why the last attempt failed says more.
            Err(state.communication.why.clone().unwrap_or(error))
        }
        result => result,
    }
}

/// Waits for a message of ours that is held back; not where communications are disabled.
///
/// # Errors
/// As [`until`].
pub(crate) async fn wait_for(link: &Link, header: Header, limit: Duration) -> Result<()> {
    {
        let state = link.state();
        if !holds_back(link, &state, header) {
            return Ok(());
        }
        if state.communication.phase == Phase::Disabled {
            return Err(error(&state));
        }
    }
    until(link, limit).await
}

/// Allows communications, or ends them.
pub(crate) fn enable(link: &Link, enabled: bool) {
    let Some(establish) = &link.endpoint.establish else { return };
    let mut state = link.state();
    if !enabled {
        to(link, &mut state, Phase::Disabled);
    } else if state.communication.phase == Phase::Disabled {
        to(link, &mut state, Phase::NotCommunicating);
        if !state.selected.is_empty() {
            begin(link, &mut state, establish);
        }
    }
}

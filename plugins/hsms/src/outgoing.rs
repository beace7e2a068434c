//! Messages of ours on their way to the peer.

use crate::communication;
use crate::header::{ALL_SESSIONS, HEADER, Header, Kind};
use crate::link::{ENDED, Link, SEPARATED, State};
use crate::transactions::{Asker, NOT_YET};
use crate::users::DATA;
use jackfield_plugin_api::{Error, ErrorKind, Message, Result, Retry};
use std::time::Duration;

/// The header of a message: its metadata if it is one of ours, else that of plain contents.
///
/// # Errors
/// [`ErrorKind::Config`] if it is no header of data.
fn header_of(link: &Link, message: &Message) -> Result<Header> {
    let given = message.metadata.first_chunk::<HEADER>();
    let ours = message.kind == DATA && message.metadata.len() == HEADER;
    let Some(bytes) = given.filter(|_| ours) else {
        let (stream, function) = link.endpoint.plain;
        return Ok(Header::data(link.endpoint.session_id, stream, function, false, 0));
    };
    let header = Header::of(*bytes);
    if header.kind != Kind::Data as u8 || header.presentation != 0 {
        let text = "the header of a message has another type or presentation than 0, which is data";
        return Err(Error::new(ErrorKind::Config, text));
    }
    Ok(header)
}

/// Sends a message of a user of messages. Gives the number under which it leaves.
///
/// # Errors
/// The connection is closed, or the message cannot be sent.
pub(crate) fn post(link: &Link, state: &mut State, user: u64, message: &Message) -> Result<u64> {
    let header = header_of(link, message)?;
    if !state.selected.is_empty() && !state.is_selected(header.session) {
        // Of several sessions this one is not the peer's; the others go on.
        link.news.tell("not_selected", header.facts());
        return Ok(state.out.queued);
    }
    if communication::holds_back(link, state, header) {
        // They were lost since there was room for it.
        communication::told(link, "us", header);
        return Ok(state.out.queued);
    }
    ready(link, state, header, message.payload.len())?;
    if header.is_primary() {
        let Some(header) = for_peer(state, header) else { return Ok(state.out.queued) };
        return Ok(begin(
            link,
            state,
            header,
            &message.payload,
            None,
            Asker::User(user, header.system),
        ));
    }
    let answers = state.users.get(user).is_some_and(|user| user.answers);
    if answers && state.open.theirs.answered(header).is_some() {
        if header.function() == 0 {
            link.news.tell("aborted", header.facts());
        }
        return Ok(link.data(state, header, &message.payload));
    }
    // Too late, not asked for, or somebody else was sooner.
    link.news.tell("answer_dropped", header.facts());
    Ok(state.out.queued)
}

/// A user is gone. What it alone was to answer is aborted: the peer need not wait for T3.
pub(crate) fn abandoned(link: &Link, state: &mut State, user: u64) {
    for header in state.open.forget(user) {
        if state.closed().is_none() && state.open.theirs.answered(header.answer(0)).is_some() {
            link.data(state, header.answer(0), &[]);
            link.news.tell("aborted", header.answer(0).facts());
        }
    }
}

/// As the peer wants to have it; `None` if it wants none such.
fn for_peer(state: &State, header: Header) -> Option<Header> {
    let Some(place) = &state.place else { return Some(header) };
    let (stream, function) = (header.stream(), header.function());
    let waits = header.waits() && place.peer.answers;
    let header = Header::data(header.session, stream, function, waits, header.system);
    place.peer.receives.takes(header).then_some(header)
}

/// Whether a message can be sent now.
///
/// # Errors
/// Why not.
pub(crate) fn ready(link: &Link, state: &State, header: Header, bytes: usize) -> Result<()> {
    if let Some(error) = state.closed() {
        return Err(error);
    }
    if !header.is_primary() && header.waits() {
        let text =
            format!("{}: an answer, which has an even function, is not answered", header.title());
        return Err(Error::new(ErrorKind::Config, text));
    }
    if !state.is_selected(header.session) {
        let text = match link.endpoint.line {
            Some(_) => format!(
                "device {} is none of this line's (`session_id`, `more_devices`)",
                header.session
            ),
            None => format!("session {} is not selected", header.session),
        };
        return Err(Error::new(ErrorKind::Closed, text).with_retry(Retry::Now));
    }
    if communication::holds_back(link, state, header) {
        return Err(communication::error(state));
    }
    link.fits(bytes)
}

/// Sends a message that begins a transaction, with system bytes of this connection; `limit` is its T3.
pub(crate) fn begin(
    link: &Link,
    state: &mut State,
    header: Header,
    body: &[u8],
    limit: Option<Duration>,
    who: Asker,
) -> u64 {
    let header = Header { system: state.open.next_system(), ..header };
    if !header.waits() {
        return link.data(state, header, body);
    }
    let t3 = limit.unwrap_or(link.endpoint.times.t3);
    // At a line it begins once the last block has arrived (E4 §9.3): what is before it may take long.
    let deadline = match link.endpoint.line {
        Some(_) => NOT_YET,
        None => link.host.now() + t3,
    };
    // System bytes are not used twice while one of them is open.
    state.open.ours.add(header, deadline, who);
    link.due(state, deadline);
    link.question(state, header, body, Some(t3))
}

/// Whether senders may go on: there is room for a message and for a transaction.
pub(crate) fn has_room(link: &Link, state: &State) -> bool {
    let most = link.endpoint.most;
    state.out.bytes < most.write_buffer && state.open.ours.len() < most.transactions
}

/// Ends the connection politely: with what waits to be sent, and a Separate behind it.
pub(crate) fn separate(link: &Link) {
    let mut state = link.state();
    if state.closed().is_some() {
        return;
    }
    if link.endpoint.line.is_some() {
        // SECS-I has no word for it.
        return link.close(&mut state, ENDED);
    }
    if let Some(session) = state.selected.first().copied() {
        let session = if link.is_single() { ALL_SESSIONS } else { session };
        let system = state.open.next_system();
        link.data(&mut state, Header::control(Kind::SeparateReq, session, 0, system), &[]);
    }
    link.close(&mut state, SEPARATED);
}

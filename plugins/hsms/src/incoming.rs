//! What each message of the peer does.

use crate::header::{Header, Kind, deselect, reason, select};
use crate::link::{End, Link, SEPARATED, State, broken};
use crate::transactions::{Asker, Open};
use crate::users::{Delivered, message};
use crate::{communication, sml, stream9};
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Level, Origin, Role};
use serde_json::json;

/// Answers that wait to be sent before nothing more is read.
const MOST_ANSWERS: usize = 64;

/// Takes one message. Waits while there is no room for it, or for answers to it.
///
/// # Errors
/// It ends the connection.
pub(crate) async fn take(link: &Link, header: Header, body: Bytes) -> Result<(), End> {
    loop {
        // Made before the look.
        let (sent, read) = (link.changed.notified(), link.room.notified());
        {
            let mut state = link.state();
            if let Some(end) = &state.end {
                return Err(end.clone());
            }
            if state.out.control.len() < MOST_ANSWERS {
                let taken = one(link, &mut state, header, &body)?;
                state.stalled = !taken;
                if taken {
                    return Ok(());
                }
            }
        }
        futures_util::future::select(std::pin::pin!(sent), std::pin::pin!(read)).await;
    }
}

/// Whether it was taken.
fn one(link: &Link, state: &mut State, header: Header, body: &Bytes) -> Result<bool, End> {
    let kind = Kind::of(header.kind);
    if header.presentation != 0 && kind != Some(Kind::RejectReq) {
        link.control(state, header.reject(reason::PRESENTATION));
        return Ok(true);
    }
    let Some(kind) = kind else {
        link.control(state, header.reject(reason::KIND));
        return Ok(true);
    };
    if kind == Kind::Data {
        return Ok(data(link, state, header, body));
    }
    if !body.is_empty() {
        let text = "a control message has a header alone";
        return Err(broken(format!("{text}: {} came with {} bytes more", kind.name(), body.len())));
    }
    match kind {
        Kind::SelectReq => select_req(link, state, header),
        Kind::DeselectReq => deselect_req(link, state, header),
        Kind::LinktestReq => {
            link.control(
                state,
                Header::control(Kind::LinktestRsp, header.session, 0, header.system),
            );
        }
        Kind::SelectRsp => answer(link, state, header, Kind::SelectReq),
        Kind::DeselectRsp => answer(link, state, header, Kind::DeselectReq),
        Kind::LinktestRsp => answer(link, state, header, Kind::LinktestReq),
        Kind::RejectReq => rejected(link, state, header),
        Kind::SeparateReq if state.is_selected(header.session) || !state.selected.is_empty() => {
            return Err(SEPARATED);
        }
        // E37 §7.5: a Separate of a session that is not selected is passed over.
        Kind::SeparateReq | Kind::Data => {}
    }
    Ok(true)
}

fn select_req(link: &Link, state: &mut State, header: Header) {
    let session = header.session;
    let status = if state.out.closing.is_some() {
        select::NOT_READY
    } else if link.is_single() && !state.selected.is_empty() || state.selected.contains(&session) {
        select::ACTIVE
    } else if state.selected.len() >= link.endpoint.most.selected {
        select::EXHAUSTED
    } else {
        place(link, state, session)
    };
    link.control(state, Header::control(Kind::SelectRsp, session, status, header.system));
    match status {
        select::OK => {
            link.selected(state, session);
            link.news.tell("selected", json!({ "session_id": session, "by": "peer" }));
        }
        select::ACTIVE => {}
        _ => {
            let from = link.below.peer.as_deref().unwrap_or("a peer");
            let text = format!("{from} was not selected: {}", select::words(status));
            link.log(Level::Warn, &text);
            if state.selected.is_empty() && link.is_single() {
                let error = Error::new(ErrorKind::Denied, text).with_origin(Origin::Downstream);
                link.close(state, End::Failed(error.with_code("hsms.select", status)));
            }
        }
    }
}

/// Finds out who the peer is, where that matters; gives the status.
fn place(link: &Link, state: &mut State, session: u16) -> u8 {
    if link.endpoint.peers.any() || state.place.is_some() {
        return select::OK;
    }
    match link.endpoint.peers.select(&link.known, session) {
        Ok(place) => {
            state.place = Some(place);
            select::OK
        }
        Err(status) => status,
    }
}

fn deselect_req(link: &Link, state: &mut State, header: Header) {
    let status = if !state.is_selected(header.session) {
        deselect::NOT_SELECTED
    } else if state.open.is_busy() {
        deselect::BUSY
    } else {
        deselect::OK
    };
    let answer = Header::control(Kind::DeselectRsp, header.session, status, header.system);
    link.control(state, answer);
    if status == deselect::OK {
        link.deselected(state, header.session);
        let text = format!("the peer has deselected session {}", header.session);
        link.log(Level::Info, &text);
        link.news.tell("deselected", json!({ "session_id": header.session, "by": "peer" }));
    }
}

/// An answer to a control message of ours.
fn answer(link: &Link, state: &mut State, header: Header, of: Kind) {
    let fits = state.open.control.get(&header.system).is_some_and(|asked| asked.kind == of);
    let Some(asked) = fits.then(|| state.open.control.remove(&header.system)).flatten() else {
        link.control(state, header.reject(reason::NOT_OPEN));
        return;
    };
    let status = header.byte3;
    match of {
        Kind::SelectReq if status == select::OK => {
            link.selected(state, asked.session);
            link.news.tell("selected", json!({ "session_id": asked.session, "by": "us" }));
        }
        Kind::DeselectReq if status == deselect::OK => {
            link.deselected(state, asked.session);
            link.news.tell("deselected", json!({ "session_id": asked.session, "by": "us" }));
        }
        Kind::LinktestReq => link.linktest_later(state),
        _ => {}
    }
    if let Some(answer) = asked.answer {
        // Who has asked may be gone, here and below.
        let _ = answer.send(Ok(status));
    }
}

fn rejected(link: &Link, state: &mut State, header: Header) {
    let words = reason::words(header.byte3);
    let facts = json!({
        "reason": header.byte3, "type": header.byte2, "session_id": header.session,
        "system": header.system,
    });
    link.news.tell("rejected", facts);
    let error = |title: String| {
        let text = format!("the peer has rejected {title}: {words}");
        Error::new(ErrorKind::Refused, text).with_code("hsms.reject", header.byte3)
    };
    if let Some(asked) = state.open.control.remove(&header.system) {
        if asked.kind == Kind::LinktestReq {
            // A peer that answers is there.
            link.linktest_later(state);
        }
        if let Some(answer) = asked.answer {
            let _ = answer.send(Err(error(asked.kind.name().to_owned())));
        }
    } else if let Some(Open { header, who, .. }) = state.open.ours.refused(header) {
        link.unanswered(state, who, error(header.title()));
    }
    if (header.byte2, header.byte3) == (Kind::Data as u8, reason::NOT_SELECTED) {
        not_selected(link, state, header.session);
    }
}

/// The peer says of data that its session is not selected. Where we have selected it, we do so once more: secsgem accepts a
/// Select that comes before it has noted the connection, and does not note the Select.
fn not_selected(link: &Link, state: &mut State, session: u16) {
    if link.role != Role::Client || !state.is_selected(session) {
        return;
    }
    if state.is_selected_again {
        let text =
            "the peer says that a session is not selected whose Select it has accepted twice";
        return link.close(state, broken(text));
    }
    state.is_selected_again = true;
    link.log(
        Level::Info,
        "the peer has accepted the Select and says that nothing is selected: it is selected again",
    );
    link.deselected(state, session);
    link.news.tell("deselected", json!({ "session_id": session, "by": "peer" }));
    link.ask_for(state, Kind::SelectReq, link.selects(Some(session)), None);
}

/// Takes a message of a line, if there is room for it.
///
/// # Errors
/// The connection has ended.
pub(crate) fn offer(link: &Link, header: Header, body: &Bytes) -> Result<bool, End> {
    let mut state = link.state();
    if let Some(end) = &state.end {
        return Err(end.clone());
    }
    let taken = data(link, &mut state, header, body);
    state.stalled = !taken;
    Ok(taken)
}

/// Whether it was taken.
fn data(link: &Link, state: &mut State, header: Header, body: &Bytes) -> bool {
    if !state.is_selected(header.session) {
        link.control(state, header.reject(reason::NOT_SELECTED));
        return true;
    }
    if let Some(function) = stream9::wrong(link, state, header, body) {
        stream9::tell(link, state, function, header, false);
        if header.is_primary() {
            return true;
        }
    }
    match header.is_primary() {
        true => primary(link, state, header, body),
        false => secondary(link, state, header, body),
    }
}

fn secondary(link: &Link, state: &mut State, header: Header, body: &Bytes) -> bool {
    let Some(open) = state.open.ours.answered(header) else {
        link.news.tell("late_reply", header.facts());
        return true;
    };
    // There is room for one more, for those who wait for that.
    state.users.wake_writers();
    link.changed.notify_waiters();
    match open.who {
        Asker::Call(answer) => {
            if answer.send(Ok((header, body.clone()))).is_err() {
                link.news.tell("late_reply", header.facts());
            }
        }
        Asker::Establish => communication::answered(link, state, header, body),
        Asker::User(user, system) => {
            let answer = message(Header { system, ..header }, body.clone());
            match state.users.deliver(user, &answer, link.endpoint.most.read_ahead) {
                Delivered::Yes => {}
                Delivered::No => link.news.tell("late_reply", header.facts()),
                Delivered::Full => {
                    state.open.ours.add(open.header, open.deadline, open.who);
                    return false;
                }
            }
        }
    }
    true
}

fn primary(link: &Link, state: &mut State, header: Header, body: &Bytes) -> bool {
    if communication::refuses(link, state, header) {
        return true;
    }
    if header.stream() == 9 {
        if let Some(body) = stream9::told(link, state, header, body) {
            return spread(link, state, header, &body);
        }
    } else if let Some(answer) = link.endpoint.answers.get(&(header.stream(), header.function())) {
        if header.waits() && state.out.bytes >= link.endpoint.most.write_buffer {
            // Whoever asks and reads no answers is not heard further.
            return false;
        }
        if header.waits() {
            let body = answer.item.as_ref().map_or(Ok(Bytes::new()), crate::item::Item::write);
            // Checked when it was configured.
            link.data(state, header.answer(answer.function), &body.unwrap_or_default());
            let yes = communication::is_accepted(answer.item.as_ref());
            if (header.stream(), answer.function) == (1, 14) && yes {
                communication::agreed(link, state, header.session);
            }
        }
        link.news.tell("answered", header.facts());
        return true;
    }
    spread(link, state, header, body)
}

/// Gives it to all who want it.
fn spread(link: &Link, state: &mut State, header: Header, body: &Bytes) -> bool {
    let most = link.endpoint.most;
    let unread = state.users.nobody_reads();
    let (delivered, answering) = state.users.deliver_all(header, body, most.read_ahead);
    match delivered {
        Delivered::Full => return false,
        Delivered::No => link.news.tell("unread", facts(link, header, body)),
        Delivered::Yes if unread => link.news.tell("message", facts(link, header, body)),
        Delivered::Yes => {}
    }
    let now = link.host.now();
    if header.waits() && state.open.asked(header, now, most.transactions, answering) {
        link.news.tell("system_bytes_reused", header.facts());
    }
    true
}

/// The most characters of a message in an event.
const SHOWN: usize = 4096;

fn facts(link: &Link, header: Header, body: &Bytes) -> serde_json::Value {
    let mut facts = header.facts();
    if body.len() <= SHOWN
        && let Ok(item) = crate::item::Item::read(body, link.endpoint.most.items)
    {
        let text = sml::Text::new(header.stream(), header.function(), header.waits(), item);
        let shown: String = sml::write(&text).chars().take(SHOWN).collect();
        facts["sml"] = shown.into();
    }
    facts
}

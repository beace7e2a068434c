//! Stream 9 (E5 §10.13): what equipment tells a host of messages that are wrong, and what follows where we are told.

use crate::communication;
use crate::header::{HEADER, Header};
use crate::item::Item;
use crate::link::{Link, State};
use crate::transactions::Asker;
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Retry};
use serde_json::json;

/// Messages of stream 9 that wait to be sent, with all others, before no more are made.
const MOST: usize = 64;

/// The functions of stream 9.
pub(crate) mod function {
    /// The device id is unknown.
    pub(crate) const DEVICE: u8 = 1;
    /// The stream is unknown.
    pub(crate) const STREAM: u8 = 3;
    /// The function is unknown.
    pub(crate) const FUNCTION: u8 = 5;
    /// The data cannot be read.
    pub(crate) const DATA: u8 = 7;
    /// A transaction has timed out (T3).
    pub(crate) const TIMEOUT: u8 = 9;
    /// The data is too long.
    pub(crate) const LENGTH: u8 = 11;
    /// A conversation has timed out: what is one, the application knows alone.
    pub(crate) const CONVERSATION: u8 = 13;
}

fn words(function: u8) -> &'static str {
    match function {
        function::DEVICE => "the device id is unknown",
        function::STREAM => "the stream is unknown",
        function::FUNCTION => "the function is unknown",
        function::DATA => "its data is illegal",
        function::TIMEOUT => "a transaction has timed out",
        function::LENGTH => "its data is too long",
        function::CONVERSATION => "a conversation has timed out",
        _ => "an error",
    }
}

/// The item of a header in a message of stream 9.
fn named(header: &[u8; HEADER]) -> Vec<u8> {
    [&[0o10 << 2 | 1, 10][..], header].concat()
}

/// Tells the host of a message with this header, which is ours or its own; if we are equipment that does so.
pub(crate) fn tell(link: &Link, state: &mut State, function: u8, about: Header, ours: bool) {
    tell_of(link, state, function, about, link.on_the_wire(about, ours));
}

/// The same, of a message whose header on the wire is known.
pub(crate) fn tell_of(
    link: &Link,
    state: &mut State,
    function: u8,
    about: Header,
    wire: [u8; HEADER],
) {
    if !link.endpoint.stream9 || state.out.data.len() >= MOST {
        return;
    }
    // A device that is not ours cannot be the one that speaks.
    let known = function != function::DEVICE;
    let session = if known { about.session } else { link.endpoint.session_id };
    let system = state.open.next_system();
    let header = Header::data(session, 9, function, false, system);
    link.data(state, header, &named(&wire));
    link.news.tell("complained", json!({ "by": header.title(), "message": about.facts() }));
}

/// What is wrong with a message of a host, as the function that tells it; `None` if we are not to look.
pub(crate) fn wrong(link: &Link, state: &State, header: Header, body: &Bytes) -> Option<u8> {
    if !link.endpoint.stream9 || header.stream() == 9 {
        return None;
    }
    if !is_ours(link, state, header.session) {
        return Some(function::DEVICE);
    }
    let unknown = header.is_primary().then(|| unknown(link, state, header)).flatten();
    // The content of plain messages is bytes of something else.
    let plain = (header.stream(), header.function()) == link.endpoint.plain;
    unknown.or_else(|| (!plain && !Item::is_readable(body)).then_some(function::DATA))
}

/// Whether a session that is selected is a device of ours. In `single` mode a Select is for all of them (E37.1).
fn is_ours(link: &Link, state: &State, session: u16) -> bool {
    let of_peer = || state.place.as_ref().is_some_and(|place| place.peer.is_of(session));
    !link.is_single() || session == link.endpoint.session_id || of_peer()
}

/// Whether nobody here knows a message that begins a transaction, or none of its stream.
fn unknown(link: &Link, state: &State, header: Header) -> Option<u8> {
    let (stream, answers) = (header.stream(), &link.endpoint.answers);
    if answers.contains_key(&(stream, header.function())) {
        return None;
    }
    let (message, others) = match &link.endpoint.known {
        Some(known) => (known.names(header), known.names_stream(stream)),
        None => state.users.know(header),
    };
    if message {
        return None;
    }
    let others = others || answers.keys().any(|(known, _)| *known == stream);
    Some(if others { function::FUNCTION } else { function::STREAM })
}

/// We are told what is wrong with a message of ours, whose header is given back. `None` if that was all there is to
/// do; else the content for others, with the system bytes of who has asked.
pub(crate) fn told(link: &Link, state: &mut State, header: Header, body: &Bytes) -> Option<Bytes> {
    let bytes = body.strip_prefix(&[0o10 << 2 | 1, 10]).and_then(|it| it.first_chunk::<HEADER>());
    let about = bytes.filter(|_| body.len() == 2 + HEADER).map(|bytes| link.named(*bytes));
    let open = about.and_then(|about| Some((about, state.open.ours.refused(about)?)));
    let Some((about, open)) = open else { return Some(body.clone()) };
    link.news.tell("refused", json!({ "by": header.title(), "message": open.header.facts() }));
    state.users.wake_writers();
    match open.who {
        Asker::Call(answer) => {
            let (title, by) = (open.header.title(), header.title());
            let text =
                format!("the equipment answers {title} with {by}: {}", words(header.function()));
            let error = Error::new(ErrorKind::Refused, text).with_retry(Retry::Never);
            // Who has asked may be gone.
            let _ = answer.send(Err(error.with_code("secs.stream9", header.function())));
            None
        }
        Asker::Establish => {
            let text = format!("the equipment answers S1F13 with {}", header.title());
            communication::failed(link, state, Error::new(ErrorKind::Refused, text));
            None
        }
        Asker::User(_, system) => Some(named(&Header { system, ..about }.bytes()).into()),
    }
}

//! What a client's connection receives. What does not fit exactly is thrown away: it may be anybody's.

use crate::endpoint::Credentials;
use crate::link::{Engine, Incoming, Link, State};
use crate::message::{Content, Message, Scoped, Secured, flag, version};
use crate::options::Version;
use crate::pdu::{Kind, Pdu};
use crate::usm::engine::Clock;
use crate::usm::keys::User;
use crate::usm::seal::{Failure, Report};
use jackfield_plugin_api::{Error, ErrorKind};
use serde_json::json;

/// Takes a message.
///
/// # Errors
/// Why it is thrown away.
pub(crate) fn take(link: &Link, bytes: &[u8]) -> Result<(), String> {
    let message = Message::read(bytes)?;
    match (&link.who, message) {
        (Credentials::Community(wanted, _), Message::Community(message)) => {
            let number = if *wanted == Version::V1 { version::V1 } else { version::V2C };
            let Content::Pdu(pdu) = message.content else {
                return Err("a trap has come where answers are expected".to_owned());
            };
            if message.version != number || pdu.kind != Kind::Response {
                return Err(format!(
                    "a message of another version or kind has come: {:?}",
                    pdu.kind
                ));
            }
            answered(link, pdu.id, |_| Ok(Incoming::Response(pdu, bytes.len())))
        }
        (Credentials::User(user), Message::Secured(secured)) => {
            let is_discovery = link.state().waiting.get(&secured.id).map(|it| it.discovers);
            match is_discovery {
                Some(true) => discovered(link, &secured),
                Some(false) => opened(link, user, bytes, &secured),
                None => answered(link, secured.id, |_| Ok(Incoming::Engine)),
            }
        }
        _ => Err("a message of another version has come".to_owned()),
    }
}

/// Gives what was made of a message to who waits for it.
fn answered(
    link: &Link,
    id: i32,
    make: impl FnOnce(&mut State) -> Result<Incoming, Error>,
) -> Result<(), String> {
    let mut state = link.state();
    let Some(waiting) = state.waiting.remove(&id) else {
        state.late += 1;
        return Err(format!("an answer has come that nobody waits for, number {id}"));
    };
    let made = make(&mut state);
    drop(state);
    // Who has asked may be gone.
    let _ = waiting.answer.send(made);
    Ok(())
}

/// The peer's engine has said its name (RFC 3414 §4). Its clock counts only once it is proven.
fn discovered(link: &Link, secured: &Secured<'_>) -> Result<(), String> {
    if secured.flags & (flag::AUTHENTICATED | flag::PRIVATE) != 0 {
        return Err("what discovers an engine is answered by a protected message".to_owned());
    }
    let scoped = Scoped::read(secured.data)?;
    if scoped.pdu.kind != Kind::Report || secured.engine.is_empty() {
        return Err("what discovers an engine is answered by something else".to_owned());
    }
    let clock = Clock::said(secured.boots, secured.time, link.host.now());
    let id = secured.engine.to_vec();
    let shown = crate::json::hex(&id);
    if let Some(wanted) = link.endpoint.engine.as_ref().filter(|wanted| **wanted != id) {
        let text = format!(
            "the peer is the engine {shown}, not {}, which is its `engine_id`",
            crate::json::hex(wanted)
        );
        let error = Error::new(ErrorKind::Untrusted, text);
        return answered(link, secured.id, |_| Err(error));
    }
    link.news.tell("engine", json!({ "engine_id": shown }));
    answered(link, secured.id, |state| {
        state.engine = Some(Engine { id, clock });
        Ok(Incoming::Engine)
    })
}

/// An answer of version 3 (RFC 3414 §3.2).
fn opened(link: &Link, user: &User, bytes: &[u8], secured: &Secured<'_>) -> Result<(), String> {
    let authenticated = secured.flags & flag::AUTHENTICATED != 0;
    let is_engine = link.state().engine.as_ref().is_some_and(|it| it.id == secured.engine);
    if authenticated {
        if !is_engine || secured.user != user.name.as_bytes() {
            return Err("an answer of another engine or for another user has come".to_owned());
        }
        user.verify(bytes, secured).map_err(|failure| words(&failure))?;
        let now = link.host.now();
        let mut state = link.state();
        if let Some(engine) = &mut state.engine {
            engine.clock.check(secured.boots, secured.time, now)?;
        }
    }
    let scoped = user.content(secured).map_err(|failure| words(&failure))?;
    let pdu: Pdu = scoped.pdu;
    if pdu.kind == Kind::Report {
        let report = Report::of(&pdu);
        return answered(link, secured.id, |_| Ok(Incoming::Report { report, authenticated }));
    }
    let level = flag::AUTHENTICATED | flag::PRIVATE;
    if secured.flags & level != user.flags() & level || !is_engine {
        return Err("an answer has come that is less protected than what was asked".to_owned());
    }
    if pdu.kind != Kind::Response || pdu.id != secured.id {
        return Err("an answer has come whose request id is another one".to_owned());
    }
    let size = bytes.len();
    answered(link, secured.id, |_| Ok(Incoming::Response(pdu, size)))
}

fn words(failure: &Failure) -> String {
    match failure {
        Failure::Level => "a message is protected as this user's are not".to_owned(),
        Failure::Digest => "a message is not from whom it says: its code is wrong".to_owned(),
        Failure::Decryption => "a message cannot be decrypted".to_owned(),
        Failure::Form(fault) => fault.clone(),
    }
}

//! One master of a gateway, to its end.

use super::Hub;
use super::line::Outcome;
use super::masters::Rule;
use crate::delivery::PDU;
use crate::memory::{is_serial, pdu_of, strangers};
use crate::pdu::{BROADCAST, exception, function, function_of, is_read, refusal};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::{Message, Messages, Result, Session};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// What is to be done next.
enum Step {
    Asked(Option<Result<Message>>),
    Answered(Message),
    Stop,
}

/// Serves a master to its end. What it has asked and nobody has begun with is taken back then.
///
/// # Errors
/// How its connection has failed.
pub(super) async fn serve(hub: &Hub, session: Session) -> Result<()> {
    let serial = is_serial(&session)?;
    let rule = hub.masters.of(&session.info());
    let mut messages = session.take_messages().ok_or_else(strangers)?;
    let mut waiting = FuturesUnordered::new();
    let mut stopping = pin!(hub.host.stopping());
    loop {
        let step = poll_fn(|cx| {
            if stopping.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Step::Stop);
            }
            if let Poll::Ready(Some(answer)) = waiting.poll_next_unpin(cx) {
                return Poll::Ready(Step::Answered(answer));
            }
            messages.poll_next_unpin(cx).map(Step::Asked)
        })
        .await;
        match step {
            Step::Stop | Step::Asked(None) => return session.close(0, "").await,
            Step::Answered(answer) => messages.send(answer).await?,
            Step::Asked(Some(request)) => {
                let request = request?;
                if serial {
                    // The master has given up what it has asked before.
                    waiting.clear();
                }
                let pdu = pdu_of(&request);
                match ask(hub, &rule, &request, &pdu, serial) {
                    Some(Outcome::Now(answer)) => reply(&mut messages, request, answer).await?,
                    Some(Outcome::Later(place)) => waiting.push(async move {
                        let answer = place.answer(function_of(&pdu)).await;
                        as_answer(&request, answer)
                    }),
                    None => {}
                }
            }
        }
    }
}

fn as_answer(request: &Message, answer: Bytes) -> Message {
    Message::of(PDU, answer).with_id(request.id).with_metadata(request.metadata.clone())
}

async fn reply(messages: &mut Messages, request: Message, answer: Bytes) -> Result<()> {
    messages.send(as_answer(&request, answer)).await
}

/// Whether a function changes nothing.
fn only_looks(pdu: &[u8]) -> bool {
    is_read(pdu)
        || matches!(
            function_of(pdu),
            function::READ_STATUS
                | function::EVENT_COUNTER
                | function::EVENT_LOG
                | function::SERVER_ID
                | function::READ_FILE
                | function::READ_FIFO
                | function::INTERFACE
        )
}

/// Asks the line of a unit. Nothing comes of a write to all units of serial lines.
fn ask(hub: &Hub, rule: &Rule, request: &Message, pdu: &Bytes, serial: bool) -> Option<Outcome> {
    let refuse = |code| Some(Outcome::Now(refusal(function_of(pdu), code)));
    let unit = u8::try_from(request.id).unwrap_or(u8::MAX);
    if rule.read_only && !only_looks(pdu) {
        return refuse(exception::ILLEGAL_FUNCTION);
    }
    if !rule.allows(unit) {
        return refuse(exception::NO_PATH);
    }
    let now = hub.host.now();
    if unit == BROADCAST {
        if only_looks(pdu) {
            // A read of all has no answer on a serial line, and makes no sense elsewhere.
            return refuse(exception::NO_PATH).filter(|_| !serial);
        }
        hub.lines.iter().for_each(|line| line.tell_all(pdu, rule.priority));
        return None;
    }
    match hub.line(unit) {
        Some(line) => Some(line.ask(unit, pdu, rule.priority, now)),
        None => refuse(exception::NO_PATH),
    }
}

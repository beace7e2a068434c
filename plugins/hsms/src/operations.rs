//! The operations of sessions.

use crate::header::{ALL_SESSIONS, Header, Kind, deselect};
use crate::item::Item;
use crate::link::Link;
use crate::session::{answered, select};
use crate::sml::{self, Text};
use crate::transactions::Asker;
use crate::{communication, json as items, outgoing};
use bytes::Bytes;
use jackfield_plugin_api::sync::oneshot;
use jackfield_plugin_api::{Error, ErrorKind, NoParams, Operation, Result, params};
use serde_json::{Value, json};
use std::time::Duration;

params! {
    /// Parameters of `send`: the message as `sml` or as `message`.
    pub(crate) struct Send {
        /// As SML, such as `S1F1 W .`
        pub(crate) sml: Option<String>,
        /// As JSON.
        pub(crate) message: Option<Content>,
        /// The session (device); without it the option `session_id`.
        pub(crate) session_id: Option<u16>,
        /// Of an answer to a message of the peer: its system bytes, as the event `message` has them.
        pub(crate) system: Option<u32>,
        /// Seconds that the answer may take; without it T3.
        pub(crate) timeout: Option<f64>,
    }

    /// A message as JSON.
    pub(crate) struct Content {
        /// 0 to 127.
        pub(crate) stream: u8,
        /// 0 to 255.
        pub(crate) function: u8,
        /// Whether an answer is asked for, and waited for.
        pub(crate) wait: Option<bool>,
        /// Its item, such as {"L":[{"U4":[1,2]},{"A":"text"}]}.
        pub(crate) item: Option<Value>,
    }

    /// What `send` gives; nothing where no answer was asked for.
    pub(crate) struct Reply {
        /// The answer's stream.
        pub(crate) stream: Option<u8>,
        /// Its function.
        pub(crate) function: Option<u8>,
        /// Its session.
        pub(crate) session_id: Option<u16>,
        /// Its item.
        pub(crate) item: Option<Value>,
        /// The whole of it as SML.
        pub(crate) sml: Option<String>,
        /// Where the content cannot be read: why.
        pub(crate) unreadable: Option<String>,
        /// And its bytes, as hexadecimal digits.
        pub(crate) content: Option<String>,
    }

    /// Parameters of `select` and `deselect`.
    pub(crate) struct One {
        /// In `generic` mode the session; without it the option `session_id`.
        pub(crate) session_id: Option<u16>,
    }

    /// What `linktest` gives.
    pub(crate) struct Tested {
        /// Milliseconds that the answer took.
        pub(crate) milliseconds: f64,
    }

    /// Parameters of `communication`, with the option `establish`.
    pub(crate) struct Communicate {
        /// Whether communications are allowed from now on; without it that is as it was.
        pub(crate) enabled: Option<bool>,
        /// Seconds to wait until they are established.
        pub(crate) wait: Option<f64>,
    }

    /// What `communication` gives.
    pub(crate) struct Communications {
        /// `disabled`, `not_communicating`, `wait_cr_from_host`, `wait_cra`, `wait_delay`, `communicating`.
        pub(crate) state: String,
    }

    /// Parameters of a stream that shares a connection.
    pub(crate) struct Stream {
        /// Messages that it is given of those that begin a transaction, such as `S6` and `S5F1`; all of them
        /// without it.
        pub(crate) receives: Option<Vec<String>>,
        /// Whether its answers to them are sent; without it yes.
        pub(crate) answers: Option<bool>,
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Operation> {
    vec![
        Operation::new::<Send, Reply>("send", "Sends a message, and gives its answer if it has W"),
        Operation::new::<Communicate, Communications>(
            "communication",
            "Tells whether communications are established (GEM), waits for them, allows or ends them",
        ),
        Operation::new::<NoParams, Tested>("linktest", "Asks whether the connection works"),
        Operation::new::<One, NoParams>("select", "Selects a session"),
        Operation::new::<One, NoParams>("deselect", "Ends a session, and keeps the connection"),
        Operation::new::<NoParams, NoParams>("separate", "Ends the session and the connection"),
    ]
}

/// What a line of SECS-I has, which has no control messages.
const OF_LINE: &[&str] = &["send", "communication"];

/// Those of a line.
pub(crate) fn of_line() -> Vec<Operation> {
    all().into_iter().filter(|operation| OF_LINE.contains(&operation.name.as_ref())).collect()
}

pub(crate) fn names(link: &Link) -> &'static [&'static str] {
    match link.endpoint.line {
        Some(_) => OF_LINE,
        None => &["send", "communication", "linktest", "select", "deselect", "separate"],
    }
}

/// Whether the peer is there.
///
/// # Errors
/// It does not answer.
pub(crate) async fn ping(link: &Link) -> Result<Duration> {
    let begun = link.host.now();
    if link.endpoint.line.is_some() {
        // An ENQ without a block behind it would be a fault. S1F1 is there for the question (E5 §10.5), and
        // S1F0, or a message of stream 9 about it, shows a peer as well as S1F2.
        let question = Header::data(link.endpoint.session_id, 1, 1, true, 0);
        match ask(link, question, &[], None).await {
            Err(error) if error.kind() == ErrorKind::Refused => {}
            answer => drop(answer?),
        }
    } else {
        answered(link, Kind::LinktestReq, ALL_SESSIONS).await?;
    }
    Ok(link.host.now().saturating_sub(begun))
}

/// Runs one.
///
/// # Errors
/// What it says, or that there is none such.
pub(crate) async fn call(link: &Link, operation: &str, given: Value) -> Result<Value> {
    if !names(link).contains(&operation) {
        let names = names(link).join(" ");
        return Err(Error::unsupported(&format!("operation {operation:?}; there are: {names}")));
    }
    match operation {
        "send" => send(link, params(given)?).await,
        "communication" => communicate(link, params(given)?).await,
        "linktest" => {
            let NoParams {} = params(given)?;
            let took = ping(link).await?;
            Ok(json!({ "milliseconds": took.as_secs_f64() * 1000.0 }))
        }
        "select" => {
            let One { session_id } = params(given)?;
            select(link, session_id).await.map(|_| json!({}))
        }
        "deselect" => {
            let One { session_id } = params(given)?;
            let session = link.selects(session_id);
            match answered(link, Kind::DeselectReq, session).await? {
                deselect::OK => Ok(json!({})),
                status => {
                    let text =
                        format!("the peer refuses the Deselect: {}", deselect::words(status));
                    Err(Error::new(ErrorKind::Refused, text).with_code("hsms.deselect", status))
                }
            }
        }
        "separate" => {
            let NoParams {} = params(given)?;
            outgoing::separate(link);
            link.until(|state| state.end.as_ref().map(|_| ())).await;
            Ok(json!({}))
        }
        _ => Err(Error::unsupported(&format!("operation {operation:?}"))),
    }
}

/// The message that is to be sent.
///
/// # Errors
/// [`ErrorKind::Config`], which names the parameter.
fn text(link: &Link, given: &Send) -> Result<Text> {
    let limits = link.endpoint.most.items;
    let wrong = |name: &str, text: String| Error::new(ErrorKind::Config, format!("{name}: {text}"));
    match (&given.sml, &given.message) {
        (Some(text), None) => sml::read(text, limits).map_err(|text| wrong("sml", text)),
        (None, Some(message)) if message.stream > 127 => {
            Err(wrong("message", format!("expected a stream up to 127, not {}", message.stream)))
        }
        (None, Some(message)) => {
            let item = message.item.as_ref().map(|item| items::read(item, limits)).transpose();
            let item = item.map_err(|text| wrong("message", text))?;
            let wait = message.wait.unwrap_or(false);
            Ok(Text::new(message.stream, message.function, wait, item))
        }
        _ => {
            let text = "expected either `sml`, such as 'S1F1 W .', or `message`";
            Err(Error::new(ErrorKind::Config, text))
        }
    }
}

async fn send(link: &Link, given: Send) -> Result<Value> {
    let message = text(link, &given)?;
    let limit = given.timeout.map(|timeout| seconds("timeout", timeout)).transpose()?;
    let wrong = |text| Error::new(ErrorKind::Config, text);
    let body = message.item.as_ref().map_or(Ok(Bytes::new()), Item::write).map_err(wrong)?;
    let session = given.session_id.unwrap_or(link.endpoint.session_id);
    let header = Header::data(session, message.stream, message.function, message.wait, 0);
    if !header.is_primary() {
        return answer(link, header, given.system, &body).await;
    }
    match ask(link, header, &body, limit).await? {
        Some((header, body)) => reply(link, header, &body),
        None => Ok(json!({})),
    }
}

/// Sends a message that begins a transaction. Gives its answer if it has W.
async fn ask(
    link: &Link,
    header: Header,
    body: &[u8],
    limit: Option<Duration>,
) -> Result<Option<(Header, Bytes)>> {
    let room = |state: &mut crate::link::State| {
        let go = state.closed().is_some() || outgoing::has_room(link, state);
        go.then_some(())
    };
    communication::wait_for(link, header, limit.unwrap_or(link.endpoint.times.t3)).await?;
    link.until(room).await;
    let (asker, answered) = oneshot::channel();
    let number = {
        let mut state = link.state();
        outgoing::ready(link, &state, header, body.len())?;
        outgoing::begin(link, &mut state, header, body, limit, Asker::Call(asker))
    };
    if !header.waits() {
        link.until_arrived(number).await?;
        return Ok(None);
    }
    let gone = || Err(Error::new(ErrorKind::Closed, "the connection has ended"));
    answered.await.unwrap_or_else(|_| gone()).map(Some)
}

async fn communicate(link: &Link, given: Communicate) -> Result<Value> {
    if link.endpoint.establish.is_none() {
        let text = "`communication` needs the option `establish`";
        return Err(Error::new(ErrorKind::Config, text));
    }
    let limit = given.wait.map(|wait| seconds("wait", wait)).transpose()?;
    if let Some(enabled) = given.enabled {
        communication::enable(link, enabled);
    }
    if let Some(limit) = limit {
        communication::until(link, limit).await?;
    }
    Ok(json!({ "state": link.state().communication.phase.name() }))
}

/// Seconds of a parameter.
///
/// # Errors
/// [`ErrorKind::Config`], which names it.
fn seconds(name: &str, seconds: f64) -> Result<Duration> {
    let text = || format!("{name}: expected seconds, such as 5 or 0.5");
    Duration::try_from_secs_f64(seconds).map_err(|_| Error::new(ErrorKind::Config, text()))
}

/// Answers a message of the peer.
async fn answer(link: &Link, header: Header, system: Option<u32>, body: &[u8]) -> Result<Value> {
    let Some(system) = system else {
        let text = "an answer, which has an even function, needs `system` of what it answers";
        return Err(Error::new(ErrorKind::Config, text));
    };
    let number = {
        let mut state = link.state();
        let header = Header { system, ..header };
        outgoing::ready(link, &state, header, body.len())?;
        if state.open.theirs.answered(header).is_none() {
            let text =
                format!("nothing of the peer waits for {} with system {system}", header.title());
            return Err(Error::new(ErrorKind::NotFound, text));
        }
        link.data(&mut state, header, body)
    };
    link.until_arrived(number).await?;
    Ok(json!({}))
}

fn reply(link: &Link, header: Header, body: &Bytes) -> Result<Value> {
    let (stream, function) = (header.stream(), header.function());
    if function == 0 {
        let text = format!("the peer has aborted the transaction: S{stream}F0");
        return Err(Error::new(ErrorKind::Refused, text));
    }
    let mut reply = json!({
        "stream": stream, "function": function, "session_id": header.session,
    });
    match Item::read(body, link.endpoint.most.items) {
        Ok(item) => {
            reply["item"] = item.as_ref().map_or(Value::Null, items::write);
            reply["sml"] = sml::write(&Text::new(stream, function, false, item)).into();
        }
        Err(text) => {
            reply["unreadable"] = text.into();
            reply["content"] = crate::values::hex(body).into();
        }
    }
    Ok(reply)
}

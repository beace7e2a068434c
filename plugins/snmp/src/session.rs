//! The sessions of clients.

use crate::endpoint::{Credentials, SnmpEndpoint};
use crate::link::{self, End, Link};
use crate::notification::Notice;
use crate::operations;
use crate::options::Version;
use crate::pdu::Kind;
use crate::rows::Rows;
use crate::wire::{Connected, Wire};
use futures_util::{sink, stream};
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Event, Facets, Host, Info, Message, Messages, Op, Result, Session,
    Stream, params,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What sessions of this driver may have.
pub(crate) const FACETS: Facets = CALLS.union(Facets::MESSAGES);

const CALLS: Facets =
    Facets::CALL.union(Facets::OPEN_STREAM).union(Facets::PING).union(Facets::EVENTS);

/// A connection and its task, which ends when the last owner of this is gone.
pub(crate) struct Held {
    pub(crate) link: Arc<Link>,
    _task: Op<()>,
}

/// Begins to speak over what a session has, and asks whether the peer is there where the options want it.
///
/// # Errors
/// It is not.
pub(crate) async fn open(
    host: Host,
    endpoint: Arc<SnmpEndpoint>,
    who: Credentials,
    below: Connected,
) -> Result<Session> {
    let wire = Wire::over(&below.session, endpoint.max_message())?;
    let (link, queue) = Link::new(host, endpoint, who, below);
    let task = host.spawn(link::run(Arc::clone(&link), wire, queue));
    let held = Arc::new(Held { link, _task: task });
    if held.link.endpoint.options.probe {
        let hint = |error: Error| match error.kind() {
            ErrorKind::TimedOut => {
                let text = format!("{}; `probe = false` opens without asking", error.message());
                Error::new(ErrorKind::TimedOut, text)
            }
            _ => error,
        };
        held.link.is_there().await.map_err(hint)?;
    }
    let messages = messages(&held);
    Ok(Session::builder(Whole(held)).facets(CALLS).messages(messages).build())
}

params! {
    /// What one more stream is.
    struct Open {
        /// The rows of a walk, each a line of JSON, as they come. Without `max_rows` all of them.
        walk: operations::Walk,
    }
}

/// One more user of a connection.
struct Beside(Arc<Held>);

impl Control for Beside {
    fn info(&self) -> Info {
        info(&self.0.link)
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        operations::call(&self.0.link, &operation, params).await
    }
}

/// What a message that is sent says: a notification, and whether it is an inform.
#[derive(Deserialize)]
struct Passed {
    #[serde(default)]
    kind: Option<String>,
    #[serde(flatten)]
    notice: serde_json::Map<String, Value>,
}

/// What a listener adds to a notification: who sent it, which goes no further.
const ADDED: [&str; 7] =
    ["name", "version", "community", "user", "security", "engine_id", "context"];

/// Messages that are sent are notifications; none are received.
fn messages(held: &Arc<Held>) -> Messages {
    let sending = sink::unfold(Arc::clone(held), |held, message: Message| async move {
        pass(&held.link, &message).await?;
        Ok(held)
    });
    let receiving = stream::unfold(Some(Arc::clone(held)), |held| async move {
        let held = held?;
        let mut ended = held.link.ended.subscribe();
        let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        match end {
            Some(End::Failed(error)) => Some((Err(error), None)),
            _ => None,
        }
    });
    Messages::from_parts(receiving, sending)
}

async fn pass(link: &Link, message: &Message) -> Result<()> {
    let wrong = |text: String| {
        Error::new(ErrorKind::Config, format!("a message is no notification: {text}"))
    };
    let Passed { kind, mut notice } =
        serde_json::from_slice(&message.payload).map_err(|error| wrong(error.to_string()))?;
    for name in ADDED {
        notice.remove(name);
    }
    let notice: Notice =
        params(Value::Object(notice)).map_err(|error| wrong(error.message().to_owned()))?;
    let kind = match kind.as_deref() {
        // Version 1 has no informs, so that one of another version goes on as a trap.
        Some("inform") if link.endpoint.options.version != Version::V1 => Kind::Inform,
        Some("inform" | "trap") | None => Kind::Trap,
        Some(other) => {
            return Err(wrong(format!("expected the kind trap or inform, not {other:?}")));
        }
    };
    operations::notify(link, &notice, kind).await.map(|_| ())
}

/// The control of a connection.
struct Whole(Arc<Held>);

/// What is known of a connection.
fn info(link: &Link) -> Info {
    let state = link.state();
    let mut info = Info::new()
        .with("version", json!(link.endpoint.options.version))
        .with("transport", json!(link.endpoint.options.transport))
        .with("requests", state.requests)
        .with("waiting", state.waiting.len())
        .with("late", state.late)
        .with("dropped", state.dropped);
    if let Some(engine) = &state.engine {
        let (boots, time) = engine.clock.now(link.host.now());
        info = info.with("engine_id", crate::json::hex(&engine.id));
        info = info.with("engine_boots", boots).with("engine_time", time);
    }
    if let Credentials::User(user) = &link.who {
        info = info.with("user", user.name.clone()).with("security", user.level());
        if user.is_private() {
            info = info.encrypted();
        }
    }
    info.over(&link.below)
}

impl Control for Whole {
    fn info(&self) -> Info {
        info(&self.0.link)
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        operations::call(&self.0.link, &operation, params).await
    }

    async fn open_stream(&self, params: Value) -> Result<Session> {
        let (held, beside) = (Arc::clone(&self.0), Beside(Arc::clone(&self.0)));
        if params.is_null() {
            let messages = messages(&held);
            return Ok(Session::builder(beside).facets(Facets::CALL).messages(messages).build());
        }
        let Open { walk } = jackfield_plugin_api::params(params)?;
        let wanted = operations::wanted(&held.link, &walk)?;
        let stream = Stream::new(Rows::new(held, wanted));
        Ok(Session::builder(beside).facets(Facets::CALL).stream(stream).build())
    }

    async fn ping(&self) -> Result<Duration> {
        let link = &self.0.link;
        let begun = link.host.now();
        link.is_there().await?;
        Ok(link.host.now().saturating_sub(begun))
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        Ok(self.0.link.news.next().await)
    }

    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        let link = &self.0.link;
        // What was handed over before leaves; SNMP has no goodbye. One that has failed has nothing to send.
        let _ = link.sent(Vec::new()).await;
        link.end(End::Closed);
        Ok(())
    }
}

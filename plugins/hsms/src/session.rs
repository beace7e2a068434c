//! Sessions: the one of a connection, and the streams that share it.

use crate::endpoint::filter;
use crate::facet::Facet;
use crate::header::{Kind, select};
use crate::link::{End, Link};
use crate::operations;
use crate::users::MAIN;
use crate::{communication, outgoing, running};
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Event, Facets, Info, Messages, Op, Result, Retry, Role, Session,
    Stream, params,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// What is left of a deadline for the host to hear of an error by us.
pub(crate) const SPARE: Duration = Duration::from_millis(200);

const CALLS: Facets = Facets::CALL.union(Facets::PING);

/// What sessions of this driver may have.
pub(crate) const FACETS: Facets =
    CALLS.union(Facets::MESSAGES).union(Facets::EVENTS).union(Facets::OPEN_STREAM);

/// A connection and its task, which ends when the last owner of this is gone.
pub(crate) struct Held {
    pub(crate) link: Arc<Link>,
    _task: Op<()>,
}

/// Begins to speak over a carrier. `kept` is dropped when the connection has ended.
pub(crate) fn begin(link: Arc<Link>, carrier: Stream, kept: impl Send + 'static) -> Arc<Held> {
    let running = Arc::clone(&link);
    let task = link.host.spawn(async move {
        running::run(running, carrier).await;
        drop(kept);
    });
    if link.endpoint.line.is_some() {
        let session = link.endpoint.session_id;
        communication::selected(&link, &mut link.state(), session);
    }
    Arc::new(Held { link, _task: task })
}

/// The session of a connection.
pub(crate) fn session(held: Arc<Held>) -> Session {
    let messages = Messages::new(Facet::new(Arc::clone(&held), MAIN));
    let facets = CALLS | Facets::EVENTS | Facets::OPEN_STREAM;
    Session::builder(Whole(held)).facets(facets).messages(messages).build()
}

/// Waits for communications, where the options want that.
///
/// # Errors
/// They are not established within the time to open.
pub(crate) async fn established(link: &Link, deadline: Duration) -> Result<()> {
    match &link.endpoint.establish {
        Some(establish) if establish.wait => {
            communication::until(link, deadline.saturating_sub(SPARE)).await
        }
        _ => Ok(()),
    }
}

/// Selects a session.
///
/// # Errors
/// The peer refuses, does not answer in time, or has ended the connection.
pub(crate) async fn select(link: &Link, session: Option<u16>) -> Result<u8> {
    let session = link.selects(session);
    let status = answered(link, Kind::SelectReq, session).await?;
    // Both may have asked at the same time: what the peer has selected is selected.
    if status == select::OK || link.state().is_selected(session) {
        return Ok(status);
    }
    let text = format!("the peer refuses the Select: {}", select::words(status));
    Err(Error::new(ErrorKind::Refused, text)
        .with_code("hsms.select", status)
        .with_retry(Retry::Now))
}

/// Asks by a control message; gives the status of its answer.
///
/// # Errors
/// There was none, or a Reject.
pub(crate) async fn answered(link: &Link, kind: Kind, session: u16) -> Result<u8> {
    let answered = link.ask(kind, session)?;
    answered.await.unwrap_or_else(|_| {
        let end = link.state().end.as_ref().map(End::error);
        Err(end.unwrap_or_else(|| Error::new(ErrorKind::Closed, "the connection has ended")))
    })
}

fn info(link: &Link) -> Info {
    if link.endpoint.line.is_some() {
        return info_of_line(link);
    }
    let state = link.state();
    let status = match &state.end {
        Some(_) => "not_connected",
        None if state.selected.is_empty() => "not_selected",
        None => "selected",
    };
    let selected: Vec<u16> = match link.is_single() {
        true => vec![link.endpoint.session_id],
        false => state.selected.iter().copied().collect(),
    };
    let selected = if state.selected.is_empty() { Vec::new() } else { selected };
    let mut info = Info::new()
        .with("role", if link.role == Role::Client { "active" } else { "passive" })
        .with("hsms", status)
        .with("sessions", selected)
        .with("streams", state.users.streams())
        .with("open_transactions", state.open.ours.len());
    if let Some(place) = &state.place {
        info = info.with("peer_name", place.peer.name.clone());
    }
    if link.endpoint.establish.is_some() {
        info = info.with("communication", state.communication.phase.name());
    }
    info.over(&link.below)
}

fn info_of_line(link: &Link) -> Info {
    let (state, equipment) = (link.state(), link.endpoint.equipment);
    let mut info = Info::new()
        .with("role", if equipment { "equipment" } else { "host" })
        .with("sessions", state.selected.iter().copied().collect::<Vec<_>>())
        .with("streams", state.users.streams())
        .with("open_transactions", state.open.ours.len())
        .with("blocks_sent", state.blocks.sent)
        .with("blocks_received", state.blocks.received)
        .with("blocks_retried", state.blocks.retried)
        .with("blocks_refused", state.blocks.refused);
    if let Some(place) = &state.place {
        info = info.with("peer_name", place.peer.name.clone());
    }
    if link.endpoint.establish.is_some() {
        info = info.with("communication", state.communication.phase.name());
    }
    info.over(&link.below)
}

/// The control of a connection.
struct Whole(Arc<Held>);

impl Control for Whole {
    fn info(&self) -> Info {
        info(&self.0.link)
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        operations::call(&self.0.link, &operation, params).await
    }

    async fn open_stream(&self, wanted: Value) -> Result<Session> {
        let operations::Stream { receives, answers } = params(wanted)?;
        let receives = filter("receives", &receives.unwrap_or_default())?;
        let link = &self.0.link;
        let user = {
            let mut state = link.state();
            if let Some(error) = state.closed() {
                return Err(error);
            }
            state.users.add(receives, answers.unwrap_or(true), link.endpoint.most.streams)
        };
        let Some(user) = user else {
            let text = "as many streams share the connection as `max_streams` allows";
            return Err(Error::new(ErrorKind::Limit, text));
        };
        let messages = Messages::new(Facet::new(Arc::clone(&self.0), user));
        let part = Part(Arc::clone(&self.0));
        Ok(Session::builder(part).facets(CALLS).messages(messages).build())
    }

    async fn ping(&self) -> Result<Duration> {
        operations::ping(&self.0.link).await
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        Ok(self.0.link.news.next().await)
    }

    async fn close(&self, code: u64, reason: String) -> Result<()> {
        let link = &self.0.link;
        if code == 0 {
            outgoing::separate(link);
        } else {
            // Neither has a word for a failure: the peer of HSMS sees that there was no Separate.
            let text = format!("closed because of a failure: {reason}");
            link.close(&mut link.state(), End::Failed(Error::new(ErrorKind::Closed, text)));
        }
        link.until(|state| state.end.as_ref().map(|_| ())).await;
        Ok(())
    }
}

/// The control of a stream that shares a connection.
struct Part(Arc<Held>);

impl Control for Part {
    fn info(&self) -> Info {
        info(&self.0.link)
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        let known = operations::names(&self.0.link).contains(&operation.as_str());
        if known && matches!(operation.as_str(), "send" | "linktest") {
            return operations::call(&self.0.link, &operation, params).await;
        }
        if known {
            let text = format!("`{operation}` concerns all who share the connection");
            return Err(Error::unsupported(&text));
        }
        Err(Error::unsupported(&format!("operation {operation:?}")))
    }

    async fn ping(&self) -> Result<Duration> {
        operations::ping(&self.0.link).await
    }

    async fn close(&self, _code: u64, _reason: String) -> Result<()> {
        let link = &self.0.link;
        let queued = link.state().out.queued;
        // What was handed over before leaves; the connection is of others, too.
        link.until_sent(queued).await
    }
}

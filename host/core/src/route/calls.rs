//! Operations that an accepted session asks of the session it is joined to: its peer may say how the far
//! end is to be set, and only the far end can do it. What stands around the operations of the far end stands
//! around these too.
//!
//! A session asks by an event `call` with `{id, operation, params}`. The operation is run at the far end,
//! and the session is called in turn: `answer {id, result}`, without a result if it failed. From the first
//! such event on it is also told what happens at the far end: `told {name, data}`.

use crate::connection::Around;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jackfield_plugin_api::{Event, Facets, Result, Session};
use jackfield_timers::timeout;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

/// How long one operation may take: a slow line first sends what it has.
const LIMIT: Duration = Duration::from_secs(60);

/// How many operations run at the same time; others wait meanwhile.
const MOST: usize = 8;

#[derive(Deserialize)]
struct Ask {
    id: u64,
    operation: String,
    #[serde(default)]
    params: Value,
}

/// Whether a session may ask.
pub(super) fn may_ask(near: &Session) -> bool {
    near.facets().contains(Facets::EVENTS | Facets::CALL)
}

/// Carries what `near` asks to `far`, through what stands `around` its operations, and back, until dropped.
pub(super) async fn carry(near: &Session, far: &Session, around: Option<Around>) -> Infallible {
    let mut asking = true;
    let mut telling = false;
    // One that takes long holds up no other, such as one that ends it: a session that wants them in order asks
    // for the next when it has the answer.
    let mut answers = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = answers.next(), if !answers.is_empty() => {}
            event = near.next_event(), if asking && answers.len() < MOST => match event {
                Ok(Some(event)) if event.name == "call" => {
                    // Whoever asks has ears for events too.
                    telling |= far.facets().contains(Facets::EVENTS);
                    answers.push(answer(near, far, around.as_ref(), event.data));
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => asking = false,
            },
            event = far.next_event(), if telling => match event {
                Ok(Some(Event { name, data, .. })) => {
                    note(near.call("told", &json!({ "name": name, "data": data })).await);
                }
                Ok(None) | Err(_) => telling = false,
            },
            else => return pending().await,
        }
    }
}

async fn answer(near: &Session, far: &Session, around: Option<&Around>, ask: Value) {
    let Ok(Ask { id, operation, params }) = serde_json::from_value(ask) else { return };
    let calling = async {
        match around {
            Some(around) => around.call(far, &operation, &params).await,
            None => far.call(&operation, &params).await,
        }
    };
    let answer = match timeout(LIMIT, calling).await {
        Ok(Ok(result)) => json!({ "id": id, "result": result }),
        Ok(Err(error)) => {
            tracing::debug!(operation, %error, "operation failed at the far end");
            json!({ "id": id })
        }
        Err(_) => json!({ "id": id }),
    };
    note(near.call("answer", &answer).await);
}

/// A session that is gone needs no answer.
fn note(called: Result<Value>) {
    if let Err(error) = called {
        tracing::debug!(%error, "could not deliver the far end's answer");
    }
}

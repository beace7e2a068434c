//! The accepted session until its destination is open: whether its peer is still there, and the answer that
//! waits for the destination.

use crate::relay::End;
use crate::stack::offering;
use futures_util::future::Either;
use jackfield_plugin_api::{Error, ErrorKind, Facets, Result, Session};
use serde_json::{Value, json};
use std::time::Duration;

/// What of `session` will be relayed, if that is clear before the far side is open, to be watched meanwhile.
///
/// # Errors
/// Its socket cannot be used.
pub(super) fn watched(session: &Session) -> Result<Option<End>> {
    let data = session.facets().intersection(Facets::DATA);
    if data != Facets::STREAM && data != Facets::MESSAGES {
        return Ok(None);
    }
    End::of(session).map(End::watched).transpose()
}

/// Completes when the peer has gone; never if it is not watched.
pub(super) async fn gone(end: &mut Option<End>, grace: Duration) -> Error {
    match end {
        Some(end) => end.gone(grace).await,
        None => std::future::pending().await,
    }
}

/// An answer to the peer that waits for the destination, and what the peer offers.
pub(super) struct Deferred {
    protocols: Vec<String>,
}

impl Deferred {
    /// Of a session whose layer keeps its answer back.
    pub(super) fn of(session: &Session) -> Option<Self> {
        if !session.facets().contains(Facets::CALL | Facets::MESSAGES) {
            return None;
        }
        let facts = session.info().facts;
        facts.get("deferred").and_then(Value::as_bool).filter(|deferred| *deferred)?;
        let offered = facts.get("protocols").and_then(Value::as_array);
        let names = offered.into_iter().flatten().filter_map(Value::as_str);
        Some(Deferred { protocols: names.map(str::to_owned).collect() })
    }

    /// Opens the destination with what the peer offers. Not an `async fn`, which would keep room for `opening` twice.
    pub(super) fn offering<F: Future>(
        deferred: Option<&Self>,
        opening: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let offered = deferred.map(|deferred| &deferred.protocols);
        match offered.filter(|protocols| !protocols.is_empty()) {
            // Boxed: most sessions need no room for it.
            Some(protocols) => Either::Left(Box::pin(offering(protocols.clone(), opening))),
            None => Either::Right(opening),
        }
    }

    /// Answers the peer, with what `far` has chosen of its offer.
    ///
    /// # Errors
    /// The peer has gone.
    pub(super) async fn answer(self, session: &Session, far: &Session) -> Result<()> {
        let chosen = match self.protocols.as_slice() {
            [] => None,
            offered => {
                let info = far.info();
                let chosen = info.facts.get("subprotocol").and_then(Value::as_str);
                chosen.filter(|chosen| offered.iter().any(|name| name == chosen)).map(str::to_owned)
            }
        };
        session.call("accept", &json!({ "protocol": chosen })).await.map(drop)
    }
}

/// The host is stopping, and a destination that is not open yet is not opened any more.
pub(super) fn stopped() -> Error {
    Error::new(ErrorKind::Cancelled, "the host is stopping")
}

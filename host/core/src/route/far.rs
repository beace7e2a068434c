//! [`Far`]: the session at the other side of a route.

use super::fault::is_of_target;
use crate::connection::PooledSession;
use crate::relay::{RelayEnd, Side, Totals};
use crate::upstream::Opened;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{Answer, Envelope, Error, Result, Session};
use jackfield_timers::sleep;
use std::future::pending;
use std::time::Duration;

/// How long a request may have no answer before the peer is pinged.
const SILENT: Duration = Duration::from_secs(5);

/// The session at the other side.
pub(super) enum Far {
    /// Of one target.
    Own(PooledSession),
    /// Of an upstream, with its place there.
    Opened(Opened),
}

impl Far {
    pub(super) fn session(&self) -> &Session {
        match self {
            Far::Own(own) => own.session(),
            Far::Opened(opened) => opened.session(),
        }
    }

    /// Its target, where there are several.
    pub(super) fn target(&self) -> Option<&str> {
        match self {
            Far::Own(_) => None,
            Far::Opened(opened) => Some(opened.target()),
        }
    }

    /// Sends the request that it was reached for, with a place for interim responses.
    pub(super) fn send(&self, request: Envelope, interim: Answer) -> Result<Op<Envelope>> {
        match self {
            Far::Own(own) => own.send(request, interim),
            Far::Opened(opened) => opened.send(request, interim),
        }
    }

    /// Whether it has answered a request before.
    pub(super) fn is_reused(&self) -> bool {
        match self {
            Far::Own(own) => own.is_reused(),
            Far::Opened(opened) => opened.is_reused(),
        }
    }

    /// Its answer has come whole: the session is for the next request.
    pub(super) fn answered(self) {
        match self {
            Far::Own(own) => own.answered(),
            Far::Opened(opened) => opened.answered(),
        }
    }

    /// A request over it failed, which counts against the target if the target is at fault.
    pub(super) fn failed(self, error: &Error) {
        if let Far::Opened(mut opened) = self
            && is_of_target(error)
        {
            opened.failed(error);
        }
    }

    /// Fails when what was sent to it has no answer and its peer is not there. Without an end where the peer is,
    /// or where the session is for nobody else: a stream of one that others use too shows nothing of a peer
    /// that has gone without a word, and the others would meet it as well.
    pub(super) async fn gone(&self, totals: &Totals) -> Error {
        let Far::Opened(opened) = self else { return pending().await };
        let mut pause = SILENT;
        while opened.is_one_of_many() && totals.bytes_to_a() == 0 {
            sleep(pause).await;
            if totals.bytes_to_a() == 0
                && totals.bytes_to_b() > 0
                && let Err(error) = opened.check().await
            {
                return error;
            }
            // Some never answer, and are well.
            pause = pause.saturating_mul(2);
        }
        pending().await
    }

    /// Says how a relay over it went to those that hand out such sessions.
    pub(super) fn relayed(self, end: &RelayEnd, totals: &Totals) {
        let Far::Opened(mut opened) = self else { return };
        if totals.bytes_to_a() > 0 {
            return;
        }
        match end {
            // Nothing ever came from it: it accepts, but does not serve.
            RelayEnd::Failed { side: Side::B, error, .. } => opened.failed(error),
            // Maybe it had nothing to say; maybe it is there no more.
            _ if totals.bytes_to_b() > 0 => opened.unanswered(),
            _ => {}
        }
    }
}

//! [`Far`]: the session at the other side of a route.

use crate::connection::PooledSession;
use crate::relay::{RelayEnd, Side, Totals};
use crate::upstream::Opened;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{Envelope, Error, ErrorKind, Origin, Result, Session};

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

    /// Sends the request that it was reached for.
    pub(super) fn send(&self, request: Envelope) -> Result<Op<Envelope>> {
        match self {
            Far::Own(own) => own.send(request),
            Far::Opened(opened) => opened.send(request),
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

    /// A request over it failed, which counts against the target unless that was the peer's fault.
    pub(super) fn failed(self, error: &Error) {
        if let Far::Opened(mut opened) = self
            && error.kind() != ErrorKind::Unsupported
            && error.origin() != Origin::Downstream
        {
            opened.failed(error);
        }
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

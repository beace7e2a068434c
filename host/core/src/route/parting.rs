//! [`Parting`]: how a session is left after it was joined to another: what its peer is told, so that it does
//! not take for a whole what was cut off.

use crate::relay::{RelayEnd, Side};
use crate::session::POLITE_CLOSE;
use crate::shutdown::LAST_WORDS;
use jackfield_plugin_api::{Error, ErrorKind, Facets, Origin, Session, close_code};
use jackfield_timers::timeout;
use serde_json::Value;

/// How a session is left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Parting {
    /// The code and the reason for a session that can be closed with them.
    close: Option<(u64, String)>,
    /// Whether its peer must see a failure if it could not be told so.
    cut: bool,
    /// Whether there is little time.
    hasty: bool,
}

impl Parting {
    /// All has been said.
    pub(super) const WHOLE: Parting = Parting { close: None, cut: false, hasty: false };
    /// Nothing can be said any more.
    pub(super) const BROKEN: Parting = Parting { close: None, cut: true, hasty: false };

    fn cut(code: u64, reason: &str) -> Self {
        Parting { close: Some((code, reason.to_owned())), cut: true, hasty: false }
    }

    /// The host stops.
    pub(super) fn stopped() -> Self {
        let hasty = true;
        Parting { hasty, ..Parting::cut(close_code::GOING_AWAY, "the host is stopping") }
    }

    /// For the session at that side after a relay; `other` is the one at the other side.
    pub(super) fn after(end: &RelayEnd, at: Side, session: &Session, other: &Session) -> Self {
        match end {
            RelayEnd::Closed { first } if *first == at => Parting::WHOLE,
            RelayEnd::Closed { .. } if ends_alike(session, other) => {
                let code = told_by(other).unwrap_or((close_code::NORMAL, String::new()));
                Parting { close: Some(code), ..Parting::WHOLE }
            }
            RelayEnd::Closed { .. } => Parting::WHOLE,
            RelayEnd::Failed { side, error, .. } if *side == at => {
                let ours = error.kind() == ErrorKind::Limit;
                if ours {
                    Parting::cut(close_code::FAILED, error.message())
                } else {
                    Parting::WHOLE
                }
            }
            RelayEnd::Failed { error, .. } => {
                let reason = match at {
                    Side::A => "the destination has failed",
                    Side::B => "the client has broken off",
                };
                let told = told_in(error);
                let close = told.unwrap_or((close_code::FAILED, reason.to_owned()));
                Parting { close: Some(close), ..Parting::BROKEN }
            }
            RelayEnd::Shutdown => Parting::stopped(),
            end => Parting::cut(close_code::GOING_AWAY, &end.to_string()),
        }
    }

    /// For a session whose destination could not be opened. The exact error is for the log.
    pub(super) fn unserved(error: &Error) -> Self {
        match (error.kind(), error.origin()) {
            (ErrorKind::Cancelled, Origin::Downstream) => Parting::BROKEN,
            (ErrorKind::Cancelled, _) => Parting::stopped(),
            _ => Parting::cut(close_code::FAILED, "the destination cannot be reached"),
        }
    }

    /// For a session whose destination somebody else uses, as `held` says.
    pub(super) fn in_use(held: &str) -> Self {
        Parting::cut(close_code::FAILED, held)
    }

    /// Tells the peer in time, if its protocol can. Answers whether what follows must look like a failure to it.
    pub(super) async fn tell(&self, session: &Session) -> bool {
        match self.untold(session) {
            Some(is_cut) => is_cut,
            // Boxed: most sessions have no words for it, and need no room for them.
            None => Box::pin(self.say(session)).await,
        }
    }

    /// The answer of [`Parting::tell`] where there is nothing to tell, or no way to.
    pub(super) fn untold(&self, session: &Session) -> Option<bool> {
        let has_words = self.close.is_some() && session.facets().contains(Facets::CLOSE_CODE);
        (!has_words).then_some(self.cut)
    }

    async fn say(&self, session: &Session) -> bool {
        let Some((code, reason)) = &self.close else { return self.cut };
        let limit = if self.hasty { LAST_WORDS / 2 } else { POLITE_CLOSE };
        let told = match timeout(limit, session.close(*code, reason)).await {
            // A code of the other protocol that this one does not have.
            Ok(Err(error)) if error.kind() == ErrorKind::Config => {
                timeout(limit, session.close(close_code::FAILED, reason)).await
            }
            told => told,
        };
        self.cut && !matches!(told, Ok(Ok(())))
    }
}

/// Whether both sessions can end only as a whole, with a code: what the one said the other is to hear.
pub(super) fn ends_alike(a: &Session, b: &Session) -> bool {
    let wanted = Facets::MESSAGES | Facets::CLOSE_CODE;
    !(a.facets() | b.facets()).contains(Facets::STREAM)
        && (a.facets() & b.facets()).contains(wanted)
}

/// The code and the reason with which the peer of a session has closed it.
fn told_by(session: &Session) -> Option<(u64, String)> {
    let info = session.info();
    let code = info.facts.get("close_code").and_then(Value::as_u64)?;
    let reason = info.facts.get("close_reason").and_then(Value::as_str).unwrap_or_default();
    Some((code, reason.to_owned()))
}

/// The same, in the error that it has caused.
fn told_in(error: &Error) -> Option<(u64, String)> {
    let find = |name| error.context().find(|(key, _)| *key == name).map(|(_, value)| value);
    let code = find("close_code")?.parse().ok()?;
    Some((code, find("close_reason").unwrap_or_default().to_owned()))
}

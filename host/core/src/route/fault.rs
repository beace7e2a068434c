//! Whose fault it is that a request failed, and what its client is told.

use jackfield_plugin_api::{Error, ErrorKind, Origin};
use std::sync::{Arc, OnceLock};

/// Why the content of a request ended early on its client's side, once it has.
///
/// What the far end says afterwards, such as that it was reset, comes of that and not of the target.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientFault(Arc<OnceLock<Error>>);

impl ClientFault {
    /// The client has failed; the first reason counts.
    pub(super) fn note(&self, error: &Error) {
        let _ = self.0.set(error.clone());
    }

    /// The client's fault if there is one, or else this error.
    pub(super) fn or(&self, error: Error) -> Error {
        self.0.get().cloned().unwrap_or(error)
    }
}

/// Whether a failed request speaks against the target that it was sent to: not where the client has failed, nor
/// where it could not be sent to any target as it is.
pub(super) fn is_of_target(error: &Error) -> bool {
    error.origin() != Origin::Downstream
        && !matches!(error.kind(), ErrorKind::Config | ErrorKind::Unsupported)
}

/// The status that answers a failed request, and what it says (RFC 9110 §15.5, §15.6).
pub(super) fn status(error: &Error) -> (&'static str, &'static str) {
    match (error.origin(), error.kind()) {
        (Origin::Downstream, ErrorKind::TimedOut) => {
            ("408", "the content of the request did not come in time")
        }
        (Origin::Downstream, ErrorKind::Limit) => {
            ("413", "the content of the request is longer than allowed")
        }
        (Origin::Downstream, _) => ("400", "the request is cut short or not well formed"),
        (_, ErrorKind::TimedOut) => ("504", "the destination does not answer in time"),
        (_, ErrorKind::Limit) => ("503", "there is no room at the destination"),
        (_, ErrorKind::Unsupported) => ("502", "the destination cannot do what was asked"),
        _ => ("502", "the destination cannot be reached"),
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientFault, is_of_target, status};
    use jackfield_plugin_api::{Error, ErrorKind, Origin};

    #[test]
    fn what_the_client_did_is_answered_as_its_fault_and_counts_against_no_target() {
        for (kind, answer) in [
            (ErrorKind::TimedOut, "408"),
            (ErrorKind::Limit, "413"),
            (ErrorKind::Closed, "400"),
            (ErrorKind::Protocol, "400"),
        ] {
            let error = Error::new(kind, "x").with_origin(Origin::Downstream);
            assert_eq!(status(&error).0, answer);
            assert!(!is_of_target(&error));
            let fault = ClientFault::default();
            fault.note(&error);
            // What the far end made of it comes second.
            assert_eq!(fault.or(Error::new(ErrorKind::Protocol, "reset")), error);
        }
        let error = Error::new(ErrorKind::Closed, "gone");
        assert!(is_of_target(&error));
        assert_eq!(status(&ClientFault::default().or(error)).0, "502");
        assert!(!is_of_target(&Error::new(ErrorKind::Config, "no such head")));
    }
}

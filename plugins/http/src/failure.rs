//! From what hyper says to one error.

use hyper::StatusCode;
use jackfield_plugin_api::{Error, ErrorKind};
use std::error::Error as _;
use std::io;

/// What went wrong with a connection or one of its requests.
pub(crate) fn failure(error: &hyper::Error) -> Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(ours) = inner.downcast_ref::<Error>() {
            return ours.clone();
        }
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return of_io(io);
        }
        if inner.downcast_ref().is_some_and(is_unbegun) {
            return Error::unsent();
        }
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    let kind = if error.is_timeout() {
        ErrorKind::TimedOut
    } else if error.is_parse_too_large() {
        ErrorKind::Limit
    } else if error.is_parse() {
        ErrorKind::Protocol
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        ErrorKind::Closed
    } else if error.is_user() {
        ErrorKind::Config
    } else {
        // Mostly the peer's: a stream that it has reset, a frame that makes no sense.
        ErrorKind::Protocol
    };
    Error::new(kind, text)
}

/// Whether the peer says that it has not begun with a request (RFC 9113 §8.7): it has refused the stream, or
/// is going away in peace and the stream is none of those that it still answers.
fn is_unbegun(error: &h2::Error) -> bool {
    let leaves = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    let refuses = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (leaves || refuses)
}

fn of_io(error: &io::Error) -> Error {
    let inner = error.get_ref();
    if let Some(ours) = inner.and_then(|inner| inner.downcast_ref::<Error>()) {
        return ours.clone();
    }
    // A chunk's size that makes no sense is told so.
    if error.kind() == io::ErrorKind::InvalidInput {
        return Error::new(ErrorKind::Protocol, error.to_string());
    }
    io::Error::new(error.kind(), error.to_string()).into()
}

/// The answer to a request whose content has failed, and what it says (RFC 9110 §15.5).
pub(crate) fn of_content(error: &Error) -> (StatusCode, &'static str) {
    match error.kind() {
        ErrorKind::TimedOut => {
            (StatusCode::REQUEST_TIMEOUT, "the content of the request did not come in time")
        }
        ErrorKind::Limit => {
            (StatusCode::PAYLOAD_TOO_LARGE, "the content of the request is longer than allowed")
        }
        _ => {
            (StatusCode::BAD_REQUEST, "the content of the request is cut short or not well formed")
        }
    }
}

/// For what comes after the end.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the connection is closed")
}

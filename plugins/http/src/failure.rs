//! From what hyper says to one error.

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

/// For what comes after the end.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the connection is closed")
}

//! From what tungstenite says to one error, and the close code that tells the peer (RFC 6455 §7.4).

use jackfield_plugin_api::{Error, ErrorKind, mask_query};
use std::io;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, http};

/// An error, and with which code the peer is told; without one nothing can be sent any more.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) tell: Option<CloseCode>,
}

impl From<tungstenite::Error> for Failure {
    fn from(error: tungstenite::Error) -> Self {
        use tungstenite::Error as Ws;
        let tell = match &error {
            Ws::Capacity(_) => Some(CloseCode::Size),
            Ws::Utf8(_) => Some(CloseCode::Invalid),
            Ws::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
            ) => None,
            Ws::Protocol(_) => Some(CloseCode::Protocol),
            // Ours, of what we hold.
            Ws::Io(error) if held(error).is_some() => Some(CloseCode::Again),
            _ => None,
        };
        let error = match error {
            Ws::Capacity(CapacityError::MessageTooLong { size, max_size }) => Error::new(
                ErrorKind::Limit,
                format!("the peer sent a message of {size} bytes or more; the most is {max_size}"),
            ),
            Ws::Utf8(_) => Error::new(ErrorKind::Protocol, "the peer sent text that is not UTF-8"),
            Ws::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Error::new(ErrorKind::Closed, "the connection ended without a close frame")
            }
            Ws::Protocol(broken) => Error::new(ErrorKind::Protocol, broken.to_string()),
            Ws::ConnectionClosed | Ws::AlreadyClosed => closed(),
            Ws::Io(error) => error.into(),
            Ws::WriteBufferFull(_) => {
                Error::new(ErrorKind::Limit, "the peer sends pings and does not read the answers")
            }
            other => Error::new(ErrorKind::Protocol, other.to_string()),
        };
        Failure { error, tell }
    }
}

/// The limit of ours that stopped reading, if it was one.
fn held(error: &io::Error) -> Option<&Error> {
    let inner = error.get_ref()?.downcast_ref::<Error>()?;
    (inner.kind() == ErrorKind::Limit).then_some(inner)
}

/// For what comes after the end.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the WebSocket is closed")
}

/// Whether a connection is simply gone, as a peer may do that has nothing to say to our close frame.
pub(crate) fn is_hang_up(error: &tungstenite::Error) -> bool {
    match error {
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => true,
        tungstenite::Error::Io(error) => {
            matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
        }
        _ => false,
    }
}

/// A server that answered the handshake with something else.
pub(crate) fn answered<T>(response: &http::Response<T>) -> Error {
    let status = response.status();
    let kind = match status.as_u16() {
        401 | 403 | 407 => ErrorKind::Denied,
        _ => ErrorKind::Refused,
    };
    let error = Error::new(kind, format!("the server answered {status} and no WebSocket"));
    match response.headers().get(http::header::LOCATION).map(http::HeaderValue::to_str) {
        Some(Ok(location)) => error.with("location", mask_query(location)),
        _ => error,
    }
}

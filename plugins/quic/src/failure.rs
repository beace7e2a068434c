//! From what quinn says to one error with a reason for people.

use jackfield_certificates::{Refusals, alert};
use jackfield_plugin_api::{Error, ErrorKind, Origin, Role};
use quinn::{ConnectionError, VarInt};
use std::sync::Arc;

/// Codes of the TLS alerts in QUIC (RFC 9001 §4.8).
const CRYPTO: std::ops::Range<u64> = 0x100..0x200;
/// The server takes no connection (RFC 9000 §20.1).
const CONNECTION_REFUSED: u64 = 0x02;
/// The alert for no common application protocol (RFC 7301 §3.2).
const NO_APPLICATION_PROTOCOL: u8 = 120;
/// Characters of a peer's text that are shown.
const SHOWN: usize = 256;

/// Which role we have, and why certificates were refused lately.
#[derive(Clone, Debug)]
pub(crate) struct Explain {
    pub(crate) role: Role,
    pub(crate) refusals: Arc<Refusals>,
}

impl Explain {
    /// Why a connection was not made.
    pub(crate) fn handshake(&self, error: &ConnectionError) -> Error {
        match error {
            ConnectionError::TimedOut => {
                self.of(Error::new(ErrorKind::TimedOut, "no answer to the QUIC handshake"))
            }
            other => self.loss(other),
        }
    }

    /// Why a connection was lost.
    pub(crate) fn loss(&self, error: &ConnectionError) -> Error {
        self.of(match error {
            ConnectionError::VersionMismatch => {
                Error::new(ErrorKind::Protocol, "the peer speaks no version of QUIC that we speak")
            }
            ConnectionError::TransportError(error) => {
                let code = u64::from(error.code);
                match self.refusals.explain(&error.reason, self.role) {
                    Some(explained) => explained,
                    None if crypto(code) == Some(NO_APPLICATION_PROTOCOL) => no_protocol(),
                    None => Error::new(
                        ErrorKind::Protocol,
                        format!("QUIC failed: {}", shown(&error.to_string())),
                    ),
                }
            }
            ConnectionError::ConnectionClosed(close) => {
                self.closed(u64::from(close.error_code), &String::from_utf8_lossy(&close.reason))
            }
            ConnectionError::ApplicationClosed(close) => {
                by_peer(close.error_code, &String::from_utf8_lossy(&close.reason))
            }
            ConnectionError::Reset => Error::new(
                ErrorKind::Closed,
                "the peer no longer knows the connection (stateless reset)",
            ),
            ConnectionError::TimedOut => {
                Error::new(ErrorKind::TimedOut, "the peer has been silent for too long")
            }
            ConnectionError::LocallyClosed => {
                Error::new(ErrorKind::Closed, "it was closed on this side")
            }
            ConnectionError::CidsExhausted => {
                Error::new(ErrorKind::Limit, "no more connection ids are free")
            }
        })
    }

    /// The peer has said what makes no sense, whether or not it was told so.
    pub(crate) fn nonsense(&self, what: &str) -> Error {
        self.of(Error::new(ErrorKind::Protocol, format!("the peer's {what} is invalid")))
    }

    /// The peer's transport has ended the connection.
    fn closed(&self, code: u64, reason: &str) -> Error {
        match crypto(code) {
            Some(NO_APPLICATION_PROTOCOL) => return no_protocol(),
            Some(code) => return alert(code, self.role),
            None => {}
        }
        if code == CONNECTION_REFUSED {
            return Error::new(ErrorKind::Refused, "the server accepts no connection now");
        }
        let message = format!("the peer ended QUIC with error {code:#x}");
        let error = Error::new(ErrorKind::Protocol, message).with_code("quic.transport", code);
        if reason.is_empty() { error } else { error.with("reason", shown(reason)) }
    }

    fn of(&self, error: Error) -> Error {
        match self.role {
            Role::Client => error,
            Role::Server => error.with_origin(Origin::Downstream),
        }
    }
}

fn crypto(code: u64) -> Option<u8> {
    CRYPTO.contains(&code).then(|| u8::try_from(code & 0xff).unwrap_or_default())
}

fn no_protocol() -> Error {
    Error::new(ErrorKind::Protocol, "no application protocol in common with the peer (`alpn`)")
}

/// Whose numbers the codes of applications are.
pub(crate) const APPLICATION: &str = "quic.application";

/// The peer's application has closed the connection.
fn by_peer(code: VarInt, reason: &str) -> Error {
    let error = Error::new(ErrorKind::Closed, format!("the peer closed with code {code}"))
        .with_code(APPLICATION, code);
    if reason.is_empty() { error } else { error.with("reason", shown(reason)) }
}

/// Text of the peer's choosing, in bounds and without control characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

/// A code as QUIC carries it.
///
/// # Errors
/// More than 62 bits.
pub(crate) fn code_of(code: u64) -> Result<VarInt, Error> {
    VarInt::from_u64(code).map_err(|_| {
        Error::new(ErrorKind::Config, format!("the code {code} has more than 62 bits"))
    })
}

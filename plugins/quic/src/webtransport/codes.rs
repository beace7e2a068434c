//! Codes of HTTP/3 and of WebTransport's capsules and settings.

use jackfield_plugin_api::{Error, ErrorKind, Result};
use quinn::VarInt;
use web_transport_proto::{error_from_http3, error_to_http3};

/// Whose numbers the codes of sessions and of their streams are.
pub(super) const SPACE: &str = "webtransport";
/// All is well (RFC 9114 §8.1).
pub(super) const NO_ERROR: VarInt = VarInt::from_u32(0x100);
/// Whether a connection that is closed with this code is so normally; some peers say 0.
pub(super) fn is_normal(code: VarInt) -> bool {
    code == NO_ERROR || code.into_inner() == 0
}

/// A stream that does not belong here.
pub(super) const STREAM_CREATION: VarInt = VarInt::from_u32(0x103);
/// The control stream has ended.
pub(super) const CLOSED_CRITICAL_STREAM: VarInt = VarInt::from_u32(0x104);
/// A frame where it may not be.
pub(super) const FRAME_UNEXPECTED: VarInt = VarInt::from_u32(0x105);
/// Settings that cannot be read.
pub(super) const SETTINGS_ERROR: VarInt = VarInt::from_u32(0x109);
/// A request that was not processed.
pub(super) const REQUEST_REJECTED: VarInt = VarInt::from_u32(0x10b);
/// A message that cannot be read.
pub(super) const MESSAGE_ERROR: VarInt = VarInt::from_u32(0x10e);

/// The capsule that ends a session (draft-02 §5).
pub(super) const CLOSE_SESSION: u64 = 0x2843;
/// Capsules that raise limits (draft-14 §9.6): bytes, bidirectional and unidirectional streams.
pub(super) const MAX_DATA: u64 = 0x190b_4d3d;
pub(super) const MAX_STREAMS_BIDI: u64 = 0x190b_4d3f;
pub(super) const MAX_STREAMS_UNI: u64 = 0x190b_4d40;

/// A code of the application in a stream's reset or stop.
///
/// # Errors
/// More than 32 bits.
pub(super) fn wire_code(code: u64) -> Result<VarInt> {
    let mapped = error_to_http3(session_code(code)?);
    VarInt::from_u64(mapped).map_err(|error| Error::new(ErrorKind::Config, error.to_string()))
}

/// A session's code.
///
/// # Errors
/// More than 32 bits.
pub(super) fn session_code(code: u64) -> Result<u32> {
    u32::try_from(code).map_err(|_| {
        Error::new(ErrorKind::Config, format!("the code {code} has more than 32 bits"))
    })
}

/// The application's code, or HTTP/3's own, with whose number it is.
pub(super) fn read_code(code: VarInt) -> (&'static str, u64) {
    let code = code.into_inner();
    error_from_http3(code).map_or(("http3", code), |code| (SPACE, code.into()))
}

#[cfg(test)]
mod tests {
    use super::{SPACE, read_code, wire_code};

    #[test]
    fn codes_come_back() {
        for code in [0, 1, 29, 30, 31, 4711, u64::from(u32::MAX)] {
            assert_eq!(read_code(wire_code(code).expect("it fits")), (SPACE, code));
        }
        assert!(wire_code(1 << 32).is_err());
        assert_eq!(read_code(quinn::VarInt::from_u32(0x10c)), ("http3", 0x10c));
    }
}

//! Reason codes (MQTT 5.0 §2.4, 3.1.1 §3.2.2.3) in words, and the errors that they are.

use crate::packet::Version;
use jackfield_plugin_api::{Error, ErrorKind};

pub(crate) const SUCCESS: u8 = 0x00;
pub(crate) const WITH_WILL: u8 = 0x04;
pub(crate) const NO_SUBSCRIBERS: u8 = 0x10;
pub(crate) const NO_SUBSCRIPTION: u8 = 0x11;
pub(crate) const UNSPECIFIED: u8 = 0x80;
pub(crate) const MALFORMED: u8 = 0x81;
pub(crate) const PROTOCOL: u8 = 0x82;
pub(crate) const UNSUPPORTED_VERSION: u8 = 0x84;
pub(crate) const BAD_CLIENT_ID: u8 = 0x85;
pub(crate) const BAD_USER: u8 = 0x86;
pub(crate) const NOT_AUTHORIZED: u8 = 0x87;
pub(crate) const UNAVAILABLE: u8 = 0x88;
pub(crate) const BUSY: u8 = 0x89;
pub(crate) const SHUTTING_DOWN: u8 = 0x8b;
pub(crate) const BAD_METHOD: u8 = 0x8c;
pub(crate) const KEEPALIVE: u8 = 0x8d;
pub(crate) const TAKEN_OVER: u8 = 0x8e;
pub(crate) const BAD_FILTER: u8 = 0x8f;
pub(crate) const BAD_TOPIC: u8 = 0x90;
pub(crate) const UNKNOWN_ID: u8 = 0x92;
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x93;
pub(crate) const BAD_ALIAS: u8 = 0x94;
pub(crate) const TOO_LARGE: u8 = 0x95;
/// Of a SUBSCRIBE that contradicts itself.
pub(crate) const PROTOCOL_SUBSCRIPTION: u8 = 0x83;
pub(crate) const QUOTA: u8 = 0x97;
pub(crate) const ADMINISTRATIVE: u8 = 0x98;
pub(crate) const PAYLOAD_FORMAT: u8 = 0x99;

/// What a code says.
pub(crate) fn words(code: u8) -> &'static str {
    match code {
        0x00 => "success",
        0x01 => "granted QoS 1",
        0x02 => "granted QoS 2",
        0x04 => "disconnect with will message",
        0x10 => "no matching subscribers",
        0x11 => "no subscription existed",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "implementation specific error",
        0x84 => "unsupported protocol version",
        0x85 => "client identifier not valid",
        0x86 => "bad user name or password",
        0x87 => "not authorized",
        0x88 => "server unavailable",
        0x89 => "server busy",
        0x8a => "banned",
        0x8b => "server shutting down",
        0x8c => "bad authentication method",
        0x8d => "keep alive timeout",
        0x8e => "session taken over",
        0x8f => "topic filter invalid",
        0x90 => "topic name invalid",
        0x91 => "packet identifier in use",
        0x92 => "packet identifier not found",
        0x93 => "receive maximum exceeded",
        0x94 => "topic alias invalid",
        0x95 => "packet too large",
        0x96 => "message rate too high",
        0x97 => "quota exceeded",
        0x98 => "administrative action",
        0x99 => "payload format invalid",
        0x9a => "retain not supported",
        0x9b => "QoS not supported",
        0x9c => "use another server",
        0x9d => "server moved",
        0x9e => "shared subscriptions not supported",
        0x9f => "connection rate exceeded",
        0xa0 => "maximum connect time",
        0xa1 => "subscription identifiers not supported",
        0xa2 => "wildcard subscriptions not supported",
        _ => "unspecified error",
    }
}

/// The code of version 5 that means what one of a CONNACK of 3.1.1 does.
pub(crate) fn of_return_code(code: u8) -> u8 {
    match code {
        0 => SUCCESS,
        1 => UNSUPPORTED_VERSION,
        2 => BAD_CLIENT_ID,
        3 => UNAVAILABLE,
        4 => BAD_USER,
        5 => NOT_AUTHORIZED,
        _ => UNSPECIFIED,
    }
}

/// The code for a CONNACK of 3.1.1.
pub(crate) fn return_code(code: u8) -> u8 {
    match code {
        SUCCESS => 0,
        UNSUPPORTED_VERSION => 1,
        BAD_CLIENT_ID => 2,
        BAD_USER => 4,
        NOT_AUTHORIZED => 5,
        _ => 3,
    }
}

/// Whose numbers reason codes are: those of MQTT 5 (§2.4), and of a SUBACK of 3.1.1.
pub(crate) const REASON: &str = "mqtt.reason";

/// Whose numbers the code of a CONNACK is of: 3.1.1 has return codes there (§3.2.2.3).
fn space(version: Version) -> &'static str {
    if version == Version::V311 { "mqtt.return" } else { REASON }
}

/// Why a server did not take us.
pub(crate) fn not_connected(version: Version, code: u8, reason: Option<&str>) -> Error {
    let meaning = if version == Version::V311 { of_return_code(code) } else { code };
    let kind = match meaning {
        BAD_USER | NOT_AUTHORIZED | BAD_METHOD => ErrorKind::Denied,
        UNAVAILABLE | BUSY | 0x9f => ErrorKind::Unreachable,
        _ => ErrorKind::Refused,
    };
    let error = Error::new(kind, format!("the server refuses the connection: {}", words(meaning)));
    let error = error.with_code(space(version), code).with("version", version.as_str());
    match reason {
        Some(reason) => error.with("reason", reason),
        None => error,
    }
}

/// Why the peer did not do what was asked for.
pub(crate) fn refused(what: &str, code: u8) -> Error {
    let kind = match code {
        QUOTA => ErrorKind::Limit,
        _ => ErrorKind::Refused,
    };
    Error::new(kind, format!("{what} was refused: {}", words(code))).with_code(REASON, code)
}

/// Why the peer ended the connection.
pub(crate) fn disconnected(code: u8, reason: Option<&str>) -> Error {
    let error = Error::new(ErrorKind::Closed, format!("the peer disconnects: {}", words(code)));
    let error = error.with_code(REASON, code);
    match reason {
        Some(reason) => error.with("reason", reason),
        None => error,
    }
}

//! Values and names as JSON, both ways without loss.

use crate::mib::Names;
use crate::oid::Oid;
use crate::pdu::VarBind;
use crate::value::Value;
use jackfield_plugin_api::params;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value as Json;
use std::net::Ipv4Addr;

params! {
    /// A value that is set or sent with a notification.
    pub struct Given {
        /// The object: numbers joined by dots, or a name of `mib_files` with numbers behind.
        pub oid: String,
        /// integer, octet_string, object_identifier, ip_address, counter32, gauge32, timeticks, opaque, counter64 or
        /// null.
        pub r#type: String,
        /// The value: a number, also as text, or a text.
        pub value: Option<Json>,
        /// Of an octet_string or opaque: its bytes as hexadecimal digits.
        pub hex: Option<String>,
        /// What it is called; only shown.
        pub name: Option<String>,
        /// What its value is called; only shown.
        pub value_name: Option<String>,
    }
}

/// Types by their names.
const TYPES: [&str; 10] = [
    "integer",
    "octet_string",
    "object_identifier",
    "ip_address",
    "counter32",
    "gauge32",
    "timeticks",
    "opaque",
    "counter64",
    "null",
];

/// A name with its value, as JSON.
struct Shown<'a>(&'a VarBind, &'a Names);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Shown(VarBind { oid, value }, names) = self;
        let mut row = serializer.serialize_map(None)?;
        row.serialize_entry("oid", &Dotted(oid))?;
        if let Some(name) = names.name(oid) {
            row.serialize_entry("name", &name)?;
        }
        row.serialize_entry("type", kind(value))?;
        match value {
            Value::Integer(value) => row.serialize_entry("value", value)?,
            Value::Octets(bytes) => match text(bytes) {
                Some(text) => row.serialize_entry("value", text)?,
                None => row.serialize_entry("hex", &hex(bytes))?,
            },
            Value::Oid(oid) => {
                row.serialize_entry("value", &Dotted(oid))?;
                if let Some(name) = names.name(oid) {
                    row.serialize_entry("value_name", &name)?;
                }
            }
            Value::Ip(address) => row.serialize_entry("value", address)?,
            Value::Counter32(value) | Value::Gauge32(value) | Value::TimeTicks(value) => {
                row.serialize_entry("value", value)?;
            }
            Value::Opaque(bytes) => row.serialize_entry("hex", &hex(bytes))?,
            // As a text, because many a reader of JSON rounds numbers of more than 53 bits.
            Value::Counter64(value) => row.serialize_entry("value", &value.to_string())?,
            Value::Null | Value::NoSuchObject | Value::NoSuchInstance | Value::EndOfMibView => {
                row.serialize_entry("value", &())?;
            }
        }
        row.end()
    }
}

/// Numbers joined by dots.
struct Dotted<'a>(&'a Oid);

impl Serialize for Dotted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// What a value is called.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Integer(_) => "integer",
        Value::Octets(_) => "octet_string",
        Value::Oid(_) => "object_identifier",
        Value::Ip(_) => "ip_address",
        Value::Counter32(_) => "counter32",
        Value::Gauge32(_) => "gauge32",
        Value::TimeTicks(_) => "timeticks",
        Value::Opaque(_) => "opaque",
        Value::Counter64(_) => "counter64",
        Value::NoSuchObject => "no_such_object",
        Value::NoSuchInstance => "no_such_instance",
        Value::EndOfMibView => "end_of_mib_view",
    }
}

/// A name with its value.
pub(crate) fn shown(pair: &VarBind, names: &Names) -> Json {
    // Texts and numbers are always JSON.
    serde_json::to_value(Shown(pair, names)).unwrap_or_default()
}

/// Many of them.
pub(crate) fn all_shown(values: &[VarBind], names: &Names) -> Json {
    values.iter().map(|pair| shown(pair, names)).collect()
}

/// Many of them, each a line of its own.
pub(crate) fn lines(values: &[VarBind], names: &Names) -> Vec<u8> {
    let mut lines = Vec::with_capacity(values.len() * 128);
    for pair in values {
        // Texts and numbers are always JSON, and there is always room.
        let _ = serde_json::to_writer(&mut lines, &Shown(pair, names));
        lines.push(b'\n');
    }
    lines
}

/// Bytes that are a text which a person can read.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_plain = |c: char| !c.is_control() || matches!(c, '\t' | '\r' | '\n');
    text.chars().all(is_plain).then_some(text)
}

/// What was given, as a name with its value.
///
/// # Errors
/// What was expected, without the value itself.
pub(crate) fn read(given: &Given, names: &Names) -> Result<VarBind, String> {
    let oid = names.oid(&given.oid)?;
    let value = value(given, names).map_err(|fault| format!("{oid}: {fault}"))?;
    Ok(VarBind { oid, value })
}

fn value(given: &Given, names: &Names) -> Result<Value, String> {
    let is_bytes = matches!(given.r#type.as_str(), "octet_string" | "opaque");
    if given.hex.is_some() && (!is_bytes || given.value.is_some()) {
        return Err("`hex` stands alone, for an octet_string or opaque".to_owned());
    }
    let unsigned = || {
        let number = number(given)?;
        u32::try_from(number).map_err(|_| "expected a number from 0 to 4294967295".to_owned())
    };
    Ok(match given.r#type.as_str() {
        "null" => Value::Null,
        "integer" => Value::Integer(
            i32::try_from(number(given)?)
                .map_err(|_| "expected a number from -2147483648 to 2147483647".to_owned())?,
        ),
        "octet_string" => Value::Octets(bytes(given)?),
        "opaque" => Value::Opaque(bytes(given)?),
        "object_identifier" => Value::Oid(names.oid(&words(given)?)?),
        "ip_address" => {
            let address = words(given)?.parse::<Ipv4Addr>();
            Value::Ip(address.map_err(|_| "expected an IPv4 address such as 10.0.0.8".to_owned())?)
        }
        "counter32" => Value::Counter32(unsigned()?),
        "gauge32" => Value::Gauge32(unsigned()?),
        "timeticks" => Value::TimeTicks(unsigned()?),
        "counter64" => Value::Counter64(
            u64::try_from(number(given)?)
                .map_err(|_| "expected a number from 0 to 18446744073709551615".to_owned())?,
        ),
        other => {
            return Err(format!("there is no type {other:?}; there are: {}", TYPES.join(" ")));
        }
    })
}

fn number(given: &Given) -> Result<i128, String> {
    let number = match &given.value {
        Some(Json::Number(number)) => number.to_string().parse().ok(),
        Some(Json::String(text)) => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| format!("expected a whole number as `value` of type {}", given.r#type))
}

fn words(given: &Given) -> Result<String, String> {
    match &given.value {
        Some(Json::String(text)) => Ok(text.clone()),
        // What a command line takes for a number is a text all the same.
        Some(value @ (Json::Number(_) | Json::Bool(_))) => Ok(value.to_string()),
        _ => Err(format!("expected a text as `value` of type {}", given.r#type)),
    }
}

fn bytes(given: &Given) -> Result<Vec<u8>, String> {
    match &given.hex {
        Some(digits) => {
            unhex(digits).ok_or_else(|| "expected pairs of hexadecimal digits as `hex`".to_owned())
        }
        None => words(given).map(String::into_bytes),
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hexadecimal digits as bytes; colons and spaces between pairs are passed over.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b':' | b' ')).collect();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(pair).collect()
}

//! What kinds of values a schema asks for, in the words of a configuration file, and texts with a form of their own.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::plugin::{SOURCE, SecretSource};
use super::reference::{DESTINATION, Reference, URI, VIA, Via};
use super::target::{self, TargetConfig};
use crate::networks::Network;
use crate::stack::uri::StackUri;
use crate::units::{ByteSize, Timespan};
use crate::upstream::KeyFrom;

/// A value with a form of its own.
#[derive(Debug)]
pub(super) struct TextForm {
    /// Its name in the schema.
    pub(super) schema: &'static str,
    pub(super) expected: &'static str,
    /// Whether a value has the form, and otherwise what was expected; `None` for a kind of value that has no
    /// such form.
    pub(super) parse: fn(&Value) -> Option<Result<(), String>>,
}

/// Every form.
pub(super) const FORMS: &[TextForm] = &[
    TextForm { schema: "Timespan", expected: Timespan::EXPECTED, parse: unit::<Timespan> },
    TextForm { schema: "ByteSize", expected: ByteSize::EXPECTED, parse: unit::<ByteSize> },
    TextForm { schema: "StackUri", expected: URI, parse: text::<StackUri> },
    TextForm { schema: "Reference", expected: DESTINATION, parse: text::<Reference> },
    TextForm { schema: "Via", expected: VIA, parse: text::<Via> },
    TextForm { schema: "KeyFrom", expected: KeyFrom::EXPECTED, parse: text::<KeyFrom> },
    TextForm { schema: "Network", expected: Network::EXPECTED, parse: text::<Network> },
    TextForm { schema: "TargetConfig", expected: target::EXPECTED, parse: text::<TargetConfig> },
    TextForm { schema: "SecretSource", expected: SOURCE, parse: secret },
];

fn text<T: FromStr<Err: fmt::Display>>(value: &Value) -> Option<Result<(), String>> {
    value.as_str().map(|text| text.parse::<T>().map(drop).map_err(|error| error.to_string()))
}

/// A bare number is what people most likely write wrong, so it gets the unit suggested too.
fn unit<T: FromStr<Err: fmt::Display>>(value: &Value) -> Option<Result<(), String>> {
    match value.as_u64() {
        Some(number) => text::<T>(&Value::String(number.to_string())),
        None => text::<T>(value),
    }
}

fn secret(value: &Value) -> Option<Result<(), String>> {
    Some(SecretSource::detect(value).map(drop))
}

/// The kind of value that a schema without references and alternatives asks for.
pub(super) enum Wanted<'a> {
    Any,
    Null,
    Boolean,
    /// From, to.
    Integer(i128, i128),
    Number,
    Text,
    /// One of these texts.
    OneOf(Vec<&'a str>),
    List,
    Table,
    /// One of several kinds, none of which has limits.
    Several(Vec<Wanted<'a>>),
}

pub(super) fn expected_kind(schema: &Value) -> Wanted<'_> {
    if let Some(name) = schema["const"].as_str() {
        return Wanted::OneOf(vec![name]);
    }
    if let Some(names) = schema["enum"].as_array() {
        return Wanted::OneOf(names.iter().filter_map(Value::as_str).collect());
    }
    match &schema["type"] {
        Value::String(name) => named(name, schema),
        Value::Array(names) => Wanted::Several(
            names.iter().filter_map(Value::as_str).map(|name| named(name, schema)).collect(),
        ),
        _ => Wanted::Any,
    }
}

fn named<'a>(name: &str, schema: &Value) -> Wanted<'a> {
    match name {
        "null" => Wanted::Null,
        "boolean" => Wanted::Boolean,
        "integer" => {
            let (least, most) = limits(schema["format"].as_str().unwrap_or_default());
            let bound = |key: &str| schema[key].as_i64().map(i128::from);
            Wanted::Integer(bound("minimum").unwrap_or(least), bound("maximum").unwrap_or(most))
        }
        "number" => Wanted::Number,
        "string" => Wanted::Text,
        "array" => Wanted::List,
        "object" => Wanted::Table,
        _ => Wanted::Any,
    }
}

fn limits(format: &str) -> (i128, i128) {
    match format {
        "uint8" => (0, u8::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "uint" | "uint64" => (0, u64::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    }
}

impl Wanted<'_> {
    /// Whether `value` is of this kind and within its limits.
    pub(super) fn takes(&self, value: &Value) -> bool {
        match self {
            Wanted::Integer(least, most) => {
                whole(value).is_some_and(|n| (*least..=*most).contains(&n))
            }
            Wanted::OneOf(names) => value.as_str().is_some_and(|text| names.contains(&text)),
            Wanted::Several(kinds) => kinds.iter().any(|kind| kind.takes(value)),
            _ => self.is_kind(value),
        }
    }

    /// Whether `value` is of this kind, perhaps beyond its limits.
    pub(super) fn is_kind(&self, value: &Value) -> bool {
        match self {
            Wanted::Any => true,
            Wanted::Null => value.is_null(),
            Wanted::Boolean => value.is_boolean(),
            Wanted::Integer(..) => whole(value).is_some(),
            Wanted::Number => value.is_number(),
            Wanted::Text | Wanted::OneOf(_) => value.is_string(),
            Wanted::List => value.is_array(),
            Wanted::Table => value.is_object(),
            Wanted::Several(kinds) => kinds.iter().any(|kind| kind.is_kind(value)),
        }
    }
}

fn whole(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wanted::Any => f.write_str("a value"),
            Wanted::Null => f.write_str("nothing"),
            Wanted::Boolean => f.write_str("true or false"),
            Wanted::Integer(least, most) => write!(f, "a whole number from {least} to {most}"),
            Wanted::Number => f.write_str("a number"),
            Wanted::Text | Wanted::OneOf(_) => f.write_str("text in quotes"),
            Wanted::List => f.write_str("a list"),
            Wanted::Table => f.write_str("a table"),
            Wanted::Several(kinds) => match kinds.first() {
                Some(first) => first.fmt(f),
                None => Ok(()),
            },
        }
    }
}

/// The texts that schemas name, if they name any.
pub(super) fn choices(plain: &[&Value]) -> Option<String> {
    let names = plain.iter().flat_map(|schema| match expected_kind(schema) {
        Wanted::OneOf(names) => names,
        _ => Vec::new(),
    });
    let quoted: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    match quoted.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        _ => Some(format!("one of {}", quoted.join(", "))),
    }
}

/// What was found, behind what was expected.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => ", found nothing",
        Value::Bool(_) => ", found true or false",
        Value::Number(number) if number.is_f64() => ", found a number with a fraction",
        Value::Number(_) => ", found a whole number",
        Value::String(_) => ", found text",
        Value::Array(_) => ", found a list",
        Value::Object(_) => ", found a table",
    }
}

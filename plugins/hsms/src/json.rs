//! Items as JSON, both ways and without loss: an object of one member, whose name is the format.
//!
//! | format | in JSON |
//! |---|---|
//! | `L` | an array of items |
//! | `A` | a text, each character up to U+00FF for the byte of that number |
//! | `J`, `W` | a text of hexadecimal digits, two for each byte |
//! | `B` and all numbers | an array of numbers |
//! | `BOOLEAN` | an array of `true` and `false`; a byte other than 0 and 1 is that number |
//! | `F4`, `F8` without a number | `"0x…"` in the array, its bits |
//! | `F8` whose last digit many a reader of JSON rounds | a text in the array, with the same digits |

use crate::item::{Count, Format, Item, Limits, NAMES};
use crate::values::{self, Number, bits, hex, of_hex};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

/// An item as JSON.
pub fn write(item: &Item) -> Value {
    match item {
        Item::List(items) => json!({ "L": items.iter().map(write).collect::<Vec<_>>() }),
        Item::Values(format, bytes) => json!({ format.name(): content(*format, bytes) }),
    }
}

fn content(format: Format, bytes: &[u8]) -> Value {
    match format {
        Format::Ascii => bytes.iter().copied().map(char::from).collect::<String>().into(),
        Format::Jis8 | Format::Localized => hex(bytes).into(),
        Format::Boolean => bytes.iter().map(|byte| truth(*byte)).collect(),
        _ => values::numbers(format, bytes).map(number).collect(),
    }
}

fn truth(byte: u8) -> Value {
    match byte {
        0 => false.into(),
        1 => true.into(),
        other => other.into(),
    }
}

fn number(number: Number) -> Value {
    match number {
        Number::Unsigned(value) => value.into(),
        Number::Signed(value) => value.into(),
        Number::Float(value) => float(value),
        Number::Bits(bits) => format!("{bits:#x}").into(),
    }
}

/// As a number where a reader such as ours, which may round the last digit, gives the same one again.
fn float(value: f64) -> Value {
    let text = format!("{value:?}");
    let read = serde_json::from_str::<f64>(&text);
    match read.is_ok_and(|read| read.to_bits() == value.to_bits()) {
        true => value.into(),
        false => text.into(),
    }
}

/// An item of JSON.
///
/// # Errors
/// What was expected and where, with the path from the outermost item.
pub fn read(value: &Value, limits: Limits) -> Result<Item, String> {
    let mut reader = Reader { count: Count::new(limits), path: Vec::new() };
    reader.item(value).map_err(|text| {
        let path: String = reader.path.iter().map(|index| format!("[{index}]")).collect();
        if path.is_empty() {
            format!("the item {text}")
        } else {
            format!("the item at {path} {text}")
        }
    })
}

struct Reader {
    count: Count,
    /// Of what is read, or of where it went wrong.
    path: Vec<usize>,
}

impl Reader {
    fn item(&mut self, value: &Value) -> Result<Item, String> {
        self.count.one(self.path.len())?;
        let one = value.as_object().filter(|object| object.len() == 1);
        let Some((name, content)) = one.and_then(|object| object.iter().next()) else {
            return Err(r#"is no object of one member, such as {"U4":[1,2]}"#.to_owned());
        };
        if name.eq_ignore_ascii_case("L") {
            let Value::Array(values) = content else {
                return Err("is a list without an array".to_owned());
            };
            let mut items = Vec::with_capacity(values.len().min(256));
            for (index, value) in values.iter().enumerate() {
                self.path.push(index);
                items.push(self.item(value)?);
                self.path.pop();
            }
            return Ok(Item::List(items));
        }
        let format = Format::named(name);
        let format =
            format.ok_or_else(|| format!("is of no format {name:?}; there are: {NAMES}"))?;
        bytes_of(format, content).map(|bytes| Item::Values(format, bytes))
    }
}

fn bytes_of(format: Format, content: &Value) -> Result<Bytes, String> {
    match (format, content) {
        (Format::Ascii, Value::String(text)) => {
            let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
            let wrong = "has a character above U+00FF; `W` is for such";
            bytes.map(Bytes::from).map_err(|_| wrong.to_owned())
        }
        (Format::Jis8 | Format::Localized, Value::String(text)) => {
            let wrong =
                || format!("of {} is no text of hexadecimal digits in pairs", format.name());
            of_hex(text).map(Bytes::from).ok_or_else(wrong)
        }
        (Format::Ascii | Format::Jis8 | Format::Localized, _) => {
            Err(format!("of {} has no text", format.name()))
        }
        (_, Value::Array(values)) => {
            let mut out = BytesMut::new();
            for (index, value) in values.iter().enumerate() {
                let put = number_of(format, value).and_then(|it| values::put(format, it, &mut out));
                put.map_err(|text| format!("of {} has at {index} {value}: {text}", format.name()))?;
            }
            Ok(out.freeze())
        }
        _ => Err(format!("of {} has no array", format.name())),
    }
}

fn number_of(format: Format, value: &Value) -> Result<Number, String> {
    if let (Format::Boolean, Value::Bool(truth)) = (format, value) {
        return Ok(Number::Unsigned(u64::from(*truth)));
    }
    let number = match value {
        Value::Number(number) => None
            .or_else(|| number.as_u64().map(Number::Unsigned))
            .or_else(|| number.as_i64().map(Number::Signed))
            .or_else(|| number.as_f64().map(Number::Float)),
        Value::String(text) if format.is_float() => {
            let digits = || text.parse().ok().filter(|it: &f64| it.is_finite());
            bits(text).map(Number::Bits).or_else(|| digits().map(Number::Float))
        }
        _ => None,
    };
    number.ok_or_else(|| "expected a number".to_owned())
}

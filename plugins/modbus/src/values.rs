//! Values as registers hold them. The protocol knows registers of 16 bits alone; what stands in several of them, and in
//! which order, is told by the device's manual.

use jackfield_plugin_api::options;
use serde_json::{Number, Value};

options! {
    /// What registers hold.
    pub enum Type {
        /// A number from 0 to 65535, one register.
        U16,
        /// A number from −32768 to 32767, one register.
        I16,
        /// A number without a sign, two registers.
        U32,
        /// A number with a sign, two registers.
        I32,
        /// A number without a sign, four registers.
        U64,
        /// A number with a sign, four registers.
        I64,
        /// A floating-point number of IEEE 754, two registers.
        F32,
        /// A floating-point number of IEEE 754, four registers.
        F64,
        /// Text, two characters in a register.
        String,
    }

    /// The order of a value's bytes, for one of four bytes of which A is the highest.
    pub enum Order {
        /// The highest first, as within a register.
        Abcd,
        /// Registers the other way round.
        Cdab,
        /// Bytes within each register the other way round.
        Badc,
        /// All the other way round.
        Dcba,
    }
}

impl Type {
    /// Registers of one value; of text, of two characters.
    pub fn registers(self) -> usize {
        match self {
            Type::U16 | Type::I16 | Type::String => 1,
            Type::U32 | Type::I32 | Type::F32 => 2,
            Type::U64 | Type::I64 | Type::F64 => 4,
        }
    }
}

/// Puts the bytes of one value into the order of the wire, or back.
fn arrange(bytes: &mut [u8], order: Order) {
    if matches!(order, Order::Badc | Order::Dcba) {
        bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse);
    }
    if matches!(order, Order::Cdab | Order::Dcba) {
        let (mut first, mut last) = (0, bytes.len());
        while first + 2 < last {
            last -= 2;
            bytes.swap(first, last);
            bytes.swap(first + 1, last + 1);
            first += 2;
        }
    }
}

/// The values that `data`, the bytes of registers, holds. Text is one value, without the zeros at its end.
///
/// # Errors
/// `data` does not hold whole values.
pub fn read(kind: Type, order: Order, data: &[u8]) -> Result<Vec<Value>, String> {
    let size = 2 * kind.registers();
    if !data.len().is_multiple_of(size) {
        return Err(format!("{} bytes are not values of {size} bytes", data.len()));
    }
    let mut data = data.to_vec();
    data.chunks_exact_mut(size).for_each(|value| arrange(value, order));
    if kind == Type::String {
        let text = String::from_utf8_lossy(&data);
        return Ok(vec![text.trim_end_matches('\0').into()]);
    }
    Ok(data.chunks_exact(size).filter_map(|bytes| number(kind, bytes)).collect())
}

fn number(kind: Type, bytes: &[u8]) -> Option<Value> {
    Some(match kind {
        Type::U16 => u16::from_be_bytes(*bytes.first_chunk()?).into(),
        Type::I16 => i16::from_be_bytes(*bytes.first_chunk()?).into(),
        Type::U32 => u32::from_be_bytes(*bytes.first_chunk()?).into(),
        Type::I32 => i32::from_be_bytes(*bytes.first_chunk()?).into(),
        Type::U64 => u64::from_be_bytes(*bytes.first_chunk()?).into(),
        Type::I64 => i64::from_be_bytes(*bytes.first_chunk()?).into(),
        Type::F32 => {
            let float = f32::from_be_bytes(*bytes.first_chunk()?);
            // Through its shortest digits, so that 0.1 stays 0.1.
            float_value(&float.to_string())
        }
        Type::F64 => float_value(&f64::from_be_bytes(*bytes.first_chunk()?).to_string()),
        Type::String => return None,
    })
}

/// A float as a number, or as text where JSON has none: `NaN`, `inf`, `-inf`.
fn float_value(digits: &str) -> Value {
    let number = digits.parse().ok().and_then(Number::from_f64);
    number.map_or_else(|| digits.into(), Value::Number)
}

/// The bytes of registers that hold `values`.
///
/// # Errors
/// Which value does not fit.
pub fn write(kind: Type, order: Order, values: &[Value]) -> Result<Vec<u8>, String> {
    let mut data = Vec::new();
    for value in values {
        let begin = data.len();
        match kind {
            Type::String => {
                let text = value.as_str().ok_or_else(|| wrong(kind, value))?;
                data.extend_from_slice(text.as_bytes());
                if data.len() % 2 == 1 {
                    data.push(0);
                }
            }
            _ => data.extend(bytes(kind, value).ok_or_else(|| wrong(kind, value))?),
        }
        let size = 2 * kind.registers();
        data[begin..].chunks_exact_mut(size).for_each(|value| arrange(value, order));
    }
    Ok(data)
}

fn bytes(kind: Type, value: &Value) -> Option<Vec<u8>> {
    // What the command line gives as text is a number all the same.
    let parsed;
    let value = match value.as_str() {
        Some(text) if !matches!(kind, Type::F32 | Type::F64) => {
            parsed = Value::Number(text.parse().ok()?);
            &parsed
        }
        _ => value,
    };
    let float = || value.as_f64().or_else(|| value.as_str()?.parse().ok());
    Some(match kind {
        Type::U16 => u16::try_from(value.as_u64()?).ok()?.to_be_bytes().to_vec(),
        Type::I16 => i16::try_from(value.as_i64()?).ok()?.to_be_bytes().to_vec(),
        Type::U32 => u32::try_from(value.as_u64()?).ok()?.to_be_bytes().to_vec(),
        Type::I32 => i32::try_from(value.as_i64()?).ok()?.to_be_bytes().to_vec(),
        Type::U64 => value.as_u64()?.to_be_bytes().to_vec(),
        Type::I64 => value.as_i64()?.to_be_bytes().to_vec(),
        Type::F32 => {
            #[expect(clippy::cast_possible_truncation, reason = "the nearest one is meant")]
            let near = float()? as f32;
            near.to_be_bytes().to_vec()
        }
        Type::F64 => float()?.to_be_bytes().to_vec(),
        Type::String => return None,
    })
}

fn wrong(kind: Type, value: &Value) -> String {
    let expected = match kind {
        Type::U16 => "a number from 0 to 65535",
        Type::I16 => "a number from -32768 to 32767",
        Type::U32 => "a number from 0 to 4294967295",
        Type::I32 => "a number from -2147483648 to 2147483647",
        Type::U64 => "a number from 0 to 18446744073709551615",
        Type::I64 => "a number from -9223372036854775808 to 9223372036854775807",
        Type::F32 | Type::F64 => "a number",
        Type::String => "a text",
    };
    format!("expected {expected}, not {value}")
}

//! Values of items, from numbers and words to the bytes of their format and back.

use crate::item::Format;
use bytes::{BufMut, BytesMut};

/// One value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// The bits of a float that has no number, such as one of the many NaN.
    Bits(u64),
}

/// The values of an item of numbers, whose bytes are whole.
pub(crate) fn numbers(format: Format, bytes: &[u8]) -> impl Iterator<Item = Number> + '_ {
    bytes.chunks_exact(format.size()).map(move |chunk| number(format, chunk))
}

fn number(format: Format, chunk: &[u8]) -> Number {
    let bits = chunk.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    // Those below are reinterpretations of as many bits as the format has.
    #[expect(clippy::cast_possible_truncation, reason = "the bits of the format and no more")]
    match format {
        Format::I1 => Number::Signed(i64::from((bits as u8).cast_signed())),
        Format::I2 => Number::Signed(i64::from((bits as u16).cast_signed())),
        Format::I4 => Number::Signed(i64::from((bits as u32).cast_signed())),
        Format::I8 => Number::Signed(bits.cast_signed()),
        // By its shortest digits: what is shown is 0.1, not the 0.10000000149011612 that it is.
        Format::F4 => {
            let value = f32::from_bits(bits as u32);
            float(format!("{value:?}").parse().unwrap_or_else(|_| value.into()), bits)
        }
        Format::F8 => float(f64::from_bits(bits), bits),
        _ => Number::Unsigned(bits),
    }
}

fn float(value: f64, bits: u64) -> Number {
    if value.is_finite() { Number::Float(value) } else { Number::Bits(bits) }
}

/// Adds a value to those of `format`.
///
/// # Errors
/// What fits instead.
pub(crate) fn put(format: Format, number: Number, out: &mut BytesMut) -> Result<(), String> {
    let bits = if format.is_float() {
        float_bits(format, number)
    } else if format.is_signed() {
        signed_bits(format, number)
    } else {
        match number {
            Number::Unsigned(value) if value <= largest(format) => Some(value),
            _ => None,
        }
    };
    let Some(bits) = bits else { return Err(format!("expected {}", expected(format))) };
    out.put_slice(&bits.to_be_bytes()[8 - format.size()..]);
    Ok(())
}

fn float_bits(format: Format, number: Number) -> Option<u64> {
    // What a user writes is rounded to the nearest float, as everywhere.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let value = match number {
        Number::Float(value) => value,
        Number::Unsigned(value) => value as f64,
        Number::Signed(value) => value as f64,
        Number::Bits(bits) if bits <= largest(format) => return Some(bits),
        Number::Bits(_) => return None,
    };
    if format == Format::F8 {
        return value.is_finite().then_some(value.to_bits());
    }
    #[expect(clippy::cast_possible_truncation, reason = "the nearest float of four bytes")]
    let value = value as f32;
    value.is_finite().then_some(u64::from(value.to_bits()))
}

fn signed_bits(format: Format, number: Number) -> Option<u64> {
    let value = match number {
        Number::Signed(value) => value,
        Number::Unsigned(value) => i64::try_from(value).ok()?,
        Number::Float(_) | Number::Bits(_) => return None,
    };
    let most = (largest(format) >> 1).cast_signed();
    (-most - 1..=most).contains(&value).then_some(value.cast_unsigned())
}

/// The largest number without a sign that has as many bytes.
fn largest(format: Format) -> u64 {
    u64::MAX >> (64 - 8 * format.size())
}

fn expected(format: Format) -> String {
    let largest = largest(format);
    if format.is_float() {
        return "a number, or the bits of one as 0x… in quotation marks".to_owned();
    }
    if format.is_signed() {
        let most = (largest >> 1).cast_signed();
        return format!("a whole number from {} to {most}", -most - 1);
    }
    format!("a whole number from 0 to {largest}")
}

/// Bytes as pairs of hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Bytes of pairs of hexadecimal digits.
pub(crate) fn of_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

/// The bits of `0x…`.
pub(crate) fn bits(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    // `from_str_radix` would take a sign.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
    u64::from_str_radix(digits, 16).ok()
}

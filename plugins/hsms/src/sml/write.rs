//! From a message to text.

use super::Text;
use crate::item::{Format, Item};
use crate::values::{self, Number};
use std::fmt::Write as _;

/// A message in one line.
pub fn write(message: &Text) -> String {
    let mut out = format!("S{}F{}", message.stream, message.function);
    if message.wait {
        out.push_str(" W");
    }
    if let Some(item) = &message.item {
        out.push(' ');
        item_to(item, &mut out);
    }
    out.push_str(" .");
    out
}

fn item_to(item: &Item, out: &mut String) {
    match item {
        Item::List(items) => {
            out.push_str("<L");
            for item in items {
                out.push(' ');
                item_to(item, out);
            }
        }
        Item::Values(format, bytes) => {
            out.push('<');
            out.push_str(format.name());
            match format {
                Format::Ascii => characters(bytes, out),
                Format::Boolean => bytes.iter().for_each(|byte| truth(*byte, out)),
                Format::Binary | Format::Jis8 | Format::Localized => {
                    bytes.iter().for_each(|byte| push(out, format_args!(" 0x{byte:02X}")));
                }
                _ => values::numbers(*format, bytes).for_each(|number| numeral(number, out)),
            }
        }
    }
    out.push('>');
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

fn truth(byte: u8, out: &mut String) {
    match byte {
        0 => out.push_str(" F"),
        1 => out.push_str(" T"),
        other => push(out, format_args!(" 0x{other:02X}")),
    }
}

fn numeral(number: Number, out: &mut String) {
    match number {
        Number::Unsigned(value) => push(out, format_args!(" {value}")),
        Number::Signed(value) => push(out, format_args!(" {value}")),
        Number::Float(value) => push(out, format_args!(" {value:?}")),
        Number::Bits(bits) => push(out, format_args!(" \"{bits:#x}\"")),
    }
}

/// Characters that can be shown in quotation marks, the others as numbers between.
fn characters(bytes: &[u8], out: &mut String) {
    if bytes.is_empty() {
        return out.push_str(" \"\"");
    }
    let mut open = false;
    for byte in bytes {
        let shown = matches!(byte, b' '..=b'~') && *byte != b'"';
        if shown != open {
            out.push_str(if open { "\"" } else { " \"" });
            open = shown;
        }
        if shown {
            out.push(char::from(*byte));
        } else {
            push(out, format_args!(" 0x{byte:02X}"));
        }
    }
    if open {
        out.push('"');
    }
}

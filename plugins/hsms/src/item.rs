//! Items of SECS-II (SEMI E5 §9): a format, a length and values, or a list of items.

use bytes::{BufMut, Bytes, BytesMut};

/// The longest length of three bytes.
const LONGEST: usize = 0xff_ffff;

/// What the values of an item are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Format {
    /// Bytes without further meaning.
    Binary,
    /// One byte each; 0 is false.
    Boolean,
    /// Characters of ASCII.
    Ascii,
    /// Characters of JIS-8, kept as bytes.
    Jis8,
    /// Characters of two bytes, behind two bytes that name their encoding; kept as bytes.
    Localized,
    /// Signed, of eight bytes.
    I8,
    /// Signed, of one byte.
    I1,
    /// Signed, of two bytes.
    I2,
    /// Signed, of four bytes.
    I4,
    /// IEEE 754, of eight bytes.
    F8,
    /// IEEE 754, of four bytes.
    F4,
    /// Unsigned, of eight bytes.
    U8,
    /// Unsigned, of one byte.
    U1,
    /// Unsigned, of two bytes.
    U2,
    /// Unsigned, of four bytes.
    U4,
}

const LIST: u8 = 0;

/// Each with its code (E5 table 1), its name in SML and JSON, and the bytes of a value.
const FORMATS: [(Format, u8, &str, usize); 15] = [
    (Format::Binary, 0o10, "B", 1),
    (Format::Boolean, 0o11, "BOOLEAN", 1),
    (Format::Ascii, 0o20, "A", 1),
    (Format::Jis8, 0o21, "J", 1),
    (Format::Localized, 0o22, "W", 1),
    (Format::I8, 0o30, "I8", 8),
    (Format::I1, 0o31, "I1", 1),
    (Format::I2, 0o32, "I2", 2),
    (Format::I4, 0o34, "I4", 4),
    (Format::F8, 0o40, "F8", 8),
    (Format::F4, 0o44, "F4", 4),
    (Format::U8, 0o50, "U8", 8),
    (Format::U1, 0o51, "U1", 1),
    (Format::U2, 0o52, "U2", 2),
    (Format::U4, 0o54, "U4", 4),
];

/// The names of all formats, `L` of lists first.
pub const NAMES: &str = "L B BOOLEAN A J W I1 I2 I4 I8 U1 U2 U4 U8 F4 F8";

impl Format {
    fn row(self) -> (Format, u8, &'static str, usize) {
        FORMATS.into_iter().find(|row| row.0 == self).unwrap_or(FORMATS[0])
    }
    /// Its code in an item's first byte (E5 table 1).
    pub fn code(self) -> u8 {
        self.row().1
    }
    /// Its name in SML and JSON.
    pub fn name(self) -> &'static str {
        self.row().2
    }
    /// Bytes of one value.
    pub fn size(self) -> usize {
        self.row().3
    }
    /// That of a name; capitals do not matter.
    pub fn named(name: &str) -> Option<Format> {
        FORMATS.into_iter().find(|row| row.2.eq_ignore_ascii_case(name)).map(|row| row.0)
    }
    fn coded(code: u8) -> Option<Format> {
        FORMATS.into_iter().find(|row| row.1 == code).map(|row| row.0)
    }
    /// Whether its values are whole numbers below zero, too.
    pub fn is_signed(self) -> bool {
        matches!(self, Format::I1 | Format::I2 | Format::I4 | Format::I8)
    }
    /// Whether its values are numbers with a fraction.
    pub fn is_float(self) -> bool {
        matches!(self, Format::F4 | Format::F8)
    }
}

/// An item. Values are kept as the bytes they have on the wire, so that nothing is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// Items in order.
    List(Vec<Item>),
    /// Values of one format, one after the other, the most significant byte first.
    Values(Format, Bytes),
}

/// What a message may be at most, whoever sends it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Lists in lists.
    pub depth: usize,
    /// Items of one message, lists included.
    pub items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { depth: 64, items: 1 << 20 }
    }
}

/// Counts items against [`Limits`].
#[derive(Debug)]
pub(crate) struct Count {
    limits: Limits,
    items: usize,
}

impl Count {
    pub(crate) fn new(limits: Limits) -> Self {
        Count { limits, items: 0 }
    }

    /// One more item, inside of `depth` lists.
    pub(crate) fn one(&mut self, depth: usize) -> Result<(), String> {
        self.items += 1;
        if self.items > self.limits.items {
            return Err(format!("has more than {} items (`max_items`)", self.limits.items));
        }
        if depth > self.limits.depth {
            return Err(format!("is deeper than {} lists (`max_depth`)", self.limits.depth));
        }
        Ok(())
    }
}

impl Item {
    /// Reads the content of a message: one item and nothing behind it, or no item.
    ///
    /// # Errors
    /// What is wrong and at which byte, or which limit was reached.
    pub fn read(content: &Bytes, limits: Limits) -> Result<Option<Item>, String> {
        if content.is_empty() {
            return Ok(None);
        }
        let mut reader = Reader { content, at: 0, count: Count::new(limits) };
        let item = reader.item(0).map_err(|text| format!("the content {text}"))?;
        match content.len() - reader.at {
            0 => Ok(Some(item)),
            rest => Err(format!("the content has {rest} bytes behind its item")),
        }
    }

    /// Whether content is one item and nothing behind it, or nothing at all; however deep it is, and however long.
    pub fn is_readable(content: &[u8]) -> bool {
        let (mut rest, mut open) = (content, u64::from(!content.is_empty()));
        while open > 0 {
            let Some((code, length, behind)) = split_head(rest) else { return false };
            open -= 1;
            rest = behind;
            if code == LIST {
                open += length as u64;
                continue;
            }
            let whole = Format::coded(code).is_some_and(|format| length % format.size() == 0);
            match rest.get(length..).filter(|_| whole) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        rest.is_empty()
    }

    /// Its bytes on the wire, each length in as few bytes as it needs.
    ///
    /// # Errors
    /// Values or items of one item that are more than 16777215 (E5 §9.2.2).
    pub fn write(&self) -> Result<Bytes, String> {
        let mut out = BytesMut::new();
        self.write_to(&mut out)?;
        Ok(out.freeze())
    }

    fn write_to(&self, out: &mut BytesMut) -> Result<(), String> {
        match self {
            Item::List(items) => {
                head(LIST, items.len(), out)?;
                items.iter().try_for_each(|item| item.write_to(out))
            }
            Item::Values(format, bytes) => {
                head(format.code(), bytes.len(), out)?;
                out.put_slice(bytes);
                Ok(())
            }
        }
    }
}

fn head(code: u8, length: usize, out: &mut BytesMut) -> Result<(), String> {
    let [.., a, b, c] = match u32::try_from(length) {
        Ok(short) if length <= LONGEST => short.to_be_bytes(),
        _ => return Err(format!("an item of {length} bytes is longer than {LONGEST}")),
    };
    match (a, b) {
        (0, 0) => out.put_slice(&[code << 2 | 1, c]),
        (0, _) => out.put_slice(&[code << 2 | 2, b, c]),
        _ => out.put_slice(&[code << 2 | 3, a, b, c]),
    }
    Ok(())
}

/// The code of an item, its length, and what is behind them.
fn split_head(content: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (first, behind) = content.split_first()?;
    let (length, behind) = behind.split_at_checked(usize::from(first & 3))?;
    let bytes = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    (!length.is_empty()).then_some((first >> 2, bytes, behind))
}

struct Reader<'a> {
    content: &'a Bytes,
    at: usize,
    count: Count,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<Bytes, String> {
        let left = self.content.len() - self.at;
        if count > left {
            let at = self.at;
            return Err(format!("ends early: {count} bytes are to come at byte {at}, not {left}"));
        }
        self.at += count;
        Ok(self.content.slice(self.at - count..self.at))
    }

    fn item(&mut self, depth: usize) -> Result<Item, String> {
        self.count.one(depth)?;
        let at = self.at;
        let first = self.take(1)?[0];
        let lengths = usize::from(first & 3);
        if lengths == 0 {
            return Err(format!("has an item without a length at byte {at}"));
        }
        let length = self.take(lengths)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if first >> 2 == LIST {
            // What a list says of its length is not believed before its items are there.
            let mut items = Vec::with_capacity(length.min(256));
            for _ in 0..length {
                items.push(self.item(depth + 1)?);
            }
            return Ok(Item::List(items));
        }
        let Some(format) = Format::coded(first >> 2) else {
            return Err(format!(
                "has an item of the unknown format {:#o} at byte {at}",
                first >> 2
            ));
        };
        if length % format.size() != 0 {
            let (name, size) = (format.name(), format.size());
            return Err(format!(
                "has {length} bytes of {name} at byte {at}, not a multiple of {size}"
            ));
        }
        Ok(Item::Values(format, self.take(length)?))
    }
}

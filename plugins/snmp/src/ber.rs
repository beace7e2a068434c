//! BER as SNMP has it (RFC 1157 §3.2.2, RFC 3417 §8): definite lengths, one octet of tag.
//!
//! Reading takes slices of what it is given and allocates nothing; lengths are believed only where so many bytes are
//! there. Nesting is that of the calls that read it, so that no input makes it deep.

/// Why bytes are no SNMP; what was expected, in words.
pub type Fault = String;

/// Tags (RFC 2578 §7.1.1, RFC 3416 §3).
pub mod tag {
    /// `INTEGER`.
    pub const INTEGER: u8 = 0x02;
    /// `OCTET STRING`.
    pub const OCTETS: u8 = 0x04;
    /// `NULL`.
    pub const NULL: u8 = 0x05;
    /// `OBJECT IDENTIFIER`.
    pub const OID: u8 = 0x06;
    /// `SEQUENCE`.
    pub const SEQUENCE: u8 = 0x30;
}

/// What is left to read of a message or of a part of it.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Of all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element: its tag and its content.
    ///
    /// # Errors
    /// It is cut off, its length is indefinite or longer than what is there.
    pub fn element(&mut self) -> Result<(u8, &'a [u8]), Fault> {
        match header(self.rest)? {
            Some(header) if self.rest.len() - header.size >= header.length => {
                let (element, rest) = self.rest.split_at(header.size + header.length);
                self.rest = rest;
                Ok((header.tag, &element[header.size..]))
            }
            Some(header) => Err(format!(
                "an element says that it has {} bytes where {} are left",
                header.length,
                self.rest.len() - header.size
            )),
            None => Err("an element is cut off in its tag or length".to_owned()),
        }
    }

    /// The content of the next element, which must have `tag`.
    ///
    /// # Errors
    /// As [`Reader::element`], or it has another tag.
    pub fn expect(&mut self, tag: u8, what: &str) -> Result<&'a [u8], Fault> {
        if self.rest.is_empty() {
            return Err(format!("{what} is not there"));
        }
        let (found, content) = self.element()?;
        if found != tag {
            return Err(format!("expected {what} with tag {tag:#04x}, not {found:#04x}"));
        }
        Ok(content)
    }

    /// The elements inside of the next one, a sequence.
    ///
    /// # Errors
    /// As [`Reader::expect`].
    pub fn sequence(&mut self, what: &str) -> Result<Reader<'a>, Fault> {
        self.expect(tag::SEQUENCE, what).map(Reader::new)
    }

    /// The next element as an `INTEGER` of 32 bits.
    ///
    /// # Errors
    /// As [`Reader::expect`], or it does not fit.
    pub fn integer(&mut self, what: &str) -> Result<i32, Fault> {
        let content = self.expect(tag::INTEGER, what)?;
        integer(content).map_err(|fault| format!("{what}: {fault}"))
    }

    /// Says that all was read.
    ///
    /// # Errors
    /// Something is left.
    pub fn end(&self, what: &str) -> Result<(), Fault> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(format!("{left} bytes stand behind {what}")),
        }
    }
}

/// The beginning of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its tag.
    pub tag: u8,
    /// Bytes of tag and length.
    pub size: usize,
    /// Bytes of its content.
    pub length: usize,
}

/// The beginning of the element that `bytes` begin with; `None` where that is not whole yet.
///
/// # Errors
/// The tag has more than one octet, or the length is indefinite or has more than four.
pub fn header(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    let [tag, first, ..] = *bytes else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        return Err(format!("a tag of several octets, {tag:#04x}, is in no SNMP message"));
    }
    if first < 0x80 {
        return Ok(Some(Header { tag, size: 2, length: first.into() }));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 {
        return Err("the length of an element is indefinite".to_owned());
    }
    if count > 4 {
        return Err(format!("the length of an element has {count} octets; at most 4 are read"));
    }
    let Some(octets) = bytes.get(2..2 + count) else { return Ok(None) };
    let length = octets.iter().fold(0_usize, |sum, octet| sum << 8 | usize::from(*octet));
    Ok(Some(Header { tag, size: 2 + count, length }))
}

/// A signed number of 32 bits; more octets than it needs are taken if they say nothing.
///
/// # Errors
/// It has no octets, or does not fit.
pub fn integer(content: &[u8]) -> Result<i32, Fault> {
    let first = *content.first().ok_or("an integer without octets")?;
    let sign = if first >= 0x80 { 0xff } else { 0 };
    let lead = content.len().saturating_sub(4);
    let (lead, octets) = content.split_at(lead);
    let is_negative = octets.first().is_some_and(|octet| *octet >= 0x80);
    if lead.iter().any(|octet| *octet != sign) || is_negative != (sign != 0) {
        return Err(format!("an integer of {} octets does not fit into 32 bits", content.len()));
    }
    let start = if sign == 0 { 0_u32 } else { u32::MAX };
    Ok(octets.iter().fold(start, |sum, octet| sum << 8 | u32::from(*octet)).cast_signed())
}

/// An unsigned number of at most `most` octets. One whose first bit is set and that lacks the octet before it, as some
/// agents send, is taken as what was meant.
///
/// # Errors
/// It has no octets, or does not fit.
pub fn unsigned(content: &[u8], most: usize) -> Result<u64, Fault> {
    if content.is_empty() {
        return Err("a number without octets".to_owned());
    }
    let (lead, octets) = content.split_at(content.len().saturating_sub(most));
    if lead.iter().any(|octet| *octet != 0) {
        return Err(format!("a number of {} octets does not fit into {most}", content.len()));
    }
    Ok(octets.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet)))
}

/// Writes elements from the last to the first, so that each length is known when it is written.
#[derive(Debug, Default)]
pub struct Writer {
    /// The bytes, backwards.
    back: Vec<u8>,
}

impl Writer {
    /// Nothing yet.
    pub fn new() -> Self {
        Writer { back: Vec::with_capacity(256) }
    }

    /// Bytes so far: what is written next ends so many bytes before the end.
    pub fn written(&self) -> usize {
        self.back.len()
    }

    /// Puts bytes before what is there.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.back.extend(bytes.iter().rev());
    }

    /// Puts an element with `tag` before what is there; `content` writes its inside, the last part first.
    pub fn element(&mut self, tag: u8, content: impl FnOnce(&mut Self)) {
        let before = self.back.len();
        content(self);
        let length = self.back.len() - before;
        if length < 0x80 {
            self.back.push(length.to_le_bytes()[0]);
        } else {
            let octets = length.to_le_bytes();
            let count = octets.len() - length.leading_zeros() as usize / 8;
            self.back.extend_from_slice(&octets[..count]);
            self.back.push(0x80 | count.to_le_bytes()[0]);
        }
        self.back.push(tag);
    }

    /// An element of bytes.
    pub fn bytes(&mut self, tag: u8, content: &[u8]) {
        self.element(tag, |writer| writer.raw(content));
    }

    /// A signed number in as few octets as it needs.
    pub fn integer(&mut self, value: i32) {
        let octets = value.to_be_bytes();
        let needless = |at: &usize| {
            let next = octets.get(at + 1).copied().unwrap_or_default();
            (octets[*at] == 0 && next < 0x80) || (octets[*at] == 0xff && next >= 0x80)
        };
        let skip = (0..3).take_while(needless).count();
        self.bytes(tag::INTEGER, &octets[skip..]);
    }

    /// An unsigned number with `tag`, in as few octets as it needs.
    pub fn unsigned(&mut self, tag: u8, value: u64) {
        let octets = [&[0][..], &value.to_be_bytes()].concat();
        let skip = (0..8).take_while(|at| octets[*at] == 0 && octets[at + 1] < 0x80).count();
        self.bytes(tag, &octets[skip..]);
    }

    /// All of it, forwards.
    pub fn finish(mut self) -> Vec<u8> {
        self.back.reverse();
        self.back
    }
}

//! The journal's text: one line for each change, each with its own checksum.
//!
//! ```text
//! jackfield state 1
//! 5f2c9a0b1d3e4f60 {"define":"lab","connection":{"uri":"tcp://127.0.0.1:7"}}
//! 09b8a7c6d5e4f312 {"remove":"lab"}
//! 1c2d3e4f5a6b7c8d {"upstream":"web","target":"http://10.0.0.7:80","weight":3}
//! ```
//!
//! The sum is the first eight bytes of the SHA-256 of what follows it. Pure: bytes in, records out.

use crate::config::TargetConfig;
use crate::config::model::{ConnectionConfig, sparse};
use crate::manager::layer::TargetEdit;
use crate::manager::written::WrittenObject;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The first line.
pub(super) const HEADER: &str = "jackfield state 1\n";

/// The longest line read or written, in bytes.
pub(super) const MAX_LINE: usize = 1 << 20;

/// One change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Record {
    Define {
        define: String,
        #[serde(serialize_with = "sparse")]
        connection: Box<ConnectionConfig>,
    },
    Remove {
        remove: String,
    },
    /// A target of an upstream was changed.
    Target {
        upstream: String,
        target: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        add: Option<Box<TargetConfig>>,
        /// One that the host has found by name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<Box<TargetConfig>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<u32>,
    },
    /// What was changed of the targets of an upstream is forgotten.
    Reset {
        reset: String,
        /// Whether those that were found stay.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        keeps_found: bool,
    },
    /// What was written of an object, or that it is forgotten.
    Write {
        write: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object: Option<WrittenObject>,
    },
}

impl Record {
    pub(super) fn target(upstream: &str, target: &str, change: TargetEdit) -> Self {
        let (add, found, weight) = match change {
            TargetEdit::Add(config) => (Some(config), None, None),
            TargetEdit::Find(config) => (None, Some(config), None),
            TargetEdit::Weigh(weight) => (None, None, Some(weight)),
            TargetEdit::Remove => (None, None, None),
        };
        let (upstream, target) = (upstream.to_owned(), target.to_owned());
        Record::Target { upstream, target, add, found, weight }
    }
}

/// Why a journal is not used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Bytes from the start of the file.
    pub(super) offset: usize,
    pub(super) what: String,
}

/// What a journal holds.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// In order.
    pub(super) records: Vec<Record>,
    /// Bytes that are whole.
    pub(super) whole: usize,
    /// Whether there was a last record that was not.
    pub(super) torn: bool,
}

/// A record as its line.
pub(super) fn line(record: &Record) -> serde_json::Result<String> {
    let json = serde_json::to_string(record)?;
    let mut line = String::with_capacity(json.len() + 18);
    for byte in sum(json.as_bytes()) {
        // Writing to a string cannot fail.
        let _ = write!(line, "{byte:02x}");
    }
    line.push(' ');
    line.push_str(&json);
    line.push('\n');
    Ok(line)
}

fn sum(json: &[u8]) -> [u8; 8] {
    let whole = Sha256::digest(json);
    std::array::from_fn(|index| whole[index])
}

/// Reads a journal. A last line that is not whole is what a write that was cut off leaves; anything
/// else that is wrong is damage.
pub(super) fn read(bytes: &[u8]) -> Result<Read, Damage> {
    if bytes.len() < HEADER.len() && HEADER.as_bytes().starts_with(bytes) {
        return Ok(Read { torn: !bytes.is_empty(), ..Read::default() });
    }
    if !bytes.starts_with(HEADER.as_bytes()) {
        let what = format!("expected the line {:?}", HEADER.trim_end());
        return Err(Damage { offset: 0, what });
    }
    let mut read = Read { whole: HEADER.len(), ..Read::default() };
    while read.whole < bytes.len() {
        let rest = &bytes[read.whole..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        match end.map(|end| (end, parse(&rest[..end]))) {
            Some((end, Ok(record))) => {
                read.records.push(record);
                read.whole += end + 1;
            }
            Some((end, Err(what))) if read.whole + end + 1 < bytes.len() => {
                return Err(Damage { offset: read.whole, what });
            }
            _ => {
                read.torn = true;
                break;
            }
        }
    }
    Ok(read)
}

fn parse(line: &[u8]) -> Result<Record, String> {
    let (sum_text, json) =
        line.split_at_checked(17).ok_or("expected a checksum and a record, found less")?;
    let mut expected = String::with_capacity(17);
    for byte in sum(json) {
        let _ = write!(expected, "{byte:02x}");
    }
    expected.push(' ');
    if sum_text != expected.as_bytes() {
        return Err("the checksum does not match the record".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| format!("not a record of this version: {error}"))
}

/// Reads a journal and writes what was read: for the fuzzer, which cannot reach what is private here.
///
/// # Panics
/// If what was read cannot be written, or a place lies outside of `bytes`.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    match read(bytes) {
        Ok(read) => {
            assert!(read.whole <= bytes.len());
            assert!(read.records.iter().all(|it| line(it).is_ok_and(|text| text.ends_with('\n'))));
        }
        Err(damage) => assert!(damage.offset <= bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn define(name: &str) -> Record {
        let uri = "tcp://127.0.0.1:7".parse().unwrap();
        let connection = Box::new(ConnectionConfig { uri, ..ConnectionConfig::default() });
        Record::Define { define: name.to_owned(), connection }
    }

    fn journal(names: &[&str]) -> String {
        let lines = names.iter().map(|name| line(&define(name)).unwrap());
        HEADER.to_owned() + &lines.collect::<String>()
    }

    fn names(read: &Read) -> Vec<&str> {
        let mut names = Vec::new();
        for record in &read.records {
            if let Record::Define { define: name, .. } | Record::Remove { remove: name } = record {
                names.push(name.as_str());
            }
        }
        names
    }

    #[test]
    fn only_what_differs_from_the_defaults_is_written() {
        let text = line(&define("a")).unwrap();
        let expected = r#"{"define":"a","connection":{"uri":"tcp://127.0.0.1:7"}}"#;
        assert_eq!(&text[17..], format!("{expected}\n"));
    }

    #[test]
    fn a_journal_cut_off_anywhere_keeps_all_whole_records() {
        let text = journal(&["a", "b", "c"]);
        let first = HEADER.len();
        let length = (text.len() - first) / 3;
        for cut in 0..text.len() {
            let read = read(&text.as_bytes()[..cut]).unwrap_or_else(|damage| panic!("{damage:?}"));
            let whole = cut.saturating_sub(first) / length;
            assert_eq!(names(&read), ["a", "b", "c"][..whole], "cut at {cut}");
            assert_eq!(read.torn, cut > 0 && cut != first + whole * length, "cut at {cut}");
        }
    }

    #[test]
    fn damage_in_the_middle_is_reported_with_its_offset() {
        let text = journal(&["a", "b", "c"]);
        let second = text.find(r#"{"define":"b""#).unwrap();
        let mut bytes = text.clone().into_bytes();
        bytes[second + 12] ^= 1;
        let damage = read(&bytes).unwrap_err();
        assert_eq!(damage.offset, second - 17);
        assert_eq!(damage.what, "the checksum does not match the record");
        assert_eq!(read(b"another file\n").unwrap_err().offset, 0);
        // The last record may be damaged by a write that was cut off: it was never acknowledged.
        let mut bytes = text.into_bytes();
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        assert_eq!(names(&read(&bytes).unwrap()), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
            let _ = read(&[HEADER.as_bytes(), &bytes].concat());
        }
    }
}

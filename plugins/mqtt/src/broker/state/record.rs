//! What the broker's journal says: one line for each change, each with its own checksum. Pure: bytes in, records
//! out.
//!
//! ```text
//! jackfield mqtt_broker 1
//! 5f2c9a0b1d3e4f60 {"session":{"client":"meter-7","expiry":86400}}
//! 09b8a7c6d5e4f312 {"subscribe":{"client":"meter-7","filter":{"filter":"lab/#","qos":1}}}
//! ```
//!
//! The sum is the first eight bytes of the SHA-256 of what follows it. Times are seconds since 1970.

use crate::packet::{Filter, Properties, Publication};
use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The first line.
pub(super) const HEADER: &str = "jackfield mqtt_broker 1\n";

/// Digits of a checksum, and the space behind them.
const SUM: usize = 17;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::broker) enum Record {
    /// A client has connected whose session is kept for `expiry` seconds after its connection. What it has is still
    /// its own.
    Session {
        client: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        expiry: u32,
    },
    /// The session of a client is over, with all that it has.
    Ended {
        client: String,
    },
    Subscribe {
        client: String,
        filter: WrittenFilter,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
    },
    Unsubscribe {
        client: String,
        filter: String,
    },
    /// A message that is retained, waits for sessions, or both.
    Message {
        message: Box<WrittenMessage>,
        /// When it came.
        at: u64,
        /// For whom it waits.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        copies: Vec<Queued>,
        /// Whether it is the retained message of its topic.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        retained: bool,
    },
    /// The retained message of a topic was taken away.
    Forget {
        topic: String,
    },
    /// A client has taken messages over.
    Taken {
        client: String,
        numbers: Vec<u64>,
        /// The last packet identifier that was used for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_id: Option<u16>,
    },
    /// The connection of a client has ended.
    Left {
        client: String,
        /// When the session ends.
        ends: u64,
        /// Packet identifiers of messages that it has no last answer for, in their order; those without a number
        /// wait for PUBCOMP.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unanswered: Vec<(u16, Option<u64>)>,
        last_id: u16,
        /// Packet identifiers of its messages of QoS 2 that it has not released.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        held: Vec<u16>,
        /// A will that waits, and when it is published.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        will: Option<(Box<WrittenMessage>, u64)>,
    },
}

/// One session's copy of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::broker) struct Queued {
    pub(in crate::broker) client: String,
    /// Numbers of one session's messages rise in their order.
    pub(in crate::broker) number: u64,
    pub(in crate::broker) qos: u8,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::broker) retain: bool,
    /// Numbers of the subscriptions that it matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::broker) subscriptions: Vec<u32>,
}

/// A message as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::broker) struct WrittenMessage {
    topic: String,
    /// In base64.
    #[serde(with = "base64")]
    payload: Bytes,
    qos: u8,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retain: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    text: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_topic: Option<String>,
    /// In base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<String>,
    /// In the order in which they came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    user: Vec<(String, String)>,
}

impl WrittenMessage {
    pub(in crate::broker) fn of(publication: &Publication) -> Self {
        let properties = &publication.properties;
        WrittenMessage {
            topic: publication.topic.clone(),
            payload: publication.payload.clone(),
            qos: publication.qos,
            retain: publication.retain,
            text: properties.text,
            expiry: properties.expiry,
            content_type: properties.content_type.clone(),
            response_topic: properties.response_topic.clone(),
            correlation: properties.correlation.as_ref().map(|data| BASE64.encode(data)),
            user: properties.user.clone(),
        }
    }

    pub(in crate::broker) fn topic(&self) -> &str {
        &self.topic
    }

    /// As it is `waited` seconds later; `None` if it is worth nothing any more.
    pub(in crate::broker) fn publication(&self, waited: u64) -> Option<Publication> {
        let waited = u32::try_from(waited).unwrap_or(u32::MAX);
        let left = |seconds: u32| seconds.checked_sub(waited).filter(|left| *left > 0);
        let expiry = match self.expiry {
            Some(seconds) if waited > 0 => Some(left(seconds)?),
            as_it_is => as_it_is,
        };
        let correlation = self.correlation.as_ref();
        let correlation = correlation.and_then(|text| BASE64.decode(text.as_bytes()).ok());
        let mut publication =
            Publication::new(self.topic.clone(), self.payload.clone(), self.qos.min(2));
        publication.retain = self.retain;
        publication.properties = Properties {
            text: self.text,
            expiry,
            content_type: self.content_type.clone(),
            response_topic: self.response_topic.clone(),
            correlation: correlation.map(Bytes::from),
            user: self.user.clone(),
            subscriptions: Vec::new(),
        };
        Some(publication)
    }
}

/// A subscription as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::broker) struct WrittenFilter {
    filter: String,
    qos: u8,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_local: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retain_as_published: bool,
}

impl WrittenFilter {
    pub(in crate::broker) fn of(filter: &Filter) -> Self {
        WrittenFilter {
            filter: filter.filter.clone(),
            qos: filter.qos,
            no_local: filter.no_local,
            retain_as_published: filter.retain_as_published,
        }
    }

    /// Retained messages were sent when it was asked for.
    pub(in crate::broker) fn filter(self) -> Filter {
        Filter {
            filter: self.filter,
            qos: self.qos.min(2),
            no_local: self.no_local,
            retain_as_published: self.retain_as_published,
            retain_handling: 2,
        }
    }
}

mod base64 {
    use bytes::Bytes;
    use data_encoding::BASE64;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::borrow::Cow;

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&BASE64.encode_display(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        BASE64.decode(text.as_bytes()).map(Bytes::from).map_err(D::Error::custom)
    }
}

/// Why the rest of a journal is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Bytes from the start of the file.
    pub(super) offset: usize,
    pub(super) what: String,
}

/// What a journal holds.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Bytes that are whole.
    pub(super) whole: usize,
    /// Whether there was a last record that was not.
    pub(super) torn: bool,
    /// What is wrong with the record behind the whole ones.
    pub(super) damage: Option<Damage>,
}

/// Adds a record as its line.
pub(super) fn write(record: &Record, to: &mut Vec<u8>) -> serde_json::Result<()> {
    let start = to.len();
    to.extend_from_slice(&[b' '; SUM]);
    serde_json::to_writer(&mut *to, record)?;
    let sum = sum(&to[start + SUM..]);
    HEXLOWER.encode_mut(&sum, &mut to[start..start + SUM - 1]);
    to.push(b'\n');
    Ok(())
}

fn sum(json: &[u8]) -> [u8; 8] {
    let whole = Sha256::digest(json);
    std::array::from_fn(|index| whole[index])
}

/// Reads a journal and gives its records to `take`, in order. A last line that is not whole is what a write that
/// was cut off leaves; anything else that is wrong is damage, and nothing behind it is read.
pub(super) fn read(bytes: &[u8], mut take: impl FnMut(Record)) -> Read {
    if bytes.len() < HEADER.len() && HEADER.as_bytes().starts_with(bytes) {
        return Read { torn: !bytes.is_empty(), ..Read::default() };
    }
    if !bytes.starts_with(HEADER.as_bytes()) {
        let what = format!("expected the line {:?}", HEADER.trim_end());
        return Read { damage: Some(Damage { offset: 0, what }), ..Read::default() };
    }
    let mut read = Read { whole: HEADER.len(), ..Read::default() };
    while read.whole < bytes.len() {
        let rest = &bytes[read.whole..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        match end.map(|end| (end, parse(&rest[..end]))) {
            Some((end, Ok(record))) => {
                take(record);
                read.whole += end + 1;
            }
            Some((end, Err(what))) if read.whole + end + 1 < bytes.len() => {
                read.damage = Some(Damage { offset: read.whole, what });
                break;
            }
            _ => {
                read.torn = true;
                break;
            }
        }
    }
    read
}

fn parse(line: &[u8]) -> Result<Record, String> {
    let (told, json) =
        line.split_at_checked(SUM).ok_or("expected a checksum and a record, found less")?;
    let mut expected = [b' '; SUM];
    HEXLOWER.encode_mut(&sum(json), &mut expected[..SUM - 1]);
    if told != expected {
        return Err("the checksum does not match the record".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| format!("not a record of this version: {error}"))
}

#[cfg(test)]
mod tests {
    use super::{HEADER, Read, Record, WrittenMessage, read, write};
    use crate::packet::Publication;

    fn ended(client: &str) -> Record {
        Record::Ended { client: client.to_owned() }
    }

    fn journal(clients: &[&str]) -> Vec<u8> {
        let mut bytes = HEADER.as_bytes().to_vec();
        for client in clients {
            write(&ended(client), &mut bytes).unwrap();
        }
        bytes
    }

    fn of(bytes: &[u8]) -> (Vec<Record>, Read) {
        let mut records = Vec::new();
        let read = read(bytes, |record| records.push(record));
        (records, read)
    }

    #[test]
    fn a_journal_cut_off_anywhere_keeps_all_whole_records() {
        let all = [ended("a"), ended("b"), ended("c")];
        let bytes = journal(&["a", "b", "c"]);
        let first = HEADER.len();
        let length = (bytes.len() - first) / 3;
        for cut in 0..bytes.len() {
            let (records, read) = of(&bytes[..cut]);
            let whole = cut.saturating_sub(first) / length;
            assert_eq!(records, all[..whole], "cut at {cut}");
            assert_eq!(read.torn, cut > 0 && cut != first + whole * length, "cut at {cut}");
            assert_eq!(read.damage, None, "cut at {cut}");
        }
    }

    #[test]
    fn damage_in_the_middle_is_told_with_its_offset_and_what_stands_before_it_is_read() {
        let mut bytes = journal(&["a", "b", "c"]);
        let length = (bytes.len() - HEADER.len()) / 3;
        let second = HEADER.len() + length;
        bytes[second + 20] ^= 1;
        let (records, read) = of(&bytes);
        assert_eq!(records, [ended("a")]);
        let damage = read.damage.unwrap();
        assert_eq!(damage.offset, second);
        assert_eq!(damage.what, "the checksum does not match the record");
        assert_eq!(of(b"another file, longer than the header\n").1.damage.unwrap().offset, 0);
    }

    #[test]
    fn a_message_is_read_as_it_was_and_with_what_is_left_of_its_time() {
        let mut publication = Publication::new("lab/a", vec![0, 10, 255], 2);
        publication.retain = true;
        publication.properties.text = true;
        publication.properties.expiry = Some(60);
        publication.properties.correlation = Some(vec![0, 1].into());
        publication.properties.user =
            [("b", "1"), ("a", "2"), ("b", "3")].map(|(a, b)| (a.into(), b.into())).into();
        let message = Box::new(WrittenMessage::of(&publication));
        let record = Record::Message { message, at: 7, copies: Vec::new(), retained: true };
        let mut bytes = HEADER.as_bytes().to_vec();
        write(&record, &mut bytes).unwrap();
        let (records, _) = of(&bytes);
        let [Record::Message { message, .. }] = &records[..] else { panic!("{records:?}") };
        assert_eq!(message.publication(0).as_ref(), Some(&publication));
        assert_eq!(message.publication(59).unwrap().properties.expiry, Some(1));
        assert_eq!(message.publication(60), None);
    }
}

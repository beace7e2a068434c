//! Messages without properties, which most are, from and to bytes in one step. `mqtt-protocol-core` makes a copy of
//! each part and of the whole first; what is not as plain, or not right, is left to it.

use crate::packet::{Packet, Properties, Publication, Version};
use crate::topic::is_topic;
use bytes::{BufMut, Bytes, BytesMut};

/// What a PUBLISH begins with, without its flags.
const PUBLISH: u8 = 0x30;

/// The plain message that `bytes` begin with, if all of it is there, and how many of them it has. `None` says only
/// that it is to be looked at again.
pub(crate) fn read(bytes: &[u8], version: Version, most: u32) -> Option<(Packet, usize)> {
    let (first, rest) = bytes.split_first()?;
    let qos = first >> 1 & 3;
    let dup = first & 8 != 0;
    if first & 0xf0 != PUBLISH || qos == 3 || dup && qos == 0 {
        return None;
    }
    let (length, rest) = length(rest)?;
    let (mut body, behind) = rest.split_at_checked(length)?;
    let whole = bytes.len() - behind.len();
    if u32::try_from(whole).ok()? > most {
        return None;
    }
    let topic = usize::from(take_u16(&mut body)?);
    let (topic, mut body) = body.split_at_checked(topic)?;
    let topic = std::str::from_utf8(topic).ok().filter(|topic| is_topic(topic))?;
    let id = if qos > 0 { take_u16(&mut body).filter(|id| *id > 0)? } else { 0 };
    if version == Version::V5 {
        body = body.strip_prefix(&[0])?;
    }
    let publication = Publication {
        topic: topic.to_owned(),
        payload: Bytes::copy_from_slice(body),
        qos,
        retain: first & 1 != 0,
        dup,
        properties: Properties::default(),
    };
    Some((Packet::Publish { publication, id, alias: None }, whole))
}

/// Appends a message to `out` if it is plain and has at most `most` bytes; whether it was.
pub(crate) fn write(
    publication: &Publication,
    id: u16,
    version: Version,
    most: usize,
    out: &mut BytesMut,
) -> bool {
    let Publication { topic, payload, qos, retain, dup, properties } = publication;
    // By 3.1.1 there are no properties.
    if version == Version::V5 && !properties.is_empty() || !is_topic(topic) {
        return false;
    }
    let Ok(topic_length) = u16::try_from(topic.len()) else { return false };
    let of_id = if *qos > 0 { 2 } else { 0 };
    let of_properties = usize::from(version == Version::V5);
    let length = 2 + topic.len() + of_id + of_properties + payload.len();
    let (head, digits) = head(length);
    if length + 1 + digits > most || length > crate::encode::LONGEST {
        return false;
    }
    out.reserve(length + 1 + digits);
    out.put_u8(PUBLISH | u8::from(*dup) << 3 | qos << 1 | u8::from(*retain));
    out.put_slice(&head[..digits]);
    out.put_u16(topic_length);
    out.put_slice(topic.as_bytes());
    if *qos > 0 {
        out.put_u16(id);
    }
    if version == Version::V5 {
        out.put_u8(0);
    }
    out.put_slice(payload);
    true
}

/// A length of up to four bytes (§1.5.5), and what is behind it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    for (index, byte) in bytes.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((length, &bytes[index + 1..]));
        }
    }
    None
}

/// A length as bytes, and how many of them it has.
fn head(mut length: usize) -> ([u8; 4], usize) {
    let mut digits = [0; 4];
    for (index, digit) in digits.iter_mut().enumerate() {
        let low = u8::try_from(length & 0x7f).unwrap_or_default();
        length >>= 7;
        *digit = if length > 0 { low | 0x80 } else { low };
        if length == 0 {
            return (digits, index + 1);
        }
    }
    (digits, 4)
}

fn take_u16(bytes: &mut &[u8]) -> Option<u16> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u16::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::{read, write};
    use crate::decode::{Decoder, Wrong};
    use crate::encode::build;
    use crate::packet::{Packet, Publication, Version};
    use bytes::BytesMut;

    const VERSIONS: [Version; 2] = [Version::V311, Version::V5];

    /// What the library makes of it, which has all that comes in pieces.
    fn by_library(bytes: &[u8], version: Version) -> Option<Result<Packet, Wrong>> {
        let mut decoder = Decoder::new(Some(version), 1 << 16);
        bytes.iter().find_map(|byte| decoder.next(&mut &[*byte][..]).transpose())
    }

    fn told(packet: &Packet) -> (Publication, u16, Option<u16>) {
        let Packet::Publish { publication, id, alias } = packet else { panic!("no PUBLISH") };
        (publication.clone(), *id, *alias)
    }

    #[test]
    fn it_reads_what_the_library_reads_and_nothing_else() {
        let topics: [&[u8]; 9] =
            [b"a", b"a/b", "\u{e4}".as_bytes(), b"", b"a\0", b"a/+", b"#", b"\xff", b"\x01"];
        let ids: [&[u8]; 4] = [b"", b"\x00\x00", b"\x00\x07", b"\x01"];
        let properties: [&[u8]; 5] = [b"", b"\0", b"\x02\x01\x01", b"\x80\0", b"\xff"];
        let mut plain = 0;
        for (topic, id) in topics.iter().flat_map(|topic| ids.map(|id| (topic, id))) {
            for (properties, length) in
                properties.iter().flat_map(|it| [0, 1, 130].map(|n| (it, n)))
            {
                let length_of_topic = [0, u8::try_from(topic.len()).unwrap()];
                let content = vec![b'x'; length];
                let body = [&length_of_topic[..], topic, id, properties, &content].concat();
                let head = match u8::try_from(body.len()) {
                    Ok(short) if short < 128 => vec![short],
                    _ => vec![u8::try_from(body.len() & 127).unwrap() | 128, 1],
                };
                for (first, version) in (0x30..=0x3f).flat_map(|it| VERSIONS.map(|v| (it, v))) {
                    let bytes = [&[first][..], &head, &body].concat();
                    let Some((packet, whole)) = read(&bytes, version, 1 << 16) else { continue };
                    let library = by_library(&bytes, version).unwrap().unwrap();
                    assert_eq!((told(&packet), whole), (told(&library), bytes.len()), "{bytes:?}");
                    assert!(read(&bytes[..whole - 1], version, 1 << 16).is_none());
                    let most = u32::try_from(whole).unwrap();
                    assert!(read(&bytes, version, most).is_some());
                    assert!(read(&bytes, version, most - 1).is_none());
                    plain += 1;
                }
            }
        }
        assert!(plain > 100, "{plain}");
    }

    #[test]
    fn it_writes_what_the_library_writes() {
        for (qos, version) in (0..3).flat_map(|qos| VERSIONS.map(|version| (qos, version))) {
            for length in [0, 1, 100, 117, 118, 119, 120, 121, 16_370, 16_380, 16_390, 70_000] {
                let mut publication = Publication::new("a/\u{df}", vec![7; length], qos);
                (publication.retain, publication.dup) = (length == 1, length == 100);
                let mut out = BytesMut::from(&b"before"[..]);
                assert!(write(&publication, 9, version, 1 << 20, &mut out));
                let packet =
                    Packet::Publish { publication: publication.clone(), id: 9, alias: None };
                let library = build(&packet, version).unwrap();
                assert_eq!(out[6..], library);
                assert!(write(&publication, 9, version, library.len(), &mut out));
                assert!(!write(&publication, 9, version, library.len() - 1, &mut out));
            }
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_library() {
        let mut out = BytesMut::new();
        let long = "a".repeat(70_000);
        for topic in ["", "a/+", "#", "a\0", &long] {
            let publication = Publication::new(topic, "x", 0);
            assert!(!write(&publication, 0, Version::V5, 1 << 20, &mut out), "{topic}");
        }
        let mut publication = Publication::new("a", "x", 0);
        publication.properties.expiry = Some(1);
        assert!(!write(&publication, 0, Version::V5, 1 << 20, &mut out) && out.is_empty());
        // By 3.1.1 there are none.
        assert!(write(&publication, 0, Version::V311, 1 << 20, &mut out));
    }
}

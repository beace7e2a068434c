//! Frames and items.

use crate::header::{Header, length};
use crate::item::{Format, Item, Limits};
use crate::json;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

fn read(bytes: &[u8]) -> Result<Option<Item>, String> {
    Item::read(&Bytes::copy_from_slice(bytes), Limits::default())
}

fn values(format: Format, bytes: &[u8]) -> Item {
    Item::Values(format, Bytes::copy_from_slice(bytes))
}

#[test]
fn a_header_is_ten_bytes_and_back() {
    let header = Header::data(0x1234, 1, 3, true, 0xdead_beef);
    assert_eq!(header.bytes(), [0x12, 0x34, 0x81, 3, 0, 0, 0xde, 0xad, 0xbe, 0xef]);
    assert_eq!(Header::of(header.bytes()), header);
    assert_eq!((header.title(), header.id()), ("S1F3 W".to_owned(), 0x103));
    assert_eq!(&header.frame(b"x").unwrap()[..4], [0, 0, 0, 11]);
}

#[test]
fn a_length_is_that_of_a_header_at_least_and_of_the_limit_at_most() {
    assert_eq!(length([0, 0, 0, 10], 0), Ok(10));
    assert!(length([0, 0, 0, 9], 100).unwrap_err().contains("9 bytes"));
    assert!(length([0, 0, 0, 111], 100).unwrap_err().contains("`max_message` is 100"));
    assert!(length([0xff; 4], 100).is_err());
}

#[test]
fn lengths_of_one_two_and_three_bytes_are_read_and_written() {
    for (count, head) in [(3, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 4)] {
        let item = values(Format::Ascii, &vec![b'x'; count]);
        let bytes = item.write().unwrap();
        assert_eq!(bytes.len(), count + head);
        assert_eq!(read(&bytes), Ok(Some(item)));
    }
    // Longer than it need be, as some equipment writes it.
    assert_eq!(read(&[0o20 << 2 | 3, 0, 0, 1, b'x']), Ok(Some(values(Format::Ascii, b"x"))));
}

#[test]
fn items_without_values_and_contents_without_items_are_what_they_are() {
    assert_eq!(read(&[]), Ok(None));
    assert_eq!(read(&[1, 0]), Ok(Some(Item::List(Vec::new()))));
    for code in
        [0o10, 0o11, 0o20, 0o21, 0o22, 0o30, 0o31, 0o32, 0o34, 0o40, 0o44, 0o50, 0o51, 0o52, 0o54]
    {
        let bytes = [code << 2 | 1, 0];
        let item = read(&bytes).unwrap().unwrap();
        assert_eq!(item.write().unwrap(), bytes[..]);
        assert_eq!(json::read(&json::write(&item), Limits::default()), Ok(item));
    }
}

#[test]
fn jis_8_and_localized_texts_are_kept_as_bytes() {
    for code in [0o21, 0o22] {
        let bytes = [&[code << 2 | 1, 4][..], &[0, 8, 0xb1, 0xff]].concat();
        let item = read(&bytes).unwrap().unwrap();
        let json = json::write(&item);
        assert!(json == json!({ "J": "0008b1ff" }) || json == json!({ "W": "0008b1ff" }), "{json}");
        assert_eq!(json::read(&json, Limits::default()).unwrap().write().unwrap(), bytes);
    }
}

#[test]
fn what_is_no_item_is_refused_and_says_where() {
    for (bytes, expected) in [
        (&[0o20 << 2][..], "without a length at byte 0"),
        (&[0o20 << 2 | 1], "ends early"),
        (&[0o20 << 2 | 1, 5, b'x'], "5 bytes are to come at byte 2, not 1"),
        (&[0o20 << 2 | 3, 0xff], "ends early"),
        (&[0o77 << 2 | 1, 0], "unknown format 0o77 at byte 0"),
        (&[0o54 << 2 | 1, 3, 0, 0, 0], "not a multiple of 4"),
        (&[1, 2, 1, 0], "ends early"),
        (&[1, 0, 1, 0], "2 bytes behind its item"),
        (&[3, 0xff, 0xff, 0xff], "ends early"),
    ] {
        let error = read(bytes).unwrap_err();
        assert!(error.contains(expected), "{bytes:?}: {error}");
    }
}

#[test]
fn depth_and_number_of_items_are_bounded() {
    let limits = Limits { depth: 3, items: 5 };
    let deep = [1, 1, 1, 1, 1, 1, 1, 0];
    assert!(Item::read(&Bytes::copy_from_slice(&deep), limits).is_ok());
    let deeper = [1, 1, 1, 1, 1, 1, 1, 1, 1, 0];
    let error = Item::read(&Bytes::copy_from_slice(&deeper), limits).unwrap_err();
    assert!(error.contains("`max_depth`"), "{error}");
    let many = [1, 5, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0];
    let error = Item::read(&Bytes::copy_from_slice(&many), limits).unwrap_err();
    assert!(error.contains("`max_items`"), "{error}");
    let bomb: Vec<u8> = [1, 1].repeat(1 << 20);
    assert!(read(&bomb).unwrap_err().contains("`max_depth`"));
}

#[test]
fn numbers_are_checked_against_their_format() {
    for (json, expected) in [
        (json!({ "U1": [256] }), "from 0 to 255"),
        (json!({ "I1": [-129] }), "from -128 to 127"),
        (json!({ "U4": [-1] }), "from 0 to 4294967295"),
        (json!({ "U4": [1.5] }), "from 0 to 4294967295"),
        (json!({ "F4": [1e300] }), "expected a number"),
        (json!({ "U9": [1] }), "there are: L B BOOLEAN"),
        (json!({ "A": 1 }), "has no text"),
        (json!({ "A": "\u{100}" }), "above U+00FF"),
        (json!({ "J": "0" }), "in pairs"),
        (json!({ "L": [{ "A": "x" }, { "L": [7] }] }), "the item at [1][0]"),
        (json!([]), "no object of one member"),
    ] {
        let error = json::read(&json, Limits::default()).unwrap_err();
        assert!(error.contains(expected), "{json}: {error}");
    }
    let least = json!({ "L": [{ "I1": [-128, 127] }, { "I8": [i64::MIN, i64::MAX] }, { "U8": [u64::MAX] }] });
    assert_eq!(json::write(&json::read(&least, Limits::default()).unwrap()), least);
}

fn item() -> impl Strategy<Value = Item> {
    let formats = [
        Format::Binary,
        Format::Boolean,
        Format::Ascii,
        Format::Jis8,
        Format::Localized,
        Format::I8,
        Format::I1,
        Format::I2,
        Format::I4,
        Format::F8,
        Format::F4,
        Format::U8,
        Format::U1,
        Format::U2,
        Format::U4,
    ];
    let leaf = (prop::sample::select(formats.to_vec()), prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(format, mut bytes)| {
            bytes.truncate(bytes.len() / format.size() * format.size());
            Item::Values(format, bytes.into())
        });
    leaf.prop_recursive(4, 32, 6, |inner| prop::collection::vec(inner, 0..6).prop_map(Item::List))
}

#[test]
fn a_float_is_the_same_again_after_its_json_was_text() {
    // Nearer to another one than to its own text, for a reader that rounds as it goes.
    let item = Item::Values(Format::F8, Bytes::from_static(b"\xc0\xd2\0\0\n\0\0\0"));
    let text = json::write(&item).to_string();
    let back = json::read(&serde_json::from_str(&text).unwrap(), Limits::default());
    assert_eq!(back, Ok(item), "{text}");
}

proptest! {
    #[test]
    fn every_item_is_the_same_again_in_bytes_json_and_sml(item in item()) {
        let limits = Limits::default();
        prop_assert_eq!(Item::read(&item.write().unwrap(), limits), Ok(Some(item.clone())));
        // Through text, as JSON crosses a wire.
        let text = json::write(&item).to_string();
        let back = json::read(&serde_json::from_str(&text).unwrap(), limits);
        prop_assert_eq!(back, Ok(item.clone()), "{}", text);
        let message = crate::sml::Text::new(6, 11, true, Some(item));
        let text = crate::sml::write(&message);
        prop_assert_eq!(crate::sml::read(&text, limits), Ok(message), "{}", text);
    }

    #[test]
    fn no_content_and_no_text_makes_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some(item)) = read(&bytes) {
            prop_assert_eq!(read(&item.write().unwrap()), Ok(Some(item)));
        }
        let _ = crate::sml::read(&String::from_utf8_lossy(&bytes), Limits::default());
    }
}

#[test]
fn what_is_readable_is_what_is_read() {
    let mut random = fastrand::Rng::with_seed(11);
    let limits = Limits { depth: 64, items: 1 << 20 };
    let whole =
        crate::sml::read("S1F1 <L <L <U4 1 2>> <A \"text\"> <B> <L> <F8 1.5>> .", limits).unwrap();
    let whole: Bytes = whole.item.unwrap().write().unwrap();
    for length in 0..=whole.len() {
        for _ in 0..200 {
            let mut bytes = whole[..length].to_vec();
            if let Some(at) = length.checked_sub(1) {
                bytes[random.usize(..=at)] = random.u8(..);
            }
            let read = Item::read(&bytes.clone().into(), limits);
            assert_eq!(Item::is_readable(&bytes), read.is_ok(), "{bytes:02x?}: {read:?}");
        }
    }
    assert!(Item::is_readable(&whole) && Item::is_readable(&[]));
    // Deeper than any limit: it is not walked by calls.
    let deep = [[1, 1].repeat(1 << 20), vec![1, 0]].concat();
    assert!(Item::is_readable(&deep) && !Item::is_readable(&deep[..deep.len() - 1]));
}

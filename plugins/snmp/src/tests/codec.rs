//! Bytes and values, both ways.

use crate::ber::{self, Reader, Writer};
use crate::json::{self, Given};
use crate::message::{Community, Content, Message, version};
use crate::mib::Names;
use crate::oid::Oid;
use crate::pdu::{Kind, Pdu, TrapV1, VarBind};
use crate::value::Value;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn any_oid() -> impl Strategy<Value = Oid> {
    let rest = prop::collection::vec(any::<u32>(), 0..20);
    (0..3_u32, 0..40_u32, rest).prop_map(|(first, second, rest)| {
        Oid::new([&[first, second][..], &rest].concat()).expect("a name")
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::Integer),
        bytes().prop_map(Value::Octets),
        "[ -~äöü]{0,20}".prop_map(|text| Value::Octets(text.into_bytes())),
        any_oid().prop_map(Value::Oid),
        any::<[u8; 4]>().prop_map(|it| Value::Ip(Ipv4Addr::from(it))),
        any::<u32>().prop_map(Value::Counter32),
        any::<u32>().prop_map(Value::Gauge32),
        any::<u32>().prop_map(Value::TimeTicks),
        bytes().prop_map(Value::Opaque),
        any::<u64>().prop_map(Value::Counter64),
        Just(Value::NoSuchObject),
        Just(Value::NoSuchInstance),
        Just(Value::EndOfMibView),
    ]
}

fn any_values() -> impl Strategy<Value = Vec<VarBind>> {
    let pair = (any_oid(), any_value()).prop_map(|(oid, value)| VarBind { oid, value });
    prop::collection::vec(pair, 0..8)
}

fn any_content() -> impl Strategy<Value = (i32, Content)> {
    let kinds = [Kind::Get, Kind::Response, Kind::Set, Kind::GetBulk, Kind::Inform, Kind::Trap];
    let kind = prop::sample::select(kinds.to_vec());
    let pdu = (kind, any::<[i32; 3]>(), any_values()).prop_map(|(kind, numbers, values)| {
        let [id, status, index] = numbers;
        (version::V2C, Content::Pdu(Pdu { kind, id, status, index, values }))
    });
    let trap = (any_oid(), any::<[i32; 2]>(), any::<u32>(), any_values());
    let trap = trap.prop_map(|(enterprise, [generic, specific], uptime, values)| {
        let agent = Ipv4Addr::LOCALHOST;
        (
            version::V1,
            Content::Trap(TrapV1 { enterprise, agent, generic, specific, uptime, values }),
        )
    });
    prop_oneof![pdu, trap]
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was((version, content) in any_content()) {
        let message = Community { version, community: b"hidden".to_vec(), content };
        let bytes = message.write();
        match Message::read(&bytes) {
            Ok(Message::Community(read)) => prop_assert_eq!(read, message),
            other => panic!("{other:?}"),
        }
        for length in 0..bytes.len() {
            prop_assert!(Message::read(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn bytes_of_any_kind_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Message::read(&bytes);
        let _ = ber::header(&bytes);
    }

    #[test]
    fn a_value_comes_back_from_json_as_it_was(oid in any_oid(), value in any_value()) {
        let pair = VarBind { oid, value };
        let shown = json::shown(&pair, &Names::default());
        let is_value = !matches!(
            pair.value,
            Value::NoSuchObject | Value::NoSuchInstance | Value::EndOfMibView
        );
        let given: Given = serde_json::from_value(shown).expect("what `set` takes");
        match json::read(&given, &Names::default()) {
            Ok(read) => prop_assert_eq!(read, pair),
            Err(_) => prop_assert!(!is_value),
        }
    }
}

#[test]
fn lengths_that_lie_are_refused_where_they_stand() {
    for (bytes, fault) in [
        (&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..], "4294967295 bytes where 0 are left"),
        (&[0x30, 0x80, 0, 0], "indefinite"),
        (&[0x30, 0x85, 0, 0, 0, 0, 1, 0], "5 octets"),
        (&[0x30, 0x82, 1], "cut off"),
        (&[0x3f, 0x81, 1, 0], "several octets"),
        (&[0x30, 3, 2, 1, 9], "version with the number 9"),
        (&[0x30, 2, 2, 0], "without octets"),
        (&[0x30, 8, 2, 6, 1, 1, 1, 1, 1, 1], "does not fit into 32 bits"),
        (&[0x30, 3, 2, 1, 0, 7], "1 bytes stand behind"),
        (&[], "a message is not there"),
    ] {
        let error = Message::read(bytes).expect_err("no message");
        assert!(error.contains(fault), "{error:?} does not say {fault:?}");
    }
}

#[test]
fn deep_nesting_is_no_recursion() {
    let mut bytes = vec![0x30, 0];
    for _ in 0..500 {
        let mut writer = Writer::new();
        writer.bytes(0x30, &bytes);
        bytes = writer.finish();
    }
    Message::read(&bytes).expect_err("no message");
}

#[test]
fn numbers_have_as_few_octets_as_they_need_and_more_are_taken() {
    let written = |value| {
        let mut writer = Writer::new();
        writer.integer(value);
        writer.finish()
    };
    assert_eq!(written(0), [2, 1, 0]);
    assert_eq!(written(127), [2, 1, 127]);
    assert_eq!(written(128), [2, 2, 0, 128]);
    assert_eq!(written(-128), [2, 1, 128]);
    assert_eq!(written(-129), [2, 2, 0xff, 0x7f]);
    assert_eq!(written(i32::MIN), [2, 4, 0x80, 0, 0, 0]);
    assert_eq!(ber::integer(&[0, 0, 0, 0, 0, 5]), Ok(5));
    assert_eq!(ber::integer(&[0xff, 0xff, 0xff, 0xff, 0xfe]), Ok(-2));
    ber::integer(&[1, 0, 0, 0, 0]).expect_err("33 bits");
    ber::integer(&[0, 0x80, 0, 0, 0]).expect_err("no Integer32");
    let value = |bytes: &[u8]| Value::read(&mut Reader::new(bytes));
    assert_eq!(value(&[0x41, 4, 0xff, 0xff, 0xff, 0xff]), Ok(Value::Counter32(u32::MAX)));
    assert_eq!(value(&[0x41, 5, 0, 0xff, 0xff, 0xff, 0xff]), Ok(Value::Counter32(u32::MAX)));
    value(&[0x41, 5, 1, 0, 0, 0, 0]).expect_err("33 bits");
    let largest = [0x46, 9, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(value(&largest), Ok(Value::Counter64(u64::MAX)));
    value(&[0x40, 5, 1, 2, 3, 4, 5]).expect_err("no IpAddress");
    value(&[0x05, 1, 0]).expect_err("no null");
}

#[test]
fn names_are_read_strictly() {
    for (text, numbers) in [("1.3", &[1, 3][..]), (".1.3.6", &[1, 3, 6]), ("2.999", &[2, 999])] {
        assert_eq!(Oid::parse(text).expect("a name").numbers(), numbers);
    }
    for text in ["", "1", "1..3", "1.3.", "1.40", "3.1", "1.3.4294967296", "1.-3", "1.+3", "1.x"] {
        Oid::parse(text).expect_err(text);
    }
    Oid::parse(&["1"; 129].join(".")).expect_err("too many numbers");
    Oid::read(&[0x2b, 0x8f, 0xff, 0xff, 0xff, 0x7f]).expect("32 bits");
    Oid::read(&[0x2b, 0x9f, 0xff, 0xff, 0xff, 0x7f]).expect_err("33 bits");
    Oid::read(&[0x2b, 0x86]).expect_err("cut off");
    Oid::read(&[1; 200]).expect_err("too many numbers");
    assert_eq!(Oid::read(&[]).expect("as some agents send it").numbers(), [0, 0]);
}

#[test]
fn what_is_given_wrongly_is_said_without_the_value() {
    let given = |r#type: &str, value: serde_json::Value| Given {
        oid: "1.3.6".to_owned(),
        r#type: r#type.to_owned(),
        value: Some(value),
        hex: None,
        name: None,
        value_name: None,
    };
    for (r#type, value, fault) in [
        ("integer", "2147483648".into(), "-2147483648 to 2147483647"),
        ("gauge32", (-1).into(), "0 to 4294967295"),
        ("counter64", "18446744073709551616".into(), "0 to 18446744073709551615"),
        ("integer", 1.5.into(), "a whole number"),
        ("ip_address", "10.0.0".into(), "IPv4 address"),
        ("object_identifier", "sysDescr".into(), "`mib_files`"),
        ("string", "x".into(), "there are: integer octet_string"),
    ] {
        let error = json::read(&given(r#type, value), &Names::default()).expect_err("wrong");
        assert!(error.contains(fault), "{error:?} does not say {fault:?}");
    }
}

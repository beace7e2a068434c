//! Packets, stamps and options.

use crate::packet::{Packet, SIZE};
use crate::stamp::Stamp;
use jackfield_plugin_api::testing::{TestHost, TestPlugin};
use proptest::prelude::*;
use serde_json::json;

const NANOS: i128 = 1_000_000_000;
/// 2036-02-07 06:28:16 UTC, when stamps begin again.
const ROLLOVER: i128 = 2_085_978_496 * NANOS;

#[test]
fn stamps_begin_again_in_2036_and_mean_the_moment_nearest_to_the_clock() {
    assert_eq!(Stamp::of(ROLLOVER), Stamp(0));
    assert_eq!(Stamp::of(ROLLOVER - NANOS), Stamp(0xffff_ffff << 32));
    // A clock a minute before it, and a server a minute after it.
    let after = Stamp(60 << 32);
    assert_eq!(after.near(ROLLOVER - 60 * NANOS), ROLLOVER + 60 * NANOS);
    let before = Stamp(0xffff_ffc4 << 32);
    assert_eq!(before.near(ROLLOVER + 60 * NANOS), ROLLOVER - 60 * NANOS);
    // A clock that was never set, as of a machine without a battery.
    let now = 1_780_000_000 * NANOS;
    assert_eq!(Stamp::of(now).near(0), now);
}

#[test]
fn a_packet_stands_where_the_standard_has_it() {
    let packet = Packet {
        leap: 1,
        version: 4,
        mode: 4,
        stratum: 2,
        poll: 6,
        precision: -20,
        root_delay: 0x0001_8000,
        root_dispersion: 2,
        reference_id: [10, 0, 0, 1],
        reference: Stamp(1),
        origin: Stamp(2),
        receive: Stamp(3),
        transmit: Stamp(4),
    };
    let bytes = packet.write();
    assert_eq!(bytes[..4], [0x64, 2, 6, 0xec]);
    assert_eq!(bytes[4..8], [0, 1, 0x80, 0]);
    assert_eq!([bytes[23], bytes[31], bytes[39], bytes[47]], [1, 2, 3, 4]);
    assert_eq!(packet.reference_text(), "10.0.0.1");
    assert_eq!(Packet::read(&bytes), Some(packet));
    assert_eq!(Packet::read(&bytes[..SIZE - 1]), None);
}

#[test]
fn a_reference_without_letters_is_no_text_of_the_peers() {
    let packet = Packet { reference_id: *b"R\x1b[\0", ..Packet::default() };
    assert_eq!(packet.kiss().as_deref(), Some("R"));
}

#[test]
fn options_of_the_server_that_contradict_each_other_are_refused() {
    let plugin = TestPlugin::of::<crate::Plugin>(&TestHost::new()).expect("a plugin");
    for (options, named) in [
        (json!({ "leap": "unsynchronised" }), "leap"),
        (json!({ "stratum": 1, "reference_id": "10.0.0.1" }), "reference_id"),
        (json!({ "stratum": 2, "reference_id": "GPS" }), "reference_id"),
    ] {
        let error = plugin.handler("sntp_server", &options).expect_err(named);
        assert!(error.to_string().contains(named), "{error}");
    }
    plugin
        .handler("sntp_server", &json!({ "stratum": 1, "reference_id": "GPS" }))
        .expect("a server");
}

proptest! {
    #[test]
    fn any_48_bytes_are_a_packet_and_come_back(bytes in prop::collection::vec(any::<u8>(), SIZE)) {
        let packet = Packet::read(&bytes).expect("48 bytes");
        let written = packet.write();
        prop_assert_eq!(written.as_slice(), bytes.as_slice());
    }

    #[test]
    fn moments_go_there_and_back(unix in EARLY..LATE, off in -2_000_000_000_i128..2_000_000_000) {
        let back = Stamp::of(unix).near(unix + off * NANOS);
        if unix + off * NANOS > EARLY {
            prop_assert!((back - unix).abs() <= 1, "{unix} {back}");
        }
    }
}

const EARLY: i128 = 1_767_225_600 * NANOS;
const LATE: i128 = 9_000_000_000 * NANOS;

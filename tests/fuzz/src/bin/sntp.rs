//! Packets of NTP; what was read is written again, and a stamp means one moment, which is the nearest.
#![no_main]

use jackfield_sntp::Stamp;
use jackfield_sntp::packet::{Packet, SIZE};
use libfuzzer_sys::fuzz_target;

/// Half of the time after which stamps begin again, in nanoseconds.
const HALF_ERA: i128 = (1 << 31) * 1_000_000_000;

fuzz_target!(|given: (i64, &[u8])| {
    let (near, bytes) = given;
    let Some(packet) = Packet::read(bytes) else {
        assert!(bytes.len() < SIZE);
        return;
    };
    assert_eq!(packet.write(), bytes[..SIZE]);
    assert!(packet.reference_text().is_ascii());
    assert!(packet.kiss().is_none_or(|kiss| kiss.len() <= 4 && kiss.is_ascii()));
    let near = i128::from(near);
    for stamp in [packet.reference, packet.receive, packet.transmit] {
        let moment = stamp.near(near);
        assert!((Stamp::of(moment).near(moment) - moment).abs() <= 1);
        // A clock that was never set says nothing.
        assert!(near < 1_767_225_600_000_000_000 || (moment - near).abs() <= HALF_ERA);
    }
});

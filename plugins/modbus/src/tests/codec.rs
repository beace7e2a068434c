//! Frames as the specifications and others write them, whole, in pieces and with noise.

use super::*;
use crate::frame::Pause;
use crate::pdu::{MAX_PDU, function};
use crate::{ascii, pdu, rtu};
use proptest::prelude::*;

fn read(bytes: &[u8], framing: Framing, reading: Reading, pause: Pause) -> Found {
    framing.take(&mut BytesMut::from(bytes), reading, pause).expect("no error")
}

#[test]
fn a_read_of_ten_registers_has_the_bytes_that_others_write() {
    let pdu = pdu::read(function::READ_HOLDING_REGISTERS, 0, 10).unwrap();
    let frame = Frame { transaction: 7, unit: 1, pdu };
    assert_eq!(Framing::Rtu.write(&frame)[..], [1, 3, 0, 0, 0, 10, 0xc5, 0xcd]);
    assert_eq!(Framing::Tcp.write(&frame)[..], [0, 7, 0, 0, 0, 6, 1, 3, 0, 0, 0, 10]);
    assert_eq!(Framing::Ascii.write(&frame)[..], b":01030000000AF2\r\n"[..]);
}

#[test]
fn an_answer_of_256_bytes_is_one() {
    let data = [&[function::READ_FILE, 251][..], &[7; 251]].concat();
    assert_eq!(data.len(), MAX_PDU);
    let bytes = rtu::write(9, &data);
    assert_eq!(bytes.len(), rtu::MAX_FRAME);
    let found =
        read(&bytes, Framing::Rtu, Reading::Answers(Some((9, function::READ_FILE))), Pause::None);
    assert_eq!(found, Found::Frame(Frame { transaction: 0, unit: 9, pdu: data.into() }, 0));
}

#[test]
fn a_frame_of_an_unknown_function_ends_with_a_pause() {
    let bytes = rtu::write(3, &[0x64, 1, 2, 3]);
    let reading = Reading::Answers(Some((3, 0x64)));
    assert_eq!(read(&bytes, Framing::Rtu, reading, Pause::None), Found::Nothing(0));
    assert!(matches!(read(&bytes, Framing::Rtu, reading, Pause::Quiet), Found::Frame(..)));
}

#[test]
fn noise_before_a_frame_is_passed_over() {
    for framing in [Framing::Rtu, Framing::Ascii] {
        let frame = Frame { transaction: 0, unit: 5, pdu: Bytes::from_static(&[3, 2, 1, 0]) };
        let bytes = [&[0xff, 0, 0x80, 5][..], &framing.write(&frame)].concat();
        let found = read(&bytes, framing, Reading::Answers(Some((5, 3))), Pause::Quiet);
        assert_eq!(found, Found::Frame(frame, 4), "{framing:?}");
    }
}

#[test]
fn what_never_becomes_a_frame_is_not_kept() {
    for framing in [Framing::Rtu, Framing::Ascii] {
        let mut buffer = BytesMut::from(&vec![b'x'; 1 << 16][..]);
        let found = framing.take(&mut buffer, Reading::Requests, Pause::None);
        assert!(matches!(found, Ok(Found::Nothing(_))), "{found:?}");
        assert!(buffer.len() <= crate::frame::KEPT, "{framing:?}");
    }
}

#[test]
fn a_header_of_another_protocol_and_lengths_that_cannot_be_are_errors() {
    for header in [[0, 1, 0, 1, 0, 6], [0, 1, 0, 0, 0, 1], [0, 1, 0, 0, 0, 255]] {
        let mut buffer = BytesMut::from(&header[..]);
        Framing::Tcp.take(&mut buffer, Reading::Requests, Pause::None).unwrap_err();
    }
}

#[test]
fn a_colon_begins_a_frame_of_text_anew() {
    let whole = ascii::write(1, &[3, 2, 0, 9]);
    let bytes = [b":0103", &whole[..]].concat();
    assert!(matches!(
        read(&bytes, Framing::Ascii, Reading::Requests, Pause::None),
        Found::Frame(_, 5)
    ));
}

#[test]
fn requests_keep_to_the_limits_of_the_specification() {
    pdu::read(function::READ_COILS, 0, 2001).unwrap_err();
    pdu::read(function::READ_HOLDING_REGISTERS, 0, 126).unwrap_err();
    pdu::read(function::READ_HOLDING_REGISTERS, 65_535, 2).unwrap_err();
    pdu::read(function::READ_HOLDING_REGISTERS, 65_535, 1).unwrap();
    pdu::write_registers(0, &[0; 2 * 124]).unwrap_err();
    pdu::write_coils(0, &[true; 1969]).unwrap_err();
    pdu::read_write(0, 1, 0, &[0; 2 * 122]).unwrap_err();
    assert_eq!(pdu::read_write(0, 125, 0, &[0; 2 * 121]).unwrap().len(), 10 + 242);
}

proptest! {
    /// In any pieces, and whatever their length.
    #[test]
    fn what_is_written_is_read_again(
        unit: u8,
        transaction: u16,
        count in 1_usize..=125,
        fill: u8,
        cut in 1_usize..300,
    ) {
        let data = vec![fill; 2 * count];
        let length = u8::try_from(data.len()).unwrap();
        let pdu = Bytes::from([&[function::READ_HOLDING_REGISTERS, length][..], &data].concat());
        for framing in ALL {
            let transaction = if framing == Framing::Tcp { transaction } else { 0 };
            let frame = Frame { transaction, unit, pdu: pdu.clone() };
            let bytes = framing.write(&frame);
            let cut = cut.min(bytes.len() - 1);
            let reading = Reading::Answers(Some((unit, function::READ_HOLDING_REGISTERS)));
            let mut buffer = BytesMut::from(&bytes[..cut]);
            prop_assert_eq!(framing.take(&mut buffer, reading, Pause::None), Ok(Found::Nothing(0)));
            buffer.extend_from_slice(&bytes[cut..]);
            prop_assert_eq!(framing.take(&mut buffer, reading, Pause::None), Ok(Found::Frame(frame, 0)));
            prop_assert!(buffer.is_empty());
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes: Vec<u8>, quiet: bool) {
        let pause = if quiet { Pause::Quiet } else { Pause::Network };
        for framing in ALL {
            for reading in [Reading::Requests, Reading::Answers(None)] {
                let mut buffer = BytesMut::from(&bytes[..]);
                while let Ok(Found::Frame(frame, _)) = framing.take(&mut buffer, reading, pause) {
                    prop_assert!((1..=MAX_PDU).contains(&frame.pdu.len()));
                }
            }
        }
    }
}

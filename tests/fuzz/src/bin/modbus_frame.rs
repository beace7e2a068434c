//! Frames of Modbus in each framing, whole and in pieces; what was read is written and read again. Values in registers.
#![no_main]

use bytes::BytesMut;
use jackfield_modbus::frame::{Found, Framing, KEPT, Pause, Reading};
use jackfield_modbus::pdu::MAX_PDU;
use jackfield_modbus::values::{Order, Type, read, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&[way, cut], bytes)) = bytes.split_first_chunk::<2>() else { return };
    let framing = [Framing::Tcp, Framing::Rtu, Framing::Ascii][usize::from(way % 3)];
    let reading = match way >> 2 & 3 {
        0 => Reading::Requests,
        1 => Reading::Answers(None),
        _ => Reading::Answers(Some((1, 3))),
    };
    let pause = [Pause::None, Pause::Network, Pause::Quiet][usize::from(way >> 4) % 3];
    let mut buffer = BytesMut::new();
    for piece in bytes.chunks(usize::from(cut).max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match framing.take(&mut buffer, reading, pause) {
                Ok(Found::Frame(frame, noise)) => {
                    assert!((1..=MAX_PDU).contains(&frame.pdu.len()) && noise <= bytes.len());
                    let mut again = BytesMut::from(&framing.write(&frame)[..]);
                    let found = framing.take(&mut again, reading, Pause::Quiet);
                    assert_eq!(found, Ok(Found::Frame(frame, 0)));
                }
                Ok(Found::Nothing(_)) => break,
                Err(_) => return,
            }
        }
        assert!(buffer.len() <= KEPT + piece.len());
    }
    values(way, bytes);
});

fn values(way: u8, bytes: &[u8]) {
    let kinds = [Type::U16, Type::I16, Type::U32, Type::I32, Type::U64, Type::I64, Type::F64];
    let kind = kinds[usize::from(way) % kinds.len()];
    let order = [Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba][usize::from(way >> 6)];
    let Ok(values) = read(kind, order, bytes) else { return };
    let written = write(kind, order, &values).expect("what was read");
    // Of numbers that are none there are many, and one is written.
    if !values.iter().any(|value| value == "NaN") {
        assert_eq!(written, bytes);
    }
}

//! Frames of a serial line in binary form (Serial Line 1.02 §2.5.1): a unit, a function with its data, a checksum of two
//! bytes. They have no length of their own: it follows from the function where that is known, and from a pause
//! where it is not. Pauses alone say little, since adapters and networks join and part bytes as they like.

use crate::frame::{Found, Frame, KEPT, Pause, Reading};
use crate::pdu::{EXCEPTION, IDENTIFICATION, MAX_PDU, function};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The most bytes of a frame: a unit and a checksum around 253. An answer may have all 256.
pub const MAX_FRAME: usize = MAX_PDU + 3;
/// A unit, a function, a checksum.
const LEAST: usize = 4;

/// The checksum of `bytes` (Serial Line 1.02 §6.2.2), whose lower byte is sent first.
pub fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| match crc & 1 {
            1 => crc >> 1 ^ 0xa001,
            _ => crc >> 1,
        })
    })
}

/// The bytes of a frame.
pub fn write(unit: u8, pdu: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(pdu.len() + 3);
    bytes.put_u8(unit);
    bytes.put_slice(pdu);
    let checksum = checksum(&bytes);
    bytes.put_u16_le(checksum);
    bytes.freeze()
}

/// Takes the first frame whose checksum is right out of `buffer`, with what stands before it. What can be the frame that
/// is waited for is let come to its end first: within data of its length a checksum is right by chance now and then.
/// After a pause nothing more will come of it. A frame of unknown length ends there, or where the bytes of a network do, if
/// its checksum is right.
pub fn take(buffer: &mut BytesMut, reading: Reading, pause: Pause) -> Found {
    for start in 0..buffer.len().saturating_sub(LEAST - 1) {
        let rest = &buffer[start..];
        let length = match length(rest, reading) {
            Length::Known(length) => length,
            Length::Unknown if pause == Pause::Quiet || pause == Pause::Network && start == 0 => {
                rest.len()
            }
            Length::Unknown | Length::Later => usize::MAX,
        };
        if length > rest.len() {
            if pause != Pause::Quiet && rest.len() < MAX_FRAME && can_be_it(rest, reading) {
                break;
            }
            continue;
        }
        if length <= MAX_FRAME && is_right(&rest[..length]) {
            buffer.advance(start);
            let mut frame = buffer.split_to(length).freeze();
            let unit = frame.get_u8();
            frame.truncate(length - 3);
            return Found::Frame(Frame { transaction: 0, unit, pdu: frame }, start);
        }
    }
    // No frame begins that far back.
    let passed = if buffer.len() > KEPT { buffer.len() - MAX_FRAME } else { 0 };
    buffer.advance(passed);
    Found::Nothing(passed)
}

/// Whether the frame that is waited for may begin so.
fn can_be_it(bytes: &[u8], reading: Reading) -> bool {
    let Reading::Answers(Some((unit, function))) = reading else { return true };
    bytes[0] == unit && bytes[1] & !EXCEPTION == function
}

fn is_right(frame: &[u8]) -> bool {
    let Some((body, sent)) = frame.split_last_chunk::<2>() else { return false };
    body.len() >= 2 && checksum(body) == u16::from_le_bytes(*sent)
}

/// What is known of how long a frame is.
enum Length {
    Known(usize),
    /// What says so has not come yet.
    Later,
    /// The function does not say.
    Unknown,
}

fn length(bytes: &[u8], reading: Reading) -> Length {
    let Some(function) = bytes.get(1) else { return Length::Later };
    match reading {
        Reading::Answers(_) => length_of_answer(bytes, *function),
        Reading::Requests => length_of_request(bytes, *function),
    }
}

/// A frame with `fixed` bytes and as many more as the byte at `at` says.
fn counted(bytes: &[u8], at: usize, fixed: usize) -> Length {
    bytes.get(at).map_or(Length::Later, |count| Length::Known(fixed + usize::from(*count)))
}

fn length_of_answer(bytes: &[u8], function: u8) -> Length {
    match function {
        EXCEPTION.. => Length::Known(5),
        function::READ_COILS..=function::READ_INPUT_REGISTERS
        | function::EVENT_LOG
        | function::SERVER_ID
        | function::READ_FILE
        | function::WRITE_FILE
        | function::READ_WRITE_REGISTERS => counted(bytes, 2, 5),
        function::WRITE_COIL
        | function::WRITE_REGISTER
        | function::WRITE_COILS
        | function::WRITE_REGISTERS
        | function::EVENT_COUNTER => Length::Known(8),
        function::READ_STATUS => Length::Known(5),
        function::MASK_WRITE_REGISTER => Length::Known(10),
        function::READ_FIFO => match bytes.get(2..4) {
            Some(count) => Length::Known(6 + usize::from(u16::from_be_bytes([count[0], count[1]]))),
            None => Length::Later,
        },
        function::INTERFACE if bytes.get(2) == Some(&IDENTIFICATION) => identified(bytes),
        _ => Length::Unknown,
    }
}

/// An identification: objects, each with its length.
fn identified(bytes: &[u8]) -> Length {
    let Some(objects) = bytes.get(7) else { return Length::Later };
    let mut at = 8;
    for _ in 0..*objects {
        let Some(length) = bytes.get(at + 1) else { return Length::Later };
        at += 2 + usize::from(*length);
    }
    Length::Known(at + 2)
}

fn length_of_request(bytes: &[u8], function: u8) -> Length {
    match function {
        function::READ_COILS..=function::WRITE_REGISTER => Length::Known(8),
        function::READ_STATUS
        | function::EVENT_COUNTER
        | function::EVENT_LOG
        | function::SERVER_ID => Length::Known(4),
        function::WRITE_COILS | function::WRITE_REGISTERS => counted(bytes, 6, 9),
        function::READ_FILE | function::WRITE_FILE => counted(bytes, 2, 5),
        function::MASK_WRITE_REGISTER => Length::Known(10),
        function::READ_WRITE_REGISTERS => counted(bytes, 10, 13),
        function::READ_FIFO => Length::Known(6),
        function::INTERFACE if bytes.get(2) == Some(&IDENTIFICATION) => Length::Known(7),
        _ => Length::Unknown,
    }
}

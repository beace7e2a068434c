//! Frames of a serial line as text (Serial Line 1.02 §2.5.2): a colon, hexadecimal digits, the end of a line.

use crate::frame::{Found, Frame, KEPT};
use crate::pdu::MAX_PDU;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The most characters of a frame: a colon, two for each of a unit, 253 bytes and a checksum, CR and LF.
pub const MAX_FRAME: usize = 1 + 2 * (MAX_PDU + 2) + 2;

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// The checksum of `bytes` (Serial Line 1.02 §6.2.1).
pub fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}

/// The characters of a frame.
pub fn write(unit: u8, pdu: &[u8]) -> Bytes {
    let plain = [&[unit], pdu].concat();
    let mut text = BytesMut::with_capacity(MAX_FRAME);
    text.put_u8(b':');
    for byte in plain.iter().chain(&[checksum(&plain)]) {
        text.put_u8(DIGITS[usize::from(byte >> 4)]);
        text.put_u8(DIGITS[usize::from(byte & 15)]);
    }
    text.put_slice(b"\r\n");
    text.freeze()
}

/// Takes the first frame that is right out of `buffer`, with what stands before it.
pub fn take(buffer: &mut BytesMut) -> Found {
    let mut passed = 0;
    while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
        // A colon begins a frame wherever it stands.
        let start = buffer[..end].iter().rposition(|byte| *byte == b':');
        let line = buffer.split_to(end + 1);
        let frame = start.and_then(|start| Some((start, read(&line[start + 1..end])?)));
        if let Some((start, frame)) = frame {
            return Found::Frame(frame, passed + start);
        }
        passed += line.len();
    }
    // No frame begins that far back.
    let old = if buffer.len() > KEPT { buffer.len() - MAX_FRAME } else { 0 };
    buffer.advance(old);
    Found::Nothing(passed + old)
}

/// What stands between the colon and the end of the line.
fn read(line: &[u8]) -> Option<Frame> {
    let digits = line.strip_suffix(b"\r").unwrap_or(line);
    if !digits.len().is_multiple_of(2) || digits.len() + 3 > MAX_FRAME {
        return None;
    }
    let pair = |pair: &[u8]| {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        u8::try_from(digit(0)? << 4 | digit(1)?).ok()
    };
    let bytes: Vec<u8> = digits.chunks_exact(2).map(pair).collect::<Option<_>>()?;
    let (sent, plain) = bytes.split_last()?;
    if plain.len() < 2 || checksum(plain) != *sent {
        return None;
    }
    let pdu = Bytes::copy_from_slice(&plain[1..]);
    Some(Frame { transaction: 0, unit: plain[0], pdu })
}

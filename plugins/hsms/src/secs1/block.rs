//! Blocks (SEMI E4 §6): a length, the ten bytes of a header, up to 244 bytes of a message, a checksum.

use crate::header::{HEADER, Header};
use bytes::{BufMut, Bytes, BytesMut};

/// The peer wants to send a block.
pub const ENQ: u8 = 0x05;
/// It may.
pub const EOT: u8 = 0x04;
/// A block has come.
pub const ACK: u8 = 0x06;
/// It has not, or not as it was sent.
pub const NAK: u8 = 0x15;

/// The most bytes of a message in one block.
pub const TEXT: usize = 244;
/// Bytes of the checksum.
pub const CHECKSUM: usize = 2;
/// The highest number of a block.
pub const LAST_NUMBER: u16 = 0x7fff;

/// The highest bit of three fields of a header.
const TOP: u16 = 0x8000;

/// The header of a block. Each combination of bytes is one; what is wrong with it is for its reader to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BlockHeader {
    /// The R bit: it goes from equipment to the host.
    pub reverse: bool,
    /// Device id, stream, function, W bit and system bytes.
    message: Header,
    /// The E bit: it is the last one of its message.
    pub end: bool,
    /// From 1 on; 0 may stand for 1.
    pub number: u16,
}

impl BlockHeader {
    /// Of one block of a message. Device ids and numbers are below 32768; what is above is left out.
    pub fn new(message: Header, reverse: bool, number: u16, end: bool) -> Self {
        let (stream, function) = (message.stream(), message.function());
        let device = message.session & !TOP;
        let message = Header::data(device, stream, function, message.waits(), message.system);
        BlockHeader { reverse, message, end, number: number & LAST_NUMBER }
    }

    /// Of a message with one block.
    pub fn only(message: Header, reverse: bool) -> Self {
        BlockHeader::new(message, reverse, 1, true)
    }

    /// Its message's header, as HSMS has it: without what is of blocks.
    pub fn message(self) -> Header {
        self.message
    }

    /// Whether it may be the first one of its message.
    pub fn is_first(self) -> bool {
        self.number < 2
    }

    /// Its ten bytes.
    pub fn bytes(self) -> [u8; HEADER] {
        let top = |bit: bool| if bit { TOP } else { 0 };
        let [a, b] = (self.message.session | top(self.reverse)).to_be_bytes();
        let [e, f] = (self.number | top(self.end)).to_be_bytes();
        let mut bytes = self.message.bytes();
        [bytes[0], bytes[1], bytes[4], bytes[5]] = [a, b, e, f];
        bytes
    }

    /// Of ten bytes.
    pub fn of(bytes: [u8; HEADER]) -> Self {
        let (device, number) =
            (u16::from_be_bytes([bytes[0], bytes[1]]), u16::from_be_bytes([bytes[4], bytes[5]]));
        let message = Header::of(bytes);
        BlockHeader {
            reverse: device & TOP != 0,
            message: Header { session: device & !TOP, presentation: 0, kind: 0, ..message },
            end: number & TOP != 0,
            number: number & LAST_NUMBER,
        }
    }

    /// The whole block. Of a longer text the first [`TEXT`] bytes.
    pub fn write(self, text: &[u8]) -> Bytes {
        let text = &text[..text.len().min(TEXT)];
        let mut block = BytesMut::with_capacity(1 + HEADER + text.len() + CHECKSUM);
        // At most 254.
        block.put_u8(u8::try_from(HEADER + text.len()).unwrap_or(u8::MAX));
        block.put_slice(&self.bytes());
        block.put_slice(text);
        let sum = checksum(&block[1..]);
        block.put_u16(sum);
        block.freeze()
    }
}

/// The sum of all bytes of header and text; at most 64770 (E4 §6.6).
pub fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum: u16, byte| sum.wrapping_add(u16::from(*byte)))
}

/// The length of header and text, if a block may have that.
pub fn length(byte: u8) -> Option<usize> {
    let length = usize::from(byte);
    (HEADER..=HEADER + TEXT).contains(&length).then_some(length)
}

/// What follows a length: header and text, and the checksum of them.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read(mut bytes: Bytes) -> Result<(BlockHeader, Bytes), String> {
    let length = bytes.len().checked_sub(CHECKSUM);
    let sum = length.map(|length| bytes.split_off(length));
    let sum = sum.and_then(|sum| Some(u16::from_be_bytes(*sum.first_chunk()?)));
    let (Some(sum), Some(header)) = (sum, bytes.first_chunk::<HEADER>()) else {
        return Err("a block ends in its header".to_owned());
    };
    let ours = checksum(&bytes);
    if sum != ours {
        return Err(format!("a checksum is {sum:#06x}, and that of its block {ours:#06x}"));
    }
    Ok((BlockHeader::of(*header), bytes.slice(HEADER..)))
}

//! Frames: what stands around a function and its data on TCP (MBAP, Messaging on TCP/IP 1.0b §3.1.3), and on a
//! serial line ([`rtu`], [`ascii`]). Bytes in, frames out; nothing here waits.

use crate::pdu::MAX_PDU;
use crate::{ascii, rtu};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of the header of TCP before the unit: transaction, protocol, length.
const HEADER: usize = 6;
/// What is kept of bytes in which there is no frame.
pub const KEPT: usize = 1024;

/// How frames are told from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By a header with a number and a length.
    Tcp,
    /// By their lengths, checksums and pauses.
    Rtu,
    /// By a colon and the end of a line.
    Ascii,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Requests.
    Requests,
    /// Answers, with the unit and function of the one that is waited for, if one is.
    Answers(Option<(u8, u8)>),
}

/// What is known of bytes that may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// They come one by one, and more may follow.
    None,
    /// They come over a network, which brings a frame whole or in a few pieces.
    Network,
    /// Nothing has come for the pause that ends a frame.
    Quiet,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The number of the transaction; 0 on a serial line.
    pub transaction: u16,
    /// The device.
    pub unit: u8,
    /// The function and its data.
    pub pdu: Bytes,
}

/// What was found at the beginning of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A whole frame, with the number of bytes before it that were none.
    Frame(Frame, usize),
    /// None yet, and so many bytes that will be none.
    Nothing(usize),
}

impl Framing {
    /// Its name, in facts and options.
    pub fn as_str(self) -> &'static str {
        match self {
            Framing::Tcp => "tcp",
            Framing::Rtu => "rtu",
            Framing::Ascii => "ascii",
        }
    }

    /// Whether frames have no numbers, and requests go one after the other.
    pub fn is_serial(self) -> bool {
        self != Framing::Tcp
    }

    /// The bytes of a frame.
    pub fn write(self, frame: &Frame) -> Bytes {
        match self {
            Framing::Tcp => write_tcp(frame),
            Framing::Rtu => rtu::write(frame.unit, &frame.pdu),
            Framing::Ascii => ascii::write(frame.unit, &frame.pdu),
        }
    }

    /// Takes the next whole frame out of `buffer`. On a serial
    /// line bytes that are no frame are kept while they may become one, about [`KEPT`] of them.
    ///
    /// # Errors
    /// On TCP: what is wrong with the header; nothing can be read any more.
    pub fn take(
        self,
        buffer: &mut BytesMut,
        reading: Reading,
        pause: Pause,
    ) -> Result<Found, String> {
        match self {
            Framing::Tcp => take_tcp(buffer),
            Framing::Rtu => Ok(rtu::take(buffer, reading, pause)),
            Framing::Ascii => Ok(ascii::take(buffer)),
        }
    }
}

fn write_tcp(frame: &Frame) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEADER + 1 + frame.pdu.len());
    bytes.put_u16(frame.transaction);
    bytes.put_u16(0);
    // At most 254.
    bytes.put_u16(u16::try_from(1 + frame.pdu.len()).unwrap_or(u16::MAX));
    bytes.put_u8(frame.unit);
    bytes.put_slice(&frame.pdu);
    bytes.freeze()
}

fn take_tcp(buffer: &mut BytesMut) -> Result<Found, String> {
    let Some(header) = buffer.first_chunk::<HEADER>() else { return Ok(Found::Nothing(0)) };
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (transaction, protocol, length) = (word(0), word(2), usize::from(word(4)));
    if protocol != 0 {
        return Err(format!("expected protocol 0 in the header, which is Modbus, not {protocol}"));
    }
    if !(2..=MAX_PDU + 1).contains(&length) {
        return Err(format!(
            "expected a length of 2 to {} in the header, not {length}",
            MAX_PDU + 1
        ));
    }
    if buffer.len() < HEADER + length {
        return Ok(Found::Nothing(0));
    }
    buffer.advance(HEADER);
    let mut rest = buffer.split_to(length).freeze();
    let unit = rest.get_u8();
    Ok(Found::Frame(Frame { transaction, unit, pdu: rest }, 0))
}

//! [`Packet`]: the 48 bytes of a request or an answer (RFC 5905 §7.3, RFC 4330 §4).

use crate::stamp::Stamp;

/// Bytes of a packet; extensions and a signature may follow, which SNTP passes over.
pub const SIZE: usize = 48;

/// What is set by hand in requests and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Two bits: 0 to 2 announce a leap second, 3 is a clock that is not synchronised.
    pub leap: u8,
    /// Three bits.
    pub version: u8,
    /// Three bits: see [`Packet::CLIENT`] and [`Packet::SERVER`].
    pub mode: u8,
    /// 1 has a reference, 2 to 15 have it from others, 16 has none; 0 is a kiss.
    pub stratum: u8,
    /// The time between requests, as a power of two in seconds.
    pub poll: i8,
    /// What the clock can tell apart, as a power of two in seconds.
    pub precision: i8,
    /// Seconds to the reference and back, in 1/65536.
    pub root_delay: u32,
    /// How far the clock may be off, in seconds, in 1/65536.
    pub root_dispersion: u32,
    /// The reference, or the name of a kiss.
    pub reference_id: [u8; 4],
    /// When the clock was last set.
    pub reference: Stamp,
    /// Of an answer: what its request has as `transmit`.
    pub origin: Stamp,
    /// When the request arrived.
    pub receive: Stamp,
    /// When this was sent.
    pub transmit: Stamp,
}

impl Packet {
    /// The mode of a request.
    pub const CLIENT: u8 = 3;
    /// The mode of an answer to one.
    pub const SERVER: u8 = 4;

    /// Reads the first 48 bytes; `None` if there are fewer.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SIZE] = bytes.first_chunk()?;
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let stamp = |at: usize| Stamp(u64::from(word(at)) << 32 | u64::from(word(at + 4)));
        Some(Packet {
            leap: bytes[0] >> 6,
            version: bytes[0] >> 3 & 7,
            mode: bytes[0] & 7,
            stratum: bytes[1],
            poll: bytes[2].cast_signed(),
            precision: bytes[3].cast_signed(),
            root_delay: word(4),
            root_dispersion: word(8),
            reference_id: word(12).to_be_bytes(),
            reference: stamp(16),
            origin: stamp(24),
            receive: stamp(32),
            transmit: stamp(40),
        })
    }

    /// The 48 bytes.
    pub fn write(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[0] = self.leap << 6 | (self.version & 7) << 3 | self.mode & 7;
        bytes[1] = self.stratum;
        bytes[2] = self.poll.cast_unsigned();
        bytes[3] = self.precision.cast_unsigned();
        bytes[4..8].copy_from_slice(&self.root_delay.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.root_dispersion.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.reference_id);
        let stamps = [self.reference, self.origin, self.receive, self.transmit];
        for (place, stamp) in bytes[16..].chunks_exact_mut(8).zip(stamps) {
            place.copy_from_slice(&stamp.0.to_be_bytes());
        }
        bytes
    }

    /// The name of the kiss that this is: of an answer with stratum 0 (RFC 5905 §7.4). What is no letter or digit
    /// is left out.
    pub fn kiss(&self) -> Option<String> {
        (self.stratum == 0).then(|| letters(self.reference_id))
    }

    /// The reference as text: letters at stratum 1, at others an IPv4 address, which may also be part of a hash of
    /// an IPv6 address.
    pub fn reference_text(&self) -> String {
        match self.stratum {
            0 | 1 => letters(self.reference_id),
            _ => std::net::Ipv4Addr::from(self.reference_id).to_string(),
        }
    }
}

fn letters(id: [u8; 4]) -> String {
    id.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(|byte| char::from(*byte)).collect()
}

/// Seconds of 1/65536 each.
pub(crate) fn seconds_of_short(short: u32) -> f64 {
    f64::from(short) / 65536.0
}

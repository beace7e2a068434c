//! Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02): [`Ask`] writes one, [`Fields`] reads one.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use jackfield_plugin_api::{Error, ErrorKind, Result};

/// The version that we speak; servers of later ones answer with it.
pub(super) const VERSION: u32 = 3;
/// The longest packet that is read; OpenSSH has the same limit.
pub(super) const MAX_PACKET: usize = 256 * 1024;

/// Kinds of packets (§3).
pub(super) mod kind {
    pub(crate) const INIT: u8 = 1;
    pub(crate) const VERSION: u8 = 2;
    pub(crate) const OPEN: u8 = 3;
    pub(crate) const CLOSE: u8 = 4;
    pub(crate) const READ: u8 = 5;
    pub(crate) const WRITE: u8 = 6;
    pub(crate) const LSTAT: u8 = 7;
    pub(crate) const FSTAT: u8 = 8;
    pub(crate) const SETSTAT: u8 = 9;
    pub(crate) const FSETSTAT: u8 = 10;
    pub(crate) const OPENDIR: u8 = 11;
    pub(crate) const READDIR: u8 = 12;
    pub(crate) const REMOVE: u8 = 13;
    pub(crate) const MKDIR: u8 = 14;
    pub(crate) const RMDIR: u8 = 15;
    pub(crate) const REALPATH: u8 = 16;
    pub(crate) const STAT: u8 = 17;
    pub(crate) const RENAME: u8 = 18;
    pub(crate) const READLINK: u8 = 19;
    pub(crate) const STATUS: u8 = 101;
    pub(crate) const HANDLE: u8 = 102;
    pub(crate) const DATA: u8 = 103;
    pub(crate) const NAME: u8 = 104;
    pub(crate) const ATTRS: u8 = 105;
    pub(crate) const EXTENDED: u8 = 200;
    pub(crate) const EXTENDED_REPLY: u8 = 201;
}

/// How a file is opened (§6.3).
pub(super) mod open {
    pub(crate) const READ: u32 = 1;
    pub(crate) const WRITE: u32 = 2;
    pub(crate) const CREATE: u32 = 8;
    pub(crate) const TRUNCATE: u32 = 16;
    pub(crate) const EXCLUSIVE: u32 = 32;
}

/// Length, kind and number come before what is asked.
const HEAD: usize = 9;

/// A request that is being written.
#[derive(Debug)]
pub(super) struct Ask(BytesMut);

impl Ask {
    /// Of a kind.
    pub(super) fn new(kind: u8) -> Self {
        let mut bytes = BytesMut::with_capacity(HEAD + 64);
        bytes.put_u32(0);
        bytes.put_u8(kind);
        bytes.put_u32(0);
        Ask(bytes)
    }

    /// An extended request by its name.
    pub(super) fn extended(name: &str) -> Self {
        Ask::new(kind::EXTENDED).text(name)
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.put_u32(value);
        self
    }

    pub(super) fn u64(mut self, value: u64) -> Self {
        self.0.put_u64(value);
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.put_slice(bytes);
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// How many bytes are written so far.
    pub(super) fn length(&self) -> usize {
        self.0.len()
    }

    /// With content behind it, in whose buffer there is room for what is written so far before the content.
    pub(super) fn in_front_of(self, mut content: BytesMut) -> Self {
        if let Some(room) = content.get_mut(..self.0.len()) {
            room.copy_from_slice(&self.0);
        }
        Ask(content)
    }

    /// The packet, with its number.
    pub(super) fn finish(mut self, id: u32) -> Bytes {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0[5..HEAD].copy_from_slice(&id.to_be_bytes());
        self.0.freeze()
    }
}

/// The first packet, which has no number (§4).
pub(super) fn init() -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u32(5);
    bytes.put_u8(kind::INIT);
    bytes.put_u32(VERSION);
    bytes.freeze()
}

/// Takes the next whole packet, without its length; `None` if it is not all here.
///
/// # Errors
/// [`ErrorKind::Protocol`]: a length that no packet may have.
pub(super) fn take_packet(buffer: &mut BytesMut) -> Result<Option<Fields>> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
    if length == 0 || length > MAX_PACKET {
        let text = "the SFTP server announced a packet of a length that none may have";
        let error = Error::new(ErrorKind::Protocol, text).with("length", length);
        return Err(error.with("most", MAX_PACKET));
    }
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(Fields(buffer.split_to(length).freeze())))
}

/// What is left to read of a packet.
#[derive(Clone, Debug)]
pub(super) struct Fields(pub(super) Bytes);

impl Fields {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.0.try_get_u8().map_err(|_| short())
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.0.try_get_u32().map_err(|_| short())
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.0.try_get_u64().map_err(|_| short())
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if length > self.0.len() {
            return Err(short());
        }
        Ok(self.0.split_to(length))
    }
}

/// A packet ends before what it says is in it.
fn short() -> Error {
    Error::new(ErrorKind::Protocol, "a packet of the SFTP server is shorter than it says")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_taken_when_it_is_whole() {
        let packet = Ask::new(kind::STAT).text("/tmp").finish(7);
        let mut buffer = BytesMut::new();
        for (at, byte) in packet.iter().enumerate() {
            assert!(take_packet(&mut buffer).expect("no lie").is_none(), "{at}");
            buffer.put_u8(*byte);
        }
        let mut fields = take_packet(&mut buffer).expect("no lie").expect("a packet");
        assert_eq!((fields.u8().unwrap(), fields.u32().unwrap()), (kind::STAT, 7));
        assert_eq!(fields.bytes().unwrap(), "/tmp");
        assert!(fields.is_empty() && buffer.is_empty());
        assert_eq!(fields.u8().unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for length in [0u32, 256 * 1024 + 1, u32::MAX] {
            let mut buffer = BytesMut::from(&length.to_be_bytes()[..]);
            assert_eq!(take_packet(&mut buffer).unwrap_err().kind(), ErrorKind::Protocol);
        }
        let mut inside = Fields(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 1]));
        assert_eq!(inside.bytes().unwrap_err().kind(), ErrorKind::Protocol);
    }
}

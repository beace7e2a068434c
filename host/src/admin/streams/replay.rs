//! [`ReplayBuffer`]: the last bytes of a stream by their offsets, so that a reader that was cut off goes on where it was.
//! No I/O and no clock.

use bytes::{Bytes, BytesMut};

/// Bytes in one piece of an answer.
pub(super) const PIECE: usize = 16 << 10;

/// The last bytes that a stream has given.
#[derive(Debug)]
pub(super) struct ReplayBuffer {
    bytes: BytesMut,
    /// The offset of the first of them.
    first: u64,
    /// How far the reader says that it has them.
    acknowledged: u64,
    most: usize,
}

impl ReplayBuffer {
    /// Keeps at most `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        ReplayBuffer { bytes: BytesMut::new(), first: 0, acknowledged: 0, most }
    }

    /// The offset of the next byte that comes.
    pub(super) fn next(&self) -> u64 {
        self.first + self.bytes.len() as u64
    }

    /// How many bytes have room without one being lost that the reader does not have.
    pub(super) fn room(&self) -> usize {
        let waiting = usize::try_from(self.next() - self.acknowledged).unwrap_or(usize::MAX);
        self.most.saturating_sub(waiting)
    }

    /// Adds what comes; the oldest bytes go where there is no room.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let over = self.bytes.len().saturating_sub(self.most);
        drop(self.bytes.split_to(over));
        self.first += over as u64;
    }

    /// Leaves out `count` bytes, which are lost.
    pub(super) fn skip(&mut self, count: u64) {
        self.first = self.next() + count;
        self.bytes.clear();
    }

    /// The reader has everything before `offset`.
    pub(super) fn acknowledge(&mut self, offset: u64) {
        self.acknowledged = self.acknowledged.max(offset.min(self.next()));
    }

    /// The next piece from `offset` on, with the offset of its first byte: a greater one, if what is before is not kept
    /// any more.
    pub(super) fn from(&self, offset: u64) -> (u64, Bytes) {
        let begin = offset.clamp(self.first, self.next());
        let skip = usize::try_from(begin - self.first).unwrap_or_default();
        let end = self.bytes.len().min(skip + PIECE);
        (begin, Bytes::copy_from_slice(&self.bytes[skip..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reader_goes_on_where_it_was_and_a_gap_has_its_size() {
        let mut buffer = ReplayBuffer::new(8);
        buffer.push(b"abcdef");
        assert_eq!(buffer.from(2), (2, Bytes::from_static(b"cdef")));
        assert_eq!(buffer.room(), 2);
        buffer.acknowledge(4);
        assert_eq!(buffer.room(), 6);
        buffer.push(b"ghijkl");
        assert_eq!(buffer.from(2), (4, Bytes::from_static(b"efghijkl")));
        assert_eq!(buffer.from(100), (12, Bytes::new()));
        buffer.skip(5);
        buffer.push(b"x");
        assert_eq!(buffer.from(12), (17, Bytes::from_static(b"x")));
        buffer.acknowledge(1000);
        assert_eq!((buffer.next(), buffer.room()), (18, 8));
    }

    proptest! {
        #[test]
        fn what_is_acknowledged_in_time_is_never_lost(pieces: Vec<Vec<u8>>) {
            let (mut buffer, mut whole, mut read) = (ReplayBuffer::new(64), Vec::new(), Vec::new());
            for piece in pieces {
                for part in piece.chunks(64) {
                    prop_assert!(buffer.room() >= part.len());
                    buffer.push(part);
                    whole.extend_from_slice(part);
                    let (at, bytes) = buffer.from(read.len() as u64);
                    prop_assert_eq!(at, read.len() as u64);
                    read.extend_from_slice(&bytes);
                    buffer.acknowledge(read.len() as u64);
                }
            }
            prop_assert_eq!(whole, read);
        }
    }
}

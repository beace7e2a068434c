//! [`Room`]: how many streams the peer may open. quinn keeps a place for each stream that may come,
//! which for hundreds is more than all else that a silent connection holds; so a connection begins with
//! few, and gets what the options say once the peer has used half of these.

use quinn::{Connection, Dir, VarInt};
use std::sync::atomic::{AtomicU32, Ordering};

/// Streams of each kind that a connection begins with.
const FIRST: u32 = 8;

/// The most streams of each kind that the peer may have open at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    pub(crate) bidi: u32,
    pub(crate) uni: u32,
}

impl Most {
    /// What a connection begins with.
    pub(crate) fn first(self) -> Most {
        Most { bidi: self.bidi.min(FIRST), uni: self.uni.min(FIRST) }
    }

    fn of(self, kind: Dir) -> u32 {
        match kind {
            Dir::Bi => self.bidi,
            Dir::Uni => self.uni,
        }
    }
}

/// What the peer may open on one connection, and what it has opened.
#[derive(Debug)]
pub(crate) struct Room {
    most: Most,
    bidi: AtomicU32,
    uni: AtomicU32,
}

impl Room {
    pub(crate) fn new(most: Most) -> Self {
        Room { most, bidi: AtomicU32::new(0), uni: AtomicU32::new(0) }
    }

    /// The peer has opened one more. Nothing is told to it unless that is the one that asks for all.
    pub(crate) fn came(&self, connection: &Connection, kind: Dir) {
        if !self.is_wanted(kind) {
            return;
        }
        let most = VarInt::from_u32(self.most.of(kind));
        match kind {
            Dir::Bi => connection.set_max_concurrent_bi_streams(most),
            Dir::Uni => connection.set_max_concurrent_uni_streams(most),
        }
    }

    /// Counts one; whether it is the one with which the first half is used.
    fn is_wanted(&self, kind: Dir) -> bool {
        let (first, most) = (self.most.first().of(kind), self.most.of(kind));
        let seen = match kind {
            Dir::Bi => &self.bidi,
            Dir::Uni => &self.uni,
        };
        // It stops where it has served, so that it cannot begin again.
        let limit = first.div_ceil(2);
        let next = |seen: u32| (seen < limit).then_some(seen + 1);
        let counted = seen.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        most > first && counted.is_ok_and(|before| before + 1 == limit)
    }
}

#[cfg(test)]
mod tests {
    use super::{Most, Room};
    use quinn::Dir;

    #[test]
    fn the_rest_comes_once_and_with_half_of_the_first() {
        let room = Room::new(Most { bidi: 100, uni: 3 });
        assert_eq!((room.most.first().bidi, room.most.first().uni), (8, 3));
        let came: Vec<bool> = (0..6).map(|_| room.is_wanted(Dir::Bi)).collect();
        assert_eq!(came, [false, false, false, true, false, false]);
        assert!((0..6).all(|_| !room.is_wanted(Dir::Uni)));
    }
}

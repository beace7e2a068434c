//! [`Assembly`]: messages of their blocks (SEMI E4 §9.4).

use super::block::BlockHeader;
use crate::header::Header;
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use std::time::Duration;

/// Messages of one direction that have begun, by device, system bytes and whether they begin a transaction.
#[derive(Debug)]
pub struct Assembly {
    open: HashMap<Key, Part>,
    /// The last block that has come.
    last: Option<BlockHeader>,
    /// Of all that is open.
    bytes: usize,
    t4: Duration,
    most: Most,
}

type Key = (u16, u32, bool);

/// What bounds it.
#[derive(Clone, Copy, Debug)]
struct Most {
    message: usize,
    open: usize,
}

#[derive(Debug)]
struct Part {
    header: Header,
    /// The number of the next block.
    next: u16,
    body: BytesMut,
    /// When T4 ends.
    deadline: Duration,
}

/// What became of a block.
#[derive(PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Taken {
    /// What it is for.
    pub got: Got,
    /// A message that had begun and is given up, and why.
    pub dropped: Option<(Header, String)>,
    /// Whether that is because it is too long.
    pub too_long: bool,
}

impl Taken {
    fn for_what(got: Got) -> Self {
        Taken { got, dropped: None, too_long: false }
    }
}

/// What a block is for.
#[derive(PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Got {
    /// Nothing: it has come before, or does not fit.
    Nothing,
    /// It is a part of this message, and more is to come.
    Part(Header),
    /// It makes this message whole.
    Whole(Header, Bytes),
}

impl Assembly {
    /// Of messages with so many bytes at most, of which so many may have begun.
    pub fn new(t4: Duration, most_message: usize, most_open: usize) -> Self {
        let most = Most { message: most_message, open: most_open };
        Assembly { open: HashMap::new(), last: None, bytes: 0, t4, most }
    }

    /// Bytes of messages that have begun.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a block.
    pub fn take(&mut self, block: BlockHeader, text: Bytes, now: Duration) -> Taken {
        let before = self.last.replace(block);
        if before == Some(block) {
            // Our ACK did not arrive.
            return Taken::for_what(Got::Nothing);
        }
        let header = block.message();
        let before = self.forget(key(header));
        match before {
            Some(part) if part.header == header && part.next == block.number => {
                self.goes_on(part, block, &text, now)
            }
            Some(part) if block.is_first() => {
                let why = format!("{} begins again", header.title());
                Taken { dropped: Some((part.header, why)), ..self.begins(block, text, now) }
            }
            Some(part) => {
                let (number, next, title) = (block.number, part.next, part.header.title());
                let why = format!("block {number} comes where block {next} of {title} was to come");
                dropped(part.header, why)
            }
            None if block.is_first() => self.begins(block, text, now),
            None => {
                let number = block.number;
                dropped(header, format!("block {number} comes, and none before it"))
            }
        }
    }

    fn begins(&mut self, block: BlockHeader, text: Bytes, now: Duration) -> Taken {
        let header = block.message();
        if block.end && text.len() <= self.most.message {
            return Taken::for_what(Got::Whole(header, text));
        }
        if self.open.len() >= self.most.open {
            let most = self.most.open;
            return dropped(header, format!("{most} have begun (`max_open_messages`)"));
        }
        let part = Part { header, next: 0, body: BytesMut::new(), deadline: now };
        self.goes_on(part, block, &text, now)
    }

    fn goes_on(&mut self, mut part: Part, block: BlockHeader, text: &[u8], now: Duration) -> Taken {
        let header = part.header;
        if part.body.len() + text.len() > self.most.message {
            let most = self.most.message;
            let why = format!("it is longer than {most} bytes (`max_message`)");
            return Taken { too_long: true, ..dropped(header, why) };
        }
        part.body.extend_from_slice(text);
        if block.end {
            return Taken::for_what(Got::Whole(header, part.body.freeze()));
        }
        // Beyond the highest number no block can follow.
        part.next = block.number + 1;
        part.deadline = now + self.t4;
        self.bytes += part.body.len();
        self.open.insert(key(header), part);
        Taken::for_what(Got::Part(header))
    }

    fn forget(&mut self, key: Key) -> Option<Part> {
        let part = self.open.remove(&key)?;
        self.bytes -= part.body.len();
        Some(part)
    }

    /// Gives a message up.
    pub fn abandon(&mut self, header: Header) {
        self.forget(key(header));
    }

    /// When T4 of any of them ends.
    pub fn deadline(&self) -> Option<Duration> {
        self.open.values().map(|part| part.deadline).min()
    }

    /// One whose T4 has ended, and the number of the block that did not come.
    pub fn expired(&mut self, now: Duration) -> Option<(Header, u16)> {
        let late = self.open.values().find(|part| part.deadline <= now);
        let (header, next) = late.map(|part| (part.header, part.next))?;
        self.abandon(header);
        Some((header, next))
    }
}

fn key(header: Header) -> Key {
    (header.session, header.system, header.is_primary())
}

fn dropped(header: Header, why: String) -> Taken {
    Taken { dropped: Some((header, why)), ..Taken::for_what(Got::Nothing) }
}

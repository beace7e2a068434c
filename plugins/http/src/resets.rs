//! [`Resets`]: streams of HTTP/2 that the peer resets without an error before its content has ended.
//!
//! hyper takes `RST_STREAM` with `NO_ERROR` as the end of content, although nothing but `END_STREAM` is
//! (RFC 9113 §8.1): half of an answer, or of an upload, would be a whole one. It does not tell which of the two has come either.
//! So the frames are looked at as they come, and the code of such a reset is replaced.

use std::collections::BTreeSet;

/// Length, type, flags and stream (RFC 9113 §4.1).
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;

/// What stands for `NO_ERROR`: `CANCEL`.
const CANCEL: u8 = 8;

/// What a peer sends, frame by frame.
#[derive(Debug)]
pub(crate) struct Resets {
    head: [u8; HEAD],
    have: usize,
    /// Bytes of a payload that are still to come.
    left: usize,
    /// The code of a reset in the middle of content, as far as it has come.
    code: Option<u32>,
    /// Streams whose content has begun and not ended.
    begun: BTreeSet<u32>,
    most: usize,
}

impl Resets {
    /// For a client, on a connection with at most so many requests at once.
    pub(crate) fn new(most: usize) -> Self {
        Resets { head: [0; HEAD], have: 0, left: 0, code: None, begun: BTreeSet::new(), most }
    }

    /// For a server: what comes begins with so many bytes that are no frame.
    pub(crate) fn after(preface: usize, most: usize) -> Self {
        Resets { left: preface, ..Resets::new(most) }
    }

    /// Looks at what has come next, and changes it where it must.
    pub(crate) fn pass(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let count = if self.left > 0 { self.payload(bytes) } else { self.head(bytes) };
            bytes = &mut bytes[count..];
        }
    }

    fn payload(&mut self, bytes: &mut [u8]) -> usize {
        let count = self.left.min(bytes.len());
        self.left -= count;
        let Some(code) = &mut self.code else { return count };
        for byte in &bytes[..count] {
            *code = *code << 8 | u32::from(*byte);
        }
        if self.left == 0 && self.code.take() == Some(0) {
            // Its last byte, wherever the others have come.
            bytes[count - 1] = CANCEL;
        }
        count
    }

    fn head(&mut self, bytes: &[u8]) -> usize {
        let count = (HEAD - self.have).min(bytes.len());
        self.head[self.have..][..count].copy_from_slice(&bytes[..count]);
        self.have += count;
        if self.have == HEAD {
            self.have = 0;
            self.frame();
        }
        count
    }

    fn frame(&mut self) {
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        match kind {
            DATA | HEADERS if flags & END_STREAM != 0 => {
                self.begun.remove(&stream);
            }
            HEADERS => {
                self.begun.insert(stream);
                // More of them cannot be open: the oldest is one that was refused.
                if self.begun.len() > self.most {
                    self.begun.pop_first();
                }
            }
            RST_STREAM if self.begun.remove(&stream) && self.left == 4 => self.code = Some(0),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Resets;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    /// What becomes of it, in pieces of so many bytes.
    fn passed(frames: &[Vec<u8>], piece: usize) -> Vec<u8> {
        let mut resets = Resets::new(10);
        let mut all = frames.concat();
        all.chunks_mut(piece).for_each(|bytes| resets.pass(bytes));
        all
    }

    #[test]
    fn only_a_reset_in_the_middle_of_content_is_changed() {
        const NO_ERROR: &[u8] = &[0, 0, 0, 0];
        let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 9]);
        let (headers, half) = (|stream| frame(1, 4, stream, b"head"), frame(0, 0, 1, b"half"));
        let whole = frame(0, 1, 1, &[0; 200]);
        let reset = |code: u8| frame(3, 0, 1, &[0, 0, 0, code]);
        for piece in [1, 2, 7, 1000] {
            for (what, before, code, changed) in [
                ("cut", vec![headers(1), half.clone()], 0, 8),
                ("a head alone", vec![headers(1)], 0, 8),
                ("an error", vec![headers(1), half.clone()], 2, 2),
                ("ended before", vec![headers(1), whole.clone()], 0, 0),
                ("a head that ends", vec![frame(1, 5, 1, b"head")], 0, 0),
                ("another stream", vec![headers(3), frame(0, 0, 3, b"half")], 0, 0),
                ("a payload that looks like one", vec![headers(3), frame(0, 0, 3, NO_ERROR)], 0, 0),
            ] {
                let frames =
                    |code| [vec![settings.clone()], before.clone(), vec![reset(code)]].concat();
                assert_eq!(
                    passed(&frames(code), piece),
                    frames(changed).concat(),
                    "{what}, {piece}"
                );
            }
        }
    }

    #[test]
    fn a_server_looks_behind_the_preface_and_forgets_the_oldest() {
        let headers = |stream| frame(1, 4, stream, b"head");
        let reset = |stream, code: u8| frame(3, 0, stream, &[0, 0, 0, code]);
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let frames =
            |code| [preface.clone(), headers(1), headers(3), reset(3, code), reset(1, 0)].concat();
        let mut all = frames(0);
        Resets::after(preface.len(), 1).pass(&mut all);
        assert_eq!(all, frames(8));
    }
}

//! [`Frames`]: follows the borders of frames in what a peer sends (RFC 6455 §5.2), to know how much of a message
//! has come that has not ended. What is wrong with them is for tungstenite to say.

/// The longest head of a frame.
const HEAD: usize = 14;

#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head so far.
    have: usize,
    /// Content of the frame that is still to come; `None` between frames and in a head.
    left: Option<u64>,
    /// Whether a message has begun with a frame that is not its last.
    in_message: bool,
    /// Content so far of the message that has not ended.
    held: u64,
}

impl Frames {
    /// Takes what was read. Answers whether a message ended in it.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        let mut ended = false;
        while !bytes.is_empty() {
            let Some(left) = self.left else {
                bytes = self.feed_head(bytes);
                ended |= self.end_if_whole();
                continue;
            };
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            self.left = Some(left - count as u64);
            self.held = self.held.saturating_add(count as u64);
            bytes = &bytes[count..];
            ended |= self.end_if_whole();
        }
        ended
    }

    fn feed_head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        while let Some((first, more)) = rest.split_first() {
            self.head[self.have] = *first;
            self.have += 1;
            rest = more;
            if self.have >= 2 && self.have == self.length_of_head() {
                self.left = Some(self.length());
                break;
            }
        }
        rest
    }

    fn length_of_head(&self) -> usize {
        let extended = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + if self.head[1] & 0x80 == 0 { 0 } else { 4 }
    }

    fn length(&self) -> u64 {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        match self.head[1] & 0x7f {
            126 => number(&self.head[2..4]),
            127 => number(&self.head[2..10]),
            short => u64::from(short),
        }
    }

    fn end_if_whole(&mut self) -> bool {
        if self.left != Some(0) {
            return false;
        }
        let (is_control, is_last) = (self.head[0] & 0x08 != 0, self.head[0] & 0x80 != 0);
        let length = self.length();
        self.left = None;
        self.have = 0;
        if is_control {
            // It may stand between frames of a message.
            self.held = self.held.saturating_sub(length);
            return false;
        }
        self.in_message = !is_last;
        if is_last {
            self.held = 0;
        }
        is_last
    }

    /// Whether something has begun that has not ended.
    pub(crate) fn is_begun(&self) -> bool {
        self.in_message || self.have > 0
    }

    /// Bytes of content that are held for it.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::Frames;

    fn frame(first: u8, masked: bool, content: &[u8]) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match content.len() {
            short @ 0..126 => bytes.push(mask | u8::try_from(short).unwrap()),
            middle if middle < 65_536 => {
                bytes.push(mask | 126);
                bytes.extend(u16::try_from(middle).unwrap().to_be_bytes());
            }
            long => {
                bytes.push(mask | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(if masked { &[0; 4][..] } else { &[] });
        bytes.extend(content);
        bytes
    }

    #[test]
    fn borders_are_found_in_pieces_of_any_size() {
        let mut bytes = Vec::new();
        for masked in [true, false] {
            for size in [0, 1, 125, 126, 65_535, 65_536, 70_000] {
                bytes.extend(frame(0x82, masked, &vec![7; size]));
            }
        }
        for piece in [1, 2, 3, 1000, usize::MAX] {
            let (mut frames, mut ended) = (Frames::default(), 0);
            for part in bytes.chunks(piece.min(bytes.len())) {
                ended += usize::from(frames.feed(part));
                assert!(frames.held() <= 70_000);
            }
            assert!(ended >= 1 && (piece > 1 || ended == 14), "{ended}");
            assert!(!frames.is_begun());
            assert_eq!(frames.held(), 0);
        }
    }

    #[test]
    fn a_message_in_several_frames_is_held_until_its_last() {
        let mut frames = Frames::default();
        assert!(!frames.feed(&frame(0x02, true, &[1; 1000])));
        assert!(!frames.feed(&frame(0x89, true, b"ping between")));
        assert_eq!((frames.is_begun(), frames.held()), (true, 1000));
        assert!(!frames.feed(&frame(0x00, true, &[1; 500])));
        assert!(!frames.feed(&frame(0x80, true, &[1; 500])[..400]));
        assert_eq!(frames.held(), 1892);
        assert!(frames.feed(&[1; 108]));
        assert_eq!((frames.is_begun(), frames.held()), (false, 0));
    }

    #[test]
    fn a_part_of_a_head_has_begun() {
        let mut frames = Frames::default();
        assert!(!frames.is_begun());
        assert!(!frames.feed(&[0x82]));
        assert!(frames.is_begun());
        assert!(frames.feed(&[0x00]));
        assert!(!frames.is_begun());
    }
}

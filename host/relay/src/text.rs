//! [`Cut`]: bytes of a stream as text, cut between characters; what is no text is replaced or told apart.

use super::Frames;
use bytes::Bytes;
use jackfield_plugin_api::{Message, MessageKind};
use std::collections::VecDeque;

/// Keeps the beginning of a character for the next piece.
#[derive(Default)]
pub(super) struct Cut {
    kept: [u8; 3],
    length: usize,
}

impl Cut {
    /// Puts what was kept at the beginning of `scratch`; it stays kept until the next `cut`.
    pub(super) fn restore(&self, scratch: &mut [u8]) -> usize {
        scratch[..self.length].copy_from_slice(&self.kept[..self.length]);
        self.length
    }

    /// Puts the whole characters of `bytes` into `out`, no message longer than `max`.
    pub(super) fn cut(
        &mut self,
        bytes: &[u8],
        frames: Frames,
        max: usize,
        out: &mut VecDeque<Message>,
    ) {
        let begun = bytes.utf8_chunks().last().map_or(0, |last| begun(last.invalid()));
        let (whole, part) = bytes.split_at(bytes.len() - begun);
        self.length = part.len();
        self.kept[..part.len()].copy_from_slice(part);
        put(whole, frames, max, out);
    }

    /// The end of the bytes, which may lie inside a character.
    pub(super) fn finish(&mut self, frames: Frames, max: usize, out: &mut VecDeque<Message>) {
        let kept = self.kept;
        put(&kept[..std::mem::take(&mut self.length)], frames, max, out);
    }
}

/// How many of these bytes, which are no character, may become one with more.
fn begun(invalid: &[u8]) -> usize {
    match std::str::from_utf8(invalid) {
        Err(error) if error.error_len().is_none() => invalid.len(),
        _ => 0,
    }
}

fn put(bytes: &[u8], frames: Frames, max: usize, out: &mut VecDeque<Message>) {
    if bytes.is_empty() {
        return;
    }
    let text = String::from_utf8_lossy(bytes);
    let is_text = matches!(text, std::borrow::Cow::Borrowed(_));
    if is_text || frames == Frames::TextOrBinary {
        let kind = if is_text { MessageKind::TEXT } else { MessageKind::BINARY };
        return out.push_back(Message::of(kind, Bytes::copy_from_slice(bytes)));
    }
    // Replacements may be longer than what they stand for.
    let mut rest = &*text;
    while !rest.is_empty() {
        let mut end = rest.len().min(max.max(4));
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, more) = rest.split_at(end);
        out.push_back(Message::of(MessageKind::TEXT, Bytes::copy_from_slice(piece.as_bytes())));
        rest = more;
    }
}

#[cfg(test)]
mod tests {
    use super::{Cut, Frames};
    use jackfield_plugin_api::{Message, MessageKind};
    use std::collections::VecDeque;

    /// What the pieces become, one after the other, and then their end.
    fn cut(pieces: &[&[u8]], frames: Frames, max: usize) -> Vec<Message> {
        let (mut cut, mut out) = (Cut::default(), VecDeque::new());
        for piece in pieces {
            let mut room = vec![0; 3 + piece.len()];
            let begin = cut.restore(&mut room);
            room[begin..begin + piece.len()].copy_from_slice(piece);
            cut.cut(&room[..begin + piece.len()], frames, max, &mut out);
        }
        cut.finish(frames, max, &mut out);
        out.into()
    }

    fn texts(pieces: &[&[u8]], max: usize) -> Vec<String> {
        let text = |message: Message| {
            assert_eq!(message.kind, MessageKind::TEXT);
            String::from_utf8(message.payload.to_vec()).expect("text")
        };
        cut(pieces, Frames::Text, max).into_iter().map(text).collect()
    }

    #[test]
    fn noise_is_replaced_and_the_rest_stays() {
        assert_eq!(texts(&[b"a\xff\xfe\x80b"], 100), ["a\u{fffd}\u{fffd}\u{fffd}b"]);
        assert_eq!(texts(&["aé".as_bytes()], 100), ["aé"]);
        // Of three bytes of a character the first two came at the very end.
        assert_eq!(texts(&[b"ab\xe2\x82"], 100), ["ab", "\u{fffd}"]);
        // What begins a character and goes on as something else is none.
        assert_eq!(texts(&[b"\xe2\x82", b"x"], 100), ["\u{fffd}x"]);
        assert_eq!(texts(&[b"\xe2", b"\x82", b"\xac"], 100), ["€"]);
    }

    #[test]
    fn replacements_do_not_make_messages_too_long() {
        assert_eq!(texts(&[b"\xff\xff\xff"], 7), ["\u{fffd}\u{fffd}", "\u{fffd}"]);
    }

    #[test]
    fn noise_can_go_as_a_binary_message() {
        let got = cut(&[b"ok", b"a\xff", b"ok"], Frames::TextOrBinary, 100);
        let kinds: Vec<_> = got.iter().map(|message| message.kind).collect();
        assert_eq!(kinds, [MessageKind::TEXT, MessageKind::BINARY, MessageKind::TEXT]);
        assert_eq!(&got[1].payload[..], b"a\xff");
    }
}

//! [`Terminal`]: what a peer says as the text that a person at a terminal would read: escape sequences (ECMA-48)
//! are gone, and backspaces, carriage returns and movements within a line have had their effect. Lines end with
//! `\n`. It has lines, not a screen: a movement to another row begins a new line.

use std::mem::take;
use vte::{Params, Parser, Perform};

/// The furthest column that a sequence can move the cursor to.
const MAX_COLUMNS: usize = 512;

/// Text that grows at its last line.
#[derive(Default)]
pub(super) struct Terminal {
    parser: Parser,
    text: TerminalText,
}

#[derive(Default)]
struct TerminalText {
    /// Whole lines, then the last line as it is now.
    heard: Vec<u8>,
    /// Where in `heard` the last line begins.
    start: usize,
    line: Vec<char>,
    /// The column of the first of `line`: what stood before it was taken.
    from: usize,
    column: usize,
    /// Where the sequences have put the last line; unknown until one has.
    row: Option<u16>,
    /// The next character goes to this other row.
    jump: Option<Option<u16>>,
    returned: Returned,
}

/// A carriage return at the very end: the next byte says whether it ends the line or goes back to its begin.
/// Until then it stands in the text, so that half of a line's end is not taken for a prompt.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Returned {
    #[default]
    No,
    Yes,
    /// It was taken together with the text before it.
    Taken,
}

impl Terminal {
    /// Adds input.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.text, bytes);
        self.text.show();
    }

    pub(super) fn heard(&self) -> &[u8] {
        &self.text.heard
    }

    /// Takes the first `count` bytes of the text away.
    pub(super) fn take(&mut self, count: usize) {
        let text = &mut self.text;
        text.heard.drain(..count);
        let Some(mut left) = count.checked_sub(text.start) else {
            text.start -= count;
            return;
        };
        text.start = 0;
        let mut chars = 0;
        while left > 0 && chars < text.line.len() {
            left = left.saturating_sub(text.line[chars].len_utf8());
            chars += 1;
        }
        text.line.drain(..chars);
        text.from += chars;
        if left > 0 && text.returned == Returned::Yes {
            text.returned = Returned::Taken;
        }
    }

    /// Puts text to the front.
    pub(super) fn put_back(&mut self, front: &[u8]) {
        self.text.heard.splice(..0, front.iter().copied());
        self.text.start += front.len();
    }

    pub(super) fn into_heard(self) -> Vec<u8> {
        self.text.heard
    }
}

impl TerminalText {
    /// Writes the last line anew.
    fn show(&mut self) {
        self.heard.truncate(self.start);
        self.heard.extend(self.line.iter().collect::<String>().into_bytes());
        if self.returned == Returned::Yes {
            self.heard.push(b'\r');
        }
    }

    fn end_line(&mut self) {
        // Blanks after the cursor are what was erased, such as the question of a pager.
        let rest = self.column.saturating_sub(self.from).min(self.line.len());
        if self.line[rest..].iter().all(|c| *c == ' ') {
            self.line.truncate(rest);
        }
        self.returned = Returned::No;
        self.line.push('\n');
        self.show();
        self.start = self.heard.len();
        self.line.clear();
        (self.from, self.column, self.row, self.jump) = (0, 0, None, None);
    }

    /// A carriage return that ends no line.
    fn settle(&mut self) {
        if take(&mut self.returned) != Returned::No {
            self.column = 0;
        }
    }

    fn put(&mut self, c: char) {
        self.settle();
        if let Some(row) = self.jump.take() {
            let column = self.column;
            if !self.line.is_empty() || self.from > 0 {
                self.column = usize::MAX;
                self.end_line();
            }
            (self.column, self.row) = (column, row);
        }
        if self.column < self.from {
            // What stood there was taken.
            let gap = if self.line.is_empty() { 0 } else { self.from - self.column };
            self.line.splice(..0, std::iter::repeat_n(' ', gap));
            self.from = self.column;
        }
        let at = self.column - self.from;
        if at > self.line.len() {
            self.line.resize(at, ' ');
        }
        match self.line.get_mut(at) {
            Some(place) => *place = c,
            None => self.line.push(c),
        }
        self.column += 1;
    }

    /// Moves to a row and a column, both from 1.
    fn go_to(&mut self, row: u16, column: u16) {
        let other = self.row.is_some_and(|now| now != row);
        self.jump = other.then_some(Some(row));
        self.row.get_or_insert(row);
        self.go_to_column(column);
    }

    fn go_to_column(&mut self, column: u16) {
        self.column = usize::from(column.saturating_sub(1)).min(self.furthest());
    }

    fn furthest(&self) -> usize {
        MAX_COLUMNS.max(self.from + self.line.len())
    }

    /// Erases a part of the line as EL has it: 0 what follows, 1 what is before, 2 all.
    fn erase(&mut self, part: u16) {
        let at = self.column.saturating_sub(self.from).min(self.line.len());
        match part {
            0 => self.line.truncate(at),
            1 => self.line[..at].fill(' '),
            _ => self.line.clear(),
        }
    }
}

impl Perform for TerminalText {
    fn print(&mut self, c: char) {
        // A terminal shows nothing for DEL, nor for U+0080 to U+009F; the parser takes these for characters where they
        // come in two pieces, and not otherwise.
        if !c.is_control() {
            self.put(c);
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' | 0x0b | 0x0c => self.end_line(),
            b'\r' => {
                self.settle();
                self.returned = Returned::Yes;
            }
            0x08 => {
                self.settle();
                self.column = self.column.saturating_sub(1);
            }
            b'\t' => self.put('\t'),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, inside: &[u8], ignore: bool, action: char) {
        if ignore || !inside.is_empty() {
            return;
        }
        self.settle();
        let param =
            |index: usize| params.iter().nth(index).and_then(|param| param.first().copied());
        let first = param(0).unwrap_or(0);
        let count = first.max(1);
        let steps = usize::from(count);
        match action {
            'H' | 'f' => self.go_to(count, param(1).unwrap_or(1).max(1)),
            'G' | '`' => self.go_to_column(count),
            'C' | 'a' => self.column = self.column.saturating_add(steps).min(self.furthest()),
            'D' => self.column = self.column.saturating_sub(steps),
            'A' | 'B' => self.jump = Some(None),
            'E' | 'F' => (self.jump, self.column) = (Some(None), 0),
            'K' => self.erase(first),
            'J' if first == 0 => self.erase(0),
            'P' => {
                let at = self.column.saturating_sub(self.from).min(self.line.len());
                self.line.drain(at..(at + steps).min(self.line.len()));
            }
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, inside: &[u8], _ignore: bool, byte: u8) {
        if !inside.is_empty() {
            return;
        }
        match byte {
            b'D' | b'E' => self.end_line(),
            b'M' => {
                self.settle();
                self.jump = Some(None);
            }
            _ => {}
        }
    }
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("heard", &self.text.heard.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(said: &str) -> String {
        let mut terminal = Terminal::default();
        terminal.hear(said.as_bytes());
        String::from_utf8(terminal.into_heard()).expect("UTF-8")
    }

    #[test]
    fn a_person_would_read_this() {
        let erased = "\x08\x08\x08\x08\x08\x08\x08\x08\x08";
        for (said, read) in [
            ("a\r\nb\nc\n\rd", "a\nb\nc\nd"),
            ("10%\r20%\r100%\r\n", "100%\n"),
            ("\x1b[32mr1\x1b[0m# \x1b[?25h", "r1# "),
            ("\x1b]0;lab@r1: ~\x07lab@r1:~$ ", "lab@r1:~$ "),
            ("\x1b(B\x1b)0\x1b=r1> ", "r1> "),
            ("shwo\x08 \x08\x08 \x08ow", "show"),
            (&format!("--More-- {erased}         {erased}up\r\n# "), "up\n# "),
            ("--More--\r\x1b[Kup\r\n", "up\n"),
            ("--More--\r        \rlonger than that", "longer than that"),
            // A switch that puts everything in its place.
            ("\x1b[2J\x1b[1;24r\x1b[24;1Hsw1# \x1b[24;1H\x1b[24;6H\x1b[?25h", "sw1# "),
            (
                "\x1b[24;1Hsw1# \x1b[24;6Hshow\x1b[24;10H\x1b[24;0H\x1bE\x1b[24;1Hup",
                "sw1# show\nup",
            ),
            (
                "\x1b[1;1HMenu\x1b[3;5H1. Status\x1b[4;5H2. Reset",
                "Menu\n    1. Status\n    2. Reset",
            ),
            ("\x1b[Alater", "later"),
            ("a\u{e9}\u{20ac}\x08b", "a\u{e9}b"),
            ("abc\x1b[2D\x1b[Pd", "ad"),
            ("a\0\x07b\tc\x7f", "ab\tc"),
        ] {
            assert_eq!(text(said), read, "{said:?}");
        }
    }

    #[test]
    fn half_of_a_line_end_is_no_end_of_the_text() {
        let mut terminal = Terminal::default();
        terminal.hear(b"costs 5$\r");
        assert_eq!(terminal.heard(), b"costs 5$\r");
        terminal.hear(b"\nlab$ ");
        assert_eq!(terminal.heard(), b"costs 5$\nlab$ ");
    }

    #[test]
    fn what_was_taken_is_not_erased_again() {
        let mut terminal = Terminal::default();
        terminal.hear(b"one\r\n--More--");
        terminal.take(4 + 8);
        assert_eq!(terminal.heard(), b"");
        terminal.hear(b"\r        \rtwo\r\n");
        assert_eq!(terminal.heard(), b"two\n");
        terminal.take(4);
        terminal.hear(b"r1# x\r");
        terminal.take(6);
        terminal.hear(b"\ny");
        assert_eq!(terminal.heard(), b"\ny");
    }

    #[test]
    fn a_control_of_two_bytes_is_nothing_to_read_in_one_piece_and_in_two() {
        for pieces in [&["[\r".as_bytes(), &[0xc2, 0x80], b"\r"][..], &[b"[\r\xc2", b"\x80\r"]] {
            let mut terminal = Terminal::default();
            pieces.iter().for_each(|piece| terminal.hear(piece));
            assert_eq!(terminal.heard(), b"[\r", "{pieces:?}");
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_bytes_come(
            said in prop::collection::vec(
                prop_oneof![Just(b'\r'), Just(b'\n'), Just(8), Just(27), Just(b'['), b'A'..=b'H', any::<u8>()],
                0..80,
            ),
            cut in 1_usize..9,
        ) {
            let (mut whole, mut pieces) = (Terminal::default(), Terminal::default());
            whole.hear(&said);
            said.chunks(cut).for_each(|piece| pieces.hear(piece));
            prop_assert_eq!(whole.heard(), pieces.heard());
        }

        #[test]
        fn taking_leaves_the_rest(said in "[ab#\r\n\u{8} é]{0,40}", count in 0_usize..40) {
            let mut terminal = Terminal::default();
            terminal.hear(said.as_bytes());
            let before = terminal.heard().to_vec();
            let count = count.min(before.len());
            terminal.take(count);
            prop_assert_eq!(terminal.heard(), &before[count..]);
        }
    }
}

//! `~.` at the beginning of a line ends an interactive connection; `~~` sends one `~`.

/// Looks for the escape in what is typed.
#[derive(Debug)]
pub(super) struct Escape {
    state: EscapeState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EscapeState {
    LineStart,
    Tilde,
    Inside,
}

/// What remains of typed bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Typed {
    /// To be sent.
    pub(super) bytes: Vec<u8>,
    /// Whether the escape came after them.
    pub(super) quit: bool,
}

impl Escape {
    pub(super) fn new() -> Self {
        Escape { state: EscapeState::LineStart }
    }

    /// Takes the escape out of `typed`; what follows it is dropped.
    pub(super) fn filter(&mut self, typed: &[u8]) -> Typed {
        let mut bytes = Vec::with_capacity(typed.len() + 1);
        for &byte in typed {
            let held = self.state == EscapeState::Tilde;
            self.state = match (self.state, byte) {
                (EscapeState::LineStart, b'~') => EscapeState::Tilde,
                (EscapeState::Tilde, b'.') => return Typed { bytes, quit: true },
                (_, b'\r' | b'\n') => EscapeState::LineStart,
                _ => EscapeState::Inside,
            };
            if self.state == EscapeState::Tilde {
                continue;
            }
            if held && byte != b'~' {
                bytes.push(b'~');
            }
            bytes.push(byte);
        }
        Typed { bytes, quit: false }
    }
}

#[cfg(test)]
mod tests {
    use super::Escape;

    fn filter(pieces: &[&str]) -> (String, bool) {
        let mut escape = Escape::new();
        let mut all = Vec::new();
        for piece in pieces {
            let typed = escape.filter(piece.as_bytes());
            all.extend(typed.bytes);
            if typed.quit {
                return (String::from_utf8_lossy(&all).into_owned(), true);
            }
        }
        (String::from_utf8_lossy(&all).into_owned(), false)
    }

    #[test]
    fn the_escape_counts_at_the_beginning_of_a_line_only() {
        for (typed, sent, quit) in [
            (&["~."][..], "", true),
            (&["ls\r", "~", "."], "ls\r", true),
            (&["a~."], "a~.", false),
            (&["~~x"], "~x", false),
            (&["~~."], "~.", false),
            (&["~x~."], "~x~.", false),
            (&["~\r~."], "~\r", true),
            (&["cd ~\r"], "cd ~\r", false),
        ] {
            assert_eq!(filter(typed), (sent.to_owned(), quit), "{typed:?}");
        }
    }
}

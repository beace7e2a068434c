//! [`Prompt`]: the words a peer waits behind, and how they are told from others.

use super::matcher::line_start;
use super::patterns::Patterns;
use jackfield_plugin_api::Result;

/// The longest line that is taken for a prompt, in bytes.
const MAX: usize = 256;

/// Within how many bytes the echo of a line is looked for, beside its own.
const ECHO_WITHIN: usize = 8192;

/// What may stand in a prompt beside its beginning, such as a mode or a folder.
const MODE: &str = "[^\\r\\n]{0,64}";

/// The characters that a prompt mostly ends with.
const ENDS: [char; 4] = ['$', '#', '>', '%'];

/// The last line of a peer that waits for a command, such as `core1# `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt(String);

impl Prompt {
    /// The line that has not ended; `None` where it cannot be a prompt.
    pub(super) fn of_line(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        (!text.trim().is_empty() && text.len() <= MAX).then(|| Prompt(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a peer that is not known may be taken to wait behind it.
    pub(super) fn looks_like_one(&self) -> bool {
        self.0.trim_end().ends_with(ENDS)
    }

    /// What does not change when the mode or the folder does: `core1` of `core1(config)# `.
    fn base(&self) -> &str {
        let text = self.0.trim_end();
        let end = text.find(|c| ENDS.contains(&c) || "(:~ /".contains(c)).unwrap_or(text.len());
        &text[..end]
    }

    /// A pattern for a last line: this prompt, also in another mode or folder.
    pub(super) fn pattern(&self) -> Result<Patterns> {
        let text = self.0.trim_end();
        let whole = format!("^{} ?$", regex::escape(text));
        let base = self.base();
        if base.trim().is_empty() || !text.ends_with(ENDS) {
            return Patterns::new([whole]);
        }
        let ends: String = ENDS.iter().collect();
        Patterns::new([whole, format!("^{}{MODE}[{ends}] ?$", regex::escape(base))])
    }
}

/// `before` without the beginning of the prompt whose end has `matched`: what stands on the same line. It is known
/// as one by `prompt`, or by being one word before a match for the `end` of the input.
pub(super) fn without_prompt(
    before: &[u8],
    matched: &[u8],
    prompt: Option<&Prompt>,
    end: bool,
) -> usize {
    let start = line_start(before);
    let begun = &before[start..];
    if begun.is_empty() || !end {
        return before.len();
    }
    let is_prompt = match prompt {
        Some(prompt) => {
            let line = [begun, matched].concat();
            prompt
                .pattern()
                .is_ok_and(|patterns| patterns.all(false).any(|pattern| pattern.is_match(&line)))
        }
        None => !begun.iter().any(u8::is_ascii_whitespace),
    };
    if is_prompt { start } else { before.len() }
}

/// Where the echo of `sent` ends in `heard`, its line's end included; `None` while it has not come. Terminals
/// break long lines, so that white space is not compared; the end of a word is no echo of a letter. A line that was not ended has no echo to wait for.
pub(super) fn echo_end(heard: &[u8], sent: &str) -> Option<usize> {
    let mut wanted = sent.bytes().filter(|byte| !byte.is_ascii_whitespace()).peekable();
    if wanted.peek().is_none() || !sent.ends_with(['\r', '\n']) {
        return Some(0);
    }
    let wanted: Vec<u8> = wanted.collect();
    // It comes first, unless the peer sends something unasked.
    let heard = &heard[..heard.len().min(ECHO_WITHIN + 2 * sent.len())];
    let solid = |at: &(usize, &u8)| !at.1.is_ascii_whitespace();
    let (places, solids): (Vec<usize>, Vec<u8>) =
        heard.iter().enumerate().filter(solid).map(|(at, byte)| (at, *byte)).unzip();
    solids.windows(wanted.len()).enumerate().find_map(|(first, window)| {
        let begin = places[first];
        let within = begin.checked_sub(1).is_some_and(|at| heard[at].is_ascii_alphanumeric());
        if window != wanted.as_slice() || within && wanted[0].is_ascii_alphanumeric() {
            return None;
        }
        let after = places[first + wanted.len() - 1] + 1;
        let line = heard[after..].iter().position(|byte| *byte == b'\n')?;
        let blank = heard[after..after + line].iter().all(u8::is_ascii_whitespace);
        blank.then_some(after + line + 1)
    })
}

/// Whether what stands before a second echo of `sent`, at the end of `heard`, is a prompt alone: the terminal has
/// echoed the line before the peer read it, and the peer once more.
pub(super) fn stands_before(heard: &[u8], sent: &str) -> bool {
    let text = String::from_utf8_lossy(heard);
    let text = text.trim();
    let prompt = text.strip_suffix(sent.trim()).unwrap_or_default();
    !prompt.contains('\n')
        && Prompt::of_line(prompt.as_bytes()).is_some_and(|prompt| prompt.looks_like_one())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_prompt(prompt: &str, line: &str) -> bool {
        let prompt = Prompt::of_line(prompt.as_bytes()).expect("a prompt");
        let patterns = prompt.pattern().expect("patterns");
        patterns.all(false).any(|pattern| pattern.is_match(line.as_bytes()))
    }

    #[test]
    fn a_prompt_is_known_in_every_mode_and_nothing_else_is() {
        for (prompt, line) in [
            ("core1# ", "core1#"),
            ("core1>", "core1(config-if)# "),
            ("lab@srv:~$ ", "lab@srv:/tmp$ "),
            ("[root@srv ~]# ", "[root@srv etc]# "),
            ("=> ", "=> "),
            ("$ ", "$ "),
            ("ups:", "ups: "),
        ] {
            assert!(is_prompt(prompt, line), "{prompt:?} {line:?}");
        }
        for (prompt, line) in [
            ("core1# ", "interface core1#"),
            ("core1# ", "core1 is up"),
            ("$ ", "costs 5$"),
            ("ups:", "ups: 5"),
        ] {
            assert!(!is_prompt(prompt, line), "{prompt:?} {line:?}");
        }
        assert_eq!(Prompt::of_line(b"  "), None);
    }

    #[test]
    fn an_echo_is_known_wherever_the_terminal_has_broken_it() {
        for (heard, sent, end) in [
            ("show version\nIOS", "show version\r", Some(13)),
            ("r1# show version\nIOS", "show version\r", Some(17)),
            ("show ver\nsion \nIOS", "show version\r", Some(15)),
            ("IOS 15\nr1# ", "show version\r", None),
            ("show version", "show version\r", None),
            ("ready? y\nok\n", "y\r", Some(9)),
            ("ready\nyes\n", "y\r", None),
            ("what", "\r", Some(0)),
            ("what", "1", Some(0)),
        ] {
            assert_eq!(echo_end(heard.as_bytes(), sent), end, "{heard:?} {sent:?}");
        }
    }
}

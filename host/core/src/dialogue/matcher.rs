//! [`Matcher`]: the text received so far, and whether it matches the patterns. Does no input or output.

use super::patterns::Patterns;
use super::terminal::Terminal;
use jackfield_plugin_api::{Error, ErrorKind, Secret};
use std::time::Duration;

/// How many of the last bytes received an error shows.
const SHOWN: usize = 200;

/// What was heard and not yet matched: at most so many bytes, of more the last ones.
#[derive(Debug)]
pub struct Matcher {
    heard: HeardBuffer,
    limit: usize,
    /// Bytes that were forgotten because there were more than `limit`.
    lost: u64,
    /// Never shown, even if the peer repeats them.
    secrets: Vec<Secret>,
}

/// What was heard, as text or as it came.
#[derive(Debug)]
enum HeardBuffer {
    Text(Box<Terminal>),
    Raw(Vec<u8>),
}

/// A match, taken out of the text received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which of the patterns, from 0.
    pub index: usize,
    /// What was heard before it.
    pub before: Vec<u8>,
    /// What matched.
    pub matched: Vec<u8>,
    /// Its groups in brackets, in order; `None` for one that took no part.
    pub groups: Vec<Option<Vec<u8>>>,
}

/// What came of a look.
#[derive(Debug)]
pub enum Look {
    /// One of the patterns matches.
    Found(Found),
    /// No pattern matched in time; the text received stays.
    Late(Error),
    /// Nothing did yet; look again when more was heard, or after so long.
    Wait(Duration),
}

impl Matcher {
    /// One that keeps at most `limit` bytes, as the text that a person at a terminal would read: without
    /// escape sequences, with backspaces and carriage returns applied, and with `\n` at the end of lines.
    pub fn new(limit: usize) -> Self {
        let heard = HeardBuffer::Text(Box::default());
        Matcher { heard, limit: limit.max(1), lost: 0, secrets: Vec::new() }
    }

    /// One that keeps at most `limit` bytes just as they come.
    pub fn raw(limit: usize) -> Self {
        Matcher { heard: HeardBuffer::Raw(Vec::new()), ..Matcher::new(limit) }
    }

    /// From now on takes input as [`Matcher::raw`] does, or as [`Matcher::new`]. The text received before stays.
    pub(super) fn set_raw(&mut self, raw: bool) {
        if raw == matches!(self.heard, HeardBuffer::Raw(_)) {
            return;
        }
        let before = self.heard().to_vec();
        if raw {
            self.heard = HeardBuffer::Raw(before);
        } else {
            self.heard = HeardBuffer::Text(Box::default());
            self.hear(&before);
        }
    }

    /// Keeps at most so many bytes from now on, and counts anew what it has lost; answers how many it has kept.
    pub(super) fn keep(&mut self, limit: usize) -> usize {
        let before = std::mem::replace(&mut self.limit, limit.max(1));
        self.cut();
        self.lost = 0;
        before
    }

    /// Adds input.
    pub fn hear(&mut self, bytes: &[u8]) {
        match &mut self.heard {
            HeardBuffer::Text(terminal) => terminal.hear(bytes),
            HeardBuffer::Raw(heard) => heard.extend_from_slice(bytes),
        }
        self.cut();
    }

    fn cut(&mut self) {
        let more = self.heard().len().saturating_sub(self.limit);
        self.take(more);
        self.lost += more as u64;
    }

    /// How many bytes were forgotten because there were more than it keeps.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Takes the first `count` bytes away.
    pub(super) fn take(&mut self, count: usize) {
        match &mut self.heard {
            HeardBuffer::Text(terminal) => terminal.take(count),
            HeardBuffer::Raw(heard) => drop(heard.drain(..count)),
        }
    }

    /// Puts bytes back to the front, to be heard once more.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        match &mut self.heard {
            HeardBuffer::Text(terminal) => terminal.put_back(bytes),
            HeardBuffer::Raw(heard) => drop(heard.splice(..0, bytes.iter().copied())),
        }
    }

    /// Forgets the text received.
    pub(super) fn forget(&mut self) {
        self.take(self.heard().len());
    }

    /// What was heard and not matched.
    pub fn heard(&self) -> &[u8] {
        match &self.heard {
            HeardBuffer::Text(terminal) => terminal.heard(),
            HeardBuffer::Raw(heard) => heard,
        }
    }

    /// The line that has not ended yet.
    pub(super) fn last_line(&self) -> &[u8] {
        let heard = self.heard();
        &heard[line_start(heard)..]
    }

    pub(super) fn into_heard(self) -> Vec<u8> {
        match self.heard {
            HeardBuffer::Text(terminal) => terminal.into_heard(),
            HeardBuffer::Raw(heard) => heard,
        }
    }

    /// Shows `secret` in no error.
    pub(super) fn hide(&mut self, secret: &Secret) {
        if !secret.expose().is_empty() {
            self.secrets.push(secret.clone());
        }
    }

    /// Looks for `patterns` from `from` on; gives the first match, with what is before it from there on, and where
    /// it ends. Nothing is taken.
    pub(super) fn find(&self, patterns: &Patterns, from: usize) -> Option<(usize, Found)> {
        let raw = matches!(self.heard, HeardBuffer::Raw(_));
        let heard = &self.heard()[from..];
        let matches = patterns.all(raw).enumerate().filter_map(|(index, pattern)| {
            let captures = pattern.captures(heard)?;
            let whole = captures.get(0)?;
            let bytes = |group: Option<regex::bytes::Match<'_>>| Some(group?.as_bytes().to_vec());
            let found = Found {
                index,
                before: heard[..whole.start()].to_vec(),
                matched: whole.as_bytes().to_vec(),
                groups: captures.iter().skip(1).map(bytes).collect(),
            };
            Some((from + whole.end(), found))
        });
        // Of equals `min_by_key` has the first.
        matches.min_by_key(|(_, found)| found.before.len())
    }

    /// Looks for `patterns`, when so much of `limit` is over; a match is taken out, with all before it.
    pub fn look(&mut self, patterns: &Patterns, passed: Duration, limit: Duration) -> Look {
        if let Some((end, found)) = self.find(patterns, 0) {
            self.take(end);
            return Look::Found(found);
        }
        if passed < limit {
            return Look::Wait(limit.saturating_sub(passed));
        }
        Look::Late(self.late(patterns, limit))
    }

    /// Nothing has matched, and there is no more time.
    pub(super) fn late(&self, patterns: &Patterns, limit: Duration) -> Error {
        let text = format!("waited {limit:?} for {patterns}");
        self.explain(Error::new(ErrorKind::TimedOut, text))
    }

    /// Adds the last text received to an error.
    pub(super) fn explain(&self, error: Error) -> Error {
        error.with("last heard", self.last())
    }

    /// The end of the text received, as text that has only printable characters.
    fn last(&self) -> String {
        let mut heard = self.heard().to_vec();
        for secret in &self.secrets {
            heard = without(&heard, secret.expose().as_bytes());
        }
        let cut = heard.len().saturating_sub(SHOWN);
        let dots = if cut > 0 { "…" } else { "" };
        format!("{dots}\"{}\"", heard[cut..].escape_ascii())
    }
}

/// Where the last line of `text` begins.
pub(super) fn line_start(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// `bytes` with stars in the place of each `secret`, also of its beginning at the end.
fn without(bytes: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(secret) {
            kept.extend_from_slice(b"***");
            rest = after;
        } else if secret.starts_with(rest) {
            kept.extend_from_slice(b"***");
            rest = &[];
        } else {
            kept.push(first);
            rest = after;
        }
    }
    kept
}

//! [`Matcher`]: what was heard, and whether it is what is waited for. Does no input or output.

use super::patterns::Patterns;
use jackfield_plugin_api::{Error, ErrorKind, Secret};
use std::time::Duration;

/// How much of what was heard last an error shows, in bytes.
const SHOWN: usize = 200;

/// What was heard and not yet matched: at most so many bytes, of more the last ones.
#[derive(Debug)]
pub struct Matcher {
    heard: Vec<u8>,
    limit: usize,
    /// Never shown, even if the peer repeats them.
    secrets: Vec<Secret>,
}

/// A match, taken out of what was heard.
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
    /// Nothing did, and there is no more time; what was heard stays.
    Late(Error),
    /// Nothing did yet; look again when more was heard, or after so long.
    Wait(Duration),
}

impl Matcher {
    /// One that keeps at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Matcher { heard: Vec::new(), limit: limit.max(1), secrets: Vec::new() }
    }

    /// Adds what was heard.
    pub fn hear(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(self.limit)..];
        let room = self.limit - bytes.len();
        self.heard.drain(..self.heard.len().saturating_sub(room));
        self.heard.extend_from_slice(bytes);
    }

    /// Puts bytes back to the front, to be heard once more.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        self.heard.splice(..0, bytes.iter().copied());
    }

    /// Forgets what was heard.
    pub(super) fn forget(&mut self) {
        self.heard.clear();
    }

    /// What was heard and not matched.
    pub fn heard(&self) -> &[u8] {
        &self.heard
    }

    pub(super) fn into_heard(self) -> Vec<u8> {
        self.heard
    }

    /// Shows `secret` in no error.
    pub(super) fn hide(&mut self, secret: &Secret) {
        if !secret.expose().is_empty() {
            self.secrets.push(secret.clone());
        }
    }

    /// Looks for `patterns`, when so much of `limit` is over; a match is taken out, with all before it.
    pub fn look(&mut self, patterns: &Patterns, passed: Duration, limit: Duration) -> Look {
        let matches = patterns.all().iter().enumerate().filter_map(|(index, pattern)| {
            let captures = pattern.captures(&self.heard)?;
            let whole = captures.get(0)?;
            let bytes = |group: Option<regex::bytes::Match<'_>>| Some(group?.as_bytes().to_vec());
            let found = Found {
                index,
                before: self.heard[..whole.start()].to_vec(),
                matched: whole.as_bytes().to_vec(),
                groups: captures.iter().skip(1).map(bytes).collect(),
            };
            Some((whole.end(), found))
        });
        // Of equals `min_by_key` has the first.
        if let Some((end, found)) = matches.min_by_key(|(_, found)| found.before.len()) {
            self.heard.drain(..end);
            return Look::Found(found);
        }
        if passed < limit {
            return Look::Wait(limit.saturating_sub(passed));
        }
        let text = format!("waited {limit:?} for {patterns}");
        Look::Late(self.explain(Error::new(ErrorKind::TimedOut, text)))
    }

    /// Adds what was heard last to an error.
    pub(super) fn explain(&self, error: Error) -> Error {
        error.with("last heard", self.last())
    }

    /// The last of what was heard, as text that has only printable characters.
    fn last(&self) -> String {
        let mut heard = self.heard.clone();
        for secret in &self.secrets {
            heard = without(&heard, secret.expose().as_bytes());
        }
        let cut = heard.len().saturating_sub(SHOWN);
        let dots = if cut > 0 { "…" } else { "" };
        format!("{dots}\"{}\"", heard[cut..].escape_ascii())
    }
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

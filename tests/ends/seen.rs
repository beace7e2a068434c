//! [`Seen`]: what a peer sees of the other side's end.

use std::{fmt, io};

use jackfield_plugin_api::Error;

/// What a peer sees of the other side's end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// All was sent.
    End,
    /// A reset of the connection.
    Reset,
    /// An end without the protocol's goodbye, or in the middle of content.
    Cut,
    /// What its protocol says, in its own words: a code, a signal.
    Told(String),
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the end"),
            Self::Reset => f.write_str("a reset"),
            Self::Cut => f.write_str("no goodbye"),
            Self::Told(what) => f.write_str(what),
        }
    }
}

impl Seen {
    /// What reading to the end has come to.
    pub(crate) fn of_io(end: io::Result<usize>) -> Self {
        match end {
            Ok(_) => Seen::End,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Seen::Reset,
            Err(error) => Seen::of(&Error::from(error)),
        }
    }

    pub(crate) fn of(error: &Error) -> Self {
        let text = error.to_string();
        let code = |before: &str| {
            let (_, rest) = text.split_once(before)?;
            Some(rest.chars().take_while(char::is_ascii_digit).collect::<String>())
        };
        let cuts = ["close_notify", "before message length", "broken pipe"];
        if cuts.iter().any(|cut| text.contains(cut)) {
            Seen::Cut
        } else if text.contains("stream error received") {
            Seen::Told("a reset of the stream".to_owned())
        } else if let Some(code) = code("the stream up with code ") {
            Seen::Told(format!("reset of the stream, {code}"))
        } else if let Some(code) = code("closed with code ") {
            Seen::Told(format!("close {code}"))
        } else if text.contains("reset") {
            Seen::Reset
        } else {
            Seen::Told(text)
        }
    }
}

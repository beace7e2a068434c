//! [`Cause`]: why something has ended or failed, for programs and for people.

use jackfield_plugin_api::{Error, ErrorKind, Origin};
use serde::{Serialize, Serializer};
use std::fmt;

/// Why something has ended or failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// What kind of error it was; `None` if it was no error, such as a close on request.
    #[serde(serialize_with = "kind", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ErrorKind>,
    /// Whose fault it was; `None` if it was no error.
    #[serde(serialize_with = "origin", skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The protocol's own code, where one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u64>,
    /// Whose numbers the code is of, where its driver says so: `quic.application`, `sftp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_space: Option<String>,
    /// In words.
    pub text: String,
}

impl Cause {
    /// No error, in words.
    pub fn of(text: impl Into<String>) -> Self {
        Cause { text: text.into(), ..Cause::default() }
    }

    /// Sets the protocol's own code.
    #[must_use]
    pub fn with_code(mut self, code: u64) -> Self {
        self.code = Some(code);
        self
    }

    /// Whether an error of that kind is why.
    pub fn is(&self, kind: ErrorKind) -> bool {
        self.kind == Some(kind)
    }
}

impl From<&Error> for Cause {
    fn from(error: &Error) -> Self {
        Cause {
            kind: Some(error.kind()),
            origin: Some(error.origin()),
            code: error.code(),
            code_space: error.code_space().map(str::to_owned),
            text: error.to_string(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn kind<S: Serializer>(kind: &Option<ErrorKind>, serializer: S) -> Result<S::Ok, S::Error> {
    kind.map(ErrorKind::as_str).serialize(serializer)
}

fn origin<S: Serializer>(origin: &Option<Origin>, serializer: S) -> Result<S::Ok, S::Error> {
    origin.map(Origin::as_str).serialize(serializer)
}

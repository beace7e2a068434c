//! One error shape for both sides: what kind, whose fault, whether to try again, and the story.

use crate::raw::{RawBuf, RawError};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant = $value,)* }

        impl $name {
            #[cfg(any(test, feature = "testing"))]
            pub(crate) const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The name used in logs, JSON and the command line.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// The number on the wire; unknown ones, of a newer side, read as the first variant.
            pub(crate) fn from_u32(value: u32) -> Self {
                match value { $($value => $name::$variant,)* _ => $name::FIRST }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

open_enum! {
    /// What the caller can do about an error, and what the host does about it. Where nothing is said, the
    /// host goes on to an upstream's next target and counts the failure towards the ejection of this one;
    /// opening is tried again where [`Error::retry`] is not [`Retry::Never`].
    ErrorKind {
        /// Anything that no other kind says better. Not tried again.
        Other = 0 "other",
        /// An option, address or parameter is not acceptable; correct it. Our own mistake: told at once, no
        /// other target is tried, and none is blamed.
        Config = 1 "config",
        /// Nothing listens there, or the way is blocked. Tried again.
        Unreachable = 2 "unreachable",
        /// A deadline passed. Tried again. From a stream of a pooled session: the session is thrown away. A
        /// client of http gets 504.
        TimedOut = 3 "timed_out",
        /// The peer's identity did not verify: certificate, host key. Not tried again.
        Untrusted = 4 "untrusted",
        /// The peer did not accept our credentials. The only kind by which the host goes on to the credentials
        /// that stand in `fallback`; not tried again with the same ones.
        Denied = 5 "denied",
        /// The peer broke its protocol. Not tried again.
        Protocol = 6 "protocol",
        /// The peer, or we, closed the connection. From a call or a stream of a pooled session: the session is
        /// thrown away, and a request whose method is safe is sent again over another one. A session's normal
        /// end: not logged as a failure. A `Control::call` over a wire that is broken says it.
        Closed = 7 "closed",
        /// A limit was reached: frame, queue, connections. From opening a stream or a session of a pool it says
        /// that there is no room now: another target is asked, and none is blamed. A client of http gets 503.
        Limit = 8 "limit",
        /// The session or driver has no such facet, role or operation. Our own mistake, as `Config`. The answer
        /// of a default method, by which the host knows that a driver does not do it.
        Unsupported = 9 "unsupported",
        /// An operating-system call failed. Not tried again.
        Io = 10 "io",
        /// The peer answered, and its answer is a failure. Not tried again; no reason to try other credentials.
        Refused = 11 "refused",
        /// The address or resource is taken. Not tried again: a listener's start fails with it.
        InUse = 12 "in_use",
        /// Something named does not exist: a file, a host name, a device. Not tried again.
        NotFound = 13 "not_found",
        /// The driver's code panicked; its connection is lost, the host lives on. Made by this crate, for the
        /// host: it counts towards the quarantine of the plugin.
        Panicked = 14 "panicked",
        /// The call was cancelled. Not tried again.
        Cancelled = 15 "cancelled",
    }
}

open_enum! {
    /// On whose side it went wrong.
    Origin {
        /// In the host or the driver.
        Internal = 0 "internal",
        /// At the far end that a connection was made to.
        Upstream = 1 "upstream",
        /// At the peer that connected to us.
        Downstream = 2 "downstream",
    }
}

open_enum! {
    /// Whether trying again can help.
    Retry {
        /// The same attempt fails again.
        Never = 0 "never",
        /// Another attempt may succeed.
        Now = 1 "now",
        /// Only if the connection had been used before: it may have gone stale.
        IfReused = 2 "if_reused",
    }
}

impl ErrorKind {
    const FIRST: Self = ErrorKind::Other;
}
impl Origin {
    const FIRST: Self = Origin::Internal;
}
impl Retry {
    const FIRST: Self = Retry::Never;
}

/// What went wrong. `Display` is one line: the message, then its context in brackets.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    origin: Origin,
    retry: Retry,
    detail: Detail,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Its source aside: that does not cross the boundary.
impl PartialEq for Inner {
    fn eq(&self, other: &Self) -> bool {
        let all = |it: &Self| (it.kind, it.origin, it.retry);
        all(self) == all(other) && self.detail == other.detail
    }
}

impl Eq for Inner {}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
struct Detail {
    message: String,
    #[serde(default)]
    context: Vec<(String, String)>,
}

impl Error {
    /// An error of `kind` with a one-line message; origin and retry follow from the kind and can be
    /// changed.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (origin, retry) = match kind {
            ErrorKind::Unreachable | ErrorKind::TimedOut => (Origin::Upstream, Retry::Now),
            ErrorKind::Closed => (Origin::Upstream, Retry::IfReused),
            ErrorKind::Untrusted | ErrorKind::Denied | ErrorKind::Protocol | ErrorKind::Refused => {
                (Origin::Upstream, Retry::Never)
            }
            _ => (Origin::Internal, Retry::Never),
        };
        let detail = Detail { message: message.into(), context: Vec::new() };
        Error(Box::new(Inner { kind, origin, retry, detail, source: None }))
    }

    /// Shorthand for [`ErrorKind::Config`] about one option.
    pub fn option(name: &str, message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Config, message).with("option", name)
    }

    /// Shorthand for [`ErrorKind::Unsupported`].
    pub fn unsupported(what: &str) -> Self {
        Error::new(ErrorKind::Unsupported, format!("{what} is not supported here"))
    }

    /// Why a request was not asked: its connection has ended before anything of it was sent, or without the
    /// peer having begun with it. Whatever it was, it may be asked again over another one.
    pub fn unsent() -> Self {
        let text = "the connection ended before the request was sent";
        Error::new(ErrorKind::Closed, text).with_retry(Retry::Now)
    }

    /// Whether this is [`Error::unsent`].
    pub fn is_unsent(&self) -> bool {
        self.kind() == ErrorKind::Closed && self.retry() == Retry::Now
    }

    /// Adds a fact: who, where, which.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "facts are mostly made on the spot")]
    pub fn with(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.0.detail.context.push((key.into(), value.to_string()));
        self
    }

    /// Sets what it came of. On this side that is its [`source`](std::error::Error::source); across the
    /// boundary goes its text, as the fact `cause`.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        let text = source.to_string();
        self.0.source = Some(Arc::new(source));
        self.with("cause", text)
    }

    /// Adds the protocol's own number for it, and whose numbers these are: `quic.application`, `sftp`. The same
    /// number of another space means something else. The README of a driver names its spaces.
    #[must_use]
    pub fn with_code(self, space: &str, number: impl Into<u64>) -> Self {
        self.with("code", number.into()).with("code_space", space)
    }

    /// Sets whose side failed.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.0.origin = origin;
        self
    }

    /// Sets whether another attempt can help.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    /// Whose side failed.
    pub fn origin(&self) -> Origin {
        self.0.origin
    }
    /// Whether another attempt can help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }
    /// The message without its context.
    pub fn message(&self) -> &str {
        &self.0.detail.message
    }
    /// The protocol's own number for it, where the driver has set one: the code of a reset stream, the status of an
    /// answer, or the fact `close_code`, with which a session was closed. What it means depends on
    /// [`Error::code_space`].
    pub fn code(&self) -> Option<u64> {
        self.fact("code").or_else(|| self.fact("close_code")).and_then(|code| code.parse().ok())
    }
    /// Whose numbers [`Error::code`] is of, as [`Error::with_code`] has set it; `None` without a code, and where a
    /// driver has set the number alone.
    pub fn code_space(&self) -> Option<&str> {
        self.code().and_then(|_| self.fact("code_space"))
    }
    /// The first fact of that name.
    fn fact(&self, name: &str) -> Option<&str> {
        self.context().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
    /// Whether the same attempt fails again, whenever it is made: its [`Error::retry`] is [`Retry::Never`].
    pub fn is_fatal(&self) -> bool {
        self.retry() == Retry::Never
    }
    /// The facts, in the order they were added.
    pub fn context(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.detail.context.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(crate) fn into_raw(self) -> RawError {
        let detail = serde_json::to_vec(&self.0.detail).unwrap_or_default();
        RawError {
            kind: self.0.kind as u32,
            origin: self.0.origin as u32,
            retry: self.0.retry as u32,
            reserved: 0,
            detail: RawBuf::new(detail.into()),
        }
    }

    pub(crate) fn from_raw(raw: RawError) -> Self {
        let RawError { kind, origin, retry, detail, .. } = raw;
        let detail = serde_json::from_slice(detail.as_ref()).unwrap_or_else(|_| Detail {
            message: "the other side of the plugin boundary sent an unreadable error".to_owned(),
            context: Vec::new(),
        });
        Error(Box::new(Inner {
            kind: ErrorKind::from_u32(kind),
            origin: Origin::from_u32(origin),
            retry: Retry::from_u32(retry),
            detail,
            source: None,
        }))
    }

    /// As an `io::Error` whose source is this error, so that [`Error::from`] gives it back whole.
    pub fn into_io(self) -> std::io::Error {
        use std::io::ErrorKind as Io;
        let kind = match self.kind() {
            ErrorKind::TimedOut => Io::TimedOut,
            ErrorKind::Closed => Io::ConnectionReset,
            ErrorKind::Unreachable => Io::ConnectionRefused,
            ErrorKind::Config => Io::InvalidInput,
            ErrorKind::Protocol => Io::InvalidData,
            ErrorKind::InUse => Io::AddrInUse,
            ErrorKind::NotFound => Io::NotFound,
            ErrorKind::Unsupported => Io::Unsupported,
            _ => Io::Other,
        };
        std::io::Error::new(kind, self)
    }
}

/// As a table for programs: `kind`, `origin`, `retry`, `code` and `code_space` if there are, `message`, and `context`
/// as a list of names and values.
impl Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (code, space) = (self.code(), self.code_space());
        let fields = 5 + usize::from(code.is_some()) + usize::from(space.is_some());
        let mut table = serializer.serialize_struct("Error", fields)?;
        table.serialize_field("kind", self.kind().as_str())?;
        table.serialize_field("origin", self.origin().as_str())?;
        table.serialize_field("retry", self.retry().as_str())?;
        if let Some(code) = code {
            table.serialize_field("code", &code)?;
        }
        if let Some(space) = space {
            table.serialize_field("code_space", space)?;
        }
        table.serialize_field("message", self.message())?;
        table.serialize_field("context", &self.0.detail.context)?;
        table.end()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        if !self.0.detail.context.is_empty() {
            f.write_str(" [")?;
            for (index, (key, value)) in self.context().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(f, "{comma}{key}={value}")?;
            }
            f.write_str("]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, retry {}): {self}", self.kind(), self.origin(), self.retry())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

/// As [`Error::into_io`].
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        error.into_io()
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let error = match error.downcast::<Error>() {
            Ok(ours) => return ours,
            Err(error) => error,
        };
        let kind = match error.kind() {
            Io::TimedOut => ErrorKind::TimedOut,
            Io::ConnectionRefused | Io::HostUnreachable | Io::NetworkUnreachable => {
                ErrorKind::Unreachable
            }
            Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof => {
                ErrorKind::Closed
            }
            Io::AddrInUse => ErrorKind::InUse,
            Io::NotFound => ErrorKind::NotFound,
            Io::InvalidData => ErrorKind::Protocol,
            Io::InvalidInput => ErrorKind::Config,
            Io::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Io,
        };
        Error::new(kind, error.to_string())
    }
}

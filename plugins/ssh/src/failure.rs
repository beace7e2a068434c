//! [`Failure`]: an error inside the protocol's task, and how those of the protocol crate read here.

use jackfield_plugin_api::{Error, ErrorKind, Origin};
use russh::ChannelOpenFailure;
use std::io;

/// What ends the protocol's task.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The protocol's own.
    Ssh(russh::Error),
    /// One of ours, e.g. a host key that is not trusted.
    Ours(Error),
}

impl From<russh::Error> for Failure {
    fn from(error: russh::Error) -> Self {
        Failure::Ssh(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Ours(error) => error,
            Failure::Ssh(error) => of_ssh(error),
        }
    }
}

/// An error of the protocol crate as one of ours.
pub(crate) fn of_ssh(error: russh::Error) -> Error {
    use russh::Error as Ssh;
    match error {
        Ssh::IO(error) if error.kind() == io::ErrorKind::UnexpectedEof => lost(),
        Ssh::IO(error) => Error::from(error),
        Ssh::HUP | Ssh::Disconnect | Ssh::SendError | Ssh::RecvError => lost(),
        Ssh::KeepaliveTimeout => {
            Error::new(ErrorKind::Closed, "the server no longer answers keepalives")
        }
        Ssh::ChannelOpenFailure(reason) => of_open(&reason),
        Ssh::RequestDenied => Error::new(ErrorKind::Refused, "the server refused the request"),
        Ssh::NoCommonAlgo { kind, ours, theirs } => {
            Error::new(ErrorKind::Protocol, format!("no {kind:?} algorithm in common"))
                .with("ours", ours.join(","))
                .with("theirs", theirs.join(","))
        }
        Ssh::Version => {
            Error::new(ErrorKind::Protocol, "the peer does not greet as an SSH 2 server")
        }
        Ssh::Join(_) => Error::new(ErrorKind::Panicked, "the protocol's task panicked"),
        other => Error::new(ErrorKind::Protocol, other.to_string()).with_origin(Origin::Upstream),
    }
}

/// The connection ended without a reason given.
pub(crate) fn lost() -> Error {
    Error::new(ErrorKind::Closed, "the server closed the connection")
}

/// A peer's text for one line of ours.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(200).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn of_open(reason: &ChannelOpenFailure) -> Error {
    use ChannelOpenFailure as Reason;
    let (kind, message) = match reason {
        Reason::AdministrativelyProhibited => {
            (ErrorKind::Refused, "the server forbids this channel")
        }
        Reason::ConnectFailed => {
            (ErrorKind::Unreachable, "the server could not connect to the channel's destination")
        }
        Reason::UnknownChannelType => {
            (ErrorKind::Unsupported, "the server does not know this type of channel")
        }
        Reason::ResourceShortage => (ErrorKind::Limit, "the server opens no more channels"),
        _ => (ErrorKind::Refused, "the server refused the channel"),
    };
    Error::new(kind, message).with_origin(Origin::Upstream).with("reason", format!("{reason:?}"))
}

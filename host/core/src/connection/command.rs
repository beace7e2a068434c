//! [`ConnectionCommand`]: what a handle of a connection tells the task that runs it, as commands to an actor: drain,
//! close, abort. Only the strongest command counts.

use crate::events::Cause;
use std::fmt;
use std::time::Duration;

/// What the task that runs a connection is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionCommand {
    /// Go on: nothing was commanded.
    Run,
    /// The session numbered so is lost, as a call has found out.
    Lost(u64, Cause),
    /// Take nothing new, finish what runs within that time, and end.
    Drain(Duration),
    /// End politely.
    Close {
        /// The protocol's own code.
        code: u64,
        /// Why.
        reason: String,
    },
    /// End at once, for this reason.
    Abort(String),
}

impl ConnectionCommand {
    /// Whether the connection is to end in whatever way.
    pub(super) fn ends(&self) -> bool {
        !matches!(self, ConnectionCommand::Run | ConnectionCommand::Lost(..))
    }

    /// Whether `next` is stronger: only then does it replace this command.
    pub(super) fn gives_way_to(&self, next: &ConnectionCommand) -> bool {
        match self {
            ConnectionCommand::Run | ConnectionCommand::Lost(..) => true,
            ConnectionCommand::Drain(_) => {
                matches!(next, ConnectionCommand::Close { .. } | ConnectionCommand::Abort(_))
            }
            ConnectionCommand::Close { .. } => matches!(next, ConnectionCommand::Abort(_)),
            ConnectionCommand::Abort(_) => false,
        }
    }

    pub(super) fn reason(&self) -> String {
        match self {
            ConnectionCommand::Close { reason, .. } | ConnectionCommand::Abort(reason) => {
                reason.clone()
            }
            ConnectionCommand::Drain(_) => "drained before it was connected".to_owned(),
            ConnectionCommand::Run | ConnectionCommand::Lost(..) => String::new(),
        }
    }
}

impl fmt::Display for ConnectionCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionCommand::Close { reason, .. } | ConnectionCommand::Abort(reason) => {
                f.write_str(reason)
            }
            ConnectionCommand::Drain(_) => f.write_str("drain"),
            ConnectionCommand::Run | ConnectionCommand::Lost(..) => f.write_str("go on"),
        }
    }
}

//! [`Wish`]: what the owner of a connection wants of the task behind it.

use crate::events::Cause;
use std::fmt;
use std::time::Duration;

/// What the task behind a connection is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// Nothing.
    GoOn,
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

impl Wish {
    /// Whether the connection is to end in whatever way.
    pub(super) fn ends(&self) -> bool {
        !matches!(self, Wish::GoOn | Wish::Lost(..))
    }

    /// A later wish counts only if it is stronger than the one before.
    pub(super) fn gives_way_to(&self, next: &Wish) -> bool {
        match self {
            Wish::GoOn | Wish::Lost(..) => true,
            Wish::Drain(_) => matches!(next, Wish::Close { .. } | Wish::Abort(_)),
            Wish::Close { .. } => matches!(next, Wish::Abort(_)),
            Wish::Abort(_) => false,
        }
    }

    pub(super) fn reason(&self) -> String {
        match self {
            Wish::Close { reason, .. } | Wish::Abort(reason) => reason.clone(),
            Wish::Drain(_) => "drained before it was connected".to_owned(),
            Wish::GoOn | Wish::Lost(..) => String::new(),
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wish::Close { reason, .. } | Wish::Abort(reason) => f.write_str(reason),
            Wish::Drain(_) => f.write_str("drain"),
            Wish::GoOn | Wish::Lost(..) => f.write_str("go on"),
        }
    }
}

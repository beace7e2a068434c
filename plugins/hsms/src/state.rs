//! [`State`]: what there is of a connection.

use crate::communication::Communication;
use crate::header::ALL_SESSIONS;
use crate::peers::Place;
use crate::transactions::Transactions;
use crate::users::Users;
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Result, Retry};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How a connection ends.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// By a Separate of either side, or, where there is none such, by the end of the line between messages.
    Polite(&'static str),
    /// By anything else.
    Failed(Error),
}

/// How a session of HSMS ends politely.
pub(crate) const SEPARATED: End = End::Polite("the session was ended by a Separate.req");
/// How one of SECS-I does.
pub(crate) const ENDED: End = End::Polite("the connection was ended");

impl End {
    pub(crate) fn error(&self) -> Error {
        match self {
            End::Polite(text) => Error::new(ErrorKind::Closed, *text).with_retry(Retry::Now),
            End::Failed(error) => error.clone(),
        }
    }
}

/// What there is of a connection.
#[derive(Default)]
pub(crate) struct State {
    /// The sessions; in `single` mode [`ALL_SESSIONS`] alone stands for the only one.
    pub(crate) selected: BTreeSet<u16>,
    /// When T7 ends; while nothing is selected.
    pub(crate) t7: Option<Duration>,
    /// Whether a session was selected once more, because the peer did not know of the first time.
    pub(crate) is_selected_again: bool,
    pub(crate) end: Option<End>,
    pub(crate) out: Outbox,
    pub(crate) open: Transactions,
    pub(crate) users: Users,
    pub(crate) place: Option<Place>,
    /// Whether both applications have agreed to talk (GEM).
    pub(crate) communication: Communication,
    /// When the next linktest is due.
    pub(crate) linktest: Option<Duration>,
    /// What the keeper sleeps until.
    pub(crate) alarm: Option<Duration>,
    /// Whether nothing is read, because somebody does not take what has come.
    pub(crate) stalled: bool,
    /// What has happened at a line of SECS-I.
    pub(crate) blocks: Blocks,
}

/// Blocks of a line, ever.
#[derive(Clone, Copy, Default)]
pub(crate) struct Blocks {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Those of ours that had to be sent again.
    pub(crate) retried: u64,
    /// Those of the peer that were answered by NAK.
    pub(crate) refused: u64,
}

/// What waits to be sent.
#[derive(Default)]
pub(crate) struct Outbox {
    /// Goes first.
    pub(crate) control: VecDeque<Bytes>,
    pub(crate) data: VecDeque<Waiting>,
    /// Of `data`, and of what is being written of it.
    pub(crate) bytes: usize,
    /// Messages of `data`, ever, and those of them that were sent.
    pub(crate) queued: u64,
    pub(crate) sent: u64,
    /// Of these the last that did not arrive, for those who wait for them.
    lost: BTreeMap<u64, Error>,
    /// How the connection ends once all was sent, and until when that may take.
    pub(crate) closing: Option<(End, Duration)>,
}

/// A message that waits to be sent.
pub(crate) struct Waiting {
    /// With its length, as HSMS has it.
    pub(crate) frame: Bytes,
    /// How long its answer may take, where it asks for one.
    pub(crate) t3: Option<Duration>,
}

/// Messages that did not arrive, of which each is remembered for who waits for it.
const LOST: usize = 64;

impl Outbox {
    /// Whether the message that has left under that number has arrived, as far as we know.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn has_arrived(&mut self, number: u64) -> Result<()> {
        self.lost.remove(&number).map_or(Ok(()), Err)
    }

    /// The message that left last has left for nothing.
    pub(crate) fn lose(&mut self, error: Error) {
        self.lost.insert(self.sent, error);
        if self.lost.len() > LOST {
            self.lost.pop_first();
        }
    }
}

impl State {
    pub(crate) fn is_selected(&self, session: u16) -> bool {
        self.selected.contains(&ALL_SESSIONS) || self.selected.contains(&session)
    }

    /// Why nothing can be sent, if that is so.
    pub(crate) fn closed(&self) -> Option<Error> {
        let closing = self.out.closing.as_ref().map(|(end, _)| end);
        self.end.as_ref().or(closing).map(End::error)
    }
}

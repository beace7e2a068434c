//! The states of a connection and the steps between them.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU8, Ordering};
use std::fmt;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU8, Ordering};

/// Where a connection is in its life.
///
/// ```text
/// disconnected ─▶ connecting ─▶ connected ─▶ draining ─▶ closed
///                     │            │  ▲          │
///                     │            ▼  │          │
///                     ├──────▶ reconnecting      │
///                     ▼            │             │
///                   error ◀────────┴─────────────┘
/// ```
///
/// `connected` is reached only on evidence from the peer: an accepted connection or a finished
/// handshake. From `connecting` to `reconnecting` it goes when the first attempt has failed and the
/// policy's `initial` says to go on. `closed` and `error` are final. Every state but the final ones may
/// become `closed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    /// Defined, not yet tried.
    Disconnected = 0,
    /// Being opened, layer by layer.
    Connecting = 1,
    /// The peer has shown that it is there.
    Connected = 2,
    /// Lost, and being opened again.
    Reconnecting = 3,
    /// Finishing what runs; nothing new.
    Draining = 4,
    /// Ended on request: by a program, the peer's polite close or a limit.
    Closed = 5,
    /// Ended by a failure.
    Error = 6,
}

/// All states, in the order of their numbers.
pub const STATES: [State; 7] = [
    State::Disconnected,
    State::Connecting,
    State::Connected,
    State::Reconnecting,
    State::Draining,
    State::Closed,
    State::Error,
];

impl State {
    /// Whether a connection may step from here to `next`.
    pub const fn may_become(self, next: State) -> bool {
        use State::{Closed, Connected, Connecting, Disconnected, Draining, Error, Reconnecting};
        matches!(
            (self, next),
            (Disconnected, Connecting | Closed)
                | (Connecting, Connected | Reconnecting | Closed | Error)
                | (Connected, Reconnecting | Draining | Closed | Error)
                | (Reconnecting, Connected | Closed | Error)
                | (Draining, Closed | Error)
        )
    }

    /// The word used in logs, JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Disconnected => "disconnected",
            State::Connecting => "connecting",
            State::Connected => "connected",
            State::Reconnecting => "reconnecting",
            State::Draining => "draining",
            State::Closed => "closed",
            State::Error => "error",
        }
    }

    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(self, State::Closed | State::Error)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A step that the states do not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IllegalStep {
    /// Where it is.
    pub from: State,
    /// Where it was to go.
    pub to: State,
}

impl fmt::Display for IllegalStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a connection cannot step from {} to {}", self.from, self.to)
    }
}

impl std::error::Error for IllegalStep {}

/// A state that changes only by legal steps, from any thread.
#[derive(Debug)]
pub struct StateCell(AtomicU8);

impl StateCell {
    /// Starts in `state`.
    pub fn new(state: State) -> Self {
        StateCell(AtomicU8::new(state as u8))
    }

    /// The state now.
    pub fn get(&self) -> State {
        STATES[usize::from(self.0.load(Ordering::Acquire)).min(STATES.len() - 1)]
    }

    /// Steps to `next`, and returns the state before.
    ///
    /// # Errors
    /// [`IllegalStep`], and the state stays.
    pub fn step(&self, next: State) -> Result<State, IllegalStep> {
        let mut from = self.get();
        loop {
            if !from.may_become(next) {
                return Err(IllegalStep { from, to: next });
            }
            let swapped = self.0.compare_exchange(
                from as u8,
                next as u8,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match swapped {
                Ok(_) => return Ok(from),
                Err(_) => from = self.get(),
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The steps of the drawing, written down once more: from each state in the order of [`STATES`].
    #[rustfmt::skip]
    const DRAWN: [(State, &[State]); 7] = [
        (State::Disconnected, &[State::Connecting, State::Closed]),
        (State::Connecting, &[State::Connected, State::Reconnecting, State::Closed, State::Error]),
        (State::Connected, &[State::Reconnecting, State::Draining, State::Closed, State::Error]),
        (State::Reconnecting, &[State::Connected, State::Closed, State::Error]),
        (State::Draining, &[State::Closed, State::Error]),
        (State::Closed, &[]),
        (State::Error, &[]),
    ];

    #[test]
    fn only_the_drawn_steps_are_legal() {
        for (from, legal) in DRAWN {
            for to in STATES {
                let cell = StateCell::new(from);
                let (expected, after) = if legal.contains(&to) {
                    (Ok(from), to)
                } else {
                    // An illegal step changes nothing.
                    (Err(IllegalStep { from, to }), from)
                };
                assert_eq!((cell.step(to), cell.get()), (expected, after), "{from} to {to}");
            }
        }
        assert_eq!(DRAWN.map(|(from, _)| from), STATES);
    }
}

//! [`History`]: the last state changes of a life, who decided them, and what it waits
//! for.

use super::state::State;
use jackfield_plugin_api::{Error, Info};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use tokio::time::Instant;

/// Steps kept.
const STEPS: usize = 16;

/// What decided a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decider {
    /// A program asked for it: connect, close, drain, abort.
    Call,
    /// The peer, whose session was accepted.
    Peer,
    /// The target, by what opening it gave.
    Target,
    /// The session, which ended or failed.
    Session,
    /// The keepalive, which got no answers.
    Keepalive,
    /// The idle timeout, to which no subscriber objected.
    IdleTimeout,
    /// The reconnect policy, which allows no further attempt.
    Reconnect,
    /// The deadline of a drain.
    DrainDeadline,
    /// A limit.
    Limit,
    /// The owner, who dropped it.
    Owner,
}

impl fmt::Display for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Decider::Call => "call",
            Decider::Peer => "peer",
            Decider::Target => "target",
            Decider::Session => "session",
            Decider::Keepalive => "keepalive",
            Decider::IdleTimeout => "idle_timeout",
            Decider::Reconnect => "reconnect",
            Decider::DrainDeadline => "drain_deadline",
            Decider::Limit => "limit",
            Decider::Owner => "owner",
        })
    }
}

/// A change of state, kept for finding out why.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Transition {
    /// Milliseconds since the life began.
    pub at_ms: u64,
    /// The state stepped to.
    pub to: &'static str,
    /// What decided.
    pub by: Decider,
    /// Its words.
    pub because: String,
}

#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) steps: VecDeque<Transition>,
    pub(super) cause: Option<Error>,
    /// Facts of the last session.
    pub(super) info: Option<Info>,
    /// Milliseconds of life.
    pub(super) established: Option<u64>,
    pub(super) closed: Option<u64>,
    /// Timers that run, by the rule they belong to.
    pub(super) timers: BTreeMap<&'static str, Instant>,
}

impl History {
    pub(super) fn step(&mut self, at_ms: u64, to: State, by: Decider, because: &str) {
        self.steps.push_back(Transition {
            at_ms,
            to: to.as_str(),
            by,
            because: because.to_owned(),
        });
        if self.steps.len() > STEPS {
            self.steps.pop_front();
        }
        match to {
            State::Connected => self.established = Some(at_ms),
            State::Closed | State::Error => self.closed = Some(at_ms),
            _ => {}
        }
        if to != State::Connected {
            self.timers.clear();
        }
    }

    pub(super) fn timer(&mut self, rule: &'static str, at: Option<Instant>) {
        match at {
            Some(at) => drop(self.timers.insert(rule, at)),
            None => drop(self.timers.remove(rule)),
        }
    }
}

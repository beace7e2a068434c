//! [`Diagnosis`]: why a connection is as it is: which timer, target or rule decided, what it waits
//! for, and what looks wrong.

use super::info::{ConnectionInfo, millis};
use super::live::Live;
use super::record::Transition;
use serde::Serialize;
use std::fmt;
use tokio::time::Instant;

/// A rule that looks for one trouble.
#[derive(Clone, Copy, Debug)]
pub struct DiagnosisRule {
    /// Its name.
    pub name: &'static str,
    /// What is wrong, if it is.
    pub check: fn(&ConnectionInfo) -> Option<String>,
    /// What can be done.
    pub advice: &'static str,
}

/// The rules that every diagnosis goes through.
pub const RULES: &[DiagnosisRule] = &[
    DiagnosisRule {
        name: "not_connected",
        check: |info| (!info.flags.is_connected).then(|| format!("it is {}", info.state)),
        advice: "look at the last step and the last error",
    },
    DiagnosisRule {
        name: "unhealthy",
        check: |info| {
            let ill = info.flags.is_connected && !info.flags.is_healthy;
            ill.then(|| "the peer did not answer the last check".to_owned())
        },
        advice: "the peer may hang, or the network to it has failed silently",
    },
    DiagnosisRule {
        name: "many_errors",
        check: |info| (info.errors > 10).then(|| format!("{} errors", info.errors)),
        advice: "the last error says what fails",
    },
    DiagnosisRule {
        name: "long_idle",
        check: |info| {
            let idle = info.flags.is_connected && info.idle_ms > 300_000;
            idle.then(|| format!("nothing has passed for {} s", info.idle_ms / 1000))
        },
        advice: "set idle_timeout if it is not meant to stay open",
    },
    DiagnosisRule {
        name: "no_answer",
        check: |info| {
            let deaf = info.bytes_out > 1000 && info.bytes_in == 0;
            deaf.then(|| format!("{} bytes were sent and none received", info.bytes_out))
        },
        advice: "the peer may speak another protocol, or its answers are not read",
    },
    DiagnosisRule {
        name: "slow_peer",
        check: |info| {
            let slow = info.round_trip_ms.filter(|time| *time > 1000.0);
            slow.map(|time| format!("a round trip took {time:.0} ms"))
        },
        advice: "the network to the peer, or the peer, is overloaded",
    },
    DiagnosisRule {
        name: "full_queue",
        check: |info| {
            let (posts, bytes) = (info.buffered_posts, info.buffered_bytes);
            info.flags.is_full.then(|| format!("{posts} posts of {bytes} bytes wait to be sent"))
        },
        advice: "the peer reads too slowly; post less, or raise post_queue and post_bytes",
    },
    DiagnosisRule {
        name: "keeps_being_lost",
        check: |info| (info.reconnects > 5).then(|| format!("opened again {}×", info.reconnects)),
        advice: "the peer, or something in the network, ends its sessions",
    },
];

/// What a rule has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// What is wrong.
    pub what: String,
    /// What can be done.
    pub advice: &'static str,
}

/// A timer that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Timer {
    /// The rule it belongs to: `keepalive`, `idle_timeout`, `reconnect`.
    pub rule: &'static str,
    /// Milliseconds until it is due.
    pub in_ms: u64,
}

/// A report on one connection. `Display` is for people, some lines long.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// Everything about it.
    pub info: ConnectionInfo,
    /// What decided the state it is in; `None` before its first step.
    pub decided: Option<Transition>,
    /// What it waits for.
    pub timers: Vec<Timer>,
    /// What looks wrong.
    pub findings: Vec<Finding>,
    /// The last changes of state, oldest first.
    pub steps: Vec<Transition>,
}

impl Live {
    /// Why it is as it is, by [`RULES`].
    pub fn diagnose(&self) -> Diagnosis {
        self.diagnose_by(RULES)
    }

    /// As [`Live::diagnose`], by rules of one's own.
    pub fn diagnose_by(&self, rules: &[DiagnosisRule]) -> Diagnosis {
        let info = self.info();
        let steps = self.steps();
        let now = Instant::now();
        let timers = self.record().timers.clone();
        let timer = |(rule, at): (&'static str, Instant)| Timer {
            rule,
            in_ms: millis(at.saturating_duration_since(now)),
        };
        let finding = |rule: &DiagnosisRule| {
            let what = (rule.check)(&info)?;
            Some(Finding { rule: rule.name, what, advice: rule.advice })
        };
        Diagnosis {
            decided: steps.last().cloned(),
            timers: timers.into_iter().map(timer).collect(),
            findings: rules.iter().filter_map(finding).collect(),
            steps,
            info,
        }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = &self.info;
        write!(f, "{} (id {}, {}): {}", info.name, info.id, info.uri, info.state)?;
        if let Some(step) = &self.decided {
            write!(f, ", decided by {}: {}", step.by, step.because)?;
        }
        writeln!(f)?;
        if let Some(error) = &info.last_error {
            writeln!(f, "last error: {error}")?;
        }
        for timer in &self.timers {
            writeln!(f, "waits: {} in {} ms", timer.rule, timer.in_ms)?;
        }
        for finding in &self.findings {
            writeln!(f, "{}: {}; {}", finding.rule, finding.what, finding.advice)?;
        }
        for step in &self.steps {
            writeln!(f, "at {} ms {}: {} ({})", step.at_ms, step.to, step.because, step.by)?;
        }
        Ok(())
    }
}

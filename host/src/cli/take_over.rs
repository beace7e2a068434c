//! A new process of the host: takes over from the one that has started it ([`super::upgrade`] is that one's side).

use super::failure::{Failure, Outcome};
use crate::handover::{Handover, HandoverChannel, HandoverMessage, HandoverName};
use std::time::Duration;

/// The flag by which a new process knows that it takes over.
pub(super) const FLAG: &str = "--take-over";

/// How long the process before this one may take for its next word.
const WORD: Duration = Duration::from_secs(10);

/// The way to the process before this one.
#[derive(Debug)]
pub(super) struct TakeOver {
    channel: HandoverChannel,
}

impl TakeOver {
    /// Receives what that one hands over.
    pub(super) fn begin(handover: &Handover) -> Outcome<Self> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::run(format!(
                "{FLAG}: expected sockets from a process of the host on standard input: {error}"
            ))
        };
        let channel = HandoverChannel::of_stdin().map_err(|error| failed(&error))?;
        loop {
            let received = channel.receive(WORD).map_err(|error| failed(&error))?;
            let Some((HandoverMessage::Sockets { names, more }, fds)) = received else {
                return Err(failed(&"it has ended, or said something else"));
            };
            if names.len() != fds.len() {
                return Err(failed(&"some have not come"));
            }
            names.into_iter().zip(fds).for_each(|(name, fd)| handover.receive(name, fd));
            if !more {
                return Ok(TakeOver { channel });
            }
        }
    }

    /// Says that this process accepts, closes what nothing has asked for, and waits until the one before has let go.
    /// Blocks for some seconds at most.
    pub(super) fn ready(&self, handover: &Handover) {
        for name in handover.close_rest() {
            // The state folder and the admin socket are what the configuration says as well.
            let name = name.to_string();
            tracing::info!(
                name,
                "not taken over, because nothing in the configuration has it: closed"
            );
        }
        let taken = handover.taken();
        let sockets = taken.iter().filter(|name| !matches!(name, HandoverName::State(_))).count();
        let said = self.channel.send(&HandoverMessage::Ready { taken }, &[], WORD);
        let answer = said.and_then(|()| self.channel.receive(WORD));
        match answer {
            Ok(Some((HandoverMessage::Go, _))) => tracing::info!(sockets, "taken over"),
            other => {
                tracing::warn!(answer = ?other, "the process before this one has not let go: it has ended, or will");
            }
        }
        handover.own_files();
    }

    /// Says why this process ends.
    pub(super) fn failed(&self, failure: &Failure) {
        // It sees the end of this process in any case.
        let _ = self.channel.send(&HandoverMessage::Failed(failure.text()), &[], WORD);
    }
}

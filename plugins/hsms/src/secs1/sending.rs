//! Our blocks on their way to the peer (SEMI E4 §7.8.2, §9.3).

use super::block::{ACK, BlockHeader, ENQ, EOT, NAK, TEXT};
use super::line::Line;
use crate::communication::{self, Phase};
use crate::header::{HEADER, Header, LENGTH};
use crate::link::{End, Waiting};
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Level};
use serde_json::json;
use std::time::Duration;

/// A message that is being sent.
pub(super) struct Sending {
    header: Header,
    /// What is left of it.
    rest: Bytes,
    /// The number of the block that `rest` begins with.
    number: u16,
    /// How often that one was tried in vain.
    tries: u8,
    /// Bytes that it has in the queue.
    bytes: usize,
    t3: Option<Duration>,
}

impl Sending {
    fn of(waiting: Waiting) -> Option<Self> {
        let Waiting { mut frame, t3 } = waiting;
        let bytes = frame.len();
        let header = Header::of(*frame.get(LENGTH..)?.first_chunk::<HEADER>()?);
        let rest = frame.split_off(LENGTH + HEADER);
        Some(Sending { header, rest, number: 1, tries: 0, bytes, t3 })
    }

    fn block(&self, equipment: bool) -> Bytes {
        let end = self.rest.len() <= TEXT;
        BlockHeader::new(self.header, equipment, self.number, end).write(&self.rest)
    }

    /// Goes on to the next block; `false` if there is none.
    fn next(&mut self) -> bool {
        if self.rest.len() <= TEXT {
            return false;
        }
        self.rest = self.rest.slice(TEXT..);
        (self.number, self.tries) = (self.number + 1, 0);
        true
    }
}

impl Line<'_> {
    /// Whether there is something to send.
    pub(super) fn next_to_send(&mut self) -> bool {
        if self.sending.is_none() {
            let waiting = self.link.state().out.data.pop_front();
            self.sending = waiting.and_then(Sending::of);
        }
        self.sending.is_some()
    }

    /// Tries to send one block, once.
    pub(super) async fn send(&mut self) -> Result<(), End> {
        self.busy = true;
        self.say(&[ENQ]).await?;
        let t2 = self.times.t2;
        let until = self.link.host.now() + t2;
        let may = loop {
            match self.byte(until).await? {
                Some(EOT) => break true,
                Some(ENQ) if !self.is_master() => return self.give_way().await,
                // E4 §7.5: whatever else it is, it is no answer.
                Some(_) => {}
                None => break false,
            }
        };
        let said = if may {
            self.say_block().await?
        } else {
            Err(format!("no EOT came within {t2:?} (T2)"))
        };
        self.busy = false;
        match said {
            Ok(()) => self.has_arrived(),
            Err(why) => self.in_vain(&why),
        }
        Ok(())
    }

    /// The peer waits for the block. Gives what is wrong, if it does not take it.
    async fn say_block(&mut self) -> Result<Result<(), String>, End> {
        let equipment = self.link.endpoint.equipment;
        let Some(block) = self.sending.as_ref().map(|it| it.block(equipment)) else {
            return Ok(Ok(()));
        };
        // Before its last byte nothing can be an answer to it.
        self.forget().await?;
        self.say(&block).await?;
        let t2 = self.times.t2;
        let until = self.link.host.now() + t2;
        Ok(match self.byte(until).await? {
            Some(ACK) => Ok(()),
            Some(NAK) => Err("the peer refused it (NAK)".to_owned()),
            Some(other) => Err(format!("{other:#04x} came instead of ACK")),
            None => Err(format!("no ACK came within {t2:?} (T2)")),
        })
    }

    /// Both have asked at once, and the peer is the master.
    async fn give_way(&mut self) -> Result<(), End> {
        if self.held.is_some() {
            (self.asked, self.busy) = (true, false);
            return Ok(());
        }
        self.receive().await
    }

    fn has_arrived(&mut self) {
        let mut state = self.link.state();
        state.blocks.sent += 1;
        if self.sending.as_mut().is_some_and(Sending::next) {
            return;
        }
        let Some(done) = self.sending.take() else { return };
        if let Some(t3) = done.t3 {
            let deadline = self.link.host.now() + t3;
            state.open.ours.rearm(done.header, deadline);
            self.link.due(&state, deadline);
        }
        self.link.sent(&mut state, 1, done.bytes);
    }

    /// A block was not taken. It is sent again, up to RTY times.
    fn in_vain(&mut self, why: &str) {
        if let Some(sending) = self.sending.as_mut().filter(|it| it.tries < self.times.rty) {
            sending.tries += 1;
            self.link.state().blocks.retried += 1;
        } else if let Some(lost) = self.sending.take() {
            self.lose(&lost, why);
        }
    }

    /// Gives a message up, and goes on with the next one.
    fn lose(&self, lost: &Sending, why: &str) {
        let Sending { header, number, tries, bytes, .. } = *lost;
        let times = u32::from(tries) + 1;
        let text = format!(
            "{} was not sent: {why}; block {number} was tried {times} times (RTY {tries})",
            header.title()
        );
        self.link.log(Level::Warn, &text);
        let mut facts = header.facts();
        facts["why"] = json!(why);
        self.link.news.tell("send_failed", facts);
        let error = Error::new(ErrorKind::TimedOut, text);
        let mut state = self.link.state();
        if let Some(open) = header.waits().then(|| state.open.ours.refused(header)).flatten() {
            self.link.unanswered(&mut state, open.who, error.clone());
        }
        if state.communication.phase == Phase::Communicating {
            // A message that does not arrive is a failure of communications (E30 §3.2).
            communication::lost(self.link, &mut state);
        }
        self.link.sent(&mut state, 1, bytes);
        state.out.lose(error);
    }
}

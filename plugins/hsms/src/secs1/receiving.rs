//! Blocks of the peer (SEMI E4 §7.8.4, §9.4).

use super::assembly::{Got, Taken};
use super::block::{self, ACK, BlockHeader, CHECKSUM, EOT, NAK};
use super::line::Line;
use crate::header::Header;
use crate::link::End;
use crate::stream9;
use bytes::Bytes;
use serde_json::json;

impl Line<'_> {
    /// Answers an ENQ, and takes the block that follows.
    pub(super) async fn receive(&mut self) -> Result<(), End> {
        self.busy = true;
        // The block comes after our EOT: what is there before it is noise, or the ENQ once more.
        self.forget().await?;
        self.say(&[EOT]).await?;
        let block = self.block().await?;
        self.say(&[if block.is_ok() { ACK } else { NAK }]).await?;
        self.busy = false;
        match block {
            Ok((header, text)) => {
                self.link.state().blocks.received += 1;
                self.take(header, text);
            }
            Err(why) => {
                self.link.state().blocks.refused += 1;
                self.link.news.tell("block_refused", json!({ "why": why }));
            }
        }
        self.offer()
    }

    /// The block, or what is wrong with it.
    async fn block(&mut self) -> Result<Result<(BlockHeader, Bytes), String>, End> {
        let (t1, t2) = (self.times.t1, self.times.t2);
        let until = self.link.host.now() + t2;
        let Some(byte) = self.byte(until).await? else {
            return Ok(Err(format!("no length came within {t2:?} (T2)")));
        };
        let Some(length) = block::length(byte) else {
            self.until_silent().await?;
            return Ok(Err(format!("a block says it has {byte} bytes; expected 10 to 254")));
        };
        let all = length + CHECKSUM;
        while self.buffer.len() < all {
            if !self.more(t1).await? {
                let came = self.buffer.len();
                self.buffer.clear();
                return Ok(Err(format!(
                    "nothing came for {t1:?} (T1) after {came} of {all} bytes behind a length"
                )));
            }
        }
        let block = block::read(self.buffer.split_to(all).freeze());
        if block.is_err() {
            self.until_silent().await?;
        }
        Ok(block)
    }

    /// A sender that may have more to say would not hear a NAK: waits for a pause of T1, T2 at most.
    async fn until_silent(&mut self) -> Result<(), End> {
        let until = self.link.host.now() + self.times.t2;
        self.buffer.clear();
        while self.link.host.now() < until && self.more(self.times.t1).await? {
            self.buffer.clear();
        }
        Ok(())
    }

    /// Takes a block that has come whole.
    fn take(&mut self, block: BlockHeader, text: Bytes) {
        let header = block.message();
        let link = self.link;
        if block.reverse == link.endpoint.equipment {
            let from = if block.reverse { "equipment" } else { "a host" };
            let why = format!("it is a block of {from}, as we are (R bit)");
            return self.drop_message(header, &why);
        }
        if !link.state().is_selected(header.session) {
            return self.of_another_device(block);
        }
        let Taken { got, dropped, too_long } = self.assembly.take(block, text, link.host.now());
        if !self.share.set(self.assembly.bytes()) {
            self.assembly.abandon(header);
            let _ = self.share.set(self.assembly.bytes());
            self.drop_message(header, "messages that have begun need more than `max_unfinished`");
        }
        if let Some((header, why)) = dropped {
            self.drop_message(header, &why);
            if too_long {
                let state = &mut link.state();
                stream9::tell_of(link, state, stream9::function::LENGTH, header, block.bytes());
            }
        }
        match got {
            Got::Nothing => {}
            Got::Part(header) => {
                // T3 ends with the first block of an answer; from there T4 counts, twice here, so that it is T4 that
                // is told.
                let mut state = link.state();
                if !header.is_primary() && state.open.ours.is_answered_by(header) {
                    let deadline = link.host.now() + self.times.t4 * 2;
                    state.open.ours.rearm(header, deadline);
                }
            }
            Got::Whole(header, body) => {
                link.note("peer", header, body.len());
                self.held = Some((header, body));
            }
        }
    }

    /// It is nobody's. Equipment says so (S9F1), once for each message.
    fn of_another_device(&self, block: BlockHeader) {
        let link = self.link;
        let header = block.message();
        self.drop_message(header, &format!("device {} is none of this line's", header.session));
        if block.is_first() {
            let state = &mut link.state();
            stream9::tell_of(link, state, stream9::function::DEVICE, header, block.bytes());
        }
    }

    /// Gives up messages whose T4 has ended.
    pub(super) fn give_up_late(&mut self) {
        let t4 = self.times.t4;
        while let Some((header, next)) = self.assembly.expired(self.link.host.now()) {
            let _ = self.share.set(self.assembly.bytes());
            self.drop_message(header, &format!("block {next} did not come within {t4:?} (T4)"));
        }
    }

    /// Tells that a message of the peer is given up: by an event, and whoever waits for it.
    fn drop_message(&self, header: Header, why: &str) {
        let mut facts = header.facts();
        facts["why"] = json!(why);
        self.link.news.tell("message_dropped", facts);
        // An answer that does not come whole is none.
        self.link.dropped(&mut self.link.state(), header, why);
    }
}

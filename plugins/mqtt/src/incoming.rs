//! [`Incoming`]: messages of the peer that have no answer yet, and its topic aliases.

use crate::decode::Wrong;
use crate::packet::Publication;
use crate::reason;
use std::collections::{HashMap, HashSet};

/// What came of the peer and is not done.
pub(crate) struct Incoming {
    /// The most of them (§4.9).
    most: usize,
    /// Messages of QoS 1 that were not taken.
    waiting: usize,
    /// Messages of QoS 1 and 2 that were not taken.
    untaken: usize,
    /// Messages of QoS 2 that were not released, and whether they were taken (§4.3.3).
    held: HashMap<u16, bool>,
    aliases: HashMap<u16, String>,
    alias_maximum: u16,
}

impl Incoming {
    pub(crate) fn new(most: u16, alias_maximum: u16) -> Self {
        Incoming {
            most: usize::from(most),
            waiting: 0,
            untaken: 0,
            held: HashMap::new(),
            aliases: HashMap::new(),
            alias_maximum,
        }
    }

    /// Puts the topic that `alias` stands for in the place of none, or notes what it stands for from here on
    /// (§3.3.2.3.4).
    pub(crate) fn alias(&mut self, topic: &mut String, alias: u16) -> Result<(), Wrong> {
        if alias == 0 || alias > self.alias_maximum {
            return Err(Wrong::new(reason::BAD_ALIAS, "a topic alias that was not agreed on"));
        }
        if !topic.is_empty() {
            self.aliases.insert(alias, topic.clone());
            return Ok(());
        }
        let known = self.aliases.get(&alias);
        let known = known.ok_or_else(|| Wrong::new(reason::BAD_ALIAS, "an unknown topic alias"))?;
        topic.clone_from(known);
        Ok(())
    }

    /// Whether this message of QoS 2 has come before and was not released.
    pub(crate) fn is_repeated(&self, publication: &Publication, id: u16) -> bool {
        publication.qos == 2 && self.held.contains_key(&id)
    }

    /// Whether a message of QoS 2 was taken.
    pub(crate) fn is_recorded(&self, id: u16) -> bool {
        self.held.get(&id).copied().unwrap_or_default()
    }

    /// Whether no more are to be read before one is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.untaken >= self.most
    }

    /// A message of QoS 1 or 2 has come. A client of version 5 is held to how many it may send; servers are not,
    /// because widely used ones send more: nothing more is read from them meanwhile.
    pub(crate) fn arrived(
        &mut self,
        publication: &Publication,
        id: u16,
        limited: bool,
    ) -> Result<(), Wrong> {
        if limited && self.waiting + self.held.len() >= self.most {
            let text = "more messages without an answer than agreed on";
            return Err(Wrong::new(reason::RECEIVE_MAXIMUM, text));
        }
        self.untaken += 1;
        match publication.qos {
            1 => self.waiting += 1,
            _ => {
                self.held.insert(id, false);
            }
        }
        Ok(())
    }

    /// It was taken, or refused.
    pub(crate) fn taken(&mut self, qos: u8, id: u16, code: u8) {
        self.untaken = self.untaken.saturating_sub(1);
        if qos == 1 {
            self.waiting = self.waiting.saturating_sub(1);
        } else if code >= reason::UNSPECIFIED {
            self.held.remove(&id);
        } else {
            self.held.insert(id, true);
        }
    }

    /// PUBREL has come; whether it belongs to something.
    pub(crate) fn release(&mut self, id: u16) -> bool {
        self.held.remove(&id).is_some()
    }

    /// What of it the session keeps: what was not taken comes again.
    pub(crate) fn held(&self) -> HashSet<u16> {
        self.held.iter().filter(|(_, taken)| **taken).map(|(id, _)| *id).collect()
    }

    pub(crate) fn resume(&mut self, held: HashSet<u16>) {
        self.held = held.into_iter().map(|id| (id, true)).collect();
    }
}

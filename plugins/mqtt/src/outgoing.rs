//! [`Outgoing`]: what was sent and has no answer yet, by its packet identifier (§2.2.1, §4.3).

use crate::decode::Wrong;
use crate::packet::{AckKind, Publication};
use crate::reason;
use jackfield_plugin_api::sync::oneshot;
use jackfield_plugin_api::{Error, Result};
use std::collections::HashMap;
use std::time::Duration;

/// Who waits for an answer.
pub(crate) type Waiter<T> = oneshot::Sender<Result<T>>;

/// Who is told of the last answer to a message.
pub(crate) enum Told {
    Nobody,
    /// Who called `publish`, for its code.
    Caller(Waiter<u8>),
    /// A broker that keeps the message under this number until it is answered.
    Keeper(u64),
}

impl Told {
    fn number(&self) -> Option<u64> {
        if let Told::Keeper(number) = self { Some(*number) } else { None }
    }
}

/// What is expected next for a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Puback,
    Pubrec,
    Pubcomp,
}

/// A message without its last answer.
struct Sent {
    stage: Stage,
    /// To send it again in a session that goes on; not kept for one that cannot.
    publication: Option<Publication>,
    order: u64,
    since: Duration,
    told: Told,
}

/// A SUBSCRIBE or UNSUBSCRIBE without its answer.
struct Asked {
    subscribes: bool,
    since: Duration,
    waiter: Waiter<Vec<u8>>,
}

/// A message that goes on in the next connection of the same session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfinished {
    pub(crate) id: u16,
    /// To be sent again; without one it waits for PUBCOMP.
    pub(crate) publication: Option<Publication>,
    /// What a broker keeps it under.
    pub(crate) number: Option<u64>,
}

/// All of them, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unanswered {
    pub(crate) messages: Vec<Unfinished>,
    /// The last packet identifier that was used.
    pub(crate) last_id: u16,
}

/// What is to be done about an answer.
pub(crate) enum Answered {
    /// PUBREL is next.
    Release { code: u8 },
    /// That was the last one, with its code.
    Done { topic: Option<String>, code: u8 },
    /// Of a message that we do not know, or a repeated one.
    Nothing,
}

/// Packets without an answer.
pub(crate) struct Outgoing {
    last_id: u16,
    order: u64,
    sent: HashMap<u16, Sent>,
    asked: HashMap<u16, Asked>,
    /// The most messages without an answer: ours, and the peer's receive maximum (§4.9).
    pub(crate) window: usize,
    aliases: HashMap<String, u16>,
    /// The most aliases that the peer takes of us.
    pub(crate) alias_maximum: u16,
    /// Numbers of messages that the peer has taken over, until their keeper asks.
    taken_over: Vec<u64>,
}

impl Outgoing {
    pub(crate) fn new(window: u16) -> Self {
        Outgoing {
            last_id: 0,
            order: 0,
            sent: HashMap::new(),
            asked: HashMap::new(),
            window: usize::from(window.max(1)),
            aliases: HashMap::new(),
            alias_maximum: 0,
            taken_over: Vec::new(),
        }
    }

    /// Whether the peer takes one more message that it has to answer.
    pub(crate) fn has_room(&self) -> bool {
        self.sent.len() < self.window
    }

    /// Whether all messages have their last answer.
    pub(crate) fn is_answered(&self) -> bool {
        self.sent.is_empty()
    }

    /// An identifier that nothing without an answer has.
    fn free_id(&mut self) -> Option<u16> {
        for _ in 0..u16::MAX {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.sent.contains_key(&self.last_id) && !self.asked.contains_key(&self.last_id) {
                return Some(self.last_id);
            }
        }
        None
    }

    /// Notes a message of QoS 1 or 2, for its identifier. `None` if there is no room.
    pub(crate) fn message(
        &mut self,
        publication: &Publication,
        keep: bool,
        now: Duration,
    ) -> Option<u16> {
        if !self.has_room() {
            return None;
        }
        let id = self.free_id()?;
        self.order += 1;
        let stage = if publication.qos == 1 { Stage::Puback } else { Stage::Pubrec };
        let kept = keep.then(|| publication.clone());
        let (order, told) = (self.order, Told::Nobody);
        self.sent.insert(id, Sent { stage, publication: kept, order, since: now, told });
        Some(id)
    }

    /// Who is to be told of the last answer to a message.
    pub(crate) fn tell(&mut self, id: u16, told: Told) {
        if let Some(sent) = self.sent.get_mut(&id) {
            sent.told = told;
        }
    }

    /// Numbers of messages that the peer has taken over since this was last asked.
    pub(crate) fn taken_over(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.taken_over)
    }

    /// The last packet identifier that was used.
    pub(crate) fn last_id(&self) -> u16 {
        self.last_id
    }

    /// Messages that the peer has not taken over yet, in their order.
    pub(crate) fn untaken(&self) -> Vec<(u64, Publication)> {
        let mut sent: Vec<&Sent> = self.sent.values().collect();
        sent.sort_unstable_by_key(|sent| sent.order);
        let untaken = sent.into_iter().filter_map(|sent| {
            let publication = sent.publication.clone()?;
            Some((sent.told.number()?, publication))
        });
        untaken.collect()
    }

    /// Forgets a message that could not be written.
    pub(crate) fn forget(&mut self, id: u16) {
        self.sent.remove(&id);
        self.asked.remove(&id);
    }

    /// Notes a SUBSCRIBE or UNSUBSCRIBE, for its identifier.
    pub(crate) fn ask(
        &mut self,
        subscribes: bool,
        now: Duration,
        waiter: Waiter<Vec<u8>>,
    ) -> Option<u16> {
        let id = self.free_id()?;
        self.asked.insert(id, Asked { subscribes, since: now, waiter });
        Some(id)
    }

    /// An answer to a message has come.
    pub(crate) fn answered(
        &mut self,
        kind: AckKind,
        id: u16,
        code: u8,
        now: Duration,
    ) -> Result<Answered, Wrong> {
        let Some(sent) = self.sent.get_mut(&id) else {
            // Who asks for the release of what we do not know gets it, so that it ends there too.
            let unknown = Answered::Release { code: reason::UNKNOWN_ID };
            return Ok(if kind == AckKind::Pubrec { unknown } else { Answered::Nothing });
        };
        match (kind, sent.stage) {
            (AckKind::Pubrec, Stage::Pubrec) if code < reason::UNSPECIFIED => {
                sent.stage = Stage::Pubcomp;
                sent.publication = None;
                sent.since = now;
                self.taken_over.extend(sent.told.number());
                Ok(Answered::Release { code: reason::SUCCESS })
            }
            (AckKind::Pubrec, Stage::Pubcomp) => Ok(Answered::Release { code: reason::SUCCESS }),
            (AckKind::Puback, Stage::Puback)
            | (AckKind::Pubrec, Stage::Pubrec)
            | (AckKind::Pubcomp, Stage::Pubcomp) => {
                let Some(sent) = self.sent.remove(&id) else { return Ok(Answered::Nothing) };
                // Of a message of QoS 2 that was told with its PUBREC.
                let untold = sent.stage != Stage::Pubcomp;
                let topic = sent.publication.map(|publication| publication.topic);
                match sent.told {
                    Told::Caller(waiter) => {
                        // Who asked may have gone.
                        let _ = waiter.send(Ok(code));
                        return Ok(Answered::Done { topic, code: reason::SUCCESS });
                    }
                    // A message that the peer refuses is not sent again either.
                    Told::Keeper(number) if untold => self.taken_over.push(number),
                    Told::Keeper(_) | Told::Nobody => {}
                }
                Ok(Answered::Done { topic, code })
            }
            _ => Err(Wrong::new(reason::PROTOCOL, "an answer that does not fit its message")),
        }
    }

    /// SUBACK or UNSUBACK has come.
    pub(crate) fn granted(
        &mut self,
        id: u16,
        subscribes: bool,
        codes: Vec<u8>,
    ) -> Result<(), Wrong> {
        match self.asked.remove(&id) {
            Some(asked) if asked.subscribes == subscribes => {
                let _ = asked.waiter.send(Ok(codes));
                Ok(())
            }
            Some(_) => {
                Err(Wrong::new(reason::PROTOCOL, "an answer that does not fit its question"))
            }
            None => Ok(()),
        }
    }

    /// The number that stands for a topic, and whether the peer knows it already. `None`: say the topic.
    pub(crate) fn alias(&mut self, topic: &str) -> Option<(u16, bool)> {
        if let Some(alias) = self.aliases.get(topic) {
            return Some((*alias, true));
        }
        // The first ones stay: topics that change all the time gain nothing.
        let next = u16::try_from(self.aliases.len() + 1).ok()?;
        if next > self.alias_maximum {
            return None;
        }
        self.aliases.insert(topic.to_owned(), next);
        Some((next, false))
    }

    /// When the oldest packet without an answer was sent.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        let sent = self.sent.values().map(|sent| sent.since).min();
        let asked = self.asked.values().map(|asked| asked.since).min();
        sent.into_iter().chain(asked).min()
    }

    /// Tells all who wait that no answer comes, and gives what goes on in the session's next connection.
    pub(crate) fn end(&mut self, error: &Error) -> Unanswered {
        for (_, asked) in self.asked.drain() {
            let _ = asked.waiter.send(Err(error.clone()));
        }
        let mut sent: Vec<(u16, Sent)> = self.sent.drain().collect();
        sent.sort_unstable_by_key(|(_, sent)| sent.order);
        let messages = sent.into_iter().filter_map(|(id, sent)| {
            let number = sent.told.number();
            if let Told::Caller(waiter) = sent.told {
                let _ = waiter.send(Err(error.clone()));
            }
            let goes_on = sent.stage == Stage::Pubcomp || sent.publication.is_some();
            goes_on.then_some(Unfinished { id, publication: sent.publication, number })
        });
        Unanswered { messages: messages.collect(), last_id: self.last_id }
    }

    /// Takes up what an earlier connection of the session has left, with what is to be sent again.
    pub(crate) fn resume(&mut self, left: Unanswered, now: Duration) -> Vec<Unfinished> {
        self.last_id = left.last_id;
        for Unfinished { id, publication, number } in &left.messages {
            self.order += 1;
            let stage = match publication {
                None => Stage::Pubcomp,
                Some(publication) if publication.qos == 1 => Stage::Puback,
                Some(_) => Stage::Pubrec,
            };
            let (order, publication) = (self.order, publication.clone());
            let told = number.map_or(Told::Nobody, Told::Keeper);
            self.sent.insert(*id, Sent { stage, publication, order, since: now, told });
        }
        left.messages
    }
}

//! Requests: sent, sent again, and answered.

use crate::endpoint::Credentials;
use crate::link::{Engine, Incoming, Link, Waiting};
use crate::message::{Community, Content, Scoped, flag, version};
use crate::options::Version;
use crate::pdu::{Kind, Pdu};
use crate::status;
use crate::usm::keys::User;
use crate::usm::seal::{self, Header, Report};
use jackfield_plugin_api::sync::{AcquireError, SemaphorePermit, oneshot};
use jackfield_plugin_api::{Error, ErrorKind, Result, Retry};
use std::collections::hash_map::Entry;
use std::time::Duration;

/// How often a request begins anew, because the peer's engine is another one or its clock is.
const AGAIN: u32 = 3;

/// When it is looked whether the network has said that nobody is there.
const LOOK: Duration = Duration::from_millis(100);

/// An answer, and the bytes of its message.
pub(crate) struct Answer {
    pub(crate) pdu: Pdu,
    pub(crate) size: usize,
}

/// A number that waits for its answer; nobody waits any more when it is dropped.
struct Asked<'a> {
    link: &'a Link,
    id: i32,
    answer: oneshot::Receiver<Result<Incoming>>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.link.state().waiting.remove(&self.id);
    }
}

impl Link {
    /// A number that nobody can guess and that is in no other's use.
    fn begin(&self, discovers: bool) -> Asked<'_> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state();
        state.requests += 1;
        loop {
            let id = fastrand::i32(1..);
            if let Entry::Vacant(place) = state.waiting.entry(id) {
                place.insert(Waiting { answer, discovers });
                return Asked { link: self, id, answer: answered };
            }
        }
    }

    /// How often a message is sent at most.
    fn attempts(&self) -> u32 {
        if self.reliable { 1 } else { self.endpoint.options.retries + 1 }
    }

    /// Room for one more request.
    async fn room(&self) -> Result<SemaphorePermit<'_>> {
        // Mostly there is, and then no time runs.
        if let Ok(room) = self.room.try_acquire() {
            return Ok(room);
        }
        let longest = self.endpoint.timeout * self.attempts();
        let closed = |error: AcquireError| Error::new(ErrorKind::Closed, error.to_string());
        let room = async { self.room.acquire().await.map_err(closed) };
        self.host.timeout(longest, "the end of other requests", room).await
    }

    /// Asks, and gives the answer, whatever it says. Cancel safe: a late answer is nobody's.
    ///
    /// # Errors
    /// There is no answer, the peer's engine does not take the request, or the connection has ended.
    pub(crate) async fn ask(&self, pdu: Pdu) -> Result<Answer> {
        let _room = self.room().await?;
        match &self.who {
            Credentials::Community(version, community) => {
                let asked = self.begin(false);
                let message = Community {
                    version: number(*version),
                    community: community.expose().as_bytes().to_vec(),
                    content: Content::Pdu(Pdu { id: asked.id, ..pdu }),
                };
                let bytes = message.write();
                match self.answered(asked, || bytes.clone()).await? {
                    Incoming::Response(pdu, size) => Ok(Answer { pdu, size }),
                    _ => Err(status::reported(None)),
                }
            }
            Credentials::User(user) => self.ask_secured(user, &pdu).await,
        }
    }

    /// Asks by version 3.
    async fn ask_secured(&self, user: &User, pdu: &Pdu) -> Result<Answer> {
        let mut again = 0;
        loop {
            let Engine { id: engine, .. } = self.engine().await?;
            let asked = self.begin(false);
            let scoped = self.scoped(&engine, Pdu { id: asked.id, ..pdu.clone() });
            let id = asked.id;
            let make = || {
                let clock = self.state().engine.as_ref().map(|it| it.clock.now(self.host.now()));
                let header = Header {
                    id,
                    engine: &engine,
                    clock: clock.unwrap_or_default(),
                    flags: user.flags() | flag::REPORTABLE,
                    salt: self.endpoint.salt(),
                };
                user.seal(&header, &scoped)
            };
            again += 1;
            match self.answered(asked, make).await? {
                Incoming::Response(pdu, size) => return Ok(Answer { pdu, size }),
                // Its clock was set by this very report, which is from whom it says.
                Incoming::Report {
                    report: Some(Report::NotInTimeWindows),
                    authenticated: true,
                } if again < AGAIN => {}
                Incoming::Report { report: Some(Report::UnknownEngineIds), .. }
                    if again < AGAIN =>
                {
                    self.state().engine = None;
                }
                Incoming::Report { report, .. } => return Err(status::reported(report)),
                Incoming::Engine => {}
            }
        }
    }

    /// The peer's engine, asked for where it is not known yet.
    ///
    /// # Errors
    /// It does not answer, or is not the one that it must be.
    pub(crate) async fn engine(&self) -> Result<Engine> {
        let known = self.state().engine.clone();
        if let Some(engine) = known {
            return Ok(engine);
        }
        let asked = self.begin(true);
        let bytes = seal::discovery(asked.id);
        self.answered(asked, || bytes.clone()).await?;
        let known = self.state().engine.clone();
        known.ok_or_else(|| Error::new(ErrorKind::Protocol, "the peer's engine says no name"))
    }

    /// A PDU with the context that the options name.
    pub(crate) fn scoped(&self, engine: &[u8], pdu: Pdu) -> Scoped {
        let context = self.endpoint.options.context.as_bytes().to_vec();
        Scoped { engine: engine.to_vec(), context, pdu }
    }

    /// Sends what `make` gives until it is answered or all attempts are over.
    async fn answered(&self, mut asked: Asked<'_>, make: impl Fn() -> Vec<u8>) -> Result<Incoming> {
        let before = self.state().dropped;
        for _ in 0..self.attempts() {
            self.send(make()).await?;
            let soon = self.endpoint.timeout.min(LOOK);
            for wait in [soon, self.endpoint.timeout.saturating_sub(soon)] {
                let answer =
                    async { (&mut asked.answer).await.unwrap_or_else(|_| Err(self.over())) };
                match self.host.timeout(wait, "an answer", answer).await {
                    Err(error) if error.kind() == ErrorKind::TimedOut => self.look()?,
                    answered => return answered,
                }
            }
        }
        Err(self.unanswered(before))
    }

    fn unanswered(&self, before: u64) -> Error {
        let (attempts, each) = (self.attempts(), self.endpoint.timeout);
        let mut text = match attempts {
            1 => format!("there was no answer within {each:?}"),
            _ => format!("there was no answer within {each:?} to any of {attempts} attempts"),
        };
        let state = self.state();
        let dropped = state.dropped - before;
        if dropped > 0 {
            text += &format!("; {dropped} messages were no answer, the last one: {}", state.why);
        } else if matches!(self.who, Credentials::Community(..)) {
            text += "; agents answer nothing to a community that they do not know";
        } else if state.engine.is_some() {
            text += "; the peer's engine is there: some answer nothing to a wrong `privacy` or password of it";
        }
        Error::new(ErrorKind::TimedOut, text).with_retry(Retry::Now)
    }

    /// Asks for values, and gives them.
    ///
    /// # Errors
    /// As [`Link::ask`], or what the agent says went wrong.
    pub(crate) async fn values(&self, pdu: Pdu) -> Result<Pdu> {
        let Answer { pdu, .. } = self.ask(pdu).await?;
        if pdu.status != 0 { Err(status::refused(&pdu)) } else { Ok(pdu) }
    }

    /// Whether the peer answers.
    ///
    /// # Errors
    /// It does not.
    pub(crate) async fn is_there(&self) -> Result<()> {
        let name = crate::oid::Oid::known(&SYS_UPTIME);
        // Whatever it answers, it is there.
        self.ask(Pdu::of_names(Kind::Get, [name])).await.map(|_| ())
    }
}

/// `sysUpTime.0`.
pub(crate) const SYS_UPTIME: [u32; 9] = [1, 3, 6, 1, 2, 1, 1, 3, 0];

/// The number of a version with communities.
pub(crate) fn number(version: Version) -> i32 {
    match version {
        Version::V1 => version::V1,
        Version::V2c => version::V2C,
        Version::V3 => version::V3,
    }
}

//! What a listener makes of a message: a notification, an answer of its engine, or nothing.

use crate::endpoint::{Known, SnmpEndpoint};
use crate::message::{self, Community, Content, Message, Scoped, Secured, flag};
use crate::notification::Notification;
use crate::pdu::{Kind, Pdu, VarBind};
use crate::usm::engine::{Clock, Own};
use crate::usm::keys::User;
use crate::usm::seal::{self, Failure, Header, Report};
use crate::value::Value;
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq;

/// Engines of senders whose clocks are kept.
const ENGINES: usize = 4096;

/// What all peers of a listener share.
pub(crate) struct Receiver {
    pub(crate) endpoint: Arc<SnmpEndpoint>,
    /// The clocks of engines that send traps.
    clocks: Mutex<HashMap<Vec<u8>, Clock>>,
    /// How often our engine has reported something.
    reports: AtomicU32,
}

/// What becomes of a message.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is a notification; an inform has an answer, which is sent once it was taken.
    Taken { notification: Map<String, Json>, answer: Option<Vec<u8>> },
    /// It is answered by our engine, and says nothing.
    Answered(Vec<u8>),
}

impl Receiver {
    pub(crate) fn new(endpoint: Arc<SnmpEndpoint>) -> Self {
        Receiver { endpoint, clocks: Mutex::default(), reports: AtomicU32::new(0) }
    }

    /// Takes a message.
    ///
    /// # Errors
    /// Why it is thrown away, without what must not be known.
    pub(crate) fn take(&self, bytes: &[u8], now: Duration) -> Result<Verdict, String> {
        match Message::read(bytes)? {
            Message::Community(message) => self.by_community(message),
            Message::Secured(secured) => self.by_user(bytes, &secured, now),
        }
    }

    fn by_community(&self, message: Community) -> Result<Verdict, String> {
        let Known { communities, .. } = &self.endpoint.known;
        let fits = |secret: &str| bool::from(secret.as_bytes().ct_eq(&message.community));
        let name =
            communities.iter().find(|(_, secret)| fits(secret.expose())).map(|(name, _)| name);
        let name = name.ok_or("its community is none of `communities`")?;
        let is_v1 = message.version == message::version::V1;
        let (kind, notification, answer) = match message.content {
            Content::Trap(trap) => ("trap", Notification::of_v1(trap)?, None),
            Content::Pdu(pdu) if pdu.kind == Kind::Trap && !is_v1 => {
                ("trap", Notification::of_pdu(&pdu)?, None)
            }
            Content::Pdu(pdu) if pdu.kind == Kind::Inform && !is_v1 => {
                let notification = Notification::of_pdu(&pdu)?;
                let content = Content::Pdu(acknowledged(pdu));
                let answer = Community { content, community: message.community, ..message };
                ("inform", notification, Some(answer.write()))
            }
            Content::Pdu(pdu) => return Err(format!("it is no notification but a {:?}", pdu.kind)),
        };
        let mut shown = head(kind, if is_v1 { "v1" } else { "v2c" });
        shown.insert("community".to_owned(), name.clone().into());
        shown.extend(notification.shown(&self.endpoint.names));
        Ok(Verdict::Taken { notification: shown, answer })
    }

    fn by_user(
        &self,
        bytes: &[u8],
        secured: &Secured<'_>,
        now: Duration,
    ) -> Result<Verdict, String> {
        let own = self.endpoint.own.as_ref().ok_or("this listener has no engine")?;
        if self.endpoint.known.users.is_empty() {
            return Err("it is of version v3, and there are no `users`".to_owned());
        }
        let is_ours = secured.engine == own.id;
        if secured.engine.is_empty() {
            return self.report(own, secured, Report::UnknownEngineIds, None, now);
        }
        let Some(user) = self.user(secured, is_ours) else {
            return self.refuse(own, secured, is_ours, Report::UnknownUserNames, now);
        };
        let level = flag::AUTHENTICATED | flag::PRIVATE;
        if secured.flags & level != user.flags() {
            return self.refuse(own, secured, is_ours, Report::UnsupportedSecLevels, now);
        }
        if user.verify(bytes, secured).is_err() {
            return self.refuse(own, secured, is_ours, Report::WrongDigests, now);
        }
        if secured.flags & flag::AUTHENTICATED != 0 {
            if !is_ours {
                self.check_clock(secured, now)?;
            } else if !own.takes(secured.boots, secured.time, now) {
                return self.report(own, secured, Report::NotInTimeWindows, Some(user), now);
            }
        }
        let scoped = match user.content(secured) {
            Ok(scoped) => scoped,
            Err(Failure::Form(fault)) => return Err(fault),
            Err(_) => return self.refuse(own, secured, is_ours, Report::DecryptionErrors, now),
        };
        self.notification(own, user, secured, scoped, now)
    }

    fn user(&self, secured: &Secured<'_>, is_ours: bool) -> Option<&User> {
        let fits = |(user, engine): &&(Arc<User>, Option<Vec<u8>>)| {
            user.name.as_bytes() == secured.user
                && (is_ours || engine.as_ref().is_none_or(|engine| engine == secured.engine))
        };
        self.endpoint.known.users.iter().find(fits).map(|(user, _)| &**user)
    }

    /// Judges the clock of an engine that sends traps.
    fn check_clock(&self, secured: &Secured<'_>, now: Duration) -> Result<(), String> {
        let mut clocks = self.clocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clock) = clocks.get_mut(secured.engine) {
            return clock.check(secured.boots, secured.time, now);
        }
        if clocks.len() >= ENGINES
            && let Some(any) = clocks.keys().next().cloned()
        {
            clocks.remove(&any);
        }
        let mut clock = Clock::said(secured.boots, secured.time, now);
        clock.check(secured.boots, secured.time, now)?;
        clocks.insert(secured.engine.to_vec(), clock);
        Ok(())
    }

    fn notification(
        &self,
        own: &Own,
        user: &User,
        secured: &Secured<'_>,
        scoped: Scoped,
        now: Duration,
    ) -> Result<Verdict, String> {
        let is_ours = secured.engine == own.id;
        let kind = match scoped.pdu.kind {
            Kind::Trap if !is_ours => "trap",
            Kind::Inform if is_ours => "inform",
            // For an engine that we are not any more: its sender asks for ours then.
            Kind::Inform => return self.report(own, secured, Report::UnknownEngineIds, None, now),
            other => return Err(format!("it is no notification but a {other:?}")),
        };
        let notification = Notification::of_pdu(&scoped.pdu)?;
        let mut shown = head(kind, "v3");
        shown.insert("user".to_owned(), user.name.clone().into());
        shown.insert("security".to_owned(), user.level().into());
        shown.insert("engine_id".to_owned(), crate::json::hex(secured.engine).into());
        if !scoped.context.is_empty() {
            let context = String::from_utf8_lossy(&scoped.context).into_owned();
            shown.insert("context".to_owned(), context.into());
        }
        shown.extend(notification.shown(&self.endpoint.names));
        let answer = is_ours.then(|| {
            let header = Header {
                id: secured.id,
                engine: &own.id,
                clock: own.now(now),
                flags: user.flags(),
                salt: self.endpoint.salt(),
            };
            let pdu = acknowledged(scoped.pdu);
            user.seal(&header, &Scoped { engine: scoped.engine, context: scoped.context, pdu })
        });
        Ok(Verdict::Taken { notification: shown, answer })
    }

    /// Says why an inform is not taken; what is sent by another engine's clock is not answered.
    fn refuse(
        &self,
        own: &Own,
        secured: &Secured<'_>,
        is_ours: bool,
        report: Report,
        now: Duration,
    ) -> Result<Verdict, String> {
        if is_ours {
            return self.report(own, secured, report, None, now);
        }
        // Traps are of other engines and want no report; an inform may be for one that we are not any more.
        self.report(own, secured, Report::UnknownEngineIds, None, now)
            .map_err(|_| words(report).to_owned())
    }

    /// What our engine says about a message, if its sender wants to know (RFC 3412 §7.1).
    fn report(
        &self,
        own: &Own,
        secured: &Secured<'_>,
        report: Report,
        user: Option<&User>,
        now: Duration,
    ) -> Result<Verdict, String> {
        if secured.flags & flag::REPORTABLE == 0 {
            return Err(words(report).to_owned());
        }
        let count = self.reports.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let values = vec![VarBind { oid: report.oid(), value: Value::Counter32(count) }];
        let pdu = Pdu::new(Kind::Report, values);
        let scoped = Scoped { engine: own.id.clone(), context: Vec::new(), pdu };
        let clock = own.now(now);
        Ok(Verdict::Answered(match user {
            // Its clock is set by this, so that it must be from us.
            Some(user) => {
                let flags = flag::AUTHENTICATED;
                let header = Header {
                    id: secured.id,
                    engine: &own.id,
                    clock,
                    flags,
                    salt: self.endpoint.salt(),
                };
                user.seal(&header, &scoped)
            }
            None => seal::plain(secured.id, 0, &own.id, clock, secured.user, &scoped),
        }))
    }
}

/// The answer to an inform: what it says, as a response.
fn acknowledged(pdu: Pdu) -> Pdu {
    Pdu { kind: Kind::Response, status: 0, index: 0, ..pdu }
}

fn head(kind: &str, version: &str) -> Map<String, Json> {
    let mut head = Map::new();
    head.insert("kind".to_owned(), kind.into());
    head.insert("version".to_owned(), version.into());
    head
}

fn words(report: Report) -> &'static str {
    match report {
        Report::UnknownUserNames => "its user is none of `users`, or is not of its engine",
        Report::UnsupportedSecLevels => {
            "it is not protected as `auth` and `privacy` of its user say"
        }
        Report::WrongDigests => "its code is not that of its user's password",
        Report::DecryptionErrors => "it cannot be decrypted by its user's password",
        Report::NotInTimeWindows => "it is not in the time window",
        _ => "it is for another engine",
    }
}

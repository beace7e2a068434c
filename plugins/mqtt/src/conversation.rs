//! [`Conversation`]: what the message facet and the control of a session share.

use crate::endpoint::MqttEndpoint;
use crate::engine::{Ended, Kept};
use crate::grants::{Grants, Question};
use crate::link::{GOODBYE, Link};
use crate::packet::{Connack, Connect, Filter, Publication};
use crate::reason;
use jackfield_plugin_api::{Error, ErrorKind, EventQueue, Host, Info, Level, Role};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One connection and what is known of it.
pub(crate) struct Conversation {
    pub(crate) link: Link,
    pub(crate) role: Role,
    pub(crate) endpoint: Arc<MqttEndpoint>,
    pub(crate) info: Info,
    pub(crate) events: Arc<EventQueue>,
    pub(crate) host: Host,
    /// Of a listener: what the client wants.
    pub(crate) connect: Option<Connect>,
    /// Of a listener: the name that the client was given.
    pub(crate) assigned: Option<String>,
    /// Of a listener: whether the destination is asked about subscriptions.
    pub(crate) asks: bool,
    /// Whether CONNECT was answered.
    answered: AtomicBool,
    grants: Mutex<Grants>,
    /// Of a client whose session goes on: the server that it is kept for.
    pub(crate) kept_for: Option<String>,
}

impl Conversation {
    pub(crate) fn new(
        link: Link,
        endpoint: Arc<MqttEndpoint>,
        info: Info,
        host: Host,
        role: Role,
    ) -> Self {
        Conversation {
            events: link.events(),
            link,
            role,
            endpoint,
            info,
            host,
            connect: None,
            assigned: None,
            asks: false,
            answered: AtomicBool::new(role == Role::Client),
            grants: Mutex::default(),
            kept_for: None,
        }
    }

    pub(crate) fn grants(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a client waits for its CONNACK.
    pub(crate) fn is_deferred(&self) -> bool {
        !self.answered.load(Ordering::Acquire)
    }

    /// Answers a CONNECT: with success, or with a code that ends the connection. Only the first answer counts.
    /// `expiry`: how long the session is kept, where that is not what the client wants.
    pub(crate) fn answer(&self, code: u8, session: Option<Kept>, expiry: Option<u32>) {
        let Some(connect) = &self.connect else { return };
        if self.answered.swap(true, Ordering::AcqRel) {
            return;
        }
        let limits = &self.endpoint.limits;
        let connack = match code {
            reason::SUCCESS => Connack {
                session_present: session.is_some(),
                expiry,
                keepalive: self.endpoint.less_keepalive(connect),
                client_id: self.assigned.clone(),
                receive_maximum: Some(limits.receive_maximum),
                max_packet: Some(limits.max_packet),
                alias_maximum: limits.alias_maximum,
                ..Connack::default()
            },
            _ => Connack { code, ..Connack::default() },
        };
        let now = self.link.now();
        self.link.with(|engine| engine.answer(connect, connack, session, now));
    }

    /// Answers a client that nobody has answered: it has its destination.
    pub(crate) fn welcome(&self) {
        if self.is_deferred() {
            self.answer(reason::SUCCESS, None, self.ends_with_connection());
        }
    }

    /// Sessions of routes end with their connection, which a client is told that wants its session kept.
    fn ends_with_connection(&self) -> Option<u32> {
        self.connect.as_ref().filter(|connect| connect.expiry > 0).map(|_| 0)
    }

    /// A client subscribes: the destination is asked, or it is granted here.
    pub(crate) fn on_subscribe(&self, id: u16, filters: Vec<Filter>, number: Option<u32>) {
        if !self.asks {
            return self.grant_all(id, filters, number);
        }
        let mapped = |filter: &Filter| {
            json!({
                "filter": filter.filter,
                "qos": filter.qos,
                "no_local": filter.no_local,
                "retain_as_published": filter.retain_as_published,
                "retain_handling": filter.retain_handling,
            })
        };
        let asked: Vec<Value> = filters
            .iter()
            .filter_map(|filter| self.endpoint.map.filter(filter))
            .map(|filter| mapped(&filter))
            .collect();
        let refused = filters.len();
        let whole = asked.len() == refused;
        let params = json!({ "filters": asked });
        let question = Question::Subscribe { id, filters, number };
        let asked = whole.then(|| self.grants().ask(question)).flatten();
        match asked {
            Some(ask) => self.ask(ask, "subscribe", &params),
            None => {
                let code = if whole { reason::QUOTA } else { reason::BAD_FILTER };
                self.link.with(|engine| engine.suback(id, vec![code; refused]));
            }
        }
    }

    /// A client ends subscriptions.
    pub(crate) fn on_unsubscribe(&self, id: u16, filters: Vec<String>) {
        if !self.asks {
            return self.end_all(id, &filters, None);
        }
        let plain = |filter: &String| Filter::new(filter.clone(), 0);
        let mapped = filters.iter().filter_map(|filter| self.endpoint.map.filter(&plain(filter)));
        let params = json!({ "filters": mapped.map(|filter| filter.filter).collect::<Vec<_>>() });
        let count = filters.len();
        let ask = self.grants().ask(Question::Unsubscribe { id, filters });
        match ask {
            Some(ask) => self.ask(ask, "unsubscribe", &params),
            None => self.link.with(|engine| engine.unsuback(id, vec![reason::QUOTA; count])),
        }
    }

    pub(crate) fn ask(&self, id: u64, operation: &str, params: &Value) {
        let event = json!({ "id": id, "operation": operation, "params": params });
        self.events.tell("call", event);
    }

    /// The destination has answered: with the code of each filter, or it does not know subscriptions; or with what
    /// an operation has given.
    pub(crate) fn on_answer(&self, ask: u64, result: Option<&Value>) {
        let question = self.grants().answered(ask);
        let codes = result.and_then(|result| result.get("codes").cloned());
        let codes: Option<Vec<u8>> = codes.and_then(|codes| serde_json::from_value(codes).ok());
        match (question, codes) {
            (Some(Question::Call(answering)), _) => self.on_called(answering, result),
            (Some(Question::Subscribe { id, filters, .. }), Some(codes))
                if codes.len() != filters.len() =>
            {
                let codes = vec![reason::UNSPECIFIED; filters.len()];
                self.link.with(|engine| engine.suback(id, codes));
            }
            (Some(Question::Subscribe { id, filters, number }), Some(codes)) => {
                for (filter, code) in filters.into_iter().zip(&codes) {
                    if *code <= 2 {
                        let granted = Filter { qos: *code, ..filter };
                        self.grants().grant(granted, number);
                    }
                }
                self.link.with(|engine| engine.suback(id, codes));
            }
            (Some(Question::Subscribe { id, filters, number }), None) => {
                self.grant_all(id, filters, number);
            }
            (Some(Question::Unsubscribe { id, filters }), codes) => {
                self.end_all(id, &filters, codes);
            }
            (None, _) => {}
        }
        self.link.tell();
    }

    fn grant_all(&self, id: u16, filters: Vec<Filter>, number: Option<u32>) {
        let codes = filters.into_iter().map(|filter| {
            let mut grants = self.grants();
            if !grants.has_room(&filter.filter) {
                return reason::QUOTA;
            }
            let qos = filter.qos;
            grants.grant(filter, number);
            qos
        });
        let codes = codes.collect();
        self.link.with(|engine| engine.suback(id, codes));
        self.link.tell();
    }

    fn end_all(&self, id: u16, filters: &[String], codes: Option<Vec<u8>>) {
        let ended = filters.iter().map(|filter| match self.grants().end(filter) {
            true => reason::SUCCESS,
            false => reason::NO_SUBSCRIPTION,
        });
        let ended: Vec<u8> = ended.collect();
        let codes = codes.filter(|codes| codes.len() == ended.len()).unwrap_or(ended);
        self.link.with(|engine| engine.unsuback(id, codes));
    }

    /// A message of the other side as the peer is to have it; `None` if it is not to have it.
    pub(crate) fn outwards(&self, publication: Publication) -> Option<Publication> {
        match self.role {
            Role::Client => self.endpoint.map.outwards(publication),
            Role::Server => self.grants().fit(self.endpoint.map.outwards(publication)?),
        }
    }

    /// The will of a client that broke off, once.
    pub(crate) fn take_will(&self) -> Option<Publication> {
        let polite = |ended: &Ended| ended.polite;
        self.link.with(|engine| {
            let broke_off = !engine.ended().is_some_and(polite);
            engine.take_will().filter(|_| broke_off).map(|will| will.publication)
        })
    }

    /// Tells what the connection has to say beside messages.
    pub(crate) fn tell_news(&self) {
        let (refused, dropped) = self.link.with(|engine| {
            (std::mem::take(&mut engine.refused), std::mem::take(&mut engine.dropped))
        });
        for (topic, code) in refused {
            let words = reason::words(code);
            self.events.tell("refused", json!({ "topic": topic, "code": code, "reason": words }));
            let topic = topic.unwrap_or_default();
            let text = format!("the peer refuses a message: {words} [topic={topic}, code={code}]");
            self.host.log(Level::Warn, "mqtt", &text);
        }
        if dropped > 0 {
            self.events.tell("messages_dropped", json!({ "count": dropped }));
        }
    }

    /// Ends politely: when all was sent and answered, for which there are five seconds, says goodbye with `code`.
    pub(crate) async fn finish(&self, code: u8) {
        if self.is_deferred() {
            let why = if code == reason::SHUTTING_DOWN { code } else { reason::UNAVAILABLE };
            self.answer(why, None, None);
            return self.link.gone().await;
        }
        let done = self.link.until(|engine| {
            let left = engine.out.is_empty() && engine.outgoing.is_answered();
            left || engine.ended().is_some()
        });
        let done = async {
            done.await;
            Ok(())
        };
        // A peer that reads or answers nothing keeps nobody.
        let _ = self.host.timeout(GOODBYE, "the end of a session", done).await;
        self.link.leave(code).await;
    }

    /// Why it has ended; `None` as it should.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.link.with(|engine| engine.ended().and_then(|ended| ended.error.clone()))
    }
}

impl Drop for Conversation {
    /// What the session keeps is there for its next connection.
    fn drop(&mut self) {
        self.events.end();
        let Some(server) = self.kept_for.take() else { return };
        let left = self.link.with(|engine| {
            engine.broken(Error::new(ErrorKind::Closed, "the session was dropped"));
            engine.take_kept()
        });
        if let Some(left) = left {
            self.endpoint.keep(server, left);
        }
    }
}

//! [`MqttEndpoint`]: options, once checked.

use crate::engine::{Engine, Kept, Limits};
use crate::map::TopicMap;
use crate::metadata::Usual;
use crate::options::{CallEntry, MqttOptions, MqttVersion};
use crate::packet::{Connect, Filter, Publication, Version, Will};
use crate::topic::{LONGEST, is_filter, is_topic, shared};
use crate::users::Users;
use jackfield_plugin_api::{Error, EventQueue, Result, Role};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most sessions of a client that are kept for their next connection.
const KEPT: usize = 64;

/// What many connections share.
pub struct MqttEndpoint {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) clean: bool,
    pub(crate) expiry: u32,
    pub(crate) keepalive: u16,
    pub(crate) max_keepalive: u16,
    pub(crate) will: Option<Will>,
    pub(crate) subscribe: Vec<Filter>,
    pub(crate) usual: Usual,
    pub(crate) map: TopicMap,
    pub(crate) calls: Vec<CallEntry>,
    pub(crate) limits: Limits,
    pub(crate) events: usize,
    pub(crate) packets: bool,
    pub(crate) users: Users,
    pub(crate) certificates: bool,
    /// What sessions that go on have left, by server.
    kept: Mutex<HashMap<String, Kept>>,
}

impl MqttEndpoint {
    pub(crate) fn new(options: MqttOptions, role: Role) -> Result<Self> {
        check(&options, role)?;
        let version = match options.version {
            MqttVersion::Five => Version::V5,
            MqttVersion::ThreeOneOne => Version::V311,
        };
        let expiry = match (version, options.clean_start) {
            (Version::V311, true) => 0,
            (Version::V311, false) => u32::MAX,
            (Version::V5, _) => options.session_expiry,
        };
        let will = options.will.map(|will| {
            let mut publication = Publication::new(will.topic, will.payload, will.qos);
            publication.retain = will.retain;
            Will { publication, delay: will.delay }
        });
        let subscribe = options.subscribe.0.into_iter();
        let limits = Limits {
            max_packet: options.max_packet,
            receive_maximum: options.receive_maximum,
            inflight: options.inflight,
            alias_maximum: options.topic_alias_maximum,
            aliases: options.topic_aliases,
            read_ahead: options.read_ahead as usize,
            write_buffer: options.write_buffer as usize,
            answer_timeout: Duration::from_secs(u64::from(options.answer_timeout)),
        };
        Ok(MqttEndpoint {
            version,
            client_id: options.client_id,
            clean: options.clean_start,
            expiry,
            keepalive: options.keepalive,
            max_keepalive: options.max_keepalive,
            will,
            subscribe: subscribe.map(|filter| Filter::new(filter, options.qos)).collect(),
            usual: Usual { topic: options.topic, qos: options.qos, retain: options.retain },
            map: TopicMap::new(options.map),
            calls: options.calls,
            limits,
            events: options.events as usize,
            packets: options.packets,
            users: Users::new(options.users, options.anonymous)?,
            certificates: options.certificates,
            kept: Mutex::default(),
        })
    }

    /// Where a connection tells its events, and its packets if they are wanted.
    pub(crate) fn events_of(&self, engine: &mut Engine) -> Arc<EventQueue> {
        let events = Arc::new(EventQueue::new(self.events));
        engine.packets = self.packets.then(|| Arc::clone(&events));
        events
    }

    /// The seconds of silence that a client is told to keep to, if not those that it wants (§3.2.2.3.14). 3.1.1 has no
    /// word for it.
    pub(crate) fn less_keepalive(&self, connect: &Connect) -> Option<u16> {
        let (wanted, most) = (connect.keepalive, self.max_keepalive);
        let less = most > 0 && (wanted == 0 || wanted > most) && connect.version == Version::V5;
        less.then_some(most)
    }

    /// What the session with that server has left; once.
    pub(crate) fn take_kept(&self, server: &str) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(server)
    }

    /// Keeps what a session has left for its next connection.
    pub(crate) fn keep(&self, server: String, left: Kept) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT || kept.contains_key(&server) {
            kept.insert(server, left);
        }
    }
}

/// Options of the other role, and values that mean nothing.
fn check(options: &MqttOptions, role: Role) -> Result<()> {
    let strangers: &[(&str, bool)] = match role {
        Role::Client => &[
            ("users", !options.users.is_empty()),
            ("anonymous", options.anonymous),
            ("certificates", options.certificates),
            ("max_keepalive", options.max_keepalive != 0),
            ("calls", !options.calls.is_empty()),
        ],
        Role::Server => &[
            ("client_id", !options.client_id.is_empty()),
            ("subscribe", !options.subscribe.0.is_empty()),
            ("will", options.will.is_some()),
            ("map", !options.map.is_empty()),
            ("session_expiry", options.session_expiry != 0),
        ],
    };
    if let Some((name, _)) = strangers.iter().find(|(_, given)| *given) {
        let text = match role {
            Role::Client => "is for listeners, and this is for connecting",
            Role::Server => "is for connecting, and this is a listener",
        };
        return Err(Error::option(name, text));
    }
    if options.client_id.len() > LONGEST || options.client_id.contains('\0') {
        return Err(Error::option("client_id", "expected at most 65535 bytes without a zero"));
    }
    if !options.clean_start && options.client_id.is_empty() {
        let text = "expected one where `clean_start` is off: the session is known by it";
        return Err(Error::option("client_id", text));
    }
    let three = options.version == MqttVersion::ThreeOneOne;
    if three && options.session_expiry != 0 {
        return Err(Error::option("session_expiry", "is of version 5, and `version` is \"3.1.1\""));
    }
    let nobody = options.users.is_empty() && !options.anonymous && !options.certificates;
    if role == Role::Server && nobody {
        let text = "expected names with passwords; `anonymous = true` takes anybody, and \
                    `certificates = true` whom the layer below knows by a certificate";
        return Err(Error::option("users", text));
    }
    check_topics(options)
}

/// Topics and filters that are none.
fn check_topics(options: &MqttOptions) -> Result<()> {
    for filter in &options.subscribe.0 {
        if !is_filter(filter) {
            let text = format!("{filter:?} is no filter: `+` and `#` stand for whole levels");
            return Err(Error::option("subscribe", text));
        }
    }
    if let Some(topic) = options.topic.as_ref().filter(|topic| !is_topic(topic)) {
        return Err(Error::option("topic", format!("{topic:?} is no topic: it has no wildcards")));
    }
    if let Some(will) = &options.will {
        if !is_topic(&will.topic) {
            return Err(Error::option("will", format!("{:?} is no topic", will.topic)));
        }
        if will.payload.len() > LONGEST {
            return Err(Error::option("will", "expected a payload of at most 65535 bytes"));
        }
    }
    for entry in &options.calls {
        let answer = entry.answer.as_ref().is_none_or(|topic| is_topic(topic));
        if !is_filter(&entry.topic) || shared(&entry.topic).0.is_some() || !answer {
            let text = format!("{:?} is no filter, or its `answer` no topic", entry.topic);
            return Err(Error::option("calls", text));
        }
        if entry.operation.is_empty() {
            let text = format!("expected an operation for {:?}", entry.topic);
            return Err(Error::option("calls", text));
        }
    }
    for entry in &options.map {
        let wildcard = |text: &str| text.contains(['+', '#', '\0']);
        if wildcard(&entry.local) || wildcard(&entry.remote) {
            return Err(Error::option("map", "expected beginnings of topics, without wildcards"));
        }
    }
    Ok(())
}

//! The operations of a session.

use crate::conversation::Conversation;
use crate::packet::{Filter, Properties, Publication};
use crate::reason;
use crate::topic::{is_filter, is_topic};
use bytes::Bytes;
use data_encoding::BASE64;
use jackfield_plugin_api::{Error, ErrorKind, NoParams, Operation, Result, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

params! {
    /// A message.
    pub(crate) struct Publish {
        /// Its topic, without wildcards.
        topic: String,
        /// Its content as text; without one it is empty.
        payload: Option<String>,
        /// Its content in base64, in place of `payload`.
        payload_base64: Option<String>,
        /// Its quality of service: 0, 1 or 2; that of the options if it is not given.
        #[schemars(range(max = 2))]
        qos: Option<u8>,
        /// Whether it is kept for those who subscribe later.
        retain: Option<bool>,
        /// Seconds that it is worth something (MQTT 5).
        expiry: Option<u32>,
        /// What its content is, such as `application/json` (MQTT 5).
        content_type: Option<String>,
        /// Where an answer is to be published (MQTT 5).
        response_topic: Option<String>,
        /// What an answer is to carry (MQTT 5).
        correlation: Option<String>,
        /// Names and values of the application (MQTT 5).
        user: Option<BTreeMap<String, String>>,
    }

    /// That a message was taken over.
    pub(crate) struct Published {
        /// The code of its last answer; 0 for QoS 0, which has none.
        code: u8,
        /// The code in words.
        reason: String,
    }

    /// Filters to subscribe to.
    pub(crate) struct Subscribe {
        /// One filter.
        topic: Option<String>,
        /// The highest quality of service that messages of `topic` come with.
        #[schemars(range(max = 2))]
        qos: Option<u8>,
        /// Several, each with what it may say; a refusal of one is no error then.
        filters: Option<Vec<Wanted>>,
    }

    /// Filters whose subscriptions end.
    pub(crate) struct Unsubscribe {
        /// One filter.
        topic: Option<String>,
        /// Several.
        filters: Option<Vec<String>>,
    }

    /// The answer to each filter.
    pub(crate) struct Granted {
        /// Their codes: the granted quality of service, or from 128 on why not; none by 3.1.1 at the end of
        /// subscriptions.
        codes: Vec<u8>,
    }

    /// Parameters of `accept`.
    pub(crate) struct Accept {
        /// What was chosen of what the client offers; it offers nothing.
        protocol: Option<String>,
    }

    /// Parameters of `told`.
    pub(crate) struct Told {
        /// The name of the event.
        name: String,
        /// What belongs to it.
        data: Option<Value>,
    }

    /// Parameters of `answer`.
    pub(crate) struct Answer {
        /// That of the event `call`.
        id: u64,
        /// What the operation gave; nothing if it failed.
        result: Option<Value>,
    }
}

/// One filter of several.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The filter.
    filter: String,
    /// The highest quality of service.
    #[serde(default)]
    #[schemars(range(max = 2))]
    qos: u8,
    /// Not what this session publishes (MQTT 5).
    #[serde(default)]
    no_local: bool,
    /// Messages keep their retain flag (MQTT 5).
    #[serde(default)]
    retain_as_published: bool,
    /// Retained messages: 0 at once, 1 if the subscription is new, 2 never (MQTT 5).
    #[serde(default)]
    #[schemars(range(max = 2))]
    retain_handling: u8,
}

/// All of them.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new::<Publish, Published>(
            "publish",
            "Publishes a message, and ends when it was taken over: PUBACK for QoS 1, PUBCOMP for QoS 2",
        ),
        Operation::new::<Subscribe, Granted>("subscribe", "Subscribes to filters"),
        Operation::new::<Unsubscribe, Granted>("unsubscribe", "Ends subscriptions"),
        Operation::new::<Accept, NoParams>(
            "accept",
            "For routes: gives a client the answer that has waited for its destination",
        ),
        Operation::new::<Answer, NoParams>("answer", "For routes: the result of an event `call`"),
        Operation::new::<Told, NoParams>("told", "For routes: an event of the other session"),
    ]
}

/// Runs one.
///
/// # Errors
/// Unknown operations and parameters; what the peer refuses, with its code; that the connection has ended.
pub(crate) async fn call(it: &Conversation, operation: &str, given: Value) -> Result<Value> {
    match operation {
        "publish" => publish(it, params(given)?).await,
        "subscribe" => subscribe(it, params(given)?).await,
        "unsubscribe" => unsubscribe(it, params(given)?).await,
        "accept" => {
            let Accept { protocol: _ } = params(given)?;
            it.welcome();
            Ok(json!({}))
        }
        "answer" => {
            let Answer { id, result } = params(given)?;
            it.on_answer(id, result.as_ref());
            Ok(json!({}))
        }
        "told" => {
            // No event of another protocol means anything to a client of MQTT.
            let Told { name: _, data: _ } = params(given)?;
            Ok(json!({}))
        }
        _ => Err(Error::unsupported(&format!("operation {operation:?}"))),
    }
}

fn bad(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, text)
}

async fn publish(it: &Conversation, given: Publish) -> Result<Value> {
    if !is_topic(&given.topic) {
        return Err(bad(format!("topic: {:?} is no topic: it has no wildcards", given.topic)));
    }
    let text = given.payload.is_some();
    let payload = match (given.payload, given.payload_base64) {
        (Some(_), Some(_)) => return Err(bad("payload and payload_base64 exclude each other")),
        (Some(text), None) => Bytes::from(text),
        (None, Some(text)) => BASE64
            .decode(text.as_bytes())
            .map_err(|_| bad("payload_base64: expected base64"))?
            .into(),
        (None, None) => Bytes::new(),
    };
    let qos = given.qos.unwrap_or(it.endpoint.usual.qos);
    if qos > 2 {
        return Err(bad(format!("qos: expected 0, 1 or 2, found {qos}")));
    }
    let mut publication = Publication::new(given.topic, payload, qos);
    publication.retain = given.retain.unwrap_or(it.endpoint.usual.retain);
    publication.properties = Properties {
        text,
        expiry: given.expiry,
        content_type: given.content_type,
        response_topic: given.response_topic,
        correlation: given.correlation.map(Bytes::from),
        user: given.user.unwrap_or_default().into_iter().collect(),
        subscriptions: Vec::new(),
    };
    let topic = publication.topic.clone();
    let Some(publication) = it.outwards(publication) else {
        return Err(bad("topic: no rule of `map` lets it pass, or nobody has subscribed")
            .with("topic", topic));
    };
    let code = it.link.publish(publication).await?;
    if code >= reason::UNSPECIFIED {
        return Err(reason::refused("a message", code).with("topic", topic));
    }
    Ok(json!({ "code": code, "reason": reason::words(code) }))
}

async fn subscribe(it: &Conversation, given: Subscribe) -> Result<Value> {
    client_only(it)?;
    let one = given.topic.is_some();
    let qos = given.qos.unwrap_or(it.endpoint.usual.qos);
    let filters: Vec<Filter> = match (given.topic, given.filters) {
        (Some(topic), None) => vec![Filter::new(topic, qos)],
        (None, Some(filters)) => filters.into_iter().map(Filter::from).collect(),
        _ => return Err(bad("expected either topic or filters")),
    };
    let mut mapped = Vec::new();
    for filter in &filters {
        if !is_filter(&filter.filter) || filter.qos > 2 {
            let text = format!("{:?} is no filter, or its qos is over 2", filter.filter);
            return Err(bad(text));
        }
        let asked = it.endpoint.map.filter(filter);
        mapped
            .push(asked.ok_or_else(|| bad(format!("no rule of `map` fits {:?}", filter.filter)))?);
    }
    if mapped.is_empty() {
        return Err(bad("filters: expected at least one"));
    }
    let codes = it.link.subscribe(mapped).await?;
    match codes.first() {
        Some(code) if one && *code >= reason::UNSPECIFIED => {
            Err(reason::refused("a subscription", *code).with("topic", &filters[0].filter))
        }
        _ => Ok(json!({ "codes": codes })),
    }
}

async fn unsubscribe(it: &Conversation, given: Unsubscribe) -> Result<Value> {
    client_only(it)?;
    let filters = match (given.topic, given.filters) {
        (Some(topic), None) => vec![topic],
        (None, Some(filters)) if !filters.is_empty() => filters,
        _ => return Err(bad("expected either topic or filters")),
    };
    let mut mapped = Vec::new();
    for filter in filters {
        if !is_filter(&filter) {
            return Err(bad(format!("{filter:?} is no filter")));
        }
        let asked = it.endpoint.map.filter(&Filter::new(filter.clone(), 0));
        mapped.push(asked.ok_or_else(|| bad(format!("no rule of `map` fits {filter:?}")))?.filter);
    }
    let codes = it.link.unsubscribe(mapped).await?;
    Ok(json!({ "codes": codes }))
}

fn client_only(it: &Conversation) -> Result<()> {
    match it.role {
        jackfield_plugin_api::Role::Client => Ok(()),
        jackfield_plugin_api::Role::Server => Err(Error::unsupported("subscribing at a client")),
    }
}

impl From<Wanted> for Filter {
    fn from(wanted: Wanted) -> Self {
        Filter {
            filter: wanted.filter,
            qos: wanted.qos,
            no_local: wanted.no_local,
            retain_as_published: wanted.retain_as_published,
            retain_handling: wanted.retain_handling.min(2),
        }
    }
}

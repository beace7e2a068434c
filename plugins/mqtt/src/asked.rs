//! Messages that are operations of the destination (`calls`), and their answers.

use crate::conversation::Conversation;
use crate::grants::Question;
use crate::options::CallEntry;
use crate::outgoing::Told;
use crate::packet::{Publication, Version};
use crate::reason;
use crate::topic::matches;
use bytes::Bytes;
use jackfield_plugin_api::Level;
use serde_json::{Value, json};

/// Where the answer to an operation goes, and what it carries.
pub(crate) struct Answering {
    topic: Option<String>,
    correlation: Option<Bytes>,
    qos: u8,
}

impl Conversation {
    /// The operation that a message of this topic is; `None`: it is a message.
    pub(crate) fn operation(&self, topic: &str) -> Option<&CallEntry> {
        let calls = if self.asks { &self.endpoint.calls[..] } else { &[] };
        calls.iter().find(|entry| matches(&entry.topic, topic))
    }

    /// Asks the destination for the operation that a message is, and answers the message.
    pub(crate) fn on_call(&self, entry: &CallEntry, publication: Publication, id: u16) {
        let Publication { topic, payload, qos, properties, .. } = publication;
        let answer = |code| self.link.with(|engine| engine.acknowledge(qos, id, code));
        let params = match &payload[..] {
            [] => Some(json!({})),
            text => serde_json::from_slice(text).ok().filter(Value::is_object),
        };
        let Some(params) = params else {
            answer(reason::PAYLOAD_FORMAT);
            let operation = &entry.operation;
            let text = "a message is no operation: expected a JSON object with its parameters";
            let text = format!("{text} [operation={operation}, topic={topic}]");
            return self.host.log(Level::Warn, "mqtt", &text);
        };
        let answering = Answering {
            topic: properties.response_topic.or_else(|| entry.answer.clone()),
            correlation: properties.correlation,
            qos,
        };
        match self.grants().ask(Question::Call(answering)) {
            Some(ask) => {
                self.ask(ask, &entry.operation, &params);
                answer(reason::SUCCESS);
            }
            None => answer(reason::QUOTA),
        }
    }

    /// Publishes what an operation has given to the client, if it has subscribed to that.
    pub(crate) fn on_called(&self, answering: Answering, result: Option<&Value>) {
        let Some(topic) = answering.topic else { return };
        let content = match result {
            Some(result) => json!({ "result": result }),
            None => json!({ "failed": true }),
        };
        let mut publication = Publication::new(topic, content.to_string(), answering.qos);
        publication.properties.text = true;
        publication.properties.correlation = answering.correlation;
        let Some(mut publication) = self.outwards(publication) else { return };
        let now = self.link.now();
        self.link.with(|engine| {
            if engine.version() == Version::V311 {
                publication.properties = crate::packet::Properties::default();
            }
            if !engine.has_room(publication.qos) {
                // It does not wait: as many as may be asked at once are the most that come now.
                publication.qos = 0;
            }
            // A client that is gone, or takes no packet of that length, has no answer.
            let _ = engine.publish(publication, Told::Nobody, now);
        });
    }
}

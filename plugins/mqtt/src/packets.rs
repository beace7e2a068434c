//! What an event tells of a packet (option `packets`): which it is, and what stands in front of its content.

use crate::packet::{Filter, Packet};
use serde_json::{Map, Value, json};

/// The most characters of a name, a topic or a filter.
const SHOWN: usize = 256;
/// The most filters or codes of one packet.
const MOST: usize = 32;

/// What is told of a packet that `by` has sent. Contents and passwords are not.
pub(crate) fn facts(packet: &Packet, by: &str) -> Value {
    let mut facts = Map::new();
    facts.insert("by".to_owned(), by.into());
    facts.insert("packet".to_owned(), packet.name().into());
    if let Value::Object(more) = more(packet) {
        facts.extend(more);
    }
    Value::Object(facts)
}

fn more(packet: &Packet) -> Value {
    match packet {
        Packet::Connect(connect) => json!({
            "version": connect.version.as_str(), "client_id": shown(&connect.client_id),
            "user": connect.user.as_deref().map(shown), "clean_start": connect.clean,
            "keepalive": connect.keepalive, "will": connect.will.is_some(),
        }),
        Packet::Connack(connack) => {
            json!({ "code": connack.code, "session_present": connack.session_present })
        }
        Packet::Publish { publication, id, alias } => json!({
            "id": id, "topic": shown(&publication.topic), "alias": alias, "qos": publication.qos,
            "retain": publication.retain, "dup": publication.dup,
            "bytes": publication.payload.len(),
        }),
        Packet::Ack { id, code, .. } => json!({ "id": id, "code": code }),
        Packet::Subscribe { id, filters, .. } => {
            let one = |it: &Filter| json!({ "filter": shown(&it.filter), "qos": it.qos });
            let filters: Vec<Value> = filters.iter().take(MOST).map(one).collect();
            json!({ "id": id, "filters": filters })
        }
        Packet::Unsubscribe { id, filters } => {
            let filters: Vec<String> = filters.iter().take(MOST).map(|it| shown(it)).collect();
            json!({ "id": id, "filters": filters })
        }
        Packet::Suback { id, codes } | Packet::Unsuback { id, codes } => {
            json!({ "id": id, "codes": codes.iter().take(MOST).collect::<Vec<_>>() })
        }
        Packet::Disconnect { code, .. } => json!({ "code": code }),
        Packet::Pingreq | Packet::Pingresp | Packet::Auth => Value::Null,
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

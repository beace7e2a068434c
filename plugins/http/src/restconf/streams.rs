//! Notifications of a server as messages (RFC 8040 §6): where a stream is, and what is asked of it.

use super::failure::{between, failure};
use super::options::{Form, RestconfOptions};
use super::session::RestconfControl;
use crate::call::{collect, status_of};
use crate::sse;
use jackfield_plugin_api::{Error, ErrorKind, Result, Session};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a server lists its streams.
const STREAMS: &str = "/data/ietf-restconf-monitoring:restconf-state/streams";

/// A stream that is wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Its name, or its path.
    name: String,
    query: BTreeMap<String, Value>,
}

impl Wanted {
    /// What the options ask for, if they ask for a stream.
    pub(super) fn new(options: &RestconfOptions) -> Result<Option<Self>> {
        let given = [
            ("start_time", "start-time", &options.start_time),
            ("stop_time", "stop-time", &options.stop_time),
            ("filter", "filter", &options.filter),
        ];
        let Some(name) = options.stream.clone() else {
            return match given.iter().find(|(_, _, value)| value.is_some()) {
                Some((option, ..)) => Err(Error::option(option, "needs the option stream")),
                None => Ok(None),
            };
        };
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Error::option("stream", "expected a name such as NETCONF, or a path"));
        }
        if options.stop_time.is_some() && options.start_time.is_none() {
            return Err(Error::option("stop_time", "needs start_time"));
        }
        let given = given.into_iter().filter_map(|(_, name, value)| Some((name, value.clone()?)));
        let query = given.map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
        Ok(Some(Wanted { name, query }))
    }
}

/// Asks for the stream; the session is its notifications.
pub(super) async fn open(control: &RestconfControl, wanted: &Wanted) -> Result<Session> {
    let path = match wanted.name.starts_with('/') {
        true => wanted.name.clone(),
        false => location(control, &wanted.name).await?,
    };
    let client = &control.client;
    let answer = sse::asked_for(client, &path, &wanted.query).await?;
    let status = status_of(&answer.head);
    if status != 200 {
        let (content, _) = collect(client, answer.body).await?;
        let error = failure(status, &String::from_utf8_lossy(&content));
        return Err(error.with("at", path));
    }
    let facts = match control.format {
        Form::Json => time_of_json,
        Form::Xml => time_of_xml,
    };
    sse::session(Arc::clone(client), answer, facts)
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "ietf-restconf-monitoring:streams")]
    streams: Streams,
}

#[derive(Deserialize)]
struct Streams {
    #[serde(default)]
    stream: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    access: Vec<Access>,
}

#[derive(Deserialize)]
struct Access {
    encoding: String,
    location: String,
}

/// The path of a stream in the form that is wanted.
async fn location(control: &RestconfControl, name: &str) -> Result<String> {
    let given = json!({ "path": STREAMS, "format": "json" });
    let answer = control.ask(control.asks("get", given)?).await?;
    let listed = answer.get("data").cloned().unwrap_or_default();
    let listed: Listed = serde_json::from_value(listed).map_err(|error| {
        let text = format!("the server's list of streams cannot be read: {error}");
        Error::new(ErrorKind::Protocol, text).with("hint", "the option stream takes a path, too")
    })?;
    let streams = listed.streams.stream;
    let Some(stream) = streams.iter().find(|stream| stream.name == name) else {
        let names = streams.iter().map(|stream| stream.name.as_str());
        let text = format!("the server has no stream {name:?}");
        return Err(Error::new(ErrorKind::NotFound, text).with("streams", printable(names)));
    };
    let encoding = control.format.encoding();
    let Some(access) = stream.access.iter().find(|access| access.encoding == encoding) else {
        let names = stream.access.iter().map(|access| access.encoding.as_str());
        let text = format!("the server does not give the stream {name:?} as {encoding}");
        return Err(Error::new(ErrorKind::Unsupported, text).with("encodings", printable(names)));
    };
    path_of(&access.location).ok_or_else(|| {
        let text = format!("the server tells no address of the stream {name:?}");
        Error::new(ErrorKind::Protocol, text).with("location", printable([&*access.location]))
    })
}

/// Of a whole URL only the path: it is asked for on this connection, as the root is.
fn path_of(location: &str) -> Option<String> {
    let path = match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map(|at| &rest[at..])?,
        None => location,
    };
    let is_plain = path.chars().all(|letter| letter.is_ascii_graphic() && letter != '#');
    (path.starts_with('/') && is_plain).then(|| path.to_owned())
}

/// What a peer calls them, for one line of ours.
fn printable<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let all = names.into_iter().collect::<Vec<_>>().join(", ");
    all.chars().filter(|letter| !letter.is_control()).take(300).collect()
}

fn time_of_json(data: &str) -> Map<String, Value> {
    #[derive(Deserialize)]
    struct Told {
        #[serde(rename = "ietf-restconf:notification", alias = "notification")]
        notification: Timed,
    }
    #[derive(Deserialize)]
    struct Timed {
        #[serde(rename = "eventTime")]
        time: String,
    }
    let told = serde_json::from_str(data).ok().map(|told: Told| told.notification.time);
    facts(told)
}

fn time_of_xml(data: &str) -> Map<String, Value> {
    facts(between(data, "eventTime"))
}

/// The time as the server has written it, which `start_time` takes.
fn facts(time: Option<String>) -> Map<String, Value> {
    time.map(|time| ("time".to_owned(), Value::String(time))).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::{path_of, time_of_json, time_of_xml};

    #[test]
    fn the_path_of_a_location_is_asked_for() {
        for (location, path) in [
            ("https://10.0.0.9:8443/streams/NETCONF?x=1", Some("/streams/NETCONF?x=1")),
            ("/streams/NETCONF", Some("/streams/NETCONF")),
            ("https://10.0.0.9", None),
            ("streams", None),
            ("", None),
            ("/a b", None),
            ("/a\r\nX: y", None),
            ("/a#b", None),
        ] {
            assert_eq!(path_of(location).as_deref(), path, "{location}");
        }
    }

    #[test]
    fn the_time_of_a_notification_is_told_beside_it() {
        let json = r#"{"ietf-restconf:notification":{"eventTime":"2026-12-01T08:00:00Z","ex:up":{"a":[1,2]}}}"#;
        assert_eq!(time_of_json(json)["time"], "2026-12-01T08:00:00Z");
        let xml = "<notification xmlns='urn:x'><eventTime>2026-12-01T08:00:00Z</eventTime></notification>";
        assert_eq!(time_of_xml(xml)["time"], "2026-12-01T08:00:00Z");
        for other in ["", "{}", "[1]", r#"{"notification":7}"#, "<eventTime"] {
            assert!(time_of_json(other).is_empty() && time_of_xml(other).is_empty(), "{other}");
        }
    }
}

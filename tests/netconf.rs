//! The driver netconf through a host: yuma123's server behind OpenSSH's and behind TLS, and one in Python.

mod python;
mod tls;

use jackfield_plugin_api::{ErrorKind, Result, Session};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    host::TestHost,
    jackfield::ran,
    peers::netconfd::{Netconfd, USER},
    process::DEADLINE,
};

const INTERFACES: &str = "urn:ietf:params:xml:ns:yang:ietf-interfaces";

/// A server, a host, and options that let us in.
struct Lab {
    server: Netconfd,
    host: TestHost,
}

impl Lab {
    async fn new() -> Self {
        Lab { server: Netconfd::start().await, host: TestHost::start("").await }
    }

    async fn session(&self, more: &Value) -> Session {
        let mut options = json!({
            "ssh": { "key_file": self.server.sshd.key(), "known_hosts": self.server.sshd.known_hosts() },
        });
        let all = options.as_object_mut().expect("an object");
        all.extend(more.as_object().cloned().unwrap_or_default());
        self.host.open(&self.server.uri(), options).await.expect("a session")
    }
}

async fn call(session: &Session, operation: &str, params: Value) -> Result<Value> {
    timeout(DEADLINE, session.call(operation, &params)).await.expect("an answer in time")
}

async fn good(session: &Session, operation: &str, params: Value) -> Value {
    call(session, operation, params).await.unwrap_or_else(|error| panic!("{operation}: {error}"))
}

/// An interface as a configuration.
fn interface(name: &str) -> Value {
    json!({ "interfaces": {
        "@xmlns": INTERFACES,
        "interface": {
            "name": name,
            "type": { "@xmlns:i": "urn:ietf:params:xml:ns:yang:iana-if-type", "#text": "i:ethernetCsmacd" },
            "enabled": true,
        },
    } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_locked_edited_committed_and_read() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "format": "json" })).await;
    timeout(DEADLINE, session.ping()).await.expect("in time").expect("a round trip");
    let facts = session.info().facts;
    assert_eq!(facts["base"], "1.1");
    assert!(facts["session_id"].as_u64().is_some_and(|id| id > 0), "{facts:?}");
    good(&session, "lock", json!({ "target": "candidate" })).await;
    let other = lab.session(&json!({})).await;
    let error =
        call(&other, "lock", json!({ "target": "candidate" })).await.expect_err("it is locked");
    assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
    assert!(error.to_string().contains("lock-denied"), "{error}");
    let edit = json!({ "target": "candidate", "config": interface("eth9") });
    good(&session, "edit_config", edit).await;
    good(&session, "commit", json!({})).await;
    good(&session, "unlock", json!({ "target": "candidate" })).await;
    let filter = json!({ "interfaces": { "@xmlns": INTERFACES } });
    let read = good(&session, "get_config", json!({ "source": "running", "filter": filter })).await;
    assert_eq!(read["data"]["data"]["interfaces"]["interface"]["name"], "eth9", "{read}");
    // The same from the other session, as XML.
    let read = good(&other, "get_config", json!({ "source": "running", "filter": filter })).await;
    assert!(read["output"].as_str().is_some_and(|xml| xml.contains("<name>eth9</name>")), "{read}");
    // What is not committed is gone.
    let edit = json!({ "target": "candidate", "config": interface("eth10") });
    good(&session, "edit_config", edit).await;
    good(&session, "discard_changes", json!({})).await;
    let read =
        good(&session, "get_config", json!({ "source": "candidate", "filter": filter })).await;
    assert!(!read.to_string().contains("eth10"), "{read}");
    timeout(DEADLINE, session.close(0, "")).await.expect("in time").expect("a goodbye");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_with_tag_and_message() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    let wrong =
        json!({ "target": "candidate", "config": { "nothing": { "@xmlns": "urn:nothing" } } });
    let error = call(&session, "edit_config", wrong).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(
        error.context().any(|(name, tag)| name == "tag" && tag.starts_with("unknown-")),
        "{error}"
    );
    let error =
        call(&session, "rpc", json!({ "content": "<nothing/>" })).await.expect_err("unknown");
    assert!(error.context().any(|(name, _)| name == "tag"), "{error}");
    let error = call(&session, "kill_session", json!({ "session_id": 4_000_000 })).await;
    assert!(error.is_err());
    // It goes on.
    timeout(DEADLINE, session.ping()).await.expect("in time").expect("a round trip");
    let schema = good(&session, "get_schema", json!({ "identifier": "ietf-interfaces" })).await;
    assert!(
        schema["output"].as_str().is_some_and(|yang| yang.contains("module ietf-interfaces")),
        "{schema}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_events() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    good(&session, "create_subscription", json!({})).await;
    let other = lab.session(&json!({})).await;
    let event = timeout(DEADLINE, session.next_event()).await.expect("in time").expect("no error");
    let event = event.expect("an event");
    assert_eq!(event.name, "notification");
    assert_eq!(event.data["name"], "netconf-session-start", "{}", event.data);
    assert!(event.data["time"].as_str().is_some_and(|time| time.contains('T')), "{}", event.data);
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn base_1_0_works_as_well() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "base": "1.0" })).await;
    assert_eq!(session.info().facts["base"], "1.0");
    let read = good(&session, "get_config", json!({})).await;
    assert!(read["output"].as_str().is_some_and(|xml| xml.contains("data")), "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_asks_by_one_line() {
    let lab = Lab::new().await;
    let uri = lab.server.uri();
    let key = format!("ssh.key_file={}", lab.server.sshd.key().display());
    let known = format!("ssh.known_hosts={}", lab.server.sshd.known_hosts().display());
    let arguments = ["call", &uri, "get_config", "source=running", "-o", &key, "-o", &known];
    let done = ran(&arguments, "").await;
    assert!(done.ok().text().contains("<data"), "{USER}");
}

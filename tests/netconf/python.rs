//! The server of the Python package `netconf`, whose SSH is paramiko's: it says and frames things its own way.

use jackfield_plugin_api::{ErrorKind, Session};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{call, good};
use crate::support::{host::TestHost, peers::netconf_python::NetconfPython, process::DEADLINE};

async fn open(host: &TestHost, server: &NetconfPython, base: &str) -> Session {
    let options = json!({
        "base": base, "format": "json", "ssh": { "known_hosts": server.known_hosts() },
    });
    host.open(&server.uri(), options).await.expect("a session")
}

fn edit(values: &[&str]) -> Value {
    let config = json!({ "values": { "@xmlns": "urn:values", "value": values } });
    json!({ "target": "running", "config": config })
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_is_read_locked_and_changed_with_either_base() {
    let server = NetconfPython::start().await;
    let host = TestHost::start("").await;
    for base in ["1.1", "1.0"] {
        let session = open(&host, &server, base).await;
        assert_eq!(session.info().facts["base"], base);
        timeout(DEADLINE, session.ping()).await.expect("in time").expect("a round trip");
        good(&session, "lock", json!({ "target": "running" })).await;
        let other = open(&host, &server, base).await;
        let error = call(&other, "lock", json!({ "target": "running" })).await;
        assert_eq!(error.expect_err("it is locked").kind(), ErrorKind::InUse);
        good(&session, "edit_config", edit(&[base])).await;
        good(&session, "unlock", json!({ "target": "running" })).await;
        let read = good(&other, "get_config", json!({ "source": "running" })).await;
        let values = read["data"]["data"]["value"].as_array().expect("a list");
        assert_eq!((&values[0], values.last()), (&json!("first"), Some(&json!(base))), "{read}");
        timeout(DEADLINE, session.close(0, "")).await.expect("in time").expect("a goodbye");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_errors_are_told_and_its_session_goes_on() {
    let server = NetconfPython::start().await;
    let host = TestHost::start("").await;
    let session = open(&host, &server, "1.1").await;
    let error = call(&session, "edit_config", edit(&["wrong"])).await.expect_err("a mistake");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert_eq!(error.message(), "that value is wrong", "{error}");
    assert!(error.context().any(|fact| fact == ("tag", "invalid-value")), "{error}");
    let error = call(&session, "rpc", json!({ "content": "<nothing/>" })).await;
    assert!(error.is_err());
    // Long enough for many packets of SSH, and for chunks in pieces.
    let long = "x".repeat(200_000);
    good(&session, "edit_config", edit(&[&long])).await;
    let read = good(&session, "get", json!({})).await;
    assert_eq!(read["data"]["data"]["value"][1], long.as_str());
}

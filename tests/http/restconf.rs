//! RESTCONF against a small server by Python's `http.server`.

use jackfield_plugin_api::{ErrorKind, Result, Session};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    host::TestHost, jackfield::ran, peers::http::RestconfServer, process::DEADLINE,
};

const ETH9: &str = "/data/ietf-interfaces:interfaces/interface=eth9";

async fn call(session: &Session, operation: &str, params: Value) -> Result<Value> {
    timeout(DEADLINE, session.call(operation, &params)).await.expect("an answer in time")
}

fn interface(name: &str, description: &str) -> Value {
    json!({ "ietf-interfaces:interface": [{ "name": name, "description": description }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_got_created_changed_and_deleted_below_the_root_that_the_server_tells() {
    let server = RestconfServer::start().await;
    let host = TestHost::start("").await;
    let session = host.open(&server.uri("admin:secret@"), json!({})).await.expect("a session");
    timeout(DEADLINE, session.ping()).await.expect("in time").expect("a round trip");
    assert_eq!(session.info().facts["root"], "/api/v1");
    let list =
        json!({ "path": "/data/ietf-interfaces:interfaces", "query": { "content": "config" } });
    let got = call(&session, "get", list).await.expect("data");
    assert_eq!(got["data"]["ietf-interfaces:interfaces"]["interface"][0]["name"], "eth0", "{got}");
    let post =
        json!({ "path": "/data/ietf-interfaces:interfaces", "data": interface("eth9", "a") });
    let made = call(&session, "post", post.clone()).await.expect("it is made");
    assert_eq!(made["status"], 201);
    assert!(made["location"].as_str().is_some_and(|at| at.ends_with(ETH9)), "{made}");
    let error = call(&session, "post", post).await.expect_err("it is there");
    assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
    let patch = json!({ "path": ETH9, "data": interface("eth9", "b") });
    assert_eq!(call(&session, "patch", patch).await.expect("changed")["status"], 204);
    let got = call(&session, "get", json!({ "path": ETH9 })).await.expect("data");
    assert_eq!(got["data"]["ietf-interfaces:interface"][0]["description"], "b");
    let put = |tag: &str| json!({ "path": ETH9, "data": interface("eth9", "c"), "if_match": tag });
    call(&session, "put", put(got["etag"].as_str().expect("a tag"))).await.expect("replaced");
    let error = call(&session, "put", put("\"old\"")).await.expect_err("another tag");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    call(&session, "delete", json!({ "path": ETH9 })).await.expect("deleted");
    let error = call(&session, "delete", json!({ "path": ETH9 })).await.expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let listed = call(&session, "operations", json!({})).await.expect("a list");
    assert!(listed["data"]["ietf-restconf:operations"]["example:reboot"].is_array(), "{listed}");
    let reboot = json!({ "path": "example:reboot", "data": { "example:input": { "delay": 5 } } });
    let done = call(&session, "operations", reboot).await.expect("an output");
    assert_eq!(done["data"]["example:output"]["delay"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_tag_and_path_in_both_forms() {
    let server = RestconfServer::start().await;
    let host = TestHost::start("").await;
    for format in ["json", "xml"] {
        let options = json!({ "format": format });
        let session = host.open(&server.uri("admin:secret@"), options).await.expect("a session");
        let error =
            call(&session, "get", json!({ "path": "/data/none:x" })).await.expect_err("none");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert_eq!(error.message(), "uri keypath not found");
        let facts: Vec<_> = error.context().collect();
        assert!(facts.contains(&("tag", "invalid-value")), "{facts:?}");
        assert!(
            facts.iter().any(|(name, path)| *name == "path" && path.ends_with("interfaces")),
            "{facts:?}"
        );
    }
    let session = host.open(&server.uri("admin:wrong@"), json!({})).await.expect("a session");
    let error = call(&session, "get", json!({})).await.expect_err("a wrong password");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(!error.to_string().contains("wrong@"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_asks_by_one_line() {
    let server = RestconfServer::start().await;
    let uri = server.uri("admin:secret@");
    let path = "path=/data/ietf-interfaces:interfaces";
    let json = ran(&["call", &uri, "get", path, "--json"], "").await.ok().text();
    let found: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(found["data"]["ietf-interfaces:interfaces"]["interface"][0]["name"], "eth0");
    let xml = ran(&["call", &uri, "get", path, "format=xml"], "").await.ok().text();
    assert!(xml.starts_with("<interfaces "), "{xml}");
}

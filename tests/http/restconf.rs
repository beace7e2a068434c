//! RESTCONF against a small server by Python's `http.server`.

use futures_util::StreamExt;
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

/// The notifications of a session up to its end, each with what is told beside it.
async fn told(session: Session) -> Vec<(Value, Value)> {
    let messages = session.take_messages().expect("messages");
    let read = messages.map(|message| {
        let message = message.expect("a message");
        let beside = serde_json::from_slice(&message.metadata).expect("JSON");
        let content = String::from_utf8(message.payload.to_vec()).expect("UTF-8");
        (serde_json::from_str(&content).unwrap_or(Value::String(content)), beside)
    });
    timeout(DEADLINE, read.collect()).await.expect("an end in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_of_a_stream_are_messages_and_go_on_from_the_time_of_one() {
    let server = RestconfServer::start().await;
    let host = TestHost::start("").await;
    let open = |options: Value| {
        let (host, uri) = (&host, server.uri("admin:secret@"));
        async move { host.open(&uri, options).await }
    };
    let now = told(open(json!({ "stream": "NETCONF" })).await.expect("a session")).await;
    assert_eq!(now.len(), 1, "without a time from which there is only what comes: {now:?}");
    let since = |time: &str| json!({ "stream": "NETCONF", "start_time": time, "filter": "/a:b" });
    let all = told(open(since("2026-12-01T08:00:00Z")).await.expect("a session")).await;
    assert_eq!(all.len(), 5);
    let (content, beside) = &all[2];
    assert_eq!(
        (&beside["time"], &beside["event"]),
        (&json!("2026-12-01T08:00:04Z"), &json!("message"))
    );
    assert_eq!(content["ietf-restconf:notification"]["example:link"]["filter"], "/a:b");
    // Who was cut off there goes on there; that one comes again.
    let rest = told(open(since(beside["time"].as_str().unwrap())).await.expect("a session")).await;
    assert_eq!(rest, all[2..]);
    let mut some = since("2026-12-01T08:00:02Z");
    some["stop_time"] = json!("2026-12-01T08:00:04Z");
    assert_eq!(told(open(some).await.expect("a session")).await, all[1..3]);
    for form in [
        json!({ "stream": "NETCONF", "format": "xml" }),
        json!({ "stream": "/streams/xml", "format": "xml" }),
    ] {
        let xml = told(open(form).await.expect("a session")).await;
        assert!(xml[0].0.as_str().is_some_and(|text| text.starts_with("<notification")), "{xml:?}");
        assert_eq!(xml[0].1["time"], "2026-12-01T08:00:08Z");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_to_be_had_is_refused_and_says_which_are() {
    let server = RestconfServer::start().await;
    let host = TestHost::start("").await;
    let refused = |options: Value| {
        let (host, uri) = (&host, server.uri("admin:secret@"));
        async move { host.open(&uri, options).await.expect_err("a refusal") }
    };
    let error = refused(json!({ "stream": "SYSLOG" })).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.context().any(|fact| fact == ("streams", "NETCONF, ONLY-XML")), "{error}");
    let error = refused(json!({ "stream": "ONLY-XML" })).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.context().any(|fact| fact == ("encodings", "xml")), "{error}");
    let error = refused(json!({ "stream": "NETCONF", "start_time": "yesterday" })).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Refused, "start-time is no time"));
    let error = refused(json!({ "stream": "/streams/none" })).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let long = json!({ "stream": "NETCONF", "client": { "max_event": 100 } });
    let session = host.open(&server.uri("admin:secret@"), long).await.expect("a session");
    let mut messages = session.take_messages().expect("messages");
    let error = timeout(DEADLINE, messages.next()).await.expect("in time").expect("an error");
    assert_eq!(error.expect_err("too long").kind(), ErrorKind::Limit);
    for (options, name) in [
        (json!({ "start_time": "2026-12-01T08:00:00Z" }), "start_time"),
        (json!({ "stream": "NETCONF", "stop_time": "2026-12-01T08:00:00Z" }), "stop_time"),
        (json!({ "stream": "" }), "stream"),
        (json!({ "client": { "sse": true } }), "client.sse"),
    ] {
        let error = refused(options).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
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

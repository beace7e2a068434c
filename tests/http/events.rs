//! Server-sent events that are read: those of our own routes, and of Python.

use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::{ErrorKind, Message, Session};
use serde_json::{Value, json};

use crate::support::{
    certs::Certs,
    host::TestHost,
    jackfield::ran,
    peers::{echo::TcpPeer, http::PythonEvents},
};

/// All events of a session: what each is, and its data.
async fn all(session: &Session) -> Vec<(Value, String)> {
    let mut messages = session.take_messages().expect("events");
    let mut all = Vec::new();
    while let Some(message) = messages.next().await {
        let Message { metadata, payload, .. } = message.expect("an event");
        let facts = serde_json::from_slice(&metadata).expect("JSON");
        all.push((facts, String::from_utf8(payload.to_vec()).expect("text")));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_route_tells_by_events_is_heard_by_a_client() {
    let certs = Certs::new();
    let peer = TcpPeer::sending(b"first\n\n data: x\nover\rwritten\ncaf\xc3\xa9 \xff\nrest").await;
    let far = TestHost::start(&format!(
        "[[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"{0}\"\nsse = true\n\
         [[routes]]\nlisten = \"https://127.0.0.1:0\"\nto = \"{0}\"\nsse = true\n\
         options.tls = {{ certificate_file = {1:?}, key_file = {2:?} }}\n",
        peer.uri(),
        certs.server.certificate,
        certs.server.key,
    ))
    .await;
    let host = TestHost::start("").await;
    let (plain, tls) = (far.address(0).port(), far.address(1).port());
    for (uri, version) in [
        (format!("http://127.0.0.1:{plain}/"), "1.1"),
        (format!("http://127.0.0.1:{plain}/"), "2"),
        (format!("https://localhost:{tls}/"), "auto"),
    ] {
        let mut options = json!({ "sse": true, "version": version });
        if version == "auto" {
            options["tls"] = json!({ "ca_file": certs.ca });
        }
        let session = host.open(&uri, options).await.unwrap();
        let facts = || json!({ "event": "message" });
        let told = ["first", "", " data: x", "over\nwritten", "café \u{fffd}", "rest"];
        let told: Vec<_> = told.iter().map(|data| (facts(), (*data).to_owned())).collect();
        assert_eq!(all(&session).await, told, "{uri} {version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_another_server_have_names_and_numbers_and_can_be_taken_up_again() {
    let (host, python) = (TestHost::start("").await, PythonEvents::start().await);
    let uri = |path: &str| format!("http://127.0.0.1:{}/{path}", python.port);
    let told = [
        (json!({ "event": "message", "id": "1", "retry": 250 }), "one".to_owned()),
        (json!({ "event": "tick", "id": "2" }), "two\n lines".to_owned()),
        (json!({ "event": "message", "id": "3" }), "\ncafé".to_owned()),
    ];
    let session = host.open(&uri("events"), json!({ "sse": true })).await.unwrap();
    assert_eq!(all(&session).await, told);
    let later = json!({ "sse": true, "headers": { "Last-Event-ID": "2" }, "redirects": 1 });
    let session = host.open(&uri("moved"), later).await.unwrap();
    assert_eq!(all(&session).await, told[2..]);
    for path in ["moved", "elsewhere"] {
        let error = host.open(&uri(path), json!({ "sse": true })).await.unwrap_err();
        assert!(error.to_string().contains("gives no events"), "{error}");
    }
    let shown = ran(&["connect", &uri("events"), "-o", "sse=true"], "").await.ok();
    assert_eq!(shown.text(), "one\ntwo\n lines\n\ncafé\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_where_events_come_from() {
    let (host, python) = (TestHost::start("").await, PythonEvents::start().await);
    let uri = format!("http://127.0.0.1:{}/events", python.port);
    let session = host.open(&uri, json!({ "sse": true })).await.unwrap();
    let mut messages = session.take_messages().unwrap();
    let error = messages.send(Message::text("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(messages.next().await.unwrap().unwrap().payload, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_given_the_events_of_a_server() {
    let python = PythonEvents::start().await;
    let host = TestHost::start(&format!(
        "[[upstreams.ticks.targets]]\nuri = \"http://127.0.0.1:{}/events\"\n\
         options = {{ sse = true }}\n[[routes]]\nlisten = \"ws://127.0.0.1:0\"\n\
         to = \"upstreams.ticks\"\n",
        python.port
    ))
    .await;
    let session = host.open(&format!("ws://{}", host.address(0)), json!({})).await.unwrap();
    let mut messages = session.take_messages().unwrap();
    for data in ["one", "two\n lines", "\ncafé"] {
        assert_eq!(messages.next().await.unwrap().unwrap(), Message::text(data));
    }
}

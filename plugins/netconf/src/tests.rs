//! Sessions against a scripted server: what an honest one does not do.

use crate::options::NetconfOptions;
use crate::session::connect;
use jackfield_plugin_api::{Error, ErrorKind, Info, Result, Session, Stream, testing};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const BASE: &str = "urn:ietf:params:xml:ns:netconf:base:1.0";

fn hello(bases: &[&str]) -> String {
    let listed: String = bases
        .iter()
        .map(|base| format!("<capability>urn:ietf:params:netconf:base:{base}</capability>"))
        .chain(["<capability>urn:ietf:params:netconf:capability:notification:1.0</capability>"
            .to_owned()])
        .collect();
    format!(
        "<hello xmlns=\"{BASE}\"><capabilities>{listed}</capabilities><session-id>9</session-id></hello>]]>]]>"
    )
}

/// A session whose server has greeted, and the server's end.
async fn session(options: Value, greeting: &str) -> (Result<Session>, DuplexStream) {
    let options: NetconfOptions = serde_json::from_value(options).expect("options");
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    theirs.write_all(greeting.as_bytes()).await.expect("room");
    let opened = connect(testing::host(), Arc::new(options), Stream::new(ours), &Info::new()).await;
    let mut greeted = Vec::new();
    while !greeted.ends_with(b"]]>]]>") {
        greeted.push(theirs.read_u8().await.expect("our greeting"));
    }
    (opened, theirs)
}

/// Reads up to the end of a request and gives it.
async fn asked(server: &mut DuplexStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(server.read_u8().await.expect("a request"));
    }
    String::from_utf8(text).expect("UTF-8")
}

fn chunked(text: &str) -> String {
    format!("\n#{}\n{text}\n##\n", text.len())
}

fn ok(id: &str) -> String {
    format!("<rpc-reply xmlns=\"{BASE}\" message-id=\"{id}\"><ok/></rpc-reply>")
}

/// What an operation comes to whose server answers it with `answer` in chunks.
async fn answered(options: Value, answer: &[u8]) -> Result<Value> {
    let (session, mut server) = session(options, &hello(&["1.0", "1.1"])).await;
    let session = session.expect("a session");
    let params = json!({ "target": "running" });
    let (result, ()) = tokio::join!(session.call("lock", &params), async {
        asked(&mut server, "\n##\n").await;
        server.write_all(answer).await.expect("room");
    });
    result
}

fn kind(result: Result<Value>) -> ErrorKind {
    result.map_err(|error: Error| error.kind()).expect_err("a refusal")
}

#[tokio::test]
async fn chunks_begin_behind_both_greetings() {
    let (opened, mut server) = session(json!({}), &hello(&["1.0", "1.1"])).await;
    let opened = opened.expect("a session");
    assert_eq!(
        (&opened.info().facts["base"], &opened.info().facts["session_id"]),
        (&json!("1.1"), &json!(9))
    );
    let params = json!({ "target": "running" });
    let (result, ()) = tokio::join!(opened.call("lock", &params), async {
        let request = asked(&mut server, "\n##\n").await;
        assert!(request.starts_with("\n#") && request.contains("message-id=\"1\""), "{request}");
        // Pieces of one byte, with a line feed that some devices send.
        for byte in format!("\n{}", chunked(&ok("1"))).bytes() {
            server.write_u8(byte).await.expect("room");
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(result.expect("a result"), json!({ "output": "<ok/>" }));

    let (opened, mut server) = session(json!({}), &hello(&["1.0"])).await;
    let opened = opened.expect("a session");
    let (result, ()) = tokio::join!(opened.call("lock", &params), async {
        let request = asked(&mut server, "]]>]]>").await;
        assert!(request.starts_with("<rpc "), "{request}");
        server.write_all(format!("\n{}]]>]]>\n", ok("1")).as_bytes()).await.expect("room");
    });
    assert_eq!(result.expect("a result"), json!({ "output": "<ok/>" }));
}

#[tokio::test]
async fn answers_find_who_has_asked_and_those_that_nobody_waits_for_harm_nothing() {
    let (opened, mut server) = session(json!({}), &hello(&["1.1"])).await;
    let opened = Arc::new(opened.expect("a session"));
    let cancelled = {
        let session = Arc::clone(&opened);
        tokio::spawn(async move { session.call("lock", &json!({ "target": "running" })).await })
    };
    asked(&mut server, "\n##\n").await;
    cancelled.abort();
    assert!(cancelled.await.expect_err("cancelled").is_cancelled());
    let data = |id: &str| {
        format!("<rpc-reply xmlns=\"{BASE}\" message-id=\"{id}\"><data>{id}</data></rpc-reply>")
    };
    let (none, running) = (json!({}), json!({ "source": "running" }));
    let (first, second, ()) = tokio::join!(
        opened.call("get", &none),
        opened.call("get_config", &running),
        async {
            asked(&mut server, "\n##\n").await;
            asked(&mut server, "\n##\n").await;
            let told = "<notification xmlns=\"urn:ietf:params:xml:ns:netconf:notification:1.0\">\
                    <eventTime>2026-01-02T03:04:05Z</eventTime><link xmlns=\"urn:l\"><up/></link></notification>";
            for text in [data("3"), told.to_owned(), ok("1"), data("2")] {
                server.write_all(chunked(&text).as_bytes()).await.expect("room");
            }
        }
    );
    assert_eq!(first.expect("a result"), json!({ "output": "<data>2</data>" }));
    assert_eq!(second.expect("a result"), json!({ "output": "<data>3</data>" }));
    let event = opened.next_event().await.expect("no error").expect("an event");
    let told = json!({ "time": "2026-01-02T03:04:05Z", "name": "link", "xml": "<link xmlns=\"urn:l\"><up/></link>" });
    assert_eq!((event.name.as_str(), event.data), ("notification", told));
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_session() {
    let unasked = chunked(&ok("7"));
    let other = chunked(&format!("<hello xmlns=\"{BASE}\"/>"));
    let entity = chunked(&format!(
        "<!DOCTYPE a [<!ENTITY x \"xx\">]><rpc-reply xmlns=\"{BASE}\" message-id=\"1\">&x;</rpc-reply>"
    ));
    let foreign = chunked("<rpc-reply xmlns=\"urn:x\" message-id=\"1\"><ok/></rpc-reply>");
    for answer in [
        // The framing of base 1.0 where that of 1.1 was agreed on.
        format!("{}]]>]]>", ok("1")),
        unasked,
        other,
        entity,
        foreign,
        "\n#5\n<rpc-reply".to_owned(),
        "\n#0\n\n##\n".to_owned(),
        "\n##\n".to_owned(),
        chunked("<rpc-reply"),
        chunked("\u{0}"),
    ] {
        assert_eq!(
            kind(answered(json!({}), answer.as_bytes()).await),
            ErrorKind::Protocol,
            "{answer:?}"
        );
    }
    assert_eq!(kind(answered(json!({}), b"\n#1\n\xff\n##\n").await), ErrorKind::Protocol);
    let deep =
        chunked(&format!("<rpc-reply xmlns=\"{BASE}\" message-id=\"1\">{}", "<a>".repeat(5000)));
    assert_eq!(kind(answered(json!({}), deep.as_bytes()).await), ErrorKind::Limit);
    let long = answered(json!({ "max_message": 2000 }), b"\n#4000000000\n").await;
    assert_eq!(kind(long), ErrorKind::Limit);
}

#[tokio::test]
async fn errors_of_the_server_leave_the_session_whole() {
    let (opened, mut server) = session(json!({ "format": "json" }), &hello(&["1.1"])).await;
    let opened = opened.expect("a session");
    let params = json!({ "target": "running" });
    let refusing = async {
        asked(&mut server, "\n##\n").await;
        // One that could not be read has no number.
        let error = "<rpc-error><error-tag>lock-denied</error-tag></rpc-error>";
        let reply = format!("<rpc-reply xmlns=\"{BASE}\">{error}</rpc-reply>");
        server.write_all(chunked(&reply).as_bytes()).await.expect("room");
    };
    let (result, ()) = tokio::join!(opened.call("lock", &params), refusing);
    assert_eq!(kind(result), ErrorKind::InUse);
    let (result, ()) = tokio::join!(opened.ping(), async {
        asked(&mut server, "\n##\n").await;
        server.write_all(chunked(&ok("2")).as_bytes()).await.expect("room");
    });
    result.expect("a round trip");
    let (_, ()) = tokio::join!(opened.close(0, ""), async {
        assert!(asked(&mut server, "\n##\n").await.contains("<close-session/>"));
        server.write_all(chunked(&ok("3")).as_bytes()).await.expect("room");
    });
    assert_eq!(kind(opened.call("lock", &params).await), ErrorKind::Closed);
}

#[tokio::test]
async fn greetings_that_are_none_are_refused() {
    for greeting in [
        "<hello/>]]>]]>".to_owned(),
        "login: ]]>]]>".to_owned(),
        hello(&[]),
        hello(&["1.1"]).replace("9<", "0<"),
        hello(&["1.1"]).replace("<hello ", "<!DOCTYPE a><hello "),
    ] {
        let error = session(json!({}), &greeting).await.0.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{greeting}: {error}");
    }
    let old = session(json!({ "base": "1.0" }), &hello(&["1.1"])).await.0.expect_err("a refusal");
    assert_eq!(old.kind(), ErrorKind::Protocol, "{old}");
}

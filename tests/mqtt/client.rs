//! Connecting: against mosquitto.

use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::{Error, ErrorKind, Message, MessageKind};
use serde_json::{Value, json};

use crate::support::{
    certs::Certs,
    host::TestHost,
    jackfield::{jackfield, ran},
    peers::mqtt::{Mosquitto, mosquitto_pub, mosquitto_sub},
    process::{dialogue, tempdir},
};

/// What stands beside the content of a message.
pub(crate) fn metadata(message: &Message) -> Value {
    serde_json::from_slice(&message.metadata).expect("JSON")
}

/// A message of `topic`.
pub(crate) fn message(topic: &str, qos: u8, content: &str) -> Message {
    let metadata = json!({ "topic": topic, "qos": qos }).to_string();
    Message::binary(content.to_owned()).with_metadata(metadata)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_in_both_versions_with_every_quality_of_service() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let mosquitto = Mosquitto::start(&certs).await;
    for version in ["3.1.1", "5"] {
        let options = json!({ "version": version, "subscribe": ["lab/+/in", "other"], "qos": 2 });
        let session = host.open(&mosquitto.uri(), options).await.unwrap();
        assert_eq!(session.info().facts["version"], version);
        let mut messages = session.take_messages().unwrap();
        for qos in 0..=2 {
            let content = format!("{version} {qos}");
            let level = qos.to_string();
            let sent = ["-t", "lab/a/in", "-q", &level, "-m", &content];
            mosquitto_pub(mosquitto.port, &sent).await.ok();
            let came = messages.next().await.unwrap().unwrap();
            assert_eq!(came.payload, content.as_bytes());
            let beside = metadata(&came);
            assert_eq!((&beside["topic"], &beside["qos"]), (&json!("lab/a/in"), &json!(qos)));

            let sub = ["-t", "lab/out", "-q", "2", "-C", "1", "-d", "-F", "%t %q %p."];
            let mut sub = mosquitto_sub(mosquitto.port, &sub).await;
            messages.send(message("lab/out", qos, &content)).await.unwrap();
            let heard = sub.logged(&format!("lab/out {qos} ")).await.unwrap();
            assert_eq!(heard, format!("{content}."));
        }
        session.ping().await.unwrap();
        session.close(0, "").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn properties_of_version_5_pass_both_ways() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let mosquitto = Mosquitto::start(&certs).await;
    let options = json!({ "subscribe": "lab/#", "qos": 1, "topic_aliases": 4 });
    let session = host.open(&mosquitto.uri(), options).await.unwrap();
    let mut messages = session.take_messages().unwrap();
    let beside = json!({
        "topic": "lab/a", "qos": 1, "expiry": 60, "content_type": "text/plain",
        "response_topic": "lab/answers", "correlation": "AQID",
        "user": { "room": ["1", "2"] },
    });
    let sent = Message::text("grüße").with_metadata(beside.to_string());
    // The second and third of a topic go by its number.
    for _ in 0..3 {
        messages.send(sent.clone()).await.unwrap();
        let came = messages.next().await.unwrap().unwrap();
        assert_eq!((came.kind, &came.payload), (MessageKind::TEXT, &sent.payload));
        let mut found = metadata(&came);
        // The broker counts the seconds that it had the message.
        assert!(found["expiry"].as_u64().unwrap() >= 30);
        found["expiry"] = json!(60);
        assert_eq!(found, beside);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_ends_with_the_answer_and_a_refusal_is_an_error_with_its_reason() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let folder = tempdir();
    let file = folder.path().join("acl");
    std::fs::write(&file, "topic readwrite lab/#\n").unwrap();
    let lines = format!("allow_anonymous true\nacl_file {}\n", file.display());
    std::process::Command::new("chmod").args(["-R", "a+rX"]).arg(folder.path()).status().unwrap();
    let mosquitto = Mosquitto::with(&certs, &lines).await;
    let session = host.open(&mosquitto.uri(), json!({})).await.unwrap();
    let publish = async |topic: &str, qos: u8| {
        let params = json!({ "topic": topic, "payload": "OK", "qos": qos });
        session.call("publish", &params).await
    };
    for qos in 0..=2 {
        let answer = publish("lab/ack", qos).await.unwrap();
        assert!(answer["code"].as_u64().unwrap() < 128, "{answer}");
    }
    for qos in 1..=2 {
        let error = publish("elsewhere", qos).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, Some(135)), "{error}");
        assert!(error.message().contains("not authorized"), "{error}");
    }
    let error = publish("lab/#", 0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let error = session.call("subscribe", &json!({ "topic": "a/#/b" })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let granted = session.call("subscribe", &json!({ "topic": "lab/#", "qos": 1 })).await.unwrap();
    assert_eq!(granted, json!({ "codes": [1] }));
    let ended = session.call("unsubscribe", &json!({ "topic": "lab/#" })).await.unwrap();
    assert_eq!(ended, json!({ "codes": [0] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_over_tls_and_websocket() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let mosquitto = Mosquitto::start(&certs).await;
    let tls =
        (format!("mqtts://127.0.0.1:{}", mosquitto.tls), json!({ "tls": { "ca_file": certs.ca } }));
    let ws = (format!("mqtt+ws://127.0.0.1:{}/mqtt", mosquitto.ws), json!({}));
    for (uri, mut options) in [tls, ws] {
        options["subscribe"] = json!("lab/#");
        let session = host.open(&uri, options).await.unwrap();
        let mut messages = session.take_messages().unwrap();
        let long = "x".repeat(200_000);
        messages.send(message("lab/a", 0, &long)).await.unwrap();
        assert!(messages.next().await.unwrap().unwrap().payload == long.as_bytes(), "{uri}");
        session.close(0, "").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_asked_for_and_a_wrong_one_is_told_by_its_reason() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let mosquitto = Mosquitto::with(&certs, "allow_anonymous false\n").await;
    for (version, code) in [("5", 135), ("3.1.1", 5)] {
        let uri = format!("mqtt://lab:wrong@127.0.0.1:{}", mosquitto.port);
        let error: Error =
            host.open(&uri, json!({ "version": version })).await.map(drop).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(code)), "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_will_and_a_retained_message_are_told_to_others() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let mosquitto = Mosquitto::start(&certs).await;
    let uri = mosquitto.uri();
    let watching = json!({ "subscribe": ["state"], "qos": 1 });
    let will = json!({ "will": { "topic": "state", "payload": "gone", "qos": 1, "retain": true } });
    let watcher = host.open(&uri, watching.clone()).await.unwrap();
    let mut seen = watcher.take_messages().unwrap();
    let session = host.open(&uri, will.clone()).await.unwrap();
    // One that ends as it should leaves no will; one that does not leaves it.
    session.close(0, "").await.unwrap();
    drop(session);
    drop(host.open(&uri, will).await.unwrap());
    let told = seen.next().await.unwrap().unwrap();
    assert_eq!((&told.payload[..], &metadata(&told)["topic"]), (&b"gone"[..], &json!("state")));
    let later = host.open(&uri, watching).await.unwrap();
    let told = later.take_messages().unwrap().next().await.unwrap().unwrap();
    assert_eq!((&told.payload[..], &metadata(&told)["retain"]), (&b"gone"[..], &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_where_it_was_left() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let mosquitto = Mosquitto::start(&certs).await;
    for version in ["3.1.1", "5"] {
        let client = format!("resumed-{version}");
        let mut options = json!({
            "version": version, "client_id": client, "clean_start": false,
            "subscribe": ["kept"], "qos": 1,
        });
        if version == "5" {
            options["session_expiry"] = json!(300);
        }
        let first = host.open(&mosquitto.uri(), options.clone()).await.unwrap();
        assert_eq!(first.info().facts["session_present"], false);
        first.close(0, "").await.unwrap();
        drop(first);
        mosquitto_pub(mosquitto.port, &["-t", "kept", "-q", "1", "-m", version]).await.ok();
        let second = host.open(&mosquitto.uri(), options).await.unwrap();
        assert_eq!(second.info().facts["session_present"], true);
        let came = second.take_messages().unwrap().next().await.unwrap().unwrap();
        assert_eq!(came.payload, version.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_messages_arrive_in_order_whatever_the_window() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let mosquitto = Mosquitto::start(&certs).await;
    for (qos, window) in [(0, 64), (1, 1), (1, 64), (2, 3)] {
        let options = json!({
            "subscribe": ["many"], "qos": qos, "inflight": window, "receive_maximum": window,
        });
        let session = host.open(&mosquitto.uri(), options).await.unwrap();
        let (mut sink, mut stream) = session.take_messages().unwrap().split();
        let sending = async {
            for number in 0..1000 {
                sink.feed(message("many", qos, &number.to_string())).await.unwrap();
            }
            sink.flush().await.unwrap();
        };
        let receiving = async {
            for number in 0..1000 {
                let came = stream.next().await.unwrap().unwrap();
                assert_eq!(came.payload, number.to_string().as_bytes(), "qos {qos}");
            }
        };
        tokio::join!(sending, receiving);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_publish_and_listen() {
    let certs = Certs::new();
    let mut mosquitto = Mosquitto::start(&certs).await;
    let uri = mosquitto.uri();
    let published = ["call", &uri, "publish", "topic=lab/ack", "payload=OK", "qos=1"];
    let told = ran(&published, "").await.ok().text();
    assert!(told.contains("no matching subscribers"), "{told}");
    let listening = jackfield(&["connect", &format!("{uri}?subscribe=sensors/+/temperature")]);
    let heard = tokio::spawn(dialogue(listening, "", "21.5"));
    mosquitto.logged("sensors/+/temperature (QoS").await;
    let sent = ["-t", "sensors/a/temperature", "-m", "21.5"];
    mosquitto_pub(mosquitto.port, &sent).await.ok();
    assert!(heard.await.unwrap().text().contains("21.5"));
}

//! Clients of others at our listener.

use jackfield_plugin_api::{Error, Session};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{META, listen};
use crate::support::{
    certs::Certs,
    peers::quic::{ngtcp2_client, quic_client, quic_client_process, soon},
    process::tempdir,
};

/// Answers a stream with what came on it.
async fn echo(stream: Session) -> std::io::Result<()> {
    let mut io = stream.take_stream().unwrap();
    let mut all = Vec::new();
    io.read_to_end(&mut all).await?;
    io.write_all(&all).await?;
    io.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn aioquic_has_its_streams_and_datagrams_answered() {
    let certs = Certs::new();
    let (listener, port) = listen(&certs, |_| ()).await;
    let serving = async {
        let session = soon(listener.accept()).await.unwrap();
        let mut datagrams = session.take_datagrams().unwrap();
        echo(soon(session.accept_stream()).await.unwrap().unwrap()).await.unwrap();
        let one = soon(session.accept_stream()).await.unwrap().unwrap();
        let mut text = String::new();
        one.take_stream().unwrap().read_to_string(&mut text).await.unwrap();
        let back = session.open_stream(&json!({ "uni": true })).await.unwrap();
        let mut back = back.take_stream().unwrap();
        back.write_all(text.as_bytes()).await.unwrap();
        soon(back.shutdown()).await.unwrap();
        let mut buffer = [0; 2000];
        let meta = soon(datagrams.recv(&mut buffer)).await.unwrap().unwrap();
        datagrams.send(&buffer[..meta.len], META).await.unwrap();
        soon(session.next_event()).await.unwrap().unwrap()
    };
    let steps = [
        json!({ "echo": "both ways" }),
        json!({ "uni": "one way" }),
        json!({ "accept": true }),
        json!({ "datagram": "whole" }),
        json!({ "close": [5, "that is all"] }),
    ];
    let (event, answers) = tokio::join!(serving, quic_client(port, &certs.ca, &[], &steps));
    let texts: Vec<&Value> = answers.iter().filter_map(|answer| answer.get("text")).collect();
    assert_eq!(texts, ["both ways", "one way"]);
    assert!(answers.contains(&json!({ "datagram": "whole" })), "{answers:?}");
    assert_eq!(event.data, json!({ "by": "peer", "code": 5, "reason": "that is all" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn aioquic_sees_our_code_and_reason() {
    let certs = Certs::new();
    let (listener, port) = listen(&certs, |options| options.validate_address = true).await;
    let serving = async {
        let session = soon(listener.accept()).await.unwrap();
        let stream = soon(session.accept_stream()).await.unwrap().unwrap();
        stream.close(21, "").await.unwrap();
        let stream = soon(session.accept_stream()).await.unwrap().unwrap();
        echo(stream).await.unwrap();
        session.close(3, "closing time").await.unwrap();
    };
    let steps = [
        json!({ "half": "x" }),
        json!({ "accept": true }),
        json!({ "echo": "y" }),
        json!({ "wait_closed": true }),
    ];
    let ((), answers) = tokio::join!(serving, quic_client(port, &certs.ca, &[], &steps));
    assert_eq!(answers[2]["text"], "reset 21", "{answers:?}");
    assert_eq!(answers[4], json!({ "closed": [3, "closing time"] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn aioquic_may_begin_only_as_many_streams_as_it_may() {
    let certs = Certs::new();
    let (listener, port) = listen(&certs, |options| options.max_bidi_streams = 3).await;
    let steps = [json!({ "streams": 10 }), json!({ "close": [0, ""] })];
    let (session, answers) =
        tokio::join!(soon(listener.accept()), quic_client(port, &certs.ca, &[], &steps));
    let _session = session.unwrap();
    assert_eq!(answers[1], json!({ "begun": 3 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_told_why_they_cannot_connect() {
    let certs = Certs::new();
    let (_listener, port) = listen(&certs, |_| ()).await;
    let answers = quic_client(port, &certs.ca, &["--alpn", "other"], &[]).await;
    assert!(answers[0]["error"].is_string(), "{answers:?}");
    let stranger = Certs::new();
    let answers = quic_client(port, &stranger.ca, &[], &[]).await;
    assert!(answers[0]["error"].is_string(), "{answers:?}");
    let answers = quic_client(port, &certs.ca, &[], &[]).await;
    assert_eq!(answers, [json!({ "open": true })], "others still can");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_killed_is_noticed() {
    let (certs, folder) = (Certs::new(), tempdir());
    let (listener, port) = listen(&certs, |options| options.idle_timeout = 2).await;
    let input = folder.path().join("steps");
    std::fs::write(&input, "{\"half\": \"half of it\"}\n").unwrap();
    let mut client = quic_client_process(port, &certs.ca, &input);
    let session = soon(listener.accept()).await.unwrap();
    let stream = soon(session.accept_stream()).await.unwrap().unwrap();
    let mut io = stream.take_stream().unwrap();
    let mut text = [0; 10];
    soon(io.read_exact(&mut text)).await.unwrap();
    client.kill_tree();
    let error: Error = soon(io.read(&mut text)).await.unwrap_err().into();
    assert!(error.message().contains("silent"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ngtcp2_moves_to_another_address_and_changes_keys() {
    let certs = Certs::new();
    let (listener, port) = listen(&certs, |options| options.alpn = vec!["h3".into()]).await;
    let more = ["--change-local-addr=300ms", "--key-update=100ms", "--delay-stream=600ms"];
    let _client = ngtcp2_client(port, &more);
    let session = soon(listener.accept()).await.unwrap();
    let before = session.info().peer;
    // It ends the connection when one of these is not wanted any longer (RFC 9114 §6.2.1).
    let (mut kinds, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let stream = soon(session.accept_stream()).await.unwrap().unwrap();
        let mut stream = stream.take_stream().unwrap();
        kinds.push(soon(stream.read_u8()).await.unwrap());
        kept.push(stream);
    }
    kinds.sort_unstable();
    assert_eq!(kinds, [0, 2, 3]);
    // Its request comes after it has moved.
    let request = soon(session.accept_stream()).await.unwrap().unwrap();
    assert_eq!(soon(request.take_stream().unwrap().read_u8()).await.unwrap(), 1, "HEADERS");
    assert_ne!(session.info().peer, before);
}

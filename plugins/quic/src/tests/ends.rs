//! How connections live and end.

use super::{META, pair, soon, waits};
use jackfield_plugin_api::{Error, ErrorKind, testing};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn code_and_reason_are_seen_in_both_directions() {
    for far_closes in [false, true] {
        let pair = pair(|_| ()).await;
        let (closer, other) =
            if far_closes { (&pair.far, &pair.near) } else { (&pair.near, &pair.far) };
        let mut stream = other.take_stream().expect("a stream");
        let mut datagrams = other.take_datagrams().expect("datagrams");
        closer.close(4711, "gone\nhome").await.expect("closed");
        let error = soon(stream.read(&mut [0; 1])).await.expect_err("closed");
        let error = Error::from(error);
        assert_eq!(error.kind(), ErrorKind::Closed);
        let text = error.to_string();
        assert!(text.contains("code 4711") && text.contains("gone\\nhome"), "{text}");
        assert!(soon(datagrams.recv(&mut [0; 10])).await.is_err());
        let event = soon(other.next_event()).await.expect("no error").expect("an event");
        assert_eq!(event.name, "closed");
        assert_eq!(event.data, json!({ "by": "peer", "code": 4711, "reason": "gone\\nhome" }));
        assert_eq!(soon(other.next_event()).await.expect("no error"), None);
        let event = soon(closer.next_event()).await.expect("no error").expect("an event");
        assert_eq!(event.data, json!({ "by": "us" }));
        assert!(other.ping().await.is_err());
    }
}

#[tokio::test]
async fn a_code_that_does_not_fit_is_refused() {
    let pair = pair(|_| ()).await;
    let error = pair.near.close(1 << 62, "").await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(pair.near.ping().await.is_ok(), "it was not closed");
}

#[tokio::test]
async fn a_dropped_session_ends_the_connection_with_code_0() {
    let pair = pair(|_| ()).await;
    drop(pair.near);
    let ended = soon(pair.far.accept_stream()).await.expect("a normal end");
    assert!(ended.is_none());
    let mut far = pair.far.take_datagrams().expect("datagrams");
    assert_eq!(soon(far.recv(&mut [0; 10])).await.expect("a normal end"), None);
}

#[tokio::test]
async fn a_ping_is_answered_and_info_tells_of_the_path() {
    let pair = pair(|_| ()).await;
    soon(pair.near.ping()).await.expect("an answer");
    soon(pair.far.ping()).await.expect("an answer");
    let info = pair.near.info();
    assert!(info.encrypted);
    assert_eq!(info.facts["alpn"], "jackfield");
    assert_eq!(info.facts["peer_names"], json!(["localhost", "127.0.0.1"]));
    for name in
        ["rtt_ms", "cwnd", "mtu", "sent_packets", "received_packets", "sent_bytes", "max_datagram"]
    {
        assert!(info.facts[name].as_f64().expect("a number") > 0.0, "{name}");
    }
    assert_eq!(pair.far.info().facts["server_name"], "localhost");
    assert_eq!(
        pair.far.info().peer.expect("a peer").rsplit_once(':').map(|at| at.1),
        info.local.expect("an address").rsplit_once(':').map(|at| at.1)
    );
}

#[tokio::test]
async fn a_connection_survives_a_change_of_address() {
    let pair = pair(|_| ()).await;
    let mut near = pair.near.take_stream().expect("a stream");
    let mut far = pair.far.take_stream().expect("a stream");
    near.write_all(b"one").await.expect("written");
    let mut text = [0; 3];
    soon(far.read_exact(&mut text)).await.expect("read");
    let before = pair.far.info().peer;
    let moved = pair.near.call("migrate", &Value::Null).await.expect("moved");
    assert_eq!(
        pair.near.info().local.as_deref().and_then(|local| local.rsplit_once(':')).map(|at| at.1),
        moved["local"].as_str().and_then(|local| local.rsplit_once(':')).map(|at| at.1)
    );
    near.write_all(b"two").await.expect("written");
    soon(far.read_exact(&mut text)).await.expect("read");
    assert_eq!(&text, b"two");
    assert_ne!(pair.far.info().peer, before);
    assert!(pair.far.call("migrate", &Value::Null).await.is_err());
    pair.near.call("update_keys", &Value::Null).await.expect("new keys");
    near.write_all(b"end").await.expect("written");
    soon(far.read_exact(&mut text)).await.expect("read");
    assert_eq!(&text, b"end");
}

#[tokio::test]
async fn a_listener_may_refuse_changes_of_address() {
    let pair = pair(|options| {
        options.migration = false;
        options.idle_timeout = 1;
        options.keepalive = Some(0);
    })
    .await;
    let before = pair.far.info().peer;
    pair.near.call("migrate", &Value::Null).await.expect("moved");
    let event = soon(pair.near.next_event()).await.expect("no error").expect("an event");
    assert_eq!(event.data["by"], "transport", "{event:?}");
    assert_eq!(pair.far.info().peer, before);
}

#[tokio::test]
async fn silence_ends_a_connection_and_keepalive_does_not_let_it() {
    let quiet = pair(|options| {
        options.idle_timeout = 1;
        options.keepalive = Some(0);
    })
    .await;
    let error = soon(quiet.far.accept_stream()).await.expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let kept = pair(|options| {
        options.idle_timeout = 2;
        options.keepalive = Some(1);
    })
    .await;
    // Longer than silence may last.
    testing::host().timer(std::time::Duration::from_millis(3000)).await;
    soon(kept.far.ping()).await.expect("it lives");
}

#[tokio::test]
async fn draining_waits_for_streams_and_takes_no_new_ones() {
    let pair = pair(|_| ()).await;
    let ours = pair.near.open_stream(&Value::Null).await.expect("a stream");
    let drain = pair.near.drain();
    tokio::pin!(drain);
    assert!(waits(drain.as_mut()));
    let error = pair.near.open_stream(&Value::Null).await.expect_err("no more");
    assert_eq!(error.kind(), ErrorKind::Refused);
    drop(ours);
    soon(drain).await.expect("drained");
}

#[tokio::test]
async fn sessions_outlive_their_listener_and_share_a_clients_socket() {
    let pair = pair(|_| ()).await;
    let (second, accepted) = tokio::join!(pair.client.open(pair.port), pair.listener.accept());
    let (second, _accepted) = (second.expect("a session"), accepted.expect("a session"));
    assert_eq!(second.info().local, pair.near.info().local);
    drop(pair.listener);
    let mut near = pair.near.take_datagrams().expect("datagrams");
    near.send(b"still here", META).await.expect("room");
    let mut far = pair.far.take_datagrams().expect("datagrams");
    assert!(soon(far.recv(&mut [0; 100])).await.expect("no error").is_some());
}

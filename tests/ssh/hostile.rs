//! Servers that vanish, stall or speak something else.

use futures_util::future::{Either, join_all};
use jackfield_plugin_api::{Error, ErrorKind, Stream};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Lab, exec, output};
use crate::support::{
    host::TestHost,
    peers::{echo::TcpPeer, sshd::PASSWORD},
    process::descendants,
};

/// A host that waits a short time for a peer.
const IMPATIENT: &str = "[host.timeouts]\nconnect = \"500ms\"\n";

/// Reads to the failure that must come.
async fn failure(stream: &mut Stream) -> Error {
    let mut buffer = vec![0; 65536];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => panic!("a loss must not look like an end"),
            Ok(_) => {}
            Err(error) => break Error::from(error),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_the_middle_ends_everything_as_closed() {
    let mut lab = Lab::new().await;
    let session = lab.session(&json!({ "exec": "cat /dev/zero" })).await;
    let mut stream = session.take_stream().expect("a stream");
    let command = json!({ "command": "echo >> up; sleep 1000" });
    let calls = (0..3).map(|_| exec(&session, command.clone()));
    let up = "until [ \"$(cat up | wc -l)\" = 3 ]; do sleep 0.05; done";
    let kill = async {
        output(&session, up).await;
        lab.sshd.kill_sessions();
    };
    let (ended, failed, ()) = tokio::join!(join_all(calls), failure(&mut stream), kill);
    assert_eq!(failed.kind(), ErrorKind::Closed, "{failed}");
    for error in ended.into_iter().map(|call| call.expect_err("a loss")) {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    let error = stream.write_all(&[0; 10_000_000]).await.expect_err("a loss");
    assert_eq!(Error::from(error).kind(), ErrorKind::Closed);
    assert_eq!(session.ping().await.expect_err("a loss").kind(), ErrorKind::Closed);
    let error = exec(&session, json!({ "command": "true" })).await.expect_err("a loss");
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let mut names = Vec::new();
    while let Some(event) = session.next_event().await.expect("events") {
        names.push(event.name);
    }
    assert_eq!(names, ["closed"]);
    lab.sshd.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_reads_is_told_and_its_end_frees_the_rest() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "exec": "cat /dev/zero", "channel_buffer": 65536 })).await;
    let mut stream = session.take_stream().expect("a stream");
    stream.read_u8().await.expect("a byte");
    while session.info().facts.get("stalled").is_none() {
        tokio::task::yield_now().await;
    }
    drop(stream);
    assert_eq!(output(&session, "echo on").await, "on\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_ends_while_we_write_is_told() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "exec": "head -c 1 >/dev/null" })).await;
    let mut stream = session.take_stream().expect("a stream");
    let piece = vec![0; 65536];
    let error = loop {
        if let Err(error) = stream.write_all(&piece).await {
            break Error::from(error);
        }
    };
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert_eq!(output(&session, "echo on").await, "on\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_no_ssh_server_is_refused() {
    let peer = TcpPeer::sending("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let host = TestHost::start(IMPATIENT).await;
    let uri = format!("ssh://lab@127.0.0.1:{}", peer.port());
    let options = json!({ "password": PASSWORD, "host_keys": "danger_any" });
    let error = host.open(&uri, options).await.expect_err("a refusal");
    assert!(matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Closed), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_peer_is_given_up_in_time_and_left() {
    let peer = TcpPeer::answering_after_eof(b"").await;
    let host = TestHost::start(IMPATIENT).await;
    let uri = format!("ssh://lab@127.0.0.1:{}", peer.port());
    let options = json!({ "password": PASSWORD, "host_keys": "danger_any" });
    let opening = host.open(&uri, options).await;
    assert_eq!(opening.expect_err("a time-out").kind(), ErrorKind::TimedOut);
    // The peer sees the end of the connection: nothing is left half-open.
    peer.has_ended(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_stalls_in_the_key_exchange_is_left_too() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"SSH-2.0-Stalled\r\n").await.expect("room");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.expect("the end");
        all
    });
    let host = TestHost::start(IMPATIENT).await;
    let uri = format!("ssh://lab@127.0.0.1:{port}");
    let options = json!({ "password": PASSWORD, "host_keys": "danger_any" });
    let opening = host.open(&uri, options).await;
    assert_eq!(opening.expect_err("a time-out").kind(), ErrorKind::TimedOut);
    let greeting = peer.await.expect("the peer");
    assert!(greeting.starts_with(b"SSH-2.0-Jackfield"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keepalives_find_a_server_that_stands_still() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "keepalive": 1, "keepalive_max": 1 })).await;
    session.ping().await.expect("an answer");
    let stopped = descendants(lab.sshd.pid());
    for pid in &stopped {
        rustix::process::kill_process(*pid, rustix::process::Signal::STOP).expect("a process");
    }
    let error = exec(&session, json!({ "command": "true" })).await.expect_err("a loss");
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert!(error.to_string().contains("keepalive"), "{error}");
    lab.sshd.kill_sessions();
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_says_goodbye_and_draining_waits() {
    let mut lab = Lab::new().await;
    let session = lab.session(&json!({ "exec": "cat" })).await;
    let mut stream = session.take_stream().expect("a stream");
    stream.write_all(b"x").await.expect("room");
    stream.read_u8().await.expect("the echo");
    let mut drain = session.drain();
    let early = futures_util::future::select(&mut drain, std::future::ready(())).await;
    assert!(matches!(early, Either::Right(_)), "a stream is still open");
    let error = exec(&session, json!({ "command": "true" })).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    drop(stream);
    drain.await.expect("no more work");
    session.close(0, "all done").await.expect("goodbye");
    lab.sshd.logged("all done").await;
}

/// Nothing is left of any connection at the server, and this is what a program has written to `written` there.
async fn written(lab: &Lab) -> u64 {
    while !descendants(lab.sshd.pid()).is_empty() {
        tokio::task::yield_now().await;
    }
    std::fs::metadata(lab.sshd.home().join("written")).expect("the file").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_session_ends_the_connection_but_what_was_written_arrives() {
    let lab = Lab::new().await;
    // It reads nothing until the session is gone.
    let late = "until test -e go; do sleep 0.01; done; cat > written";
    let session = lab.session(&json!({ "exec": late })).await;
    let mut stream = session.take_stream().expect("a stream");
    stream.write_all(&vec![7; 300_000]).await.expect("room");
    stream.shutdown().await.expect("half-close");
    drop((stream, session));
    std::fs::write(lab.sshd.home().join("go"), "").expect("a file");
    assert_eq!(written(&lab).await, 300_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_arrives_though_our_direction_was_not_ended() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "exec": "cat > written" })).await;
    let mut stream = session.take_stream().expect("a stream");
    stream.write_all(&vec![7; 300_000]).await.expect("room");
    drop((stream, session));
    assert_eq!(written(&lab).await, 300_000);
}

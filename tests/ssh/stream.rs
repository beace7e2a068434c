//! The session's own stream, and more streams beside it.

use jackfield_plugin_api::{ErrorKind, Session, Stream};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Lab;
use crate::support::process::DEADLINE;

/// Reads until `text` has come; gives all that was read.
async fn until(stream: &mut Stream, text: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let reading = tokio::time::timeout(DEADLINE, stream.read(&mut buffer)).await;
        let Ok(read) = reading else {
            panic!("{text:?} never came after: {}", String::from_utf8_lossy(&seen));
        };
        let count = read.expect("bytes");
        assert_ne!(count, 0, "the end came before {text:?}: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
        let all = String::from_utf8_lossy(&seen);
        if all.contains(text) {
            return all.into_owned();
        }
    }
}

async fn event(session: &Session, name: &str) -> Value {
    loop {
        let event = session.next_event().await.expect("no failure").expect("an event");
        if event.name == name {
            return event.data;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_the_stream_with_half_close_both_ways() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "exec": "cat; echo over; exit 5" })).await;
    let mut stream = session.take_stream().expect("a stream");
    stream.write_all(b"hello\n").await.expect("room");
    assert_eq!(until(&mut stream, "hello\n").await, "hello\n");
    stream.shutdown().await.expect("half-close");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("the end");
    assert_eq!(rest, "over\n");
    let exit = event(&session, "exit").await;
    assert_eq!(exit, json!({ "exit_status": 5, "exit_signal": null }));
    assert_eq!(session.info().facts["exit_status"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_we_close_is_over_when_the_server_knows() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    // Less than a server is given that says nothing.
    let soon = Duration::from_secs(4);
    let held = session.open_stream(&json!({ "exec": "cat" })).await.expect("a stream");
    drop(held);
    session.call("sftp_stat", &json!({ "path": "/" })).await.expect("a folder");
    tokio::time::timeout(soon, session.drain()).await.expect("in time").expect("drained");
    assert_eq!(session.info().facts["channels"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_gib_comes_complete() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "exec": "head -c 1073741824 /dev/zero; echo end" })).await;
    let mut stream = session.take_stream().expect("a stream");
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0_u64;
    let mut tail: Vec<u8> = Vec::new();
    loop {
        let count = stream.read(&mut buffer).await.expect("bytes");
        if count == 0 {
            break;
        }
        total += u64::try_from(count).expect("a small number");
        tail.extend(buffer[..count].iter().filter(|byte| **byte != 0));
    }
    assert_eq!(total, (1 << 30) + 4);
    assert_eq!(tail, b"end\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn much_goes_up_complete() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "exec": "md5sum" })).await;
    let mut stream = session.take_stream().expect("a stream");
    let piece: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    for _ in 0..64 {
        stream.write_all(&piece).await.expect("room");
    }
    stream.shutdown().await.expect("half-close");
    let mut sum = String::new();
    stream.read_to_string(&mut sum).await.expect("the end");
    // Of 64 MiB of 00 01 … ff over and over.
    let expected = super::output(
        &session,
        "awk 'BEGIN{for(i=0;i<256;i++)printf \"%02x\",i}' | xxd -r -p > b; \
         for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do cat b b > c; mv c b; done; md5sum < b",
    )
    .await;
    assert_eq!(sum, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_pauses_loses_nothing_and_the_server_waits() {
    let lab = Lab::new().await;
    let options = json!({
        "exec": "i=0; while [ $i -lt 300 ]; do head -c 65536 /dev/zero; i=$((i+1)); echo $i > n; done",
        "channel_buffer": 65536,
        "window_size": 65536,
    });
    let session = lab.session(&options).await;
    let mut stream = session.take_stream().expect("a stream");
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.expect("a byte");
    // Another connection sees the counter stand still while nobody reads.
    let other = lab.session(&json!({})).await;
    let stuck =
        "while :; do a=$(cat n); sleep 0.5; b=$(cat n); [ \"$a\" = \"$b\" ] && break; done; cat n";
    let count: u32 = super::output(&other, stuck).await.trim().parse().expect("a number");
    assert!(count < 200, "{count} of 300 pieces left the server while nobody read");
    let mut total = 1;
    let mut buffer = vec![0; 65536];
    loop {
        match stream.read(&mut buffer).await.expect("bytes") {
            0 => break,
            count => total += count,
        }
    }
    assert_eq!(total, 300 * 65536);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_has_a_terminal_whose_size_follows() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "columns": 100, "rows": 30, "term": "vt100" })).await;
    let mut stream = session.take_stream().expect("a stream");
    stream.write_all(b"stty size; echo $TERM\n").await.expect("room");
    let seen = until(&mut stream, "vt100").await;
    assert!(seen.contains("30 100"), "{seen}");
    stream.write_all(b"trap 'stty size' WINCH; echo re''ady\n").await.expect("room");
    until(&mut stream, "ready").await;
    let size = json!({ "columns": 132, "rows": 43 });
    session.call("resize", &size).await.expect("a new size");
    // The trap runs when the shell comes back to its prompt.
    stream.write_all(b"\n").await.expect("room");
    until(&mut stream, "43 132").await;
    stream.write_all(b"exit 9\n").await.expect("room");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("the end");
    assert_eq!(event(&session, "exit").await["exit_status"], 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_set_before_the_start_is_the_one_it_starts_with() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "exec": "stty size", "pty": true })).await;
    let size = json!({ "columns": 90, "rows": 20 });
    session.call("resize", &size).await.expect("a new size");
    let mut stream = session.take_stream().expect("a stream");
    assert!(until(&mut stream, "\n").await.starts_with("20 90"));
    let zero = json!({ "columns": 0, "rows": 20 });
    let error = lab.session(&json!({ "exec": "true" })).await.call("resize", &zero).await;
    assert!(error.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_started_for_a_stream_that_nobody_uses() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "exec": "touch started" })).await;
    assert_eq!(super::output(&session, "ls").await, "");
    let mut stream = session.take_stream().expect("a stream");
    assert_eq!(stream.read(&mut [0; 8]).await.expect("the end"), 0);
    assert_eq!(super::output(&session, "ls").await, "started\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn error_output_goes_where_options_say() {
    let lab = Lab::new().await;
    for (policy, expected) in [("merge", "outerr"), ("discard", "out"), ("event", "out")] {
        let options = json!({ "exec": "printf out; sleep 0.3; printf err >&2", "stderr": policy });
        let session = lab.session(&options).await;
        let mut all = String::new();
        session.take_stream().expect("a stream").read_to_string(&mut all).await.expect("the end");
        assert_eq!(all, expected, "{policy}");
        if policy == "event" {
            assert_eq!(event(&session, "stderr").await["text"], "err");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_streams_open_beside_and_tell_their_status() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    let one = session.open_stream(&json!({ "exec": "cat; exit 4" })).await.expect("a stream");
    let shell = json!({ "shell": { "columns": 77, "rows": 11 } });
    let two = session.open_stream(&shell).await.expect("a stream");
    let mut cat = one.take_stream().expect("its bytes");
    let mut terminal = two.take_stream().expect("its bytes");
    terminal.write_all(b"stty size\n").await.expect("room");
    until(&mut terminal, "11 77").await;
    two.call("resize", &json!({ "columns": 78, "rows": 12 })).await.expect("a new size");
    terminal.write_all(b"stty size\n").await.expect("room");
    until(&mut terminal, "12 78").await;
    cat.write_all(b"x").await.expect("room");
    cat.shutdown().await.expect("half-close");
    let mut all = String::new();
    cat.read_to_string(&mut all).await.expect("the end");
    assert_eq!(all, "x");
    while one.info().facts.get("exit_status").is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(one.info().facts["exit_status"], 4);
    let neither = session.open_stream(&json!({})).await.expect_err("a refusal");
    assert_eq!(neither.kind(), ErrorKind::Config);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subsystem_answers_and_an_unknown_one_is_refused() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({ "subsystem": "sftp" })).await;
    let mut sftp = session.take_stream().expect("a stream");
    // SSH_FXP_INIT of version 3, and the answer's length and type.
    sftp.write_all(&[0, 0, 0, 5, 1, 0, 0, 0, 3]).await.expect("room");
    let mut head = [0; 5];
    sftp.read_exact(&mut head).await.expect("an answer");
    assert_eq!(head[4], 2);
    let session = lab.session(&json!({ "subsystem": "nonesuch" })).await;
    let mut stream = session.take_stream().expect("a stream");
    let error = stream.read(&mut head).await.expect_err("a refusal");
    let error = jackfield_plugin_api::Error::from(error);
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("nonesuch"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reaches_the_server() {
    let mut lab = Lab::new().await;
    let session = lab.session(&json!({ "exec": "echo up; exec cat" })).await;
    let mut stream = session.take_stream().expect("a stream");
    until(&mut stream, "up").await;
    session.call("signal", &json!({ "name": "SIGINT" })).await.expect("sent");
    // This server only passes signals on to another account than its own; it does say so.
    lab.sshd.logged("session signalling requires").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_goes_on_without_a_terminal_that_the_server_refuses_unless_it_was_demanded() {
    let lab = Lab::with("PermitTTY no").await;
    let session = lab.session(&json!({})).await;
    let mut stream = session.take_stream().expect("a stream");
    stream.write_all(b"echo $((6 * 7)); exit\n").await.expect("room");
    let mut said = String::new();
    stream.read_to_string(&mut said).await.expect("the end");
    assert_eq!(said, "42\n");
    let demanded = lab.session(&json!({ "pty": true })).await;
    let mut stream = demanded.take_stream().expect("a stream");
    let error = jackfield_plugin_api::Error::from(stream.read_u8().await.expect_err("a refusal"));
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    let params = json!({ "shell": {}, "pty": true });
    let error = session.open_stream(&params).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
}

//! The driver with real programs, without a host.

use crate::{ProcessDriver, ProcessOptions, Stderr};
use jackfield_plugin_api::{Address, Driver, ErrorKind, Request, Result, Role, Session, testing};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn open(options: ProcessOptions) -> Result<Session> {
    let driver = ProcessDriver::new(testing::host())?;
    let endpoint = driver.configure(options, Role::Client)?;
    driver.open(&endpoint, Request::new(Address::default(), testing::DEADLINE)).await
}

fn words(words: &[&str]) -> ProcessOptions {
    let command = words.iter().map(|word| (*word).to_owned()).collect();
    ProcessOptions { command, ..ProcessOptions::default() }
}

fn shell(line: &str) -> ProcessOptions {
    ProcessOptions { shell: Some(line.to_owned()), ..ProcessOptions::default() }
}

async fn output(options: ProcessOptions) -> String {
    let session = open(options).await.expect("a session");
    let mut stream = session.take_stream().expect("a stream");
    let mut all = String::new();
    stream.read_to_string(&mut all).await.expect("its output");
    all
}

async fn wait(session: &Session) -> Value {
    session.call("wait", &json!({})).await.expect("an end")
}

/// Whether a process is there for us: the system may take its time to remove one that has ended and
/// is no child of ours.
fn is_there(pid: u64) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name, in brackets, may have spaces; the state and the parent follow it.
    let mut rest = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ended = rest.next() == Some("Z");
    !ended || rest.next() == Some(&std::process::id().to_string())
}

async fn gone(pid: u64) {
    while is_there(pid) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn bytes_pass_a_program_and_the_end_of_its_input_ends_it() {
    let session = open(words(&["cat"])).await.expect("a session");
    let stream = session.take_stream().expect("a stream");
    let (mut read, mut write) = tokio::io::split(stream);
    let sent: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    let mut back = Vec::new();
    let sending = async {
        write.write_all(&sent).await.expect("room");
        write.shutdown().await.expect("an end");
    };
    let (_, count) = tokio::join!(sending, read.read_to_end(&mut back));
    assert_eq!(count.expect("all of it"), sent.len());
    assert!(back == sent, "the bytes came back changed");
    assert_eq!(wait(&session).await, json!({ "exit_status": 0 }));
}

#[tokio::test]
async fn words_reach_the_program_as_they_are() {
    let text = "$HOME; `id` 'a' *";
    assert_eq!(output(words(&["printf", "%s|%s", text, ""])).await, format!("{text}|"));
    assert_eq!(output(shell("echo $((6 * 7))")).await, "42\n");
}

#[tokio::test]
async fn the_end_is_in_info_in_an_event_and_in_the_answer() {
    for (line, want) in [
        ("exit 7", json!({ "exit_status": 7 })),
        ("kill -USR1 $$", json!({ "exit_signal": "USR1" })),
    ] {
        let session = open(shell(line)).await.expect("a session");
        let event = session.next_event().await.expect("no error").expect("an event");
        assert_eq!((event.name.as_str(), &event.data), ("exit", &want));
        assert!(session.next_event().await.expect("no error").is_none());
        assert_eq!(wait(&session).await, want);
        let info = session.info();
        let (name, value) = want.as_object().and_then(|want| want.iter().next()).expect("a fact");
        assert_eq!(info.facts.get(name), Some(value));
    }
}

#[tokio::test]
async fn a_child_gets_three_descriptors_and_no_secrets() {
    // What this test itself was started with may be there too: pipes and files.
    let _other = open(ProcessOptions { pty: true, ..words(&["cat"]) }).await.expect("a session");
    let listed = output(shell("for fd in /proc/self/fd/*; do readlink $fd; done")).await;
    let sockets: Vec<&str> = listed.lines().filter(|to| to.starts_with("socket:")).collect();
    assert!(sockets.len() == 3 && sockets.iter().all(|to| *to == sockets[0]), "{listed}");
    assert!(!listed.contains("ptmx") && !listed.contains("anon_inode"), "{listed}");
    let mut options = words(&["env"]);
    options.env.insert("MINE".to_owned(), "yes".to_owned());
    let names = output(options).await;
    assert!(names.contains("MINE=yes\n") && names.contains("PATH="), "{names}");
    assert!(!names.contains("CARGO"), "{names}");
    assert!(
        output(ProcessOptions { inherit_env: true, ..words(&["env"]) }).await.contains("CARGO")
    );
}

#[tokio::test]
async fn error_output_is_merged_or_dropped() {
    let line = "echo out; echo err >&2";
    assert_eq!(output(shell(line)).await, "out\nerr\n");
    assert_eq!(output(ProcessOptions { stderr: Stderr::Null, ..shell(line) }).await, "out\n");
}

#[tokio::test]
async fn the_whole_group_ends_with_the_session() {
    // The shell ignores what asks it to end, and its own child is in the background.
    let line = "trap '' TERM HUP; sleep 1000 & echo $$ $!; while :; do sleep 1000; done";
    for (closing, grace) in [(true, 10), (false, 10), (false, 0)] {
        let options = ProcessOptions { grace, ..shell(line) };
        let session = open(options).await.expect("a session");
        let mut stream = session.take_stream().expect("a stream");
        let mut text = String::new();
        while !text.ends_with('\n') {
            text.push(char::from(stream.read_u8().await.expect("two numbers")));
        }
        if closing {
            session.close(0, "").await.expect("an end");
            assert_eq!(wait(&session).await, json!({ "exit_signal": "KILL" }));
        }
        drop((session, stream));
        for pid in text.split_whitespace() {
            gone(pid.parse().expect("a number")).await;
        }
    }
}

#[tokio::test]
async fn no_zombie_is_left() {
    let session = open(words(&["true"])).await.expect("a session");
    let pid = session.info().facts["pid"].as_u64().expect("a number");
    wait(&session).await;
    drop(session);
    gone(pid).await;
}

#[tokio::test]
async fn signals_reach_it_by_name() {
    let session =
        open(shell("trap 'echo caught; exit 3' USR1; echo ready; while :; do sleep 0.01; done"))
            .await
            .expect("a session");
    let mut stream = session.take_stream().expect("a stream");
    let mut line = [0; 6];
    stream.read_exact(&mut line).await.expect("ready");
    let error = session.call("signal", &json!({ "name": "NO" })).await.expect_err("no name");
    assert_eq!(error.kind(), ErrorKind::Config);
    session.call("signal", &json!({ "name": "SIGUSR1" })).await.expect("sent");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("the rest");
    // The shell may say what has become of its own child.
    assert!(rest.ends_with("caught\n"), "{rest}");
    assert_eq!(wait(&session).await, json!({ "exit_status": 3 }));
}

#[tokio::test]
async fn a_terminal_has_a_size_that_follows() {
    let line = "tty >/dev/null && stty size; read x; stty size";
    let session = open(ProcessOptions { pty: true, rows: 40, columns: 100, ..shell(line) }).await;
    let session = session.expect("a session");
    let mut stream = session.take_stream().expect("a stream");
    let mut text = String::new();
    while !text.ends_with("40 100\r\n") {
        text.push(char::from(stream.read_u8().await.expect("the size")));
    }
    session.call("resize", &json!({ "columns": 132, "rows": 43 })).await.expect("a new size");
    stream.write_all(b"\n").await.expect("room");
    stream.read_to_string(&mut text).await.expect("the end, when the child has gone");
    assert!(text.ends_with("43 132\r\n"), "{text:?}");
    let error = stream.shutdown().await.map_err(jackfield_plugin_api::Error::from);
    assert_eq!(error.expect_err("no half-close").kind(), ErrorKind::Unsupported);
    let plain = open(words(&["cat"])).await.expect("a session");
    let error = plain.call("resize", &json!({ "columns": 1, "rows": 1 })).await;
    assert_eq!(error.expect_err("no terminal").kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_raw_terminal_changes_no_byte() {
    let options = ProcessOptions { pty: true, raw: true, ..words(&["cat"]) };
    let session = open(options).await.expect("a session");
    let mut stream = session.take_stream().expect("a stream");
    let sent: Vec<u8> = (0..=255).collect();
    stream.write_all(&sent).await.expect("room");
    let mut back = vec![0; sent.len()];
    stream.read_exact(&mut back).await.expect("all of it");
    assert_eq!(back, sent);
}

#[tokio::test]
async fn what_cannot_run_says_so() {
    let error = open(words(&["/no/such/program"])).await.expect_err("no program");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("program=/no/such/program"), "{error}");
    let options = ProcessOptions { cwd: Some("/no/such/folder".into()), ..words(&["cat"]) };
    let error = open(options).await.expect_err("no folder");
    assert!(error.to_string().contains("cwd=/no/such/folder"), "{error}");
    for wrong in [
        ProcessOptions::default(),
        words(&[""]),
        words(&["cat", "a\0b"]),
        ProcessOptions { raw: true, ..words(&["cat"]) },
        ProcessOptions { shell: Some("cat".into()), ..words(&["cat"]) },
    ] {
        assert_eq!(open(wrong).await.expect_err("wrong").kind(), ErrorKind::Config);
    }
}

#[tokio::test]
async fn a_program_that_does_not_read_stops_the_writer() {
    let session = open(words(&["sleep", "1000"])).await.expect("a session");
    let mut stream = session.take_stream().expect("a stream");
    let chunk = vec![0; 64 * 1024];
    let mut taken = stream.write(&chunk).await.expect("room");
    let full = std::future::poll_fn(|cx| {
        let write = std::pin::Pin::new(&mut stream);
        match tokio::io::AsyncWrite::poll_write(write, cx, &chunk) {
            std::task::Poll::Ready(count) => {
                taken += count.expect("room");
                assert!(taken < 16 << 20, "nothing bounds what is held");
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            }
            std::task::Poll::Pending => std::task::Poll::Ready(()),
        }
    });
    full.await;
    assert!(taken > 0);
}

#[tokio::test]
async fn the_end_of_output_is_an_error_where_a_signal_has_ended_the_program() {
    for (line, signal) in [("echo half; kill -9 $$", Some("KILL")), ("echo half; exit 3", None)] {
        let session = open(shell(line)).await.expect("a session");
        let mut stream = session.take_stream().expect("a stream");
        let mut said = Vec::new();
        let end = stream.read_to_end(&mut said).await;
        assert_eq!(said, b"half\n");
        match signal {
            Some(signal) => {
                let error = end.expect_err("no end");
                assert!(error.to_string().contains(signal), "{error}");
            }
            None => assert_eq!(end.expect("the end"), 5),
        }
    }
    // Only the output has ended.
    let session = open(shell("exec >/dev/null 2>&1 <&-; sleep 1000")).await.expect("a session");
    let mut stream = session.take_stream().expect("a stream");
    assert_eq!(stream.read(&mut [0; 1]).await.expect("the end"), 0);
}

//! What the log of a running host says of sessions and requests, how often it says the same, and the signals
//! that are only logged.

use rustix::process::Signal;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::ECHO;
use crate::support::{
    host::exchange,
    jackfield::Jackfield,
    peers::echo::{Refusing, TcpPeer},
};

/// The lines of `log` with `text` in them.
fn with<'a>(log: &'a str, text: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(text)).collect()
}

/// Ends `host`, so that its log is whole.
async fn whole_log(mut host: Jackfield) -> String {
    host.signal(Signal::TERM);
    host.ended().await;
    host.log()
}

#[tokio::test]
async fn a_signal_without_a_meaning_is_logged_and_ends_nothing() {
    let mut host = Jackfield::run(ECHO).await;
    let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
    host.signal(Signal::USR1);
    host.logged("SIGUSR1").await;
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    host.signal(Signal::TERM);
    host.logged("stopping").await;
    drop(stream);
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
}

#[tokio::test]
async fn a_session_that_has_ended_has_one_line_with_all_about_it() {
    let peer = TcpPeer::echo().await;
    let uri = peer.uri();
    let config = format!(
        "log.format = \"json\"\n[upstreams.app]\ntargets = [\"{uri}\"]\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"upstreams.app\"\n"
    );
    let mut host = Jackfield::run(&config).await;
    assert_eq!(exchange(host.address(0), b"hello").await.unwrap(), b"hello");
    host.logged("session ended").await;
    let log = whole_log(host).await;
    let lines = with(&log, "session ended");
    assert_eq!(lines.len(), 1, "{log}");
    let line: Value = serde_json::from_str(lines[0]).expect("an object");
    assert_eq!((line["bytes_in"].as_u64(), line["bytes_out"].as_u64()), (Some(5), Some(5)));
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["route"], "upstreams.app");
    assert_eq!(line["target"], uri.as_str());
    assert_eq!(line["end"], "the client closed it");
    assert!(line["duration_ms"].is_u64() && line["id"].is_u64(), "{line}");
    let texts = ["peer", "listener"].map(|name| line[name].as_str().unwrap_or_default());
    assert!(texts[0].starts_with("127.0.0.1:"), "{line}");
    assert!(texts[1].starts_with("tcp://127.0.0.1"), "{line}");
}

#[tokio::test]
async fn a_session_that_is_cut_at_the_end_of_the_host_has_its_line_too() {
    let host = Jackfield::run_with(ECHO, &["--set", "host.shutdown_timeout=0s"]).await;
    let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    let log = whole_log(host).await;
    let lines = with(&log, "session ended");
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("bytes_in=1 bytes_out=1"), "handlers count, too: {log}");
}

const WEB: &str = "[handlers.hi]\nhandler = \"reply\"\noptions = { body = \"hello\" }\n\
    [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"handlers.hi\"\n";

/// The answer to a GET of `path`, after which the connection ends.
async fn get(host: &Jackfield, route: usize, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(host.address(route)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The line of the request for `path`.
fn line_of(log: &str, path: &str) -> String {
    let path = format!("path=\"{path}");
    let lines = with(log, &path);
    assert_eq!(lines.len(), 1, "{log}");
    lines[0].to_owned()
}

#[tokio::test]
async fn a_request_has_one_line_whether_a_handler_or_a_target_answers_it() {
    let front = Jackfield::run(WEB).await;
    let gone = Refusing::new();
    let config = format!(
        "[[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"http://{}\"\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"http://{}\"\n",
        front.address(0),
        gone.address()
    );
    let host = Jackfield::run(&config).await;
    assert!(get(&host, 0, "/a?token=hunter2").await.ends_with("hello"));
    assert!(get(&host, 1, "/b").await.starts_with("HTTP/1.1 502 "));
    let log = whole_log(host).await;
    let line = line_of(&log, "/a");
    assert!(line.contains(" INFO request "), "{line}");
    for part in [
        "method=\"GET\" host=\"a.test\" path=\"/a?token=***\" status=200 bytes_in=0 bytes_out=5",
        "end=\"answered\"",
        "peer=\"127.0.0.1:",
        &format!("target=\"http://{}\"", front.address(0)),
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let line = line_of(&log, "/b");
    assert!(line.contains("status=502") && line.contains("error="), "{line}");
    let line = line_of(&whole_log(front).await, "/a");
    assert!(line.contains("status=200 bytes_in=0 bytes_out=5"), "{line}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn lines_of_sessions_and_requests_can_be_left_out_but_not_those_of_faults() {
    let gone = Refusing::new();
    let config = format!(
        "{WEB}[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"tcp://{}\"\n",
        gone.address()
    );
    let less = ["--set", "log.sessions=false", "--set", "log.requests=false"];
    let host = Jackfield::run_with(&config, &less).await;
    assert!(get(&host, 0, "/a").await.ends_with("hello"));
    let mut refused = TcpStream::connect(host.address(1)).await.unwrap();
    let mut rest = Vec::new();
    // An end or a reset.
    let _ = refused.read_to_end(&mut rest).await;
    let log = whole_log(host).await;
    assert!(!log.contains("INFO request") && !log.contains("session ended"), "{log}");
    assert_eq!(with(&log, "session failed").len(), 1, "{log}");
}

#[tokio::test]
async fn the_same_fault_is_folded_and_counted() {
    let gone = Refusing::new();
    let config =
        format!("[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"tcp://{}\"\n", gone.address());
    let host = Jackfield::run_with(&config, &["--set", "log.fold=1h"]).await;
    for _ in 0..60 {
        let mut refused = TcpStream::connect(host.address(0)).await.unwrap();
        let _ = refused.read_u8().await;
    }
    let log = whole_log(host).await;
    assert_eq!(with(&log, "INFO session failed").len(), 20, "{log}");
    assert_eq!(with(&log, "40 more lines like this one were left out").len(), 1, "{log}");
}

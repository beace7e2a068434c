//! `jackfield run` and `jackfield relay`: they carry, tell where they listen, and end as told.

use rustix::process::Signal;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::ECHO;
use crate::support::{
    host::exchange,
    jackfield::{Jackfield, ran},
    peers::{
        echo::TcpPeer,
        sshd::{Sshd, USER},
    },
};

/// A connection through which a byte has come back, so that it is known to be served.
async fn served(host: &Jackfield) -> TcpStream {
    let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
    echoes(&mut stream).await;
    stream
}

async fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"x").await.unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"x");
}

#[tokio::test]
async fn run_carries_and_says_where_it_listens() {
    let mut host = Jackfield::run(ECHO).await;
    let address = host.address(0);
    assert_ne!(address.port(), 0);
    assert_eq!(exchange(address, b"hello").await.unwrap(), b"hello");
    host.signal(Signal::INT);
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
}

#[tokio::test]
async fn sigterm_lets_open_connections_finish_and_takes_no_new_ones() {
    let mut host = Jackfield::run(ECHO).await;
    let address = host.address(0);
    let mut stream = served(&host).await;
    host.signal(Signal::TERM);
    host.logged("stopping").await;
    // The listener ends before the wait for connections begins.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    echoes(&mut stream).await;
    drop(stream);
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
    assert!(host.log().contains("stopped"), "{}", host.log());
}

#[tokio::test]
async fn connections_are_cut_when_the_deadline_has_passed() {
    let mut host = Jackfield::run_with(ECHO, &["--set", "host.shutdown_timeout=0s"]).await;
    let mut stream = served(&host).await;
    host.signal(Signal::TERM);
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
    assert!(host.log().contains("connections were ended connections=1"), "{}", host.log());
    let mut rest = Vec::new();
    // Cut, by an end or a reset.
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut host = Jackfield::run(ECHO).await;
    let _stream = served(&host).await;
    host.signal(Signal::TERM);
    host.logged("stopping").await;
    host.signal(Signal::INT);
    assert_eq!(host.ended().await.code(), Some(1), "{}", host.log());
    assert!(host.log().contains("a second signal (SIGINT)"), "{}", host.log());
}

#[tokio::test]
async fn the_limit_of_open_files_is_raised_to_what_is_needed() {
    let limit = |process: &Jackfield| {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.pid())).unwrap();
        let line =
            limits.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned();
        line.split_whitespace().nth(3).and_then(|soft| soft.parse::<u64>().ok()).unwrap()
    };
    // A soft limit of 256, and a hard one that suffices or does not.
    for (max_connections, expected, warns) in [(500, 1512, false), (2000, 2000, true)] {
        let set = format!("host.max_connections={max_connections}");
        let host =
            Jackfield::run_under(&["prlimit", "--nofile=256:2000"], ECHO, &["--set", &set]).await;
        assert_eq!(limit(&host), expected, "{}", host.log());
        assert_eq!(host.log().contains("the limit of descriptors is enough for"), warns);
    }
}

#[tokio::test]
async fn the_log_is_as_configured() {
    let json = ["--set", "log.format=json", "--set", "log.level=debug"];
    let mut host = Jackfield::run_with(ECHO, &json).await;
    host.signal(Signal::TERM);
    host.ended().await;
    let log = host.log();
    assert!(log.lines().count() > 2, "{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn relay_joins_a_listener_and_a_target_until_told_to_stop() {
    let peer = TcpPeer::echo().await;
    let mut relay = Jackfield::relay(&["tcp://127.0.0.1:0", &peer.uri()]).await;
    for _ in 0..2 {
        assert_eq!(exchange(relay.address(0), b"hello").await.unwrap(), b"hello");
    }
    assert_eq!(peer.accepted(), 2);
    relay.signal(Signal::INT);
    assert_eq!(relay.ended().await.code(), Some(0), "{}", relay.log());
}

#[tokio::test]
async fn relay_serves_a_handler_once_and_ends() {
    let arguments = ["tcp://127.0.0.1:0", "handlers.echo", "-t", "buffer=3", "--once"];
    let mut relay = Jackfield::relay(&arguments).await;
    assert_eq!(exchange(relay.address(0), b"hello").await.unwrap(), b"hello");
    assert_eq!(relay.ended().await.code(), Some(0), "{}", relay.log());
}

#[tokio::test]
async fn relay_joins_different_protocols_with_options_of_both() {
    let sshd = Sshd::start().await;
    let to = format!("ssh://{USER}@127.0.0.1:{}", sshd.port());
    let key = format!("key_file={}", sshd.key().display());
    let known = format!("known_hosts={}", sshd.known_hosts().display());
    let relay = Jackfield::relay(&[
        "ws://127.0.0.1:0/shell",
        &to,
        "-f",
        "max_message=65536",
        "-f",
        "tcp.nodelay=false",
        "-t",
        &key,
        "-t",
        &known,
        "-t",
        "exec=echo $((6 * 7))",
    ])
    .await;
    let uri = format!("ws://{}/shell", relay.address(0));
    let answer = ran(&["connect", &uri, "--binary"], "").await.ok();
    assert_eq!(answer.text(), "42\n");
}

//! The level of the log, changed for a time and only where it is meant.

use serde_json::Value;

use super::{socket, with_admin};
use crate::support::{
    host::exchange,
    jackfield::{Jackfield, ran},
    peers::echo::TcpPeer,
    process::{DEADLINE, tempdir},
};

const ECHO: &str =
    "[handlers.echo]\n[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_level_is_in_force_for_its_time_and_no_longer() {
    let folder = tempdir();
    let mut host = Jackfield::run(&with_admin(folder.path(), "", ECHO)).await;
    let admin = socket(folder.path()).display().to_string();
    let address = host.address(0);
    exchange(address, b"x").await.unwrap();
    host.logged("session ended").await;
    assert!(!host.log().contains("DEBUG"), "{}", host.log());
    let changed = ran(&["log", "debug", "--for", "2s", "--admin", &admin], "").await.ok();
    assert!(changed.text().starts_with("info as configured\ndebug for "), "{}", changed.text());
    exchange(address, b"x").await.unwrap();
    host.logged("DEBUG").await;
    host.logged("the level of the log is what it was before").await;
    let lines = || host.log().lines().filter(|line| line.contains("DEBUG")).count();
    let before = lines();
    exchange(address, b"x").await.unwrap();
    let left = ran(&["log", "--json", "--admin", &admin], "").await.ok().text();
    let left: Value = serde_json::from_str(&left).unwrap();
    assert_eq!(left["changes"], serde_json::json!([]), "{left}");
    assert_eq!(lines(), before, "{}", host.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_of_one_driver_changes_nothing_for_others() {
    let folder = tempdir();
    let peer = TcpPeer::echo().await;
    let toml = format!("[connections.lab]\nuri = \"{}\"\n", peer.uri());
    let mut host = Jackfield::run(&with_admin(folder.path(), "", &toml)).await;
    let admin = socket(folder.path()).display().to_string();
    let wrong = ran(&["log", "debug", "no-such-driver", "--admin", &admin], "").await;
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    let wrong = ran(&["log", "loud", "--admin", &admin], "").await;
    assert!(wrong.stderr.contains("expected one of error"), "{}", wrong.stderr);
    ran(&["log", "trace", "tcp", "--for", "1h", "--admin", &admin], "").await.ok();
    host.logged("the level of the log was changed").await;
    let call = ["call", "connections.lab", "send", "text=x", "--admin", &admin];
    ran(&call, "").await.ok();
    assert!(!host.log().contains("DEBUG jackfield"), "{}", host.log());
    let shown = ran(&["log", "--admin", &admin], "").await.ok().text();
    let left = ["1h00m", "59m"].map(|left| format!("trace of tcp for {left}"));
    assert!(left.iter().any(|left| shown.contains(left)), "{shown}");
    let _ = DEADLINE;
}

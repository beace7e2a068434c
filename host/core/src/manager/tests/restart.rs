//! What was defined at run time survives whatever ends the process.

use super::*;
use crate::manager::{DefinedBy, Removal};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const FOLDER: &str = "JACKFIELD_TEST_STATE";

fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command
}

/// Runs a test in a process of its own.
pub(super) fn alone(test: &str) {
    let output = child(test).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Defines one connection after the other, and tells of each once it is acknowledged.
#[tokio::test]
#[ignore = "killed by the test below"]
async fn defines_until_it_is_killed() {
    let folder = std::env::var_os(FOLDER).expect("the folder");
    let manager = manager(10);
    manager.keep_state(folder.as_ref()).unwrap();
    for number in 0.. {
        let name = format!("c{number}");
        manager.define_connection(&name, null(), Existing::Refuse).await.unwrap();
        // Every third goes away again.
        if number % 3 == 2 {
            manager.destroy(&name).await.unwrap();
        }
        let mut out = std::io::stdout();
        writeln!(out, "acknowledged {number}").unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn definitions_survive_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = child("manager::tests::restart::defines_until_it_is_killed")
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let number = |line: String| line.strip_prefix("acknowledged ")?.parse::<usize>().ok();
    let reached = lines.by_ref().filter_map(number).find(|number| *number >= 200);
    assert!(reached.is_some(), "the child ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    // What it still said before it died.
    let last = lines.filter_map(number).last().or(reached).unwrap();
    let manager = manager(10);
    manager.keep_state(folder.path()).unwrap();
    for number in 0..=last {
        let found = manager.connection(&format!("c{number}")).await.is_ok();
        assert_eq!(found, number % 3 != 2, "c{number} of {last}");
    }
    let kept = (0..=last).filter(|number| number % 3 != 2).count();
    let more = manager.defined() - kept;
    assert!(more <= 1, "one may have been written and not acknowledged: {more}");
    assert!(manager.named().iter().all(|named| named.defined_by == DefinedBy::Call));
    manager.get_or_connect("c0", SOON).await.unwrap();
}

#[tokio::test]
async fn a_restart_restores_definitions_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let definition = json!({
        "uri": "null://x/path", "labels": {"site": "lab"}, "call_timeout": "3s",
        "reconnect": {"attempts": -1, "jitter": 0.0},
    });
    {
        let manager = manager(10);
        assert_eq!(manager.keep_state(folder.path()).unwrap(), 0);
        manager.define_connection("bastion", null(), Existing::Refuse).await.unwrap();
        manager
            .define_connection("lab", config(definition.clone()), Existing::Refuse)
            .await
            .unwrap();
        let via = config(json!({"uri": "null://x", "via": "connections.bastion"}));
        manager.define_connection("inner", via, Existing::Refuse).await.unwrap();
        manager.define_own("own", own(None), Own::default()).await.unwrap();
        manager.define_connection("gone", null(), Existing::Refuse).await.unwrap();
        manager.unregister("gone", Removal::Detach).await.unwrap();
        manager.close_all(SOON).await;
    }
    let manager = manager(10);
    assert_eq!(manager.keep_state(folder.path()).unwrap(), 3);
    let named = manager.find(&Filter { driver: Some("null".to_owned()), ..Filter::default() });
    let names: Vec<_> = named.iter().map(|named| named.connection.name.as_str()).collect();
    assert_eq!(names, ["bastion", "inner", "lab"]);
    assert_eq!(named[2].connection.uri, "null://x/path");
    assert_eq!(named[2].connection.labels["site"], "lab");
    assert_eq!(kind(manager.destroy("bastion")).await, ErrorKind::InUse, "inner goes via it");
    let lab = manager.connection("lab").await.unwrap();
    let policy = lab.policy();
    assert_eq!((policy.call_timeout, policy.reconnect.attempts), (Duration::from_secs(3), None));
    assert_eq!(
        kind(manager.define_connection("lab", null(), Existing::Refuse)).await,
        ErrorKind::InUse
    );
    manager.define_connection("lab", null(), Existing::Replace).await.unwrap();
}

#[tokio::test]
async fn a_secret_written_out_is_refused_where_it_would_be_kept() {
    let with_password = || config(json!({"uri": "null://user:hunter2@x"}));
    let manager = manager(10);
    manager.define_connection("lab", with_password(), Existing::Refuse).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    manager.keep_state(folder.path()).unwrap();
    let refused =
        manager.define_connection("kept", with_password(), Existing::Refuse).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
    let text = std::fs::read_to_string(folder.path().join("connections.journal")).unwrap();
    assert!(!text.contains("hunter2") && !text.contains("kept"), "{text}");
}

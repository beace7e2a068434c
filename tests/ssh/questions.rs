//! Servers by asyncssh, which ask and answer as OpenSSH does not on demand.

use jackfield_plugin_api::{ErrorKind, Result, Session};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use crate::support::{host::TestHost, peers::ssh_python::AskingSsh};

async fn open(role: &str, options: Value) -> (Result<Session>, AskingSsh) {
    let server = AskingSsh::start(role).await;
    let host = TestHost::start("").await;
    let uri = format!("ssh://lab@127.0.0.1:{}", server.port());
    let mut all = json!({ "host_keys": "danger_any", "agent": false });
    super::merge(&mut all, &options);
    (host.open(&uri, all).await, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_to_confirm_comes_before_the_password() {
    let (opened, _server) = open("notice", json!({ "password": "pw" })).await;
    assert_eq!(opened.expect("a session").info().facts["auth"], "keyboard-interactive");
}

#[tokio::test(flavor = "multi_thread")]
async fn name_password_and_code_are_answered_round_by_round() {
    let answers = json!([
        { "question": "(?i)one-time code", "answer": "123456" },
        { "question": "Choose", "answer": "2" },
    ]);
    let (opened, _server) = open("rounds", json!({ "password": "pw", "answers": answers })).await;
    opened.expect("a session");
    let (refused, _server) = open("rounds", json!({ "password": "pw" })).await;
    let error = refused.expect_err("a denial");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("One-time code"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_password_is_told_long_before_the_limit() {
    for role in ["expired", "expired-with-banner", "expired-by-questions"] {
        let begun = Instant::now();
        let (refused, _server) = open(role, json!({ "password": "pw" })).await;
        let error = refused.expect_err("a denial");
        assert_eq!(error.kind(), ErrorKind::Denied, "{role}: {error}");
        assert!(error.message().contains("expired"), "{role}: {error}");
        // The host's limit for connecting is 20 s.
        assert!(begun.elapsed() < Duration::from_secs(15), "{role}");
    }
}

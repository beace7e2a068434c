//! Hosts that known-hosts files name in OpenSSH's less usual ways; its own client says what is right.

use jackfield_plugin_api::{ErrorKind, Session};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

use super::{Lab, output};

impl Lab {
    /// A known-hosts file of these lines.
    fn known(&self, lines: &str) -> PathBuf {
        let path = self.sshd.empty_known_hosts();
        fs::write(&path, lines).expect("a known_hosts file");
        path
    }

    /// What becomes of connecting with these lines alone.
    async fn with_lines(&self, lines: &str) -> jackfield_plugin_api::Result<Session> {
        let options = self.options(&json!({ "known_hosts": self.known(lines) }));
        let ours = self.open(&options).await;
        let theirs = self.sshd.is_known_by(&self.known(lines)).await;
        let why = ours.as_ref().err().map(ToString::to_string);
        assert_eq!(ours.is_ok(), theirs, "ssh and we differ about {lines:?}: {why:?}");
        ours
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_port_holds_unless_there_is_one_with_the_port() {
    let lab = Lab::new().await;
    let (port, key, other) = (lab.sshd.port(), lab.sshd.host_key(), lab.sshd.stranger());
    let session = lab.with_lines(&format!("127.0.0.1 {key}\n")).await.expect("a session");
    assert_eq!(output(&session, "echo in").await, "in\n");
    for lines in [
        format!("127.0.0.1 {other}\n"),
        format!("127.0.0.1 {key}\n[127.0.0.1]:{port} {other}\n"),
        format!("127.0.0.1 {key}\n@revoked 127.0.0.1 {key}\n"),
        format!("@revoked [127.0.0.1]:{port} {key}\n127.0.0.1 {key}\n"),
    ] {
        let error = lab.with_lines(&lines).await.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_hosts_are_taken_from_authorities_that_are_known() {
    let mut lab = Lab::new().await;
    let authority = lab.sshd.certify_host("127.0.0.1", "always:forever").await;
    let other = lab.sshd.stranger();
    let port = lab.sshd.port();
    for lines in [
        format!("@cert-authority 127.0.0.1 {authority}\n"),
        format!("@cert-authority [127.0.0.1]:{port} {authority}\n"),
        format!("@cert-authority *.0.0.1,[*]:* {authority}\n"),
        // The key in the certificate does as well.
        format!("@cert-authority 127.0.0.1 {other}\n127.0.0.1 {}\n", lab.sshd.host_key()),
    ] {
        let session = lab.with_lines(&lines).await.expect("a session");
        assert_eq!(session.info().identity, Some(lab.sshd.fingerprint().await));
    }
    let named = format!("@cert-authority 127.0.0.1 {authority}\n");
    let session = lab.with_lines(&named).await.expect("a session");
    assert_eq!(session.info().facts["host_certificate"], "lab-host");
    for lines in [
        format!("@cert-authority elsewhere.test {authority}\n"),
        format!("127.0.0.1 {authority}\n"),
        format!("@cert-authority 127.0.0.1 {other}\n"),
        format!("@cert-authority 127.0.0.1 {authority}\n@revoked * {authority}\n"),
        format!("@cert-authority 127.0.0.1 {authority}\n@revoked * {}\n", lab.sshd.host_key()),
    ] {
        let error = lab.with_lines(&lines).await.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_good_is_worth_its_key_alone() {
    let mut lab = Lab::new().await;
    for (names, validity, reason) in [
        ("elsewhere.test", "always:forever", "is for elsewhere.test, not for 127.0.0.1"),
        ("127.0.0.1", "20200101:20210101", "has expired"),
        ("127.0.0.1", "20900101:20910101", "is not valid yet"),
    ] {
        let authority = lab.sshd.certify_host(names, validity).await;
        let lines = format!("@cert-authority 127.0.0.1 {authority}\n");
        let error = lab.with_lines(&lines).await.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        let both = format!("{lines}127.0.0.1 {}\n", lab.sshd.host_key());
        lab.with_lines(&both).await.expect("a session by the key");
    }
}

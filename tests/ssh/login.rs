//! Who we are, and whom we believe.

use jackfield_plugin_api::{Error, ErrorKind, Session};
use serde_json::{Value, json};

use super::{Lab, output};
use crate::support::peers::sshd::{Agent, PASSPHRASE, PASSWORD, USER};

/// Opens, which must fail.
async fn refused(lab: &Lab, options: &Value) -> Error {
    lab.open(options).await.expect_err("a refusal")
}

async fn is_in(session: &Session, method: &str) {
    assert_eq!(output(session, "echo in").await, "in\n");
    let info = session.info();
    assert_eq!(info.facts["auth"], method);
    assert_eq!(info.facts["user"], USER);
    assert!(info.encrypted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lets_us_in_and_the_facts_are_told() {
    let lab = Lab::new().await;
    let session = lab.session(&json!({})).await;
    is_in(&session, "publickey").await;
    let info = session.info();
    assert_eq!(info.identity, Some(lab.sshd.fingerprint().await));
    assert!(info.facts["server"].as_str().expect("text").starts_with("SSH-2.0-OpenSSH"));
    assert_eq!(info.facts["host_key"], "ssh-ed25519");
    assert_eq!(info.peer, Some(format!("127.0.0.1:{}", lab.sshd.port())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_lets_us_in_from_options_and_from_the_uri() {
    let lab = Lab::new().await;
    let hosts = lab.sshd.known_hosts();
    let options = json!({ "password": PASSWORD, "known_hosts": hosts });
    is_in(&lab.open(&options).await.expect("a session"), "password").await;
    let uri = format!("ssh://{USER}:{PASSWORD}@127.0.0.1:{}", lab.sshd.port());
    let session = lab.host.open(&uri, json!({ "known_hosts": hosts })).await;
    is_in(&session.expect("a session"), "password").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_key_opens_with_its_passphrase() {
    let lab = Lab::new().await;
    let key = lab.sshd.encrypted_key();
    let session = lab.session(&json!({ "key_file": key, "passphrase": PASSPHRASE })).await;
    is_in(&session, "publickey").await;
    let wrong = lab.options(&json!({ "key_file": key, "passphrase": "wr0ng-passphrase" }));
    let error = refused(&lab, &wrong).await;
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(!error.to_string().contains("wr0ng"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_usual_type_let_us_in() {
    let lab = Lab::new().await;
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let key = lab.sshd.make_key(kind).await;
        lab.sshd.authorize(&key);
        is_in(&lab.session(&json!({ "key_file": key })).await, "publickey").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn host_keys_of_every_usual_type_are_checked() {
    let mut lab = Lab::new().await;
    for (kind, name) in [("rsa", "rsa-sha2-512"), ("ecdsa", "ecdsa-sha2-nistp256")] {
        let before = lab.sshd.known_hosts();
        let before = std::fs::copy(before, lab.sshd.home().join("before")).map(|_| lab.sshd.home());
        lab.sshd.change_host_key(kind).await;
        let session = lab.session(&json!({})).await;
        assert_eq!(session.info().facts["host_key"], name);
        let stale = json!({ "known_hosts": before.expect("a copy").join("before") });
        let error = refused(&lab, &lab.options(&stale)).await;
        assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_trusted_authority_lets_its_key_in() {
    let mut lab = Lab::new().await;
    for kind in ["rsa", "ed25519"] {
        let key = lab.sshd.make_key(kind).await;
        let error = refused(&lab, &lab.options(&json!({ "key_file": key }))).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        let certificate = lab.sshd.certify(&key).await;
        let options = lab.options(&json!({ "key_file": key, "certificate": certificate }));
        let session =
            lab.open(&options).await.unwrap_or_else(|e| panic!("{e}\n{}", lab.sshd.log()));
        is_in(&session, "publickey").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_signs() {
    let lab = Lab::new().await;
    let agent = Agent::with_key(&lab.sshd.key()).await;
    let options = json!({ "agent_socket": agent.socket(), "known_hosts": lab.sshd.known_hosts() });
    is_in(&lab.open(&options).await.expect("a session"), "publickey").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_two_methods_gets_them_in_its_order() {
    let lab = Lab::with("AuthenticationMethods password,publickey").await;
    let session = lab.session(&json!({ "password": PASSWORD })).await;
    is_in(&session, "password+publickey").await;
    let error = refused(&lab, &lab.options(&json!({}))).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("server accepts=password"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_names_what_was_tried_and_what_would_do_but_no_secret() {
    let lab = Lab::new().await;
    let options = lab.options(&json!({
        "key_file": lab.sshd.stranger_key(),
        "password": "n0t-the-password",
    }));
    let error = refused(&lab, &options).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let text = format!("{error:?}");
    for part in ["id_stranger", "password", "server accepts=publickey, password", USER] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("n0t-the"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_the_denial_says_which_options_to_set() {
    let lab = Lab::new().await;
    let options = json!({ "agent": false, "known_hosts": lab.sshd.known_hosts() });
    let error = refused(&lab, &options).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("set key_file, password or agent"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_host_key_is_refused_before_anything_is_sent() {
    let lab = Lab::new().await;
    let hosts = lab.sshd.wrong_known_hosts();
    for policy in ["strict", "accept_new"] {
        let options = lab.options(&json!({ "known_hosts": hosts, "host_keys": policy }));
        let error = refused(&lab, &options).await;
        assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
        let text = error.to_string();
        let fingerprint = lab.sshd.fingerprint().await;
        for part in ["CHANGED", &fingerprint, &hosts.display().to_string(), "line=1"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    assert!(!lab.sshd.log().contains(&format!("for {USER}")), "{}", lab.sshd.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_key_is_refused_unless_new_ones_are_accepted() {
    let lab = Lab::new().await;
    let hosts = lab.sshd.empty_known_hosts();
    let with = |policy: &str| lab.options(&json!({ "known_hosts": hosts, "host_keys": policy }));
    let error = refused(&lab, &with("strict")).await;
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
    let line = format!("[127.0.0.1]:{} ssh-ed25519 ", lab.sshd.port());
    assert!(error.to_string().contains(&line), "{error}");
    is_in(&lab.open(&with("accept_new")).await.expect("a session"), "publickey").await;
    let learnt = std::fs::read_to_string(&hosts).expect("the file");
    assert!(learnt.contains(&line), "{learnt}");
    is_in(&lab.open(&with("strict")).await.expect("a session"), "publickey").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fingerprint_pins_the_host_key() {
    let lab = Lab::new().await;
    let nowhere = lab.sshd.empty_known_hosts();
    let right = lab.sshd.fingerprint().await;
    let with = |pin: &str| lab.options(&json!({ "known_hosts": nowhere, "fingerprint": pin }));
    is_in(&lab.open(&with(&right)).await.expect("a session"), "publickey").await;
    let wrong = format!("SHA256:{}", "A".repeat(43));
    let error = refused(&lab, &with(&wrong)).await;
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
    assert!(error.to_string().contains(&right), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_host_key_does_only_when_that_is_asked_for_by_its_name() {
    let lab = Lab::new().await;
    let options = lab.options(&json!({
        "known_hosts": lab.sshd.wrong_known_hosts(),
        "host_keys": "danger_any",
    }));
    is_in(&lab.open(&options).await.expect("a session"), "publickey").await;
}

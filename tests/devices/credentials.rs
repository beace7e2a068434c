//! Credentials in layers, and the next ones when the first are refused, and only then.

use jackfield_plugin_api::ErrorKind;
use serde_json::json;

use crate::support::{
    host::TestHost,
    peers::{
        echo::{Refusing, TcpPeer},
        sshd::{PASSWORD, Sshd, USER},
    },
};

/// A device with one path, and credentials `wrong`, `unknown`, `right` and `default`.
async fn host(port: u16, known_hosts: &std::path::Path, device: &str) -> TestHost {
    TestHost::start(&format!(
        "[credentials.wrong]\nusername = \"{USER}\"\npassword = \"wrong\"\n\
         fallback = [\"stranger\", \"right\"]\n\
         [credentials.stranger]\nuser = \"stranger\"\npassword = \"{PASSWORD}\"\n\
         [credentials.right]\nusername = \"{USER}\"\npassword = \"{PASSWORD}\"\n\
         [credentials.default]\nusername = \"default\"\npassword = \"wrong\"\n\
         [devices.a]\n{device}\n\
         [devices.a.paths.cli]\nuri = \"ssh://127.0.0.1:{port}\"\n\
         options = {{ known_hosts = {known_hosts:?} }}\n"
    ))
    .await
}

async fn logged_in(host: &TestHost) -> String {
    let session = host.open("devices.a.cli", json!({})).await.expect("a session");
    let done = session.call("exec", &json!({ "command": "echo in" })).await.expect("a result");
    done["stdout"].as_str().expect("text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_credentials_are_tried_in_order_until_they_are_accepted() {
    let sshd = Sshd::start().await;
    let host = host(sshd.port(), &sshd.known_hosts(), "credentials = \"wrong\"").await;
    assert_eq!(logged_in(&host).await, "in\n");
    let log = sshd.log();
    let (first, second) = (
        log.find(&format!("Failed password for {USER} ")).expect("the first"),
        log.find("Invalid user stranger").expect("the second"),
    );
    let accepted = log.find(&format!("Accepted password for {USER} ")).expect("the third");
    assert!(first < second && second < accepted, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_of_its_own_a_device_has_the_default_ones_and_a_denial_stays_one() {
    let sshd = Sshd::start().await;
    let host = host(sshd.port(), &sshd.known_hosts(), "").await;
    let error = host.open("devices.a.cli", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(sshd.log().contains("Invalid user default"), "{}", sshd.log());
    assert!(!error.to_string().contains("wrong"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_failure_is_no_reason_to_try_other_credentials() {
    let dead = Refusing::new();
    let sshd = Sshd::start().await;
    let refused = host(dead.address().port(), &sshd.known_hosts(), "credentials = \"wrong\"").await;
    let error = refused.open("devices.a.cli", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(!error.to_string().contains("credentials tried"), "{error}");
    let other = TcpPeer::sending("HTTP/1.0 400 no ssh here\r\n\r\n").await;
    let broken = host(other.port(), &sshd.known_hosts(), "credentials = \"wrong\"").await;
    let error = broken.open("devices.a.cli", json!({})).await.unwrap_err();
    assert!(error.kind() != ErrorKind::Denied, "{error}");
    assert_eq!(other.accepted(), 1, "one attempt, whatever credentials there are");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_key_that_is_wrong_is_no_reason_either() {
    let sshd = Sshd::start().await;
    let host = host(sshd.port(), &sshd.wrong_known_hosts(), "credentials = \"wrong\"").await;
    let error = host.open("devices.a.cli", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
    assert!(!sshd.log().contains("Failed password"), "{}", sshd.log());
}

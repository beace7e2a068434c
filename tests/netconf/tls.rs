//! NETCONF over TLS with certificates of both sides (RFC 7589): yuma123's server behind OpenSSL.

use jackfield_plugin_api::ErrorKind;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{good, interface};
use crate::support::{
    certs::{Certs, Pair},
    host::TestHost,
    jackfield::ran,
    peers::netconfd::NetconfdTls,
    process::DEADLINE,
};

fn options(certs: &Certs, ours: Option<&Pair>) -> Value {
    let mut tls = json!({ "ca_file": certs.ca });
    if let Some(pair) = ours {
        tls["certificate_file"] = json!(pair.certificate);
        tls["key_file"] = json!(pair.key);
    }
    json!({ "tls": tls, "format": "json" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_edited_and_told_over_tls_with_certificates_of_both_sides() {
    let certs = Certs::new();
    let server = NetconfdTls::start(&certs).await;
    let host = TestHost::start("").await;
    let open = || async {
        let session = host.open(&server.uri(), options(&certs, Some(&certs.client))).await;
        session.expect("a session")
    };
    let session = open().await;
    let info = session.info();
    assert!(info.encrypted);
    assert_eq!((&info.facts["base"], &info.facts["peer_verified"]), (&json!("1.1"), &json!(true)));
    good(&session, "create_subscription", json!({})).await;
    let other = open().await;
    let event = timeout(DEADLINE, session.next_event()).await.expect("in time").expect("no error");
    assert_eq!(event.expect("an event").data["name"], "netconf-session-start");
    let edit = json!({ "target": "candidate", "config": interface("eth9") });
    good(&other, "edit_config", edit).await;
    good(&other, "commit", json!({})).await;
    let read = good(&session, "get_config", json!({ "source": "running" })).await;
    assert!(read.to_string().contains("eth9"), "{read}");
    timeout(DEADLINE, session.close(0, "")).await.expect("in time").expect("a goodbye");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_without_a_certificate_of_the_authority() {
    let certs = Certs::new();
    let server = NetconfdTls::start(&certs).await;
    let host = TestHost::start("").await;
    for ours in [None, Some(&certs.self_signed)] {
        let error = host.open(&server.uri(), options(&certs, ours)).await.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    }
    // And a server that nobody vouches for is told nothing, our greeting neither.
    let strangers = Certs::new();
    let error = host.open(&server.uri(), options(&strangers, None)).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_asks_over_tls() {
    let certs = Certs::new();
    let server = NetconfdTls::start(&certs).await;
    let uri = server.uri();
    let option = |name: &str, path: &std::path::Path| format!("tls.{name}={}", path.display());
    let ca = option("ca_file", &certs.ca);
    let certificate = option("certificate_file", &certs.client.certificate);
    let key = option("key_file", &certs.client.key);
    let arguments = ["call", &uri, "get_config", "-o", &ca, "-o", &certificate, "-o", &key];
    assert!(ran(&arguments, "").await.ok().text().contains("<data"));
}

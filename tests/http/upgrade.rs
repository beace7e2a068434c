//! WebSockets that pass through a route to a target over TLS.

use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::Message;
use serde_json::json;

use crate::support::{certs::Certs, host::TestHost, jackfield::Jackfield, peers::curl::curl};

/// A host with an echo of WebSockets behind `https`, which agrees on HTTP/2 with who offers it.
///
/// The second host is its echo, which lives as long.
async fn far(certs: &Certs) -> (TestHost, TestHost) {
    let echo =
        "[handlers.echo]\n[[routes]]\nlisten = \"ws://127.0.0.1:0/echo\"\nto = \"handlers.echo\"\n";
    let inner = TestHost::start(echo).await;
    let address = inner.address(0);
    let far = TestHost::start(&format!(
        "[[routes]]\nlisten = \"https://127.0.0.1:0\"\nto = \"http://{address}\"\n\
         options.tls = {{ certificate_file = {:?}, key_file = {:?} }}\n",
        certs.server.certificate, certs.server.key,
    ))
    .await;
    (far, inner)
}

/// A route to it, with more options of the target.
fn forwarding(far: &TestHost, certs: &Certs, more: &str) -> String {
    format!(
        "[[upstreams.far.targets]]\nuri = \"https://localhost:{}\"\n\
         options = {{ tls = {{ ca_file = {:?} }} {more} }}\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"upstreams.far\"\n",
        far.address(0).port(),
        certs.ca,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_through_to_a_target_over_tls_that_keeps_to_http1() {
    let certs = Certs::new();
    let (far, _echo) = far(&certs).await;
    let host = TestHost::start(&forwarding(&far, &certs, ", version = \"1.1\"")).await;
    let session = host.open(&format!("ws://{}/echo", host.address(0)), json!({})).await.unwrap();
    let mut messages = session.take_messages().unwrap();
    messages.send(Message::text("hello")).await.unwrap();
    assert_eq!(messages.next().await.unwrap().unwrap(), Message::text("hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_to_a_target_that_has_agreed_on_http2_is_refused_with_what_to_set() {
    let certs = Certs::new();
    let (far, _echo) = far(&certs).await;
    let mut host = Jackfield::run(&forwarding(&far, &certs, "")).await;
    let url = format!("http://{}/echo", host.address(0));
    let upgrade = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket"];
    let key =
        ["-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
    let arguments = [&["-i"][..], &upgrade, &key, &[&url]].concat();
    // Often enough for a target to be passed over that had failed.
    for _ in 0..10 {
        let answer = curl(None, &arguments).await.ok().text();
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(answer.contains("the destination cannot do what was asked"), "{answer}");
    }
    host.logged("set the option version = ").await;
    // What is no WebSocket is forwarded as ever: the echo wants one, and says so.
    let answer = curl(None, &["-i", &url]).await.ok().text();
    assert!(!answer.starts_with("HTTP/1.1 50"), "{answer}");
}

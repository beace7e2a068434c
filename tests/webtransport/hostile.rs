//! Frames and capsules that no honest peer sends.

use jackfield_plugin_api::ErrorKind;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::echoed;
use crate::support::{
    certs::Certs,
    host::TestHost,
    peers::{
        echo::TcpPeer,
        quic::soon,
        webtransport::{RawServer, raw_client},
    },
    process::DEADLINE,
};

/// Codes of HTTP/3 and of its compression of heads (RFC 9114 §8.1, RFC 9204 §6).
fn says_why(code: &Value) -> bool {
    code.as_u64()
        .is_some_and(|code| (0x101..=0x110).contains(&code) || (0x200..=0x202).contains(&code))
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_no_honest_client_sends_cost_their_connection_and_no_other() {
    let certs = Certs::new();
    let peer = TcpPeer::echo().await;
    let host = TestHost::start(&format!(
        "[[routes]]\nlisten = \"webtransport://127.0.0.1:0\"\nto = \"{}\"\n\
         options = {{ certificate_file = {:?}, key_file = {:?}, handshake_timeout = 3 }}\n",
        peer.uri(),
        certs.server.certificate,
        certs.server.key
    ))
    .await;
    let port = host.address(0).port();
    let honest = async || {
        let uri = format!("webtransport://localhost:{port}");
        soon(host.open(&uri, json!({ "ca_file": certs.ca }))).await.unwrap()
    };
    let before = honest().await;
    let said = raw_client(port, &certs.ca).await;
    assert_eq!(said.len(), 11, "{said:?}");
    for case in &said {
        let given_up = case["given_up"].as_array().unwrap();
        // Who has not asked for anything yet is left at the deadline of asking, for no fault of its.
        let left = case["case"] == "settings twice" && case["closed"] == 0x100;
        let ended = left || says_why(&case["closed"]) || given_up.iter().any(says_why);
        assert_eq!(ended, case["allowed"] == json!(false), "{case}");
    }
    assert_eq!(echoed(&before, b"still here").await, b"still here");
    assert_eq!(echoed(&honest().await, b"and new").await, b"and new");
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_no_honest_server_sends_are_clear_errors() {
    let certs = Certs::new();
    let (server, cases) = RawServer::start(&certs.server).await;
    let host = TestHost::start("[host.timeouts]\nhandshake = \"3s\"\n").await;
    for case in 0..cases {
        let uri = server.uri();
        let opening = host.open(&uri, json!({ "ca_file": certs.ca }));
        let session = match timeout(DEADLINE, opening).await.expect("in time") {
            Err(error) => {
                let clear = matches!(error.kind(), ErrorKind::Protocol | ErrorKind::TimedOut);
                assert!(clear && !error.to_string().contains('\n'), "{case}: {error:?}");
                continue;
            }
            Ok(session) => session,
        };
        // What is wrong comes after the answer, or nothing is.
        if case + 1 < cases {
            let event = soon(session.next_event()).await.unwrap().unwrap();
            assert_eq!(event.name, "closed", "{case}: {event:?}");
        } else {
            soon(session.ping()).await.unwrap();
        }
    }
}

//! Our client at servers of others.

use jackfield_plugin_api::{Error, ErrorKind};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{META, echoed, pattern};
use crate::support::{
    certs::Certs,
    host::TestHost,
    peers::quic::{Ngtcp2Server, QuicServer, soon},
    process::tempdir,
};

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_datagrams_come_back_from_aioquic() {
    let certs = Certs::new();
    let server = QuicServer::start(&certs.server).await;
    let host = TestHost::start("").await;
    let session = host.open(&server.uri(), json!({ "ca_file": certs.ca })).await.unwrap();
    let info = session.info();
    assert!(info.identity.unwrap().contains("CN=localhost"));
    assert_eq!(info.facts["alpn"], "jackfield");
    soon(session.ping()).await.unwrap();

    let sent = pattern(300_000);
    assert!(echoed(&session, &sent).await.unwrap() == sent);
    let more = session.open_stream(&Value::Null).await.unwrap();
    assert!(echoed(&more, &sent).await.unwrap() == sent);

    let ours = session.open_stream(&json!({ "uni": true })).await.unwrap();
    let mut ours = ours.take_stream().unwrap();
    ours.write_all(b"one way").await.unwrap();
    soon(ours.shutdown()).await.unwrap();
    let theirs = soon(session.accept_stream()).await.unwrap().unwrap();
    assert_eq!(theirs.info().facts["stream_kind"], "uni");
    let mut all = Vec::new();
    soon(theirs.take_stream().unwrap().read_to_end(&mut all)).await.unwrap();
    assert_eq!(all, b"one way");

    let mut datagrams = session.take_datagrams().unwrap();
    let mut buffer = [0; 2000];
    datagrams.send(&sent[..1000], META).await.unwrap();
    let meta = soon(datagrams.recv(&mut buffer)).await.unwrap().unwrap();
    assert!(buffer[..meta.len] == sent[..1000]);
    let error = datagrams.send(&[0; 5000], META).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    session.call("update_keys", &Value::Null).await.unwrap();
    session.call("migrate", &Value::Null).await.unwrap();
    datagrams.send(b"from elsewhere", META).await.unwrap();
    let meta = soon(datagrams.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..meta.len], b"from elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_certificates_of_aioquic_are_refused_with_a_reason() {
    let certs = Certs::new();
    let host = TestHost::start("").await;
    let cases = [
        (&certs.expired, "the certificate expired at 2021-01-01T00:00:00Z"),
        (&certs.wrong_name, "the certificate is for elsewhere.test, not for localhost"),
        (&certs.self_signed, "the certificate is self-signed"),
    ];
    for (pair, reason) in cases {
        let server = QuicServer::start(pair).await;
        let error = host.open(&server.uri(), json!({ "ca_file": certs.ca })).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
        assert!(error.message().starts_with(reason), "{error}");
    }
    let server = QuicServer::start(&certs.server).await;
    let error = host.open(&server.uri(), json!({})).await.unwrap_err();
    assert!(error.message().contains("unknown authority"), "{error}");
    let danger = json!({ "danger_skip_verification": true });
    host.open(&server.uri(), danger).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn protocols_must_match_and_retry_is_followed() {
    let certs = Certs::new();
    let host = TestHost::start("").await;
    let server = QuicServer::start_with(&certs.server, &["--retry", "--alpn", "other"]).await;
    let error = host.open(&server.uri(), json!({ "ca_file": certs.ca })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.message().contains("`alpn`"), "{error}");
    let options = json!({ "ca_file": certs.ca, "alpn": ["some", "other"] });
    let session = host.open(&server.uri(), options).await.unwrap();
    assert_eq!(session.info().facts["alpn"], "other");
    assert_eq!(echoed(&session, b"x").await.unwrap(), b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_and_reason_go_both_ways_with_aioquic() {
    let certs = Certs::new();
    let mut server = QuicServer::start(&certs.server).await;
    let host = TestHost::start("").await;
    let session = host.open(&server.uri(), json!({ "ca_file": certs.ca })).await.unwrap();
    let error: Error = echoed(&session, b"close 77 had enough").await.unwrap_err().into();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let text = error.to_string();
    assert!(text.contains("code 77") && text.contains("had enough"), "{text}");

    let session = host.open(&server.uri(), json!({ "ca_file": certs.ca })).await.unwrap();
    let stream = session.open_stream(&Value::Null).await.unwrap();
    let error: Error = echoed(&stream, b"reset 9").await.unwrap_err().into();
    assert!(error.to_string().contains("code 9"), "{error}");
    let stream = session.open_stream(&Value::Null).await.unwrap();
    stream.close(11, "").await.unwrap();
    assert_eq!(server.logged("stopped ").await, "11");
    session.close(78, "so have we").await.unwrap();
    assert_eq!(server.logged("closed 78 ").await, "so have we");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_is_noticed() {
    let certs = Certs::new();
    let mut server = QuicServer::start(&certs.server).await;
    let host = TestHost::start("").await;
    let options = json!({ "ca_file": certs.ca, "idle_timeout": 2, "stream_window": 65536 });
    let session = host.open(&server.uri(), options).await.unwrap();
    let mut stream = session.take_stream().unwrap();
    stream.write_all(b"blob 50000000").await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let mut some = vec![0; 100_000];
    let (ended, got) =
        soon(async { tokio::join!(write.shutdown(), read.read_exact(&mut some)) }).await;
    ended.unwrap();
    got.unwrap();
    server.kill();
    let error: Error = soon(read.read_to_end(&mut Vec::new())).await.unwrap_err().into();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ngtcp2_opens_its_streams_of_http_3() {
    let (certs, folder) = (Certs::new(), tempdir());
    let server = Ngtcp2Server::start(&certs.server, folder.path()).await;
    let host = TestHost::start("").await;
    let uri = format!("quic://localhost:{}", server.port());
    let options = json!({ "ca_file": certs.ca, "alpn": ["h3"] });
    let session = host.open(&uri, options).await.unwrap();
    soon(session.ping()).await.unwrap();
    let (mut kinds, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let stream = soon(session.accept_stream()).await.unwrap().unwrap();
        let mut stream = stream.take_stream().unwrap();
        kinds.push(soon(stream.read_u8()).await.unwrap());
        kept.push(stream);
    }
    kinds.sort_unstable();
    // Control, QPACK encoder, QPACK decoder (RFC 9114 §6.2, RFC 9204 §4.2).
    assert_eq!(kinds, [0, 2, 3]);
    let error = host.open(&uri, json!({ "ca_file": certs.ca })).await.unwrap_err();
    assert!(error.message().contains("`alpn`"), "{error}");
}

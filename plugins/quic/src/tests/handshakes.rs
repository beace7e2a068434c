//! Who may connect, and who says why not.

use super::{Certificate, Client, driver, listen, soon};
use crate::QuicOptions;
use jackfield_plugin_api::{Driver, ErrorKind, Result, Role, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

async fn refused(server: QuicOptions, client: QuicOptions) -> jackfield_plugin_api::Error {
    let (_listener, port) = listen(server).await;
    soon(Client::new(client).open(port)).await.expect_err("not acceptable")
}

#[tokio::test]
async fn certificates_are_verified_with_a_reason() {
    let (good, other) = (Certificate::new(), Certificate::new());
    let error = refused(good.server(), other.client()).await;
    assert_eq!(error.kind(), ErrorKind::Untrusted);
    assert!(error.message().contains("self-signed"), "{error}");
    let named = QuicOptions { server_name: Some("elsewhere.test".into()), ..good.client() };
    let error = refused(good.server(), named).await;
    assert_eq!(error.kind(), ErrorKind::Untrusted);
    assert!(error.message().contains("not for elsewhere.test"), "{error}");
    let (_listener, port) = listen(good.server()).await;
    let danger = QuicOptions { danger_skip_verification: true, ..QuicOptions::default() };
    let session = soon(Client::new(danger).open(port)).await.expect("asked for");
    assert_eq!(session.info().facts["peer_verified"], false);
    assert_eq!(session.info().identity, None);
}

#[tokio::test]
async fn a_pinned_certificate_is_trusted_alone() {
    let (good, other) = (Certificate::new(), Certificate::new());
    let (_listener, port) = listen(good.server()).await;
    let danger = QuicOptions { danger_skip_verification: true, ..QuicOptions::default() };
    let session = soon(Client::new(danger).open(port)).await.expect("a session");
    let hash = session.info().facts["peer_sha256"].as_str().expect("a hash").to_owned();
    let pinned = || QuicOptions { certificate_hashes: vec![hash.clone()], ..Default::default() };
    soon(Client::new(pinned()).open(port)).await.expect("the right one");
    let error = refused(other.server(), pinned()).await;
    assert_eq!(error.kind(), ErrorKind::Untrusted);
    assert!(error.message().contains("`certificate_hashes`"), "{error}");
}

#[tokio::test]
async fn no_protocol_in_common_is_said_by_both() {
    let certificate = Certificate::new();
    let client = QuicOptions { alpn: vec!["other".into()], ..certificate.client() };
    let error = refused(certificate.server(), client).await;
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.message().contains("`alpn`"), "{error}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_denied_where_one_is_required() {
    let certificate = Certificate::new();
    let server = || QuicOptions {
        client_auth: crate::ClientAuth::Required,
        client_ca_file: Some(certificate.file()),
        ..certificate.server()
    };
    let (listener, port) = listen(server()).await;
    // The server judges after the client's handshake is over.
    let session = soon(Client::new(certificate.client()).open(port)).await;
    let error = match session {
        Ok(session) => {
            let mut stream = session.take_stream().expect("a stream");
            soon(stream.read(&mut [0; 1])).await.expect_err("denied").into()
        }
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.message().contains("certificate required"), "{error}");
    let shown = QuicOptions { ca_file: Some(certificate.file()), ..certificate.server() };
    let client = Client::new(shown);
    let (near, far) = tokio::join!(soon(client.open(port)), soon(listener.accept()));
    near.expect("a session");
    assert!(far.expect("a session").info().facts.contains_key("peer_sha256"));
}

#[tokio::test]
async fn addresses_are_validated_where_that_is_asked_for() {
    let certificate = Certificate::new();
    let server = QuicOptions { validate_address: true, ..certificate.server() };
    let (listener, port) = listen(server).await;
    let client = Client::new(certificate.client());
    let (near, far) = tokio::join!(soon(client.open(port)), soon(listener.accept()));
    assert!(near.is_ok() && far.is_ok());
}

#[tokio::test]
async fn more_than_the_backlog_are_refused() {
    let certificate = Certificate::new();
    let (listener, port) = listen(QuicOptions { backlog: 2, ..certificate.server() }).await;
    let client = Client::new(certificate.client());
    let _first = soon(client.open(port)).await.expect("room");
    let _second = soon(client.open(port)).await.expect("room");
    let error = soon(client.open(port)).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    soon(listener.accept()).await.expect("a session");
    soon(client.open(port)).await.expect("room again");
}

#[tokio::test]
async fn random_datagrams_do_no_harm() {
    let certificate = Certificate::new();
    let (listener, port) = listen(certificate.server()).await;
    let hostile = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    hostile.connect(("127.0.0.1", port)).await.expect("connected");
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..2000_u64 {
        let len = usize::try_from(next() % 1400).expect("small");
        let mut bytes: Vec<u8> = (0..len).map(|_| next().to_le_bytes()[0]).collect();
        // Long headers of version 1 and of unknown versions, short headers, anything.
        if let (Some(first), 0..2) = (bytes.first_mut(), round % 4) {
            *first |= 0xc0;
        }
        if round % 4 == 0 && len > 5 {
            bytes[1..5].copy_from_slice(&[0, 0, 0, 1]);
        }
        let _ = hostile.send(&bytes).await;
    }
    let client = Client::new(certificate.client());
    let (near, far) = tokio::join!(soon(client.open(port)), soon(listener.accept()));
    assert!(near.is_ok() && far.is_ok());
}

async fn greets(session: &Session) -> Result<Vec<u8>> {
    let mut stream = session.take_stream().expect("a stream");
    stream.write_all(b"early").await?;
    let mut text = vec![0; 5];
    soon(stream.read_exact(&mut text)).await?;
    Ok(text)
}

#[tokio::test]
async fn early_data_reaches_a_server_that_is_known() {
    let certificate = Certificate::new();
    let (listener, port) = listen(QuicOptions { early_data: true, ..certificate.server() }).await;
    let client = Client::new(QuicOptions { early_data: true, ..certificate.client() });
    for _ in 0..2 {
        let near = soon(client.open(port)).await.expect("a session");
        let echo = async {
            let far = soon(listener.accept()).await.expect("a session");
            let mut stream = far.take_stream().expect("a stream");
            let mut text = [0; 5];
            soon(stream.read_exact(&mut text)).await.expect("read");
            stream.write_all(&text).await.expect("written");
            soon(stream.read(&mut text)).await.ok();
        };
        let greeted = async {
            let text = greets(&near).await;
            drop(near);
            text
        };
        let (text, ()) = tokio::join!(greeted, echo);
        assert_eq!(text.expect("answered"), b"early");
    }
}

#[test]
fn mistakes_in_options_name_the_option() {
    let certificate = Certificate::new();
    let cases = [
        (
            QuicOptions { resume: false, early_data: true, ..certificate.client() },
            Role::Client,
            "early_data",
        ),
        (QuicOptions { resume: false, ..certificate.server() }, Role::Server, "resume"),
        (QuicOptions { alpn: vec![String::new()], ..certificate.client() }, Role::Client, "alpn"),
        (QuicOptions { origin: Some("x".into()), ..certificate.client() }, Role::Client, "origin"),
        (QuicOptions::default(), Role::Server, "certificate_file"),
        (QuicOptions { bind: Some("here".into()), ..certificate.client() }, Role::Client, "bind"),
        (QuicOptions { bind: Some("::1".into()), ..certificate.server() }, Role::Server, "bind"),
        (
            QuicOptions { ca_file: Some("/x".into()), ..certificate.server() },
            Role::Server,
            "ca_file",
        ),
        (
            QuicOptions { certificate_hashes: vec!["00".into()], ..Default::default() },
            Role::Client,
            "certificate_hashes",
        ),
        (
            QuicOptions { validate_address: true, ..certificate.client() },
            Role::Client,
            "validate_address",
        ),
    ];
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    for (options, role, option) in cases {
        let error = driver().configure(options, role).expect_err("a mistake");
        assert!(error.to_string().contains(&format!("option={option}")), "{error}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_used_by_the_next_handshake_of_both_sides() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let (_listener, port) = listen(first.server()).await;
    let client = Client::new(first.client());
    let before = soon(client.open(port)).await.expect("a session");
    for name in ["crt", "key"] {
        let (new, place) = (second.folder.path().join(name), first.folder.path().join(name));
        std::fs::copy(&new, first.folder.path().join("new")).expect("a copy");
        std::fs::rename(first.folder.path().join("new"), place).expect("in its place");
    }
    // The file of the server's certificate is the one that the client trusts.
    let after = soon(client.open(port)).await.expect("a session");
    let shown = |session: &Session| session.info().facts["peer_sha256"].clone();
    assert_ne!(shown(&before), shown(&after));
    before.ping().await.expect("the connection that was there goes on");
}

#[tokio::test]
async fn clients_are_trusted_by_the_hashes_of_their_certificates() {
    let (server, known, stranger) = (Certificate::new(), Certificate::new(), Certificate::new());
    let hash = {
        let (_listener, port) = listen(known.server()).await;
        let session = soon(Client::new(known.client()).open(port)).await.expect("a session");
        session.info().facts["peer_sha256"].as_str().expect("a hash").to_owned()
    };
    let options = QuicOptions {
        client_auth: crate::ClientAuth::Required,
        certificate_hashes: vec![hash],
        ..server.server()
    };
    let (listener, port) = listen(options).await;
    let with = |own: &Certificate| QuicOptions { ca_file: Some(server.file()), ..own.server() };
    let client = Client::new(with(&known));
    let (opened, accepted) = tokio::join!(soon(client.open(port)), soon(listener.accept()));
    assert!(opened.is_ok() && accepted.is_ok());
    let opened = soon(Client::new(with(&stranger)).open(port)).await;
    let denied = match opened {
        // With TLS 1.3 the client learns it after its own handshake.
        Ok(session) => soon(session.ping()).await.expect_err("a denial"),
        Err(error) => error,
    };
    assert!(matches!(denied.kind(), ErrorKind::Denied | ErrorKind::Closed), "{denied:?}");
}

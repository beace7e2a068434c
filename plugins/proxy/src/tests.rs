//! Headers both ways, and who is believed.

use crate::header::{encode, parse};
use crate::{ProxyDriver, ProxyOptions, Version};
use jackfield_plugin_api::{Driver, ErrorKind, Info, Result, Role, Session, testing};
use proptest::prelude::*;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a listener makes of `bytes` from `peer`, which its options trust or not.
async fn accepted(trusted: &str, peer: &str, bytes: &[u8]) -> Result<Session> {
    let driver = ProxyDriver::new(testing::host())?;
    let options = ProxyOptions { trusted: vec![trusted.to_owned()], ..ProxyOptions::default() };
    let endpoint = driver.configure(options, Role::Server)?;
    let (mut far, near) = tokio::io::duplex(4096);
    far.write_all(bytes).await?;
    let carrier = Session::of_stream(
        Info::new().peer(peer).local("10.0.0.9:443"),
        jackfield_plugin_api::Stream::new(near),
    );
    let accepted = driver.accept(&endpoint, testing::over(carrier)).await;
    // What is cut short must not wait for more.
    drop(far);
    accepted
}

async fn rest(session: &Session) -> Vec<u8> {
    let mut rest = Vec::new();
    let mut stream = session.take_stream().expect("a stream");
    stream.read_to_end(&mut rest).await.expect("the rest");
    rest
}

const PROXY: &str = "10.0.0.5:4711";

#[tokio::test]
async fn a_header_says_who_the_client_is_and_what_follows_it_is_untouched() {
    let v1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\n".to_vec();
    let v6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 80\r\n".to_vec();
    let v2 = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(),
        &[192, 0, 2, 7, 192, 0, 2, 1, 0x13, 0x88, 0, 80],
    ]
    .concat();
    for (header, peer, local) in [
        (v1, "192.0.2.7:5000", "192.0.2.1:80"),
        (v6, "[2001:db8::7]:5000", "[2001:db8::1]:80"),
        (v2, "192.0.2.7:5000", "192.0.2.1:80"),
    ] {
        let bytes = [&header[..], b"PROXY GET / HTTP/1.1"].concat();
        let session = accepted("10.0.0.0/24", PROXY, &bytes).await.expect("a session");
        let info = session.info();
        assert_eq!((info.peer.as_deref(), info.local.as_deref()), (Some(peer), Some(local)));
        assert_eq!(info.facts["proxy"], PROXY);
        assert_eq!(rest(&session).await, b"PROXY GET / HTTP/1.1");
    }
}

#[tokio::test]
async fn a_proxy_that_connects_for_itself_stays_the_peer() {
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), b"PROXY UNKNOWN a b 1 2\r\n".to_vec(), v2] {
        let session = accepted("10.0.0.5", PROXY, &header).await.expect("a session");
        assert_eq!(session.info().peer.as_deref(), Some(PROXY));
    }
}

#[tokio::test]
async fn only_those_that_are_trusted_are_believed() {
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\n";
    for (trusted, peer) in [("10.0.0.6", PROXY), ("10.1.0.0/16", PROXY), ("::1", "[::2]:1")] {
        let error = accepted(trusted, peer, header).await.expect_err("nobody to believe");
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    }
    for (trusted, peer) in [("10.0.0.5", "[::ffff:10.0.0.5]:1"), ("10.0.0.5", "/run/front.sock")] {
        accepted(trusted, peer, header).await.expect("a proxy that is trusted");
    }
    let driver = ProxyDriver::new(testing::host()).expect("a driver");
    for trusted in [vec![], vec!["10.0.0.0/33".to_owned()], vec!["proxy".to_owned()]] {
        let options = ProxyOptions { trusted, ..ProxyOptions::default() };
        let error = driver.configure(options, Role::Server).expect_err("no networks");
        assert!(error.context().any(|(_, name)| name == "trusted"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_header_is_refused() {
    let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
    let huge = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".as_slice(), &[0; 64]].concat();
    let cut = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0".to_vec();
    let version = b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x00".to_vec();
    let mixed = b"PROXY TCP4 ::1 192.0.2.1 5000 80\r\n".to_vec();
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), long, huge, version, mixed] {
        let error = accepted("10.0.0.5", PROXY, &bytes).await.expect_err("no header");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
    // The end comes with the task that sends.
    let driver = ProxyDriver::new(testing::host()).expect("a driver");
    let options = ProxyOptions { trusted: vec!["0.0.0.0/0".to_owned()], ..Default::default() };
    let endpoint = driver.configure(options, Role::Server).expect("options");
    let (mut far, near) = tokio::io::duplex(64);
    far.write_all(&cut).await.expect("room");
    drop(far);
    let carrier = Session::of_stream(Info::new(), jackfield_plugin_api::Stream::new(near));
    driver.accept(&endpoint, testing::over(carrier)).await.expect_err("a header cut short");
}

#[tokio::test]
async fn a_checksum_that_is_there_must_be_that_of_the_header() {
    // Addresses, a name, the checksum.
    let mut header = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x17".as_slice(),
        &[192, 0, 2, 7, 192, 0, 2, 1, 0x13, 0x88, 0, 80],
        &[2, 0, 1, b'a'],
        &[3, 0, 4, 0xe2, 0x6d, 0x2b, 0x1d],
    ]
    .concat();
    let session = accepted("10.0.0.5", PROXY, &header).await.expect("a session");
    assert_eq!(session.info().peer.as_deref(), Some("192.0.2.7:5000"));
    for wrong in 16..header.len() {
        // Not what says what follows, and how much of it.
        if [28, 29, 30, 32, 33, 34].contains(&wrong) {
            continue;
        }
        header[wrong] ^= 1;
        let error = accepted("10.0.0.5", PROXY, &header).await.expect_err("a checksum");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{wrong}: {error}");
        assert!(error.to_string().contains("checksum"), "{wrong}: {error}");
        header[wrong] ^= 1;
    }
}

/// What a client of TLS is known by.
fn client() -> Info {
    let mut info = Info::new()
        .peer("192.0.2.7:5000")
        .local("192.0.2.1:443")
        .identity("O=Lab, CN=rack 1")
        .with("tls_version", "1.3")
        .with("cipher", "TLS13_AES_128_GCM_SHA256")
        .with("alpn", "h2")
        .with("server_name", "console.test")
        .with("peer_subject", "O=Lab, CN=rack 1")
        .with("peer_verified", true);
    info.encrypted = true;
    info
}

#[test]
fn what_is_sent_is_what_is_read_with_the_facts_of_tls() {
    let bytes = encode(Some(&client()), Version::V2, true).expect("a header");
    let info = parse(&bytes).expect("a header").expect("a client");
    assert_eq!(info.peer.as_deref(), Some("192.0.2.7:5000"));
    assert_eq!(info.local.as_deref(), Some("192.0.2.1:443"));
    assert_eq!(info.identity.as_deref(), Some("CN=rack 1"));
    let facts = json!({
        "tls_version": "1.3", "cipher": "TLS13_AES_128_GCM_SHA256", "alpn": "h2",
        "server_name": "console.test", "peer_subject": "CN=rack 1", "peer_verified": true,
    });
    assert_eq!(serde_json::Value::Object(info.facts), facts);
    let bytes = encode(Some(&client()), Version::V2, false).expect("a header");
    assert!(parse(&bytes).expect("a header").expect("a client").facts.is_empty());
    let text = encode(Some(&client()), Version::V1, true).expect("a header");
    assert_eq!(text, b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n");
}

#[test]
fn a_client_whose_certificate_nobody_has_checked_has_proven_nothing() {
    let mut client = client();
    client.facts.insert("peer_verified".to_owned(), false.into());
    let bytes = encode(Some(&client), Version::V2, true).expect("a header");
    let info = parse(&bytes).expect("a header").expect("a client");
    assert_eq!((info.identity, &info.facts["peer_verified"]), (None, &json!(false)));
}

#[test]
fn without_a_client_the_header_says_that_the_proxy_speaks_for_itself() {
    let unix = Info::new().peer("/run/a.sock");
    for client in [None, Some(&unix)] {
        let text = encode(client, Version::V1, true).expect("a header");
        assert_eq!(text, b"PROXY UNKNOWN\r\n");
        let bytes = encode(client, Version::V2, true).expect("a header");
        assert_eq!(bytes, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    }
}

#[test]
fn ends_of_two_families_become_those_of_one() {
    let info = Info::new().peer("192.0.2.7:5000").local("[2001:db8::1]:443");
    let bytes = encode(Some(&info), Version::V2, false).expect("a header");
    let parsed = parse(&bytes).expect("a header").expect("a client");
    assert_eq!(parsed.peer.as_deref(), Some("192.0.2.7:5000"));
    assert_eq!(parsed.local.as_deref(), Some("[2001:db8::1]:443"));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
        let _ = parse(&[b"\r\n\r\n\0\r\nQUIT\n\x21", &bytes[..]].concat());
        let _ = parse(&[b"PROXY TCP4 ", &bytes[..], b"\r\n"].concat());
    }
}

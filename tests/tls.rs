//! The tls driver in both roles, against OpenSSL's tools and curl.

use jackfield_plugin_api::{Error, ErrorKind, Session};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    certs::{Certs, Pair},
    host::TestHost,
    need::need,
    peers::{
        curl::curl,
        echo::{Refusing, TcpPeer},
        tls_openssl::{TlsServer, tls_client},
    },
    process::{command, run},
};

/// A route from a TLS listener that shows `pair` to the echo handler.
fn echo_route(pair: &Pair, more: &str) -> String {
    format!(
        "[handlers.echo]\n[[routes]]\nlisten = \"tls://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
         options = {}\n",
        options_toml(pair, more)
    )
}

fn options_toml(pair: &Pair, more: &str) -> String {
    format!("{{ certificate_file = {:?}, key_file = {:?}{more} }}", pair.certificate, pair.key)
}

async fn open(host: &TestHost, port: u16, options: Value) -> jackfield_plugin_api::Result<Session> {
    host.open(&format!("tls://localhost:{port}"), options).await
}

/// Sends a line to a server that answers it reversed.
async fn reverses(session: &Session) {
    let mut stream = session.take_stream().unwrap();
    stream.write_all(b"live\n").await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"evil\n");
}

fn fact(session: &Session, name: &str) -> String {
    let facts = session.info().facts;
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    facts.get(name).map(text).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_server_is_verified_and_described() {
    let certs = Certs::new();
    let host = TestHost::start("").await;
    for (flags, version) in [(["-tls1_2"], "1.2"), (["-tls1_3"], "1.3")] {
        let server = TlsServer::start(&certs.server, &flags).await;
        let session = open(&host, server.port(), json!({ "ca_file": certs.ca })).await.unwrap();
        assert!(session.info().encrypted);
        assert!(session.info().identity.unwrap().contains("CN=localhost"));
        assert_eq!(fact(&session, "tls_version"), version);
        assert_eq!(fact(&session, "peer_names"), r#"["localhost","127.0.0.1"]"#);
        assert_eq!(fact(&session, "peer_verified"), "true");
        assert_eq!(session.info().peer, Some(format!("127.0.0.1:{}", server.port())));
        reverses(&session).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_certificates_are_refused_with_a_reason() {
    let certs = Certs::new();
    let host = TestHost::start("").await;
    let cases = [
        (&certs.expired, "the certificate expired at 2021-01-01T00:00:00Z"),
        (&certs.wrong_name, "the certificate is for elsewhere.test, not for localhost"),
        (&certs.self_signed, "the certificate is self-signed"),
    ];
    for (pair, reason) in cases {
        let server = TlsServer::start(pair, &[]).await;
        let error = open(&host, server.port(), json!({ "ca_file": certs.ca })).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Untrusted);
        assert!(error.message().starts_with(reason), "{error}");
    }
    let server = TlsServer::start(&certs.wrong_name, &[]).await;
    let named = json!({ "ca_file": certs.ca, "server_name": "elsewhere.test" });
    reverses(&open(&host, server.port(), named).await.unwrap()).await;

    // The system does not know the authority of this test.
    let server = TlsServer::start(&certs.server, &[]).await;
    let error = open(&host, server.port(), json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
    let message = "issued by an unknown authority (CN=Jackfield test authority";
    assert!(error.message().contains(message), "{error}");
    let danger = json!({ "danger_skip_verification": true });
    let session = open(&host, server.port(), danger).await.unwrap();
    assert_eq!(
        (session.info().identity.clone(), fact(&session, "peer_verified")),
        (None, "false".into())
    );
    reverses(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_shows_its_certificate() {
    let certs = Certs::new();
    let host = TestHost::start("").await;
    let server = TlsServer::start_mutual(&certs.server, &certs.ca).await;
    let known = json!({
        "ca_file": certs.ca,
        "certificate_file": certs.client.certificate,
        "key_file": certs.client.key,
    });
    reverses(&open(&host, server.port(), known).await.unwrap()).await;
    assert!(server.log().contains("tester"));
    let stranger = open(&host, server.port(), json!({ "ca_file": certs.ca })).await.unwrap();
    let mut stream = stream_of(&stranger);
    let error = Error::from(stream.read_u8().await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains("certificate required"), "{error}");
}

fn stream_of(session: &Session) -> jackfield_plugin_api::Stream {
    session.take_stream().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn protocols_and_versions_are_agreed_on() {
    let certs = Certs::new();
    let host = TestHost::start("").await;
    let server = TlsServer::start(&certs.server, &["-alpn", "h2,http/1.1"]).await;
    let options = json!({ "ca_file": certs.ca, "alpn": ["http/1.1"] });
    let session = open(&host, server.port(), options).await.unwrap();
    assert_eq!(fact(&session, "alpn"), "http/1.1");

    let old = TlsServer::start(&certs.server, &["-tls1_2"]).await;
    let options = json!({ "ca_file": certs.ca, "min_version": "1.3" });
    let error = open(&host, old.port(), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.message().contains("protocol version"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_without_tls_are_told_apart() {
    let host = TestHost::start("").await;
    let danger = || json!({ "danger_skip_verification": true });
    let mail = TcpPeer::half_closing(b"220 mail.test ESMTP ready\r\n").await;
    let error = open(&host, mail.port(), danger()).await.unwrap_err();
    assert_eq!(error.message(), "the peer does not speak TLS");
    let gone = TcpPeer::half_closing(b"").await;
    let error = open(&host, gone.port(), danger()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let nobody = Refusing::new();
    let error = open(&host, nobody.address().port(), danger()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_clients_are_served() {
    let certs = Certs::new();
    let host = TestHost::start(&echo_route(&certs.server, ", alpn = [\"echo\"]")).await;
    let port = host.address(0).port();
    for (flags, shown) in
        [(["-tls1_2", "-alpn", "echo"], "TLSv1.2"), (["-tls1_3", "-alpn", "other,echo"], "TLSv1.3")]
    {
        let ran = tls_client(port, &certs.ca, "round\n", "\nround\n", &flags).await.ok();
        let said = ran.text();
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(said.contains("ALPN protocol: echo"), "{said}");
        assert!(said.contains(shown), "{said}");
    }
    let ran = tls_client(port, &certs.ca, "", "", &["-alpn", "other"]).await;
    assert!(ran.stderr.contains("no application protocol"), "{}", ran.stderr);
    let ran = tls_client(port, &certs.ca, "", "", &["-tls1_1"]).await;
    assert_ne!(ran.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed() {
    let certs = Certs::new();
    let host = TestHost::start(&echo_route(&certs.server, "")).await;
    let port = host.address(0).port();
    let kept = certs.dir().join("session");
    let kept = kept.to_str().unwrap();
    // The ticket follows the handshake, before what is echoed.
    let first = ["-tls1_3", "-sess_out", kept];
    let ran = tls_client(port, &certs.ca, "one\n", "\none\n", &first).await.ok();
    assert!(ran.text().contains("New, TLSv1.3"), "{}", ran.text());
    let second = ["-tls1_3", "-sess_in", kept];
    let ran = tls_client(port, &certs.ca, "two\n", "\ntwo\n", &second).await.ok();
    assert!(ran.text().contains("Reused, TLSv1.3"), "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn our_listener_asks_for_certificates() {
    let certs = Certs::new();
    let asking = |how: &str| format!(", client_ca_file = {:?}, client_auth = \"{how}\"", certs.ca);
    let toml = echo_route(&certs.server, &asking("required"));
    let host = TestHost::start(&toml).await;
    let port = host.address(0).port();
    let (certificate, key) = (&certs.client.certificate, &certs.client.key);
    let known = ["-cert", certificate.to_str().unwrap(), "-key", key.to_str().unwrap()];
    let ran = tls_client(port, &certs.ca, "round\n", "\nround\n", &known).await;
    assert!(ran.text().contains("\nround\n"), "{}", ran.stderr);
    let ran = tls_client(port, &certs.ca, "round\n", "\nround\n", &[]).await;
    assert!(!ran.text().contains("\nround\n"), "{}", ran.text());
    assert!(ran.stderr.contains("certificate required"), "{}", ran.stderr);
    let own = &certs.self_signed;
    let stranger = ["-cert", own.certificate.to_str().unwrap(), "-key", own.key.to_str().unwrap()];
    let ran = tls_client(port, &certs.ca, "round\n", "\nround\n", &stranger).await;
    assert!(!ran.text().contains("\nround\n"), "{}", ran.text());

    let host = TestHost::start(&echo_route(&certs.server, &asking("optional"))).await;
    let ran = tls_client(host.address(0).port(), &certs.ca, "a\n", "\na\n", &[]).await;
    assert!(ran.text().contains("\na\n"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_reaches_a_tls_server_through_a_tls_listener() {
    let certs = Certs::new();
    let web = TlsServer::start_web(&certs.server).await;
    for (pair, code) in
        [(&certs.server, Some(0)), (&certs.expired, Some(60)), (&certs.wrong_name, Some(60))]
    {
        let toml = format!(
            "[[routes]]\nlisten = \"tls://127.0.0.1:0\"\nto = \"connections.web\"\noptions = {}\n\
             [connections.web]\nuri = \"tls://localhost:{}\"\noptions = {{ ca_file = {:?} }}\n",
            options_toml(pair, ""),
            web.port(),
            certs.ca
        );
        let host = TestHost::start(&toml).await;
        let url = format!("https://localhost:{}/", host.address(0).port());
        let ran = curl(Some(&certs.ca), &[&url]).await;
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert_eq!(ran.text().contains("s_server"), code == Some(0), "{}", ran.text());
    }
}

/// What `openssl req -x509` makes of a new key: a certificate of its own that says it is an authority.
async fn device(certs: &Certs) -> Pair {
    let pair =
        Pair { certificate: certs.dir().join("device.crt"), key: certs.dir().join("device.key") };
    let mut openssl = command(need("openssl", "openssl"));
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=device.lab", "-addext", "subjectAltName=DNS:localhost"]);
    openssl.arg("-keyout").arg(&pair.key).arg("-out").arg(&pair.certificate);
    run(openssl, "").await.ok();
    pair
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_a_certificate_of_its_own_is_trusted_where_that_is_named() {
    let certs = Certs::new();
    let pair = device(&certs).await;
    let host = TestHost::start("").await;
    let server = TlsServer::start(&pair, &[]).await;
    let named = json!({ "ca_file": pair.certificate });
    let session = open(&host, server.port(), named).await.unwrap();
    reverses(&session).await;
    let server = TlsServer::start(&pair, &[]).await;
    let hash = json!({ "certificate_hashes": [fact(&session, "peer_sha256")] });
    reverses(&open(&host, server.port(), hash).await.unwrap()).await;
    let error = open(&host, server.port(), json!({ "ca_file": certs.ca })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_answered_with_400_by_tls_https_and_wss() {
    let certs = Certs::new();
    let options = options_toml(&certs.server, "");
    let toml = format!(
        "[handlers.echo]\n[handlers.hi]\nhandler = \"reply\"\noptions = {{ body = \"hi\" }}\n\
         [[routes]]\nlisten = \"tls://127.0.0.1:0\"\nto = \"handlers.echo\"\noptions = {options}\n\
         [[routes]]\nlisten = \"https://127.0.0.1:0\"\nto = \"handlers.hi\"\n\
         options.tls = {options}\n\
         [[routes]]\nlisten = \"wss://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
         options.tls = {options}\n"
    );
    let host = TestHost::start(&toml).await;
    for route in 0..3 {
        let url = format!("http://localhost:{}/", host.address(route).port());
        // A content that is still on its way must not take the answer away.
        let content = "x".repeat(100_000);
        for more in [&[][..], &["--data-binary", &content]] {
            let arguments = [&["-s", "-w", " %{http_code}", &url], more].concat();
            let ran = curl(None, &arguments).await.ok();
            assert!(ran.text().ends_with(" 400"), "{route}: {}", ran.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_outlives_clients_without_tls() {
    let certs = Certs::new();
    let host = TestHost::start(&echo_route(&certs.server, "")).await;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff, 0], b""] {
        // The answer is an alert or a plain end; that it ends is what matters.
        let _ = crate::support::host::exchange(host.address(0), bytes).await;
    }
    let port = host.address(0).port();
    let ran = tls_client(port, &certs.ca, "still\n", "\nstill\n", &[]).await;
    assert!(ran.text().contains("\nstill\n"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_options_stop_the_start_and_are_named() {
    let certs = Certs::new();
    let swapped =
        Pair { certificate: certs.server.certificate.clone(), key: certs.client.key.clone() };
    for (toml, option, reason) in [
        (echo_route(&swapped, ""), "key_file", "is not the key of the certificate"),
        (echo_route(&certs.server, ", client_auth = \"required\""), "client_ca_file", "is missing"),
        (
            echo_route(&certs.server, "").replace("server.crt", "absent.crt"),
            "certificate_file",
            "cannot be read",
        ),
    ] {
        let Err(error) = TestHost::try_start(&toml).await else { panic!("{option} was accepted") };
        let text = error.to_string();
        assert!(text.contains(option) && text.contains(reason), "{text}");
        assert!(text.contains("jackfield.toml:"), "{text}");
    }
}

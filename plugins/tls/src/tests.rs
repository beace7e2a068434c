//! Both roles of the driver against each other over memory.

mod trust;

use crate::{ClientAuth, MinVersion, TlsDriver, TlsEndpoint, TlsOptions};
use jackfield_plugin_api::{
    Address, Driver, Error, ErrorKind, Origin, Request, Result, Role, Secret, Session, testing,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An authority, and what it signed, as files.
struct Folder {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Folder {
    fn new(authority: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = named(authority, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        fs::write(dir.path().join("ca"), params.self_signed(&key).unwrap().pem()).unwrap();
        Folder { dir, issuer: Issuer::new(params, key) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn sign(&self, name: &str, params: &CertificateParams) {
        let key = KeyPair::generate().unwrap();
        self.write(name, &params.signed_by(&key, &self.issuer).unwrap().pem(), &key);
    }

    fn write(&self, name: &str, certificate: &str, key: &KeyPair) {
        fs::write(self.path(name), certificate).unwrap();
        self.secret(&format!("{name}.key"), &key.serialize_pem());
    }

    fn secret(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
    }

    fn server(&self, name: &str) -> TlsOptions {
        TlsOptions {
            certificate_file: Some(self.path(name)),
            key_file: Some(self.path(&format!("{name}.key"))),
            ..TlsOptions::default()
        }
    }

    fn client(&self) -> TlsOptions {
        TlsOptions { ca_file: Some(self.path("ca")), ..TlsOptions::default() }
    }
}

fn named(subject: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params
}

/// With a certificate `good` for `localhost`.
fn folder() -> Folder {
    folder_of("Test authority")
}

fn folder_of(authority: &str) -> Folder {
    let folder = Folder::new(authority);
    folder.sign("good", &named("server", &["localhost", "127.0.0.1"]));
    folder
}

fn driver() -> TlsDriver {
    TlsDriver::new(testing::host()).unwrap()
}

async fn pair(client: TlsOptions, server: TlsOptions) -> (Result<Session>, Result<Session>) {
    let driver = driver();
    let client = driver.configure(client, Role::Client).unwrap();
    let server = driver.configure(server, Role::Server).unwrap();
    meet(&driver, &client, &server).await
}

/// One connection between two that are configured.
async fn meet(
    driver: &TlsDriver,
    client: &TlsEndpoint,
    server: &TlsEndpoint,
) -> (Result<Session>, Result<Session>) {
    let (near, far) = testing::carriers(64 * 1024);
    let request = || Request::new(Address::new("localhost", 443), testing::DEADLINE);
    tokio::join!(
        driver.open(client, request().with_carrier(near)),
        driver.accept(server, request().with_carrier(far))
    )
}

async fn refused(server: TlsOptions, client: TlsOptions) -> Error {
    let (opened, accepted) = pair(client, server).await;
    assert!(accepted.is_err());
    opened.unwrap_err()
}

fn fact(session: &Session, name: &str) -> String {
    match session.info().facts.get(name) {
        Some(value) => value.as_str().map_or(value.to_string(), str::to_owned),
        None => String::new(),
    }
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_facts_are_told() {
    let folder = folder();
    let alpn = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let client = TlsOptions { alpn: alpn(&["b", "a"]), ..folder.client() };
    let server = TlsOptions { alpn: alpn(&["a", "c"]), ..folder.server("good") };
    let (opened, accepted) = pair(client, server).await;
    let (opened, accepted) = (opened.unwrap(), accepted.unwrap());

    let info = opened.info();
    assert!(info.encrypted);
    assert_eq!(info.identity.as_deref(), Some("CN=server"));
    assert_eq!(info.peer.as_deref(), Some("memory:2"));
    assert_eq!(fact(&opened, "tls_version"), "1.3");
    assert_eq!(fact(&opened, "alpn"), "a");
    assert_eq!(fact(&opened, "peer_names"), r#"["localhost","127.0.0.1"]"#);
    assert_eq!(fact(&opened, "peer_sha256").len(), 64);
    assert_eq!(fact(&accepted, "server_name"), "localhost");
    assert_eq!(accepted.info().identity, None);

    let (mut near, mut far) = (opened.take_stream().unwrap(), accepted.take_stream().unwrap());
    let sent = vec![7; 1 << 20];
    let send = async {
        near.write_all(&sent).await.unwrap();
        near.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let (_, count) = tokio::join!(send, far.read_to_end(&mut received));
    assert_eq!((count.unwrap(), received == sent), (sent.len(), true));
    // The other direction is still open.
    far.write_all(b"late").await.unwrap();
    far.shutdown().await.unwrap();
    let mut late = String::new();
    near.read_to_string(&mut late).await.unwrap();
    assert_eq!(late, "late");
}

#[tokio::test]
async fn a_cut_connection_is_no_end() {
    let folder = folder();
    let (opened, accepted) = pair(folder.client(), folder.server("good")).await;
    let mut near = opened.unwrap().take_stream().unwrap();
    let mut far = accepted.unwrap().take_stream().unwrap();
    far.write_all(b"half").await.unwrap();
    far.flush().await.unwrap();
    drop(far);
    let mut received = Vec::new();
    let error = Error::from(near.read_to_end(&mut received).await.unwrap_err());
    assert_eq!(received, b"half");
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.message().contains("close_notify"), "{error}");
}

#[tokio::test]
async fn certificates_are_refused_with_a_reason() {
    let folder = folder();
    let mut old = named("old", &["localhost"]);
    old.not_before = date_time_ymd(2020, 1, 1);
    old.not_after = date_time_ymd(2021, 1, 1);
    folder.sign("old", &old);
    let mut early = named("early", &["localhost"]);
    early.not_before = date_time_ymd(2990, 1, 1);
    early.not_after = date_time_ymd(2999, 1, 1);
    folder.sign("early", &early);
    folder.sign("other", &named("other", &["elsewhere.test", "192.0.2.1"]));
    let key = KeyPair::generate().unwrap();
    let own = named("alone", &["localhost"]).self_signed(&key).unwrap();
    folder.write("alone", &own.pem(), &key);

    for (certificate, reason) in [
        ("old", "the certificate expired at 2021-01-01T00:00:00Z"),
        ("early", "the certificate is not valid before 2990-01-01T00:00:00Z"),
        ("other", "the certificate is for elsewhere.test, 192.0.2.1, not for localhost"),
        ("alone", "the certificate is self-signed (CN=alone); `ca_file` can name whom to trust"),
    ] {
        let error = refused(folder.server(certificate), folder.client()).await;
        assert_eq!((error.kind(), error.message()), (ErrorKind::Untrusted, reason));
    }

    let stranger = folder_of("Stranger");
    let error = refused(stranger.server("good"), folder.client()).await;
    assert!(error.message().contains("unknown authority (CN=Stranger)"), "{error}");
    assert!(error.context().any(|fact| fact == ("server_name", "localhost")), "{error}");

    let unverified = TlsOptions { danger_skip_verification: true, ..TlsOptions::default() };
    let (opened, accepted) = pair(unverified, folder.server("alone")).await;
    let opened = opened.unwrap();
    accepted.unwrap();
    assert_eq!((opened.info().identity, fact(&opened, "peer_verified")), (None, "false".into()));
}

#[tokio::test]
async fn clients_show_certificates() {
    let folder = folder();
    folder.sign("tester", &named("tester", &[]));
    let server = |client_auth| TlsOptions {
        client_auth,
        client_ca_file: Some(folder.path("ca")),
        ..folder.server("good")
    };
    let with_certificate = |from: &Folder| TlsOptions {
        certificate_file: Some(from.path("tester")),
        key_file: Some(from.path("tester.key")),
        ..folder.client()
    };

    let (opened, accepted) = pair(with_certificate(&folder), server(ClientAuth::Required)).await;
    assert_eq!(accepted.unwrap().info().identity.as_deref(), Some("CN=tester"));
    opened.unwrap();

    let (opened, accepted) = pair(folder.client(), server(ClientAuth::Optional)).await;
    assert_eq!((accepted.unwrap().info().identity, opened.is_ok()), (None, true));

    let (opened, accepted) = pair(folder.client(), server(ClientAuth::Required)).await;
    let error = accepted.unwrap_err();
    assert_eq!((error.kind(), error.origin()), (ErrorKind::Untrusted, Origin::Downstream));
    // With TLS 1.3 the client learns it when it reads.
    let mut stream = opened.unwrap().take_stream().unwrap();
    let error = Error::from(stream.read_u8().await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.message().contains("certificate required"), "{error}");

    let stranger = folder_of("Stranger");
    stranger.sign("tester", &named("tester", &[]));
    let (_, accepted) = pair(with_certificate(&stranger), server(ClientAuth::Optional)).await;
    let error = accepted.unwrap_err();
    assert!(error.message().contains("`client_ca_file`"), "{error}");
}

#[tokio::test]
async fn versions_and_protocols_must_have_something_in_common() {
    let folder = folder();
    let alpn = |name: &str| vec![name.to_owned()];
    let client = TlsOptions { alpn: alpn("a"), ..folder.client() };
    let server = TlsOptions { alpn: alpn("b"), ..folder.server("good") };
    let (opened, accepted) = pair(client, server).await;
    assert!(accepted.unwrap_err().message().contains("`alpn`"));
    assert!(opened.unwrap_err().message().contains("no application protocol"));
    let newest = TlsOptions { min_version: MinVersion::Tls13, ..folder.client() };
    let (opened, _accepted) = pair(newest, folder.server("good")).await;
    assert_eq!(fact(&opened.unwrap(), "tls_version"), "1.3");
}

#[tokio::test]
async fn a_peer_without_tls_is_told_apart() {
    let folder = folder();
    let driver = driver();
    let client = driver.configure(folder.client(), Role::Client).unwrap();
    let request = || Request::new(Address::new("localhost", 443), testing::DEADLINE);
    let (near, far) = testing::carriers(1024);
    let mut plain = far.take_stream().unwrap();
    plain.write_all(b"220 mail.test ESMTP ready\r\n").await.unwrap();
    let error = driver.open(&client, request().with_carrier(near)).await.unwrap_err();
    assert_eq!(error.message(), "the peer does not speak TLS");

    let (near, far) = testing::carriers(1024);
    drop(far);
    let error = driver.open(&client, request().with_carrier(near)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let error = driver.open(&client, request()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[tokio::test]
async fn mistakes_in_options_name_option_and_file() {
    let folder = folder();
    folder.sign("second", &named("second", &["localhost"]));
    folder.secret("text", "nothing here\n");
    folder.secret("locked", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
    fs::copy(folder.path("good.key"), folder.path("open.key")).unwrap();
    fs::set_permissions(folder.path("open.key"), Permissions::from_mode(0o644)).unwrap();
    let ca = |name: &str| TlsOptions { ca_file: Some(folder.path(name)), ..TlsOptions::default() };
    let key =
        |name: &str| TlsOptions { key_file: Some(folder.path(name)), ..folder.server("good") };
    let cases = [
        (Role::Client, ca("absent"), "ca_file", "cannot be read"),
        (Role::Client, ca("text"), "ca_file", "has no certificate"),
        (Role::Server, key("text"), "key_file", "has no private key"),
        (Role::Server, key("locked"), "key_file", "is encrypted"),
        (Role::Server, key("open.key"), "key_file", "others may use (mode 0644)"),
        (Role::Server, key("second.key"), "key_file", "is not the key of the certificate"),
        (Role::Server, TlsOptions::default(), "certificate_file", "is missing"),
        (Role::Server, ca("ca"), "ca_file", "is for connecting"),
        (Role::Client, folder.server("second"), "", ""),
        (
            Role::Client,
            TlsOptions { client_auth: ClientAuth::Required, ..TlsOptions::default() },
            "client_auth",
            "is for listeners",
        ),
        (
            Role::Server,
            TlsOptions { client_auth: ClientAuth::Required, ..folder.server("good") },
            "client_ca_file",
            "is missing",
        ),
        (
            Role::Client,
            TlsOptions { server_name: Some("not a name".into()), ..folder.client() },
            "server_name",
            "neither a host name nor an IP",
        ),
    ];
    for (role, options, option, message) in cases {
        match (driver().configure(options, role), option) {
            (Ok(endpoint), "") => assert_eq!(format!("{endpoint:?}"), "TlsEndpoint(client)"),
            (Ok(_), _) => panic!("{option} was accepted"),
            (Err(error), _) => {
                assert!(error.context().any(|fact| fact == ("option", option)), "{error}");
                assert!(error.message().contains(message), "{error}");
            }
        }
    }
}

//! Certificates that are trusted themselves, those that were revoked, and which one a listener shows.

use super::*;
use crate::CertificateFiles;
use rcgen::{
    Certificate, CertificateRevocationListParams, KeyIdMethod, KeyUsagePurpose, RevokedCertParams,
    SerialNumber,
};
use std::time::Duration;

/// As `openssl req -x509` makes them: a certificate of its own that says it is an authority.
fn own(params: &CertificateParams) -> (Certificate, KeyPair) {
    let mut params = params.clone();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap(), key)
}

/// Lets the client trust the certificate of that name itself.
fn listed(folder: &Folder, name: &str) -> TlsOptions {
    TlsOptions { ca_file: Some(folder.path(name)), ..TlsOptions::default() }
}

async fn taken(client: TlsOptions, server: TlsOptions) -> Session {
    let (opened, accepted) = pair(client, server).await;
    accepted.unwrap();
    opened.unwrap()
}

async fn reason(client: TlsOptions, server: TlsOptions) -> String {
    refused(server, client).await.message().to_owned()
}

#[tokio::test]
async fn a_certificate_that_stands_in_the_file_is_trusted_while_its_time_and_name_are_right() {
    let folder = folder();
    let mut old = named("device", &["localhost"]);
    (old.not_before, old.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    for (name, params) in [
        ("device", named("device", &["localhost"])),
        ("old", old),
        ("other", named("device", &["elsewhere.test"])),
        ("nameless", named("localhost", &[])),
    ] {
        let (certificate, key) = own(&params);
        folder.write(name, &certificate.pem(), &key);
    }
    let session = taken(listed(&folder, "device"), folder.server("device")).await;
    assert_eq!(session.info().identity.as_deref(), Some("CN=device"));
    assert_eq!(fact(&session, "peer_verified"), "true");
    for (name, wrong) in [
        ("old", "the certificate expired at 2021-01-01T00:00:00Z"),
        ("other", "the certificate is for elsewhere.test, not for localhost"),
        ("nameless", "the certificate is for no name at all, not for localhost"),
    ] {
        assert_eq!(reason(listed(&folder, name), folder.server(name)).await, wrong);
    }
    // One of an authority that is not known will do as well, and another of the same authority will not.
    taken(listed(&folder, "good"), folder.server("good")).await;
    folder.sign("second", &named("second", &["localhost"]));
    let text = reason(listed(&folder, "good"), folder.server("second")).await;
    assert!(text.contains("unknown authority (CN=Test authority)"), "{text}");
}

#[tokio::test]
async fn a_certificate_that_is_no_authority_vouches_for_no_other() {
    let folder = folder();
    let mut params = named("server", &["localhost"]);
    params.is_ca = IsCa::ExplicitNoCa;
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    folder.write("server", &certificate.pem(), &key);
    let forger = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let forged = named("forged", &["localhost"]).signed_by(&key, &forger).unwrap();
    folder.write("forged", &(forged.pem() + &certificate.pem()), &key);
    let text = reason(listed(&folder, "server"), folder.server("forged")).await;
    assert!(text.contains("unknown authority"), "{text}");
}

#[tokio::test]
async fn a_hash_names_one_certificate_whoever_has_issued_it() {
    let folder = folder();
    folder.sign("other", &named("other", &["elsewhere.test"]));
    let (certificate, key) = own(&named("device", &[]));
    folder.write("nameless", &certificate.pem(), &key);
    let danger = TlsOptions { danger_skip_verification: true, ..TlsOptions::default() };
    let mut pinned = Vec::new();
    for name in ["good", "other", "nameless"] {
        let (opened, _) = pair(TlsOptions { ..danger.clone() }, folder.server(name)).await;
        pinned.push(TlsOptions {
            certificate_hashes: vec![fact(&opened.unwrap(), "peer_sha256")],
            ..TlsOptions::default()
        });
    }
    let [good, other, nameless] = &pinned[..] else { panic!("three") };
    taken(good.clone(), folder.server("good")).await;
    // A certificate without any name of a host has nothing to compare.
    taken(nameless.clone(), folder.server("nameless")).await;
    let text = reason(other.clone(), folder.server("other")).await;
    assert_eq!(text, "the certificate is for elsewhere.test, not for localhost");
    let elsewhere = TlsOptions { server_name: Some("elsewhere.test".into()), ..other.clone() };
    taken(elsewhere, folder.server("other")).await;
    let text = reason(good.clone(), folder.server("other")).await;
    assert!(text.contains("`certificate_hashes`"), "{text}");
}

#[tokio::test]
async fn certificates_keys_and_authorities_may_be_text_in_the_place_of_files() {
    let folder = folder();
    folder.sign("tool", &named("tool", &[]));
    let text = |name: &str| Some(fs::read_to_string(folder.path(name)).unwrap());
    let secret = |name: &str| text(name).map(Secret::new);
    let server = TlsOptions {
        certificate: text("good"),
        key: secret("good.key"),
        client_ca: text("ca"),
        client_auth: ClientAuth::Required,
        ..TlsOptions::default()
    };
    let client = TlsOptions {
        ca: text("ca"),
        certificate: text("tool"),
        key: secret("tool.key"),
        ..TlsOptions::default()
    };
    let (opened, accepted) = pair(client.clone(), server.clone()).await;
    assert_eq!(fact(&opened.unwrap(), "peer_subject"), "CN=server");
    assert_eq!(fact(&accepted.unwrap(), "peer_subject"), "CN=tool");
    let wrong = [
        (TlsOptions { ca_file: Some(folder.path("ca")), ..client.clone() }, Role::Client, "ca"),
        (TlsOptions { key: text("good").map(Secret::new), ..server.clone() }, Role::Server, "key"),
        (TlsOptions { key: secret("tool.key"), ..server.clone() }, Role::Server, "key"),
        (TlsOptions { key: None, ..server.clone() }, Role::Server, "key_file"),
        (TlsOptions { client_ca: Some("x".into()), ..server }, Role::Server, "client_ca"),
        (TlsOptions { client_ca: text("ca"), ..client }, Role::Client, "client_ca"),
    ];
    for (options, role, option) in wrong {
        let error = driver().configure(options, role).unwrap_err();
        assert!(error.context().any(|fact| fact == ("option", option)), "{option}: {error}");
        assert!(!error.to_string().contains("MI"), "{error}");
    }
}

#[tokio::test]
async fn clients_are_trusted_by_their_own_certificates_too() {
    let folder = folder();
    for name in ["device", "stranger"] {
        let (certificate, key) = own(&named(name, &[]));
        folder.write(name, &certificate.pem(), &key);
    }
    folder.sign("signed", &named("signed", &[]));
    let client =
        |name: &str| TlsOptions { ca_file: Some(folder.path("ca")), ..folder.server(name) };
    let required = || TlsOptions { client_auth: ClientAuth::Required, ..folder.server("good") };
    let by_file = |name: &str| TlsOptions { client_ca_file: Some(folder.path(name)), ..required() };
    let (_, accepted) = pair(client("device"), by_file("device")).await;
    assert_eq!(accepted.unwrap().info().identity.as_deref(), Some("CN=device"));
    let (_, accepted) = pair(client("signed"), by_file("signed")).await;
    let hash = fact(&accepted.unwrap(), "peer_sha256");
    let by_hash = TlsOptions { certificate_hashes: vec![hash], ..required() };
    let (_, accepted) = pair(client("signed"), by_hash.clone()).await;
    assert_eq!(accepted.unwrap().info().identity.as_deref(), Some("CN=signed"));
    for (name, server) in
        [("stranger", by_file("device")), ("device", by_hash), ("signed", by_file("device"))]
    {
        let (_, accepted) = pair(client(name), server).await;
        assert_eq!(accepted.unwrap_err().kind(), ErrorKind::Untrusted, "{name}");
    }
}

/// A list of the folder's authority on which `serials` stand.
fn list(folder: &Folder, name: &str, serials: &[u64], next: (i32, u8)) {
    let revoked = serials.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(next.0, next.1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = params.signed_by(&folder.issuer).unwrap();
    fs::write(folder.path(name), list.pem().unwrap()).unwrap();
}

#[tokio::test]
async fn revoked_certificates_are_refused_and_lists_are_read_again() {
    let mut folder = folder_of("Lists");
    let mut authority = named("Lists", &[]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    fs::write(folder.path("ca"), authority.self_signed(&key).unwrap().pem()).unwrap();
    folder.issuer = Issuer::new(authority, key);
    for serial in [7, 8] {
        let mut params = named("numbered", &["localhost"]);
        params.serial_number = Some(SerialNumber::from(serial));
        folder.sign(&format!("number {serial}"), &params);
    }
    list(&folder, "list", &[7], (2999, 1));
    let with = |file: &str| TlsOptions { crl_file: Some(folder.path(file)), ..folder.client() };
    let text = reason(with("list"), folder.server("number 7")).await;
    assert_eq!(text, "the certificate was revoked");
    taken(with("list"), folder.server("number 8")).await;
    list(&folder, "old list", &[], (2025, 1));
    let text = reason(with("old list"), folder.server("number 8")).await;
    assert!(text.contains("was to be renewed at 2025-01-01"), "{text}");
    let other = folder_of("Other");
    list(&other, "list", &[], (2999, 1));
    let lacking = TlsOptions { crl_file: Some(other.path("list")), ..folder.client() };
    let text = reason(lacking, folder.server("number 8")).await;
    assert!(text.contains("no list in `crl_file`"), "{text}");
    // Clients', and those that stand in the file themselves.
    let server = |ca: &str| TlsOptions {
        client_auth: ClientAuth::Required,
        client_ca_file: Some(folder.path(ca)),
        crl_file: Some(folder.path("list")),
        ..folder.server("number 8")
    };
    let client =
        |name: &str| TlsOptions { ca_file: Some(folder.path("ca")), ..folder.server(name) };
    for (name, ca, good) in
        [("number 7", "ca", false), ("number 8", "ca", true), ("number 7", "number 7", false)]
    {
        let (_, accepted) = pair(client(name), server(ca)).await;
        assert_eq!(accepted.is_ok(), good, "{name} by {ca}");
    }
    // A client that is there uses a list as soon as it is renewed.
    let driver = driver();
    let near = driver.configure(with("list"), Role::Client).unwrap();
    let far = driver.configure(folder.server("number 8"), Role::Server).unwrap();
    assert!(meet(&driver, &near, &far).await.0.is_ok());
    list(&folder, "list", &[7, 8], (2999, 1));
    assert_eq!(
        meet(&driver, &near, &far).await.0.unwrap_err().message(),
        "the certificate was revoked"
    );
}

#[tokio::test]
async fn the_name_that_is_asked_for_chooses_the_certificate() {
    let folder = folder();
    folder.sign("lab", &named("lab", &["*.lab.test"]));
    folder.sign("one", &named("one", &["one.lab.test"]));
    let more = |name: &str| CertificateFiles {
        certificate_file: folder.path(name),
        key_file: folder.path(&format!("{name}.key")),
    };
    let server =
        || TlsOptions { certificates: vec![more("lab"), more("one")], ..folder.server("good") };
    for (asked, shown) in
        [("localhost", "CN=server"), ("two.lab.test", "CN=lab"), ("one.lab.test", "CN=one")]
    {
        let client = TlsOptions { server_name: Some(asked.into()), ..folder.client() };
        assert_eq!(taken(client, server()).await.info().identity.as_deref(), Some(shown));
    }
    let only = TlsOptions { certificate_file: None, key_file: None, ..server() };
    let client = TlsOptions { server_name: Some("x.lab.test".into()), ..folder.client() };
    assert_eq!(taken(client, only).await.info().identity.as_deref(), Some("CN=lab"));
    let mixed = CertificateFiles { key_file: folder.path("good.key"), ..more("one") };
    let mixed = TlsOptions { certificates: vec![mixed], ..folder.server("good") };
    let error = driver().configure(mixed, Role::Server).unwrap_err();
    assert!(error.context().any(|fact| fact == ("option", "certificates")), "{error}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_by_the_next_handshake_and_open_connections_live() {
    let folder = folder();
    let driver = driver();
    let near = driver.configure(folder.client(), Role::Client).unwrap();
    let far = driver.configure(folder.server("good"), Role::Server).unwrap();
    let (before, there) = meet(&driver, &near, &far).await;
    let (before, there) = (before.unwrap(), there.unwrap());
    let shown = fact(&before, "peer_sha256");
    // Half of it is new: the old one stays in use.
    let key = KeyPair::generate().unwrap();
    let renewed = named("renewed", &["localhost"]).signed_by(&key, &folder.issuer).unwrap();
    fs::write(folder.path("good"), renewed.pem()).unwrap();
    let (between, _) = meet(&driver, &near, &far).await;
    assert_eq!(fact(&between.unwrap(), "peer_sha256"), shown);
    folder.secret("new.key", &key.serialize_pem());
    fs::rename(folder.path("new.key"), folder.path("good.key")).unwrap();
    let (after, _) = meet(&driver, &near, &far).await;
    assert_eq!(after.unwrap().info().identity.as_deref(), Some("CN=renewed"));
    let (mut one, mut other) = (before.take_stream().unwrap(), there.take_stream().unwrap());
    one.write_all(b"still").await.unwrap();
    one.flush().await.unwrap();
    let mut still = [0; 5];
    other.read_exact(&mut still).await.unwrap();
    assert_eq!(&still, b"still");
}

#[tokio::test]
async fn plain_http_is_answered_in_plain_http() {
    let folder = folder();
    let driver = driver();
    let far = driver.configure(folder.server("good"), Role::Server).unwrap();
    let request = || Request::new(Address::new("localhost", 443), testing::DEADLINE);
    for sent in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "DELETE /x HTTP/1.0\r\n\r\n",
    ] {
        let (plain, carrier) = testing::carriers(1024);
        let mut plain = plain.take_stream().unwrap();
        let talk = async {
            // In pieces, as terminals and slow networks send.
            for byte in sent.as_bytes() {
                plain.write_all(&[*byte]).await.unwrap();
                plain.flush().await.unwrap();
            }
            let mut answer = String::new();
            plain.read_to_string(&mut answer).await.unwrap();
            drop(plain);
            answer
        };
        let accept = driver.accept(&far, request().with_carrier(carrier));
        let (answer, accepted) = tokio::join!(talk, accept);
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        let error = accepted.unwrap_err();
        assert_eq!((error.kind(), error.origin()), (ErrorKind::Protocol, Origin::Downstream));
    }
    // What is neither TLS nor HTTP is only refused.
    for sent in ["SSH-2.0-x\r\n", "GETTING\r\n", "G"] {
        let (plain, carrier) = testing::carriers(1024);
        let mut plain = plain.take_stream().unwrap();
        plain.write_all(sent.as_bytes()).await.unwrap();
        plain.shutdown().await.unwrap();
        let accept = driver.accept(&far, request().with_carrier(carrier));
        tokio::time::timeout(Duration::from_secs(20), accept).await.unwrap().unwrap_err();
        let mut answer = Vec::new();
        // It may end in the middle of an alert.
        let _ = plain.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"), "{sent:?}");
    }
}

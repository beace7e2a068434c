//! The admin API over a route with TLS: who asks is said by a certificate or a token, to curl and to the commands.

use std::{fs, net::SocketAddr};

use jackfield::{
    addr::Addr,
    admin::{AdminControls, AdminServer, AdminSockets},
    manager::{Manager, StartError},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{network::sha256, socket, with_admin};
use crate::support::{
    certs::{Certs, Pair},
    host::load,
    jackfield::{Config, Jackfield, ran},
    need::need,
    peers::{curl::curl, echo::TcpPeer},
    process::{DEADLINE, Ran, command, run, tempdir},
};

/// A route with TLS to the admin API, with more keys of it.
fn route(certs: &Certs, more: &str) -> String {
    let Pair { certificate, key } = &certs.server;
    format!(
        "[[routes]]\nlisten = \"tls://127.0.0.1:0\"\nto = \"admin\"\n{more}\n[routes.options]\n\
         certificate_file = {certificate:?}\nkey_file = {key:?}\nclient_ca_file = {:?}\n\
         client_auth = \"optional\"\n",
        certs.ca
    )
}

/// A host in this process that is asked over TLS.
struct RemoteHost {
    certs: Certs,
    address: SocketAddr,
    _folder: TempDir,
    _server: AdminServer,
    manager: Manager,
}

impl RemoteHost {
    /// With tokens, and roles as `admin` says.
    async fn start(admin: &str, more: &str) -> Self {
        let (folder, certs) = (tempdir(), Certs::new());
        fs::write(folder.path().join("tokens"), format!("admin ops {}\n", sha256("rule"))).unwrap();
        let route = route(&certs, more);
        let toml = format!("[admin]\nlisten = []\ntokens = \"tokens\"\n{admin}\n{route}");
        let loaded = load(folder.path(), &toml);
        let sockets = AdminSockets::bind(&loaded).unwrap_or_else(|error| panic!("{error}"));
        let manager = Manager::start(&loaded).await.unwrap_or_else(|error| panic!("{error}"));
        let server = sockets.serve(manager.clone(), AdminControls::default());
        let local = manager.listeners().remove(0).local;
        let address = local.as_ref().and_then(Addr::socket).unwrap();
        Self { certs, address, _folder: folder, _server: server, manager }
    }

    /// What curl gets for `path`, and how it ends: with the certificate of `pair`, if one is given.
    async fn curl(&self, pair: Option<&Pair>, path: &str, more: &[&str]) -> (u16, Ran) {
        let uri = format!("https://localhost:{}{path}", self.address.port());
        let mut arguments = vec!["--write-out", "\n%{http_code}", &uri];
        let shown =
            pair.map(|pair| [&pair.certificate, &pair.key].map(|file| file.display().to_string()));
        if let Some([certificate, key]) = &shown {
            arguments.extend(["--cert", certificate, "--key", key]);
        }
        arguments.extend(more);
        let ran = curl(Some(&self.certs.ca), &arguments).await;
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        (text.lines().last().and_then(|code| code.parse().ok()).unwrap_or_default(), ran)
    }
}

fn json(ran: &Ran) -> Value {
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let body = text.rsplit_once('\n').map_or("", |(body, _)| body);
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{text}: {}", ran.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_has_its_role_and_one_that_is_not_good_reaches_nothing() {
    let host = RemoteHost::start("operator = [\"certificate:CN=tester\"]", "").await;
    let (certs, status) = (&host.certs, "/v1/status");
    let (code, ran) = host.curl(Some(&certs.client), status, &[]).await;
    assert_eq!(code, 200, "{}", ran.stderr);
    let you = &json(&ran)["you"];
    assert_eq!((&you["user"], &you["role"]), (&"CN=tester".into(), &"operator".into()), "{you}");
    let change = ["--request", "DELETE"];
    let (code, ran) = host.curl(Some(&certs.client), "/v1/connections/x", &change).await;
    assert!(
        code == 403 && json(&ran)["detail"] == "CN=tester is operator here, and this takes admin"
    );
    // It is good, and nobody has given it a role.
    let (code, ran) = host.curl(Some(&certs.guest), status, &[]).await;
    let detail = json(&ran)["detail"].to_string();
    assert!(code == 403 && detail.contains("CN=guest has no role here"), "{code} {detail}");
    assert_eq!(host.curl(None, status, &[]).await.0, 401);
    let stranger = Certs::new();
    for bad in [&certs.expired_client, &stranger.client] {
        let (code, ran) = host.curl(Some(bad), status, &[]).await;
        assert!(code == 0 && ran.code != Some(0), "{code} {}", ran.stderr);
    }
    // By its address, too; by another name not.
    let at = format!("localhost:{}:{}", host.address.port(), host.address.ip());
    let by = |name: &str| format!("host: {name}");
    for (name, expected) in [("127.0.0.1", 200), ("evil.example", 421)] {
        let more = ["--resolve", &at, "--header", &by(name)];
        assert_eq!(host.curl(Some(&certs.client), status, &more).await.0, expected, "{name}");
    }
    let page = ["--header", "origin: https://evil.example"];
    assert_eq!(host.curl(Some(&certs.client), status, &page).await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_with_a_certificate_and_without_one() {
    let host = RemoteHost::start("viewer = [\"certificate:CN=tester\"]", "").await;
    let token = ["--header", "authorization: Bearer rule"];
    for pair in [None, Some(&host.certs.client), Some(&host.certs.guest)] {
        let (code, ran) = host.curl(pair, "/v1/status", &token).await;
        assert!(code == 200 && json(&ran)["you"]["user"] == "ops", "{code} {}", ran.stderr);
    }
    let wrong = ["--header", "authorization: Bearer wrong"];
    assert_eq!(host.curl(Some(&host.certs.client), "/v1/status", &wrong).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_requests_and_slow_handshakes_are_answered_and_ended() {
    let host = RemoteHost::start("", "handshake_timeout = \"300ms\"\nmax_connections = 1").await;
    let mut slow = TcpStream::connect(host.address).await.unwrap();
    // The beginning of a handshake, and no more of it.
    slow.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
    let ended = timeout(DEADLINE, slow.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "a handshake that is never whole holds its place");
    let uri = format!("http://{}/v1/status", host.address);
    let plain = curl(None, &["--write-out", "%{http_code}", &uri]).await.ok().text();
    assert!(plain.contains("This port speaks TLS") && plain.ends_with("400"), "{plain}");
    host.manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_asks_no_more_often_than_its_route_lets_it() {
    let often = "rate_per_peer = { connections = 3, per = \"1h\" }";
    let host = RemoteHost::start("viewer = [\"certificate:CN=tester\"]", often).await;
    let guess = ["--header", "authorization: Bearer guess"];
    for _ in 0..3 {
        assert_eq!(host.curl(Some(&host.certs.client), "/v1/status", &guess).await.0, 401);
    }
    let token = ["--header", "authorization: Bearer rule"];
    let (code, ran) = host.curl(Some(&host.certs.client), "/v1/status", &token).await;
    assert!(code == 0 && ran.code != Some(0), "{code} {}", ran.stderr);
}

#[tokio::test]
async fn a_route_in_the_clear_and_one_that_would_let_nobody_in_are_mistakes() {
    let certs = Certs::new();
    let plain = "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"admin\"\n";
    let tokens = certs.dir().join("tokens");
    fs::write(&tokens, format!("admin ops {}\n", sha256("rule"))).unwrap();
    let with_tokens = format!("[admin]\nlisten = []\ntokens = {tokens:?}\n");
    let folder = tempdir();
    let loaded = load(folder.path(), &format!("{with_tokens}{plain}"));
    let told = match Manager::start(&loaded).await {
        Err(StartError::Config(errors)) => errors.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(told.contains("routes.0.listen: expected a layer that encrypts"), "{told}");
    let nobody = Config::new(&format!("[admin]\nlisten = []\n{}", route(&certs, "")));
    let checked = ran(&["check", "--config", &nobody.file()], "").await;
    assert_eq!(checked.code, Some(2), "{}", checked.stderr);
    assert!(
        checked.stderr.contains("routes.0.to: expected the key admin.tokens"),
        "{}",
        checked.stderr
    );
    let without = Config::new("[admin]\nlisten = [\"tcp://127.0.0.1:0\"]\n");
    let checked = ran(&["check", "--config", &without.file()], "").await;
    let told = "admin.listen.0: expected the key admin.tokens";
    assert!(checked.code == Some(2) && checked.stderr.contains(told), "{}", checked.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_ask_a_host_over_the_network_and_a_reload_changes_who_may() {
    let (folder, certs, peer) = (tempdir(), Certs::new(), TcpPeer::echo().await);
    let toml = |roles: &str| {
        let lab = format!("[connections.lab]\nuri = \"{}\"\n{}", peer.uri(), route(&certs, ""));
        with_admin(folder.path(), roles, &lab)
    };
    let roles = format!("admin = [\"sha256:{}\"]", fingerprint(&certs.client).await);
    let host = Jackfield::run(&toml(&roles)).await;
    let place = format!("https://localhost:{}", host.address(0).port());
    let files = [&certs.ca, &certs.client.certificate, &certs.client.key];
    let [ca, cert, key] = files.map(|file| file.display().to_string());
    let ours = ["--admin", &place, "--admin-ca", &ca, "--admin-cert", &cert, "--admin-key", &key];
    let asked = async |arguments: &[&str]| ran(&[arguments, &ours].concat(), "").await;
    let status: Value =
        serde_json::from_str(&asked(&["status", "--json"]).await.ok().text()).unwrap();
    assert_eq!(status["you"]["role"], "admin", "{status}");
    let drained = asked(&["show", "connections", "lab", "--json"]).await.ok().text();
    assert!(drained.contains("lab"), "{drained}");
    let talk = [&["connect", "connections.lab"][..], &ours].concat();
    assert_eq!(ran(&talk, "over the network\n").await.ok().text(), "over the network\n");
    let trusting_nobody = ran(&["status", "--admin", &place], "").await;
    assert_eq!(trusting_nobody.code, Some(1), "{}", trusting_nobody.stderr);
    let nobody = ran(&["status", "--admin", &place, "--admin-ca", &ca], "").await;
    assert!(
        nobody.code == Some(2) && nobody.stderr.contains("expected a certificate"),
        "{}",
        nobody.stderr
    );
    let wrong = ran(&["status", "--admin", "https://localhost"], "").await;
    assert!(
        wrong.code == Some(2) && wrong.stderr.contains("https://HOST:PORT"),
        "{}",
        wrong.stderr
    );
    host.write(&toml("viewer = [\"certificate:CN=tester\"]"));
    let by_socket = socket(folder.path()).display().to_string();
    ran(&["reload", "--admin", &by_socket], "").await.ok();
    let status: Value =
        serde_json::from_str(&asked(&["status", "--json"]).await.ok().text()).unwrap();
    assert_eq!(status["you"]["role"], "viewer", "{status}");
    drop(host);
    let gone = asked(&["status"]).await;
    assert_eq!(gone.code, Some(3), "{}", gone.stderr);
}

/// The hash of a certificate, as openssl writes it.
async fn fingerprint(pair: &Pair) -> String {
    let mut openssl = command(need("openssl", "openssl"));
    openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(&pair.certificate);
    let text = run(openssl, "").await.ok().text();
    text.trim().split_once('=').expect("a fingerprint").1.to_owned()
}

//! The admin API over TCP: only who has a token comes in, and no web page does.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, process::Stdio};

use jackfield::{
    admin::{AdminControls, AdminServer, AdminSockets},
    manager::Manager,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::Answer;
use crate::support::{
    host::load,
    need::need,
    process::{DEADLINE, command, tempdir},
};

/// The SHA-256 of a text, by the program that an operator would use.
pub(super) fn sha256(text: &str) -> String {
    use std::io::Write;
    let mut summing = command(need("sha256sum", "coreutils"));
    let mut child = summing.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    output.split(' ').next().unwrap().to_owned()
}

/// A host that answers over TCP.
struct NetworkHost {
    address: SocketAddr,
    folder: TempDir,
    _server: AdminServer,
    _manager: Manager,
}

impl NetworkHost {
    async fn start() -> Self {
        let folder = tempdir();
        let lines = format!("viewer page {}\nadmin ops {}\n", sha256("look"), sha256("rule"));
        fs::write(folder.path().join("tokens"), lines).unwrap();
        let toml = "[admin]\nlisten = [\"tcp://127.0.0.1:0\"]\ntokens = \"tokens\"\nmax_body = \"1KiB\"\n\
                    request_timeout = \"300ms\"\nhosts = [\"lab.example\"]\n";
        let loaded = load(folder.path(), toml);
        let sockets = AdminSockets::bind(&loaded).unwrap_or_else(|error| panic!("{error}"));
        let place = sockets.places().remove(0);
        let address = place.strip_prefix("tcp://").unwrap().parse().unwrap();
        let manager = Manager::start(&loaded).await.unwrap_or_else(|error| panic!("{error}"));
        let server = sockets.serve(manager.clone(), AdminControls::default());
        Self { address, folder, _server: server, _manager: manager }
    }

    /// Sends a request with these fields, and what follows them.
    async fn ask(&self, line: &str, fields: &[&str], body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let request = format!("{line} HTTP/1.1\r\nconnection: close\r\n{fields}\r\n{body}");
        // A request that is refused early is not read to its end.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut bytes = Vec::new();
        let _ = timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("an answer");
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer {
            status: status.unwrap_or_default(),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }
}

const HOST: &str = "host: localhost";
const LOOK: &str = "authorization: Bearer look";
const RULE: &str = "authorization: Bearer rule";

#[tokio::test]
async fn a_token_has_its_role_and_without_one_nothing_is_answered() {
    let host = NetworkHost::start().await;
    let status = host.ask("GET /v1/status", &[HOST, LOOK], "").await.ok();
    assert_eq!(
        (&status["you"]["user"], &status["you"]["role"]),
        (&"page".into(), &"viewer".into())
    );
    assert!(status["you"].get("uid").is_none(), "{status}");
    let change = "DELETE /v1/connections/none";
    assert_eq!(host.ask(change, &[HOST, LOOK], "").await.status, 403);
    assert_eq!(host.ask(change, &[HOST, RULE], "").await.status, 404);
    for wrong in [
        "x: y",
        "authorization: Bearer",
        "authorization: Bearer ",
        "authorization: Bearer wrong",
        "authorization: Basic bG9vaw==",
        "authorization: look",
        "cookie: token=look",
    ] {
        for path in ["/v1/status", "/metrics", "/healthz", "/v1/openapi.json", "/"] {
            let refused = host.ask(&format!("GET {path}"), &[HOST, wrong], "").await;
            assert_eq!(refused.status, 401, "{wrong}: {refused:?}");
            assert!(refused.head.contains("www-authenticate: bearer"), "{refused:?}");
        }
    }
    assert_eq!(host.ask("GET /v1/status?token=look", &[HOST], "").await.status, 401);
    // A line that is gone is gone at once.
    let line = format!("admin ops {}\n", sha256("rule"));
    fs::write(host.folder.path().join("tokens"), line).unwrap();
    assert_eq!(host.ask("GET /v1/status", &[HOST, LOOK], "").await.status, 401);
    assert_eq!(host.ask("GET /v1/status", &[HOST, RULE], "").await.status, 200);
    fs::write(host.folder.path().join("tokens"), "").unwrap();
    assert_eq!(host.ask("GET /v1/status", &[HOST, RULE], "").await.status, 503);
}

#[tokio::test]
async fn web_pages_are_kept_out_even_with_a_token() {
    let host = NetworkHost::start().await;
    let get = "GET /v1/status";
    // A name that was made to lead here.
    let rebound = host.ask(get, &["host: evil.example", RULE], "").await;
    assert_eq!(rebound.status, 421, "{rebound:?}");
    assert_eq!(host.ask(get, &["host: lab.example", RULE], "").await.status, 200);
    for origin in ["origin: http://evil.example", "origin: null", "sec-fetch-site: cross-site"] {
        let refused = host.ask(get, &[HOST, RULE, origin], "").await;
        assert_eq!(refused.status, 403, "{refused:?}");
        assert!(!refused.head.contains("access-control"), "{refused:?}");
    }
    let put = "PUT /v1/connections/x";
    let body = "{\"uri\":\"tcp://127.0.0.1:9\"}";
    let length = format!("content-length: {}", body.len());
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    {
        let kind = format!("content-type: {kind}");
        let refused = host.ask(put, &[HOST, RULE, &length, &kind], body).await;
        assert_eq!(refused.status, 415, "{refused:?}");
    }
    let preflight = host.ask("OPTIONS /v1/status", &[HOST, RULE], "").await;
    assert_eq!(preflight.status, 405, "{preflight:?}");
    assert!(!preflight.head.contains("access-control"), "{preflight:?}");
    let json = "content-type: application/json";
    let defined = host.ask(put, &[HOST, RULE, &length, json], body).await;
    assert!([200, 201].contains(&defined.status), "{defined:?}");
}

#[tokio::test]
async fn large_and_slow_bodies_and_ways_out_of_the_path_lead_nowhere() {
    let host = NetworkHost::start().await;
    let (json, put) = ("content-type: application/json", "PUT /v1/connections/x");
    let large = "content-length: 104857600";
    assert_eq!(host.ask(put, &[HOST, RULE, json, large], "{").await.status, 413);
    let slow = host.ask(put, &[HOST, RULE, json, "content-length: 20"], "{").await;
    assert_eq!(slow.status, 408, "{slow:?}");
    for path in
        ["/v1/../../etc/passwd", "/..%2f..%2fetc/passwd", "/v1/plugins/..%2f..", "//v1/status"]
    {
        let refused = host.ask(&format!("GET {path}"), &[HOST, RULE], "").await;
        assert_eq!(refused.status, 404, "{path}: {refused:?}");
    }
}

#[tokio::test]
async fn an_address_of_the_network_and_one_without_tokens_stop_the_start() {
    let folder = tempdir();
    let file = folder.path().join("tokens");
    let why = |toml: &str| {
        let loaded = load(folder.path(), toml);
        AdminSockets::bind(&loaded).unwrap_err().to_string()
    };
    let tcp = "[admin]\nlisten = [\"tcp://127.0.0.1:0\"]\n";
    assert!(why(tcp).contains("expected the key admin.tokens"), "{}", why(tcp));
    let named = format!("{tcp}tokens = \"tokens\"\n");
    assert!(why(&named).contains("there is no such file"), "{}", why(&named));
    fs::write(&file, format!("admin ops {}\n", sha256(""))).unwrap();
    assert!(why(&named).contains("tokens:1: expected the hash of a token"), "{}", why(&named));
    fs::write(&file, format!("admin ops {}\n", sha256("x"))).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(why(&named).contains("that others cannot write"), "{}", why(&named));
    let file = folder.path().join("jackfield.toml");
    fs::write(&file, "[admin]\nlisten = [\"tcp://0.0.0.0:8900\"]\n").unwrap();
    let errors = jackfield::config::load(&[file], &jackfield::config::Overrides::new());
    let told = errors.unwrap_err().to_string();
    assert!(told.contains("expected an address of the machine itself"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_gets_a_ticket_to_watch_and_none_to_write() {
    let host = NetworkHost::start().await;
    let send = async |method: &str, path: &str, who: &str, body: &str| {
        let length = format!("content-length: {}", body.len());
        let fields = [HOST, who, "content-type: application/json", &length];
        host.ask(&format!("{method} {path}"), &fields, body).await
    };
    let lab = "/v1/connections/lab";
    let defined = send("PUT", lab, RULE, "{\"uri\":\"tcp://127.0.0.1:1\"}").await;
    assert_eq!(defined.status, 200, "{defined:?}");
    let ticket = format!("{lab}/ticket");
    let refused = send("POST", &ticket, LOOK, "{}").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let watch = send("POST", &ticket, LOOK, "{\"mode\":\"observer\"}").await;
    assert_eq!(watch.status, 200, "{watch:?}");
    // A ticket says who asks, and for a stream only.
    let ticket = watch.json()["ticket"].as_str().unwrap().to_owned();
    let query = format!("{lab}/stream?ticket={ticket}");
    assert_eq!(send("GET", &query, "x: y", "").await.status, 426);
    assert_eq!(send("GET", &format!("{lab}?ticket={ticket}"), "x: y", "").await.status, 401);
    assert_eq!(send("GET", &format!("{lab}/stream?ticket=no"), "x: y", "").await.status, 401);
}

//! The http driver in both roles, against nginx, Python's `http.server`, nghttp2 and curl.

use futures_util::StreamExt;
use jackfield_plugin_api::{Body, BodyPart, Envelope, ErrorKind, HeaderBlock, Session};
use serde_json::{Value, json};

use crate::support::{
    certs::Certs,
    host::TestHost,
    peers::{
        curl::curl,
        http::{Nghttpd, Nginx, PythonHttp, h2load},
    },
};

async fn call(session: &Session, operation: &str, params: Value) -> Value {
    session.call(operation, &params).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_answers_over_http1_and_http2() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let nginx = Nginx::start(&certs.server).await;
    let plain = format!("http://me:secret@127.0.0.1:{}/text", nginx.port);
    let tls = format!("https://me:secret@localhost:{}/text", nginx.tls);
    let trust = |alpn: &[&str]| json!({ "tls": { "ca_file": certs.ca, "alpn": alpn } });
    for (uri, options, version) in [
        (&plain, json!({}), "1.1"),
        (&tls, trust(&[]), "1.1"),
        (&tls, trust(&["h2", "http/1.1"]), "2"),
    ] {
        let session = host.open(uri, options).await.unwrap();
        assert_eq!(session.info().facts["http_version"], version);
        let answer = call(&session, "get", json!({})).await;
        assert_eq!(answer["headers"]["content-encoding"], "gzip");
        assert_eq!(answer["body"], "line of text\n".repeat(1000));
        let params = json!({ "path": "/moved", "redirects": 1, "headers": { "X-Probe": "yes" } });
        let answer = call(&session, "get", params).await;
        let said = answer["body"].as_str().unwrap();
        assert!(said.contains("GET"), "{said}");
        assert!(said.ends_with("Basic bWU6c2VjcmV0 yes"), "{said}");
        let error = session.call("get", &json!({ "path": "/away", "redirects": 1 })).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Refused);
        let missing = call(&session, "head", json!({ "path": "/nowhere" })).await;
        assert_eq!((&missing["status"], &missing["body"]), (&json!(404), &json!("")));
        session.ping().await.unwrap();
        session.close(0, "").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_for_each_connection_is_enough_for_a_call() {
    let (host, python) = (TestHost::start("").await, PythonHttp::start().await);
    let uri = format!("http://127.0.0.1:{}/page", python.port);
    let session = host.open(&uri, json!({})).await.unwrap();
    assert_eq!(call(&session, "get", json!({})).await["body"], "from Python");
    let error = session.call("get", &json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn much_content_streams_both_ways_over_http2() {
    const PIECE: usize = 64 << 10;
    const PIECES: usize = 256;
    let (host, server) = (TestHost::start("").await, Nghttpd::start().await);
    let uri = format!("http://127.0.0.1:{}/", server.port);
    let session = host.open(&uri, json!({ "version": "2" })).await.unwrap();
    let exchange = session.take_exchange().unwrap();
    let asking = (0..4_u8).map(|number| {
        let piece = move |_| Ok(BodyPart::Data(vec![number; PIECE].into()));
        let body = Body::new(futures_util::stream::iter((0..PIECES).map(piece)));
        let head = HeaderBlock::new([(":method", "POST"), (":path", "/")]).unwrap();
        let answer = exchange.send(Envelope::new(head, body));
        async move {
            let mut answer = answer.await.unwrap();
            assert_eq!(answer.head.get(":status"), Some(&b"200"[..]));
            let mut count = 0;
            while let Some(part) = answer.body.next().await {
                let BodyPart::Data(bytes) = part.unwrap() else { continue };
                assert!(bytes.iter().all(|byte| *byte == number));
                count += bytes.len();
            }
            assert_eq!(count, PIECE * PIECES);
        }
    });
    futures_util::future::join_all(asking).await;
    session.drain().await.unwrap();
}

/// A host that answers over HTTP with `handler`, with `options` of the listener.
async fn answering(scheme: &str, handler: &str, options: &str) -> TestHost {
    TestHost::start(&format!(
        "[handlers.own]\n{handler}\n[[routes]]\nlisten = \"{scheme}://127.0.0.1:0\"\n\
         to = \"handlers.own\"\noptions = {{ {options} }}\n"
    ))
    .await
}

const ECHO: &str = "handler = \"reply\"\noptions = { echo = true }";

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_answered_over_every_http() {
    let certs = Certs::new();
    let plain = answering("http", ECHO, "").await;
    let tls = format!(
        "tls = {{ certificate_file = {:?}, key_file = {:?}, alpn = [\"h2\", \"http/1.1\"] }}",
        certs.server.certificate, certs.server.key
    );
    let tls = answering("https", ECHO, &tls).await;
    for (host, scheme, flag, version) in [
        (&plain, "http", "--http1.1", "1.1"),
        (&plain, "http", "--http2-prior-knowledge", "2"),
        (&plain, "http", "--http1.0", "1.1"),
        (&tls, "https", "--http1.1", "1.1"),
        (&tls, "https", "--http2", "2"),
    ] {
        let url = format!("{scheme}://localhost:{}/a?b", host.address(0).port());
        let form = "\n%{http_version} %{num_connects}";
        let mut arguments =
            vec![flag, "-H", "X-Own: yes", "-d", "content", "-w", form, "-4", &url, "-o", "-"];
        // Twice over one connection; this curl cannot where it takes HTTP/2 for granted.
        let again = flag != "--http2-prior-knowledge" && flag != "--http1.0";
        if again {
            arguments.extend([url.as_str(), "-o", "-"]);
        }
        let ran = curl(Some(&certs.ca), &arguments).await.ok();
        let text = ran.text();
        let (told, rest) = text.split_once('\n').unwrap();
        let told: Value = serde_json::from_str(told).unwrap();
        assert_eq!((&told["method"], &told["path"]), (&json!("POST"), &json!("/a?b")));
        assert_eq!(told["body"], "content");
        assert!(told["headers"].as_array().unwrap().contains(&json!(["x-own", "yes"])));
        if flag != "--http1.0" {
            assert!(rest.starts_with(&format!("{version} 1")), "{flag}: {text}");
        }
        if again {
            assert!(text.trim_end().ends_with(&format!("{version} 0")), "{flag}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_files() {
    let folder = crate::support::process::tempdir();
    let large: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(folder.path().join("large.bin"), &large).unwrap();
    std::fs::write(folder.path().join("page.html"), "<p>page").unwrap();
    let handler = format!("handler = \"files\"\noptions = {{ root = {:?} }}", folder.path());
    let host = answering("http", &handler, "").await;
    let url = |name: &str| format!("http://{}/{name}", host.address(0));
    for flag in ["--http1.1", "--http2-prior-knowledge"] {
        let ran = curl(None, &[flag, &url("large.bin")]).await.ok();
        assert!(ran.stdout == large, "{flag}: {} bytes", ran.stdout.len());
        let ran = curl(None, &[flag, "-r", "1000000-1000003", &url("large.bin")]).await.ok();
        assert_eq!(ran.stdout, &large[1_000_000..1_000_004]);
        let ran = curl(None, &[flag, "-I", &url("page.html")]).await.ok();
        assert!(ran.text().contains("content-length: 7\r\n"), "{}", ran.text());
        let ran = curl(None, &[flag, "--path-as-is", "-f", &url("../../etc/passwd")]).await;
        assert_eq!(ran.code, Some(22), "{}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h2load_gets_every_answer() {
    let host = answering("http", "handler = \"reply\"\noptions = { body = \"hello\" }", "").await;
    let url = format!("http://{}/", host.address(0));
    for flags in [&["-n2000", "-c10", "-m20"][..], &["-n2000", "-c10", "--h1"][..]] {
        let text = h2load(flags, &url).await.ok().text();
        assert!(text.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{text}");
        assert!(text.contains("status codes: 2000 2xx"), "{text}");
    }
    assert_eq!(host.shutdown().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_meets_our_server() {
    let host = answering("http", ECHO, "").await;
    for version in ["1.1", "2"] {
        let uri = format!("http://{}/x", host.address(0));
        let session = host.open(&uri, json!({ "version": version })).await.unwrap();
        let answer = call(&session, "post", json!({ "body": "content" })).await;
        let told: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!((&told["path"], &told["body"]), (&json!("/x"), &json!("content")));
        session.ping().await.unwrap();
    }
}

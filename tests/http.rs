//! The http driver in both roles, against nginx, Python's `http.server`, nghttp2 and curl.

mod events;
mod faults;
mod files;
mod forwarding;
mod login;
mod panics;
mod restconf;
mod reuse;
mod slow;
mod sse;
mod upgrade;
mod variants;

use futures_util::StreamExt;
use jackfield_plugin_api::{Body, BodyPart, Envelope, ErrorKind, HeaderBlock, Session};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    certs::Certs,
    host::TestHost,
    peers::{
        curl::curl,
        http::{Nghttpd, Nginx, PythonHttp, h2load, varnishtest, wrk},
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
    let trust = || json!({ "ca_file": certs.ca });
    let alpn = |alpn: &[&str]| json!({ "ca_file": certs.ca, "alpn": alpn });
    for (uri, options, version) in [
        (&plain, json!({}), "1.1"),
        (&tls, json!({ "tls": trust() }), "2"),
        (&tls, json!({ "tls": trust(), "version": "1.1" }), "1.1"),
        (&tls, json!({ "tls": trust(), "version": "2" }), "2"),
        (&tls, json!({ "tls": alpn(&[]) }), "1.1"),
        (&tls, json!({ "tls": alpn(&["http/1.1"]), "version": "auto" }), "1.1"),
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
        "tls = {{ certificate_file = {:?}, key_file = {:?} }}",
        certs.server.certificate, certs.server.key
    );
    let old = answering("https", ECHO, &format!("version = \"1.1\", {tls}")).await;
    let own = tls.replace(" }", ", alpn = [\"http/1.1\"] }");
    let own = answering("https", ECHO, &own).await;
    let tls = answering("https", ECHO, &tls).await;
    for (host, scheme, flag, version) in [
        (&plain, "http", "--http1.1", "1.1"),
        (&plain, "http", "--http2-prior-knowledge", "2"),
        (&plain, "http", "--http1.0", "1.1"),
        (&tls, "https", "--http1.1", "1.1"),
        (&tls, "https", "--http2", "2"),
        (&tls, "https", "--no-alpn", "1.1"),
        (&old, "https", "--http2", "1.1"),
        (&own, "https", "--http2", "1.1"),
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
async fn wrk_gets_nothing_but_answers() {
    let host = answering("http", "handler = \"reply\"\noptions = { body = \"hello\" }", "").await;
    let text = wrk(&format!("http://{}/", host.address(0))).await.ok().text();
    assert!(text.contains(" requests in ") && !text.contains("\n  0 requests"), "{text}");
    // It counts what went wrong in lines that are there only then.
    assert!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripted_clients_are_answered_or_refused_frame_by_frame() {
    let host = answering("http", "handler = \"reply\"\noptions = { body = \"hello\" }", "").await;
    for script in ["http1.vtc", "http2.vtc"] {
        let text = varnishtest(script, host.address(0)).await.ok().text();
        assert!(text.contains(" passed "), "{text}");
    }
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

/// A host that passes requests on to `target`, with `options` for that.
async fn forwarding(target: &str, options: &str) -> TestHost {
    TestHost::start(&format!(
        "[[upstreams.far.targets]]\nuri = \"{target}\"\noptions = {{ {options} }}\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"upstreams.far\"\n"
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_forwarded_to_servers_of_others() {
    let certs = Certs::new();
    let nginx = Nginx::start(&certs.server).await;
    let tls = format!("tls = {{ ca_file = {:?} }}", certs.ca);
    for (target, options, version) in [
        (format!("http://127.0.0.1:{}", nginx.port), "", "HTTP/1.1"),
        (format!("https://localhost:{}", nginx.tls), tls.as_str(), "HTTP/2.0"),
    ] {
        let host = forwarding(&target, options).await;
        let at = host.address(0);
        for flag in ["--http1.1", "--http2-prior-knowledge"] {
            let url = format!("http://{at}/asked");
            let ran = curl(None, &[flag, "-H", "X-Probe: yes", &url]).await.ok();
            let text = ran.text();
            assert!(text.starts_with(&format!("{version} GET {at}")), "{text}");
            assert!(text.ends_with(" yes"), "{text}");
            let ran = curl(None, &[flag, "--compressed", &format!("http://{at}/text")]).await.ok();
            assert_eq!(ran.text(), "line of text\n".repeat(1000));
        }
        let url = format!("http://{at}/asked");
        for flags in [&["-n500", "-c5", "-m10"][..], &["-n500", "-c5", "--h1"][..]] {
            let text = h2load(flags, &url).await.ok().text();
            assert!(text.contains("status codes: 500 2xx"), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_requests_say_who_asked() {
    let far = answering("http", ECHO, "").await;
    let host = forwarding(&format!("http://{}", far.address(0)), "").await;
    let url = format!("http://{}/a?b", host.address(0));
    let arguments = ["-H", "X-Forwarded-For: 10.1.1.1", "-H", "Connection: X-Gone, close"];
    let rest = ["-H", "X-Gone: 1", "-H", "Transfer-Encoding: chunked", "-d", "content", &url];
    let ran = curl(None, &[&arguments[..], &rest[..]].concat()).await.ok();
    let told: Value = serde_json::from_str(&ran.text()).unwrap();
    assert_eq!((&told["path"], &told["body"]), (&json!("/a?b"), &json!("content")));
    let headers = told["headers"].as_array().unwrap();
    let has = |name: &str, value: &str| headers.contains(&json!([name, value]));
    assert!(has("x-forwarded-for", "10.1.1.1, 127.0.0.1"), "{told}");
    assert!(has("x-forwarded-host", &host.address(0).to_string()), "{told}");
    assert!(has("x-forwarded-proto", "http"), "{told}");
    assert!(!headers.iter().any(|pair| pair[0] == "x-gone"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_not_there_is_a_bad_gateway() {
    let host = forwarding(&format!("http://127.0.0.1:{}", crate::support::ports::free()), "").await;
    let url = format!("http://{}/", host.address(0));
    let ran = curl(None, &["-o", "/dev/null", "-w", "%{http_code}", &url]).await.ok();
    assert_eq!(ran.text(), "502");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", silent.local_addr().unwrap());
    let host = forwarding(&target, "response_timeout = 1").await;
    let url = format!("http://{}/", host.address(0));
    let ran = curl(None, &["-o", "/dev/null", "-w", "%{http_code}", &url]).await.ok();
    assert_eq!(ran.text(), "504");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_the_destination_is_used_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    // Answers on its first connection only.
    let far = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..5 {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        }
        // Gone in the middle of the sixth request.
        stream.read_u8().await.unwrap();
        drop((stream, listener));
    });
    let host = forwarding(&target, "").await;
    let session = host.open(&format!("http://{}/", host.address(0)), json!({})).await.unwrap();
    for _ in 0..5 {
        assert_eq!(call(&session, "get", json!({})).await["body"], "hi");
    }
    assert_eq!(call(&session, "post", json!({ "body": "x" })).await["status"], 502);
    far.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_through() {
    let far = TestHost::start(
        "[handlers.echo]\n[[routes]]\nlisten = \"ws://127.0.0.1:0/echo\"\nto = \"handlers.echo\"\n",
    )
    .await;
    let host = forwarding(&format!("http://{}", far.address(0)), "").await;
    let uri = format!("ws://{}/echo", host.address(0));
    let session = host.open(&uri, json!({})).await.unwrap();
    let mut messages = session.take_messages().unwrap();
    for text in ["hello", "again"] {
        let message = jackfield_plugin_api::Message::text(text);
        futures_util::SinkExt::send(&mut messages, message.clone()).await.unwrap();
        assert_eq!(messages.next().await.unwrap().unwrap(), message);
    }
    session.close(1000, "done").await.unwrap();
    assert!(messages.next().await.is_none());
}

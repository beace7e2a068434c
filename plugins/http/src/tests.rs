//! Both roles of the driver against each other and against scripted peers, over memory.

use crate::{HttpDriver, HttpOptions, Version};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use jackfield_plugin_api::{
    Address, Body, BodyPart, Driver, Envelope, ErrorKind, Exchange, HeaderBlock, Request, Result,
    Role, Secret, Session, Stream, testing,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

mod events;
mod handlers;
mod hostile;
mod login;
mod peers;
mod refusals;
mod servers;
mod windows;

const CAPACITY: usize = 64 * 1024;

fn both(version: Version) -> [HttpOptions; 2] {
    [HttpOptions { version, ..HttpOptions::default() }, HttpOptions::default()]
}

async fn open(options: HttpOptions, carrier: Session) -> Result<Session> {
    let address = Address::new("a.test", 80).with_path("/start");
    open_to(address, options, carrier).await
}

async fn open_to(address: Address, options: HttpOptions, carrier: Session) -> Result<Session> {
    let driver = HttpDriver::new(testing::host())?;
    let endpoint = driver.configure(options, Role::Client)?;
    driver.open(&endpoint, Request::new(address, testing::DEADLINE).with_carrier(carrier)).await
}

async fn accept(options: HttpOptions, carrier: Session) -> Result<Session> {
    let driver = HttpDriver::new(testing::host())?;
    let endpoint = driver.configure(options, Role::Server)?;
    let request = Request::new(Address::new("", 80), testing::DEADLINE).with_carrier(carrier);
    driver.accept(&endpoint, request).await
}

/// A client whose server is answered for by `echo`.
async fn served(client: HttpOptions, server: HttpOptions) -> Session {
    let (near, far) = testing::carriers(CAPACITY);
    let opened = open(client, near).await.unwrap();
    tokio::spawn(async move {
        let session = accept(server, far).await.unwrap();
        let exchange = session.take_exchange().unwrap();
        while let Ok(Some(incoming)) = exchange.accept().await {
            tokio::spawn(echo(incoming));
        }
        session
    });
    opened
}

/// Sends content and trailers back; what was asked stands in fields.
async fn echo(incoming: jackfield_plugin_api::Incoming) {
    let asked = &incoming.request.head;
    let text = |name| String::from_utf8_lossy(asked.get(name).unwrap_or(b"-")).into_owned();
    let path = text(":path");
    let mut fields = vec![(":status".to_owned(), "200".to_owned())];
    for name in [":method", ":authority", ":scheme", ":path", "authorization", "x-own"] {
        fields.push((format!("was-{}", name.trim_start_matches(':')), text(name)));
    }
    let moved = [("/from", "/to?x=1"), ("/loop", "/loop"), ("/away", "http://b.test/")];
    if let Some((_, to)) = moved.iter().find(|(from, _)| *from == path) {
        fields[0].1 = "302".to_owned();
        fields.push(("location".to_owned(), (*to).to_owned()));
    }
    let head = HeaderBlock::new(fields).unwrap();
    // The client may have left.
    let _ = incoming.answer.send(Envelope::new(head, incoming.request.body)).await;
}

fn asked(fields: &[(&str, &str)], body: Body) -> Envelope {
    Envelope::new(HeaderBlock::new(fields.iter().copied()).unwrap(), body)
}

async fn whole(mut body: Body) -> Result<(Vec<u8>, Option<HeaderBlock>)> {
    let (mut content, mut trailers) = (Vec::new(), None);
    while let Some(part) = body.next().await {
        match part? {
            BodyPart::Data(bytes) => content.extend_from_slice(&bytes),
            BodyPart::Trailers(fields) => trailers = Some(fields),
        }
    }
    Ok((content, trailers))
}

fn field(head: &HeaderBlock, name: &str) -> String {
    String::from_utf8_lossy(head.get(name).unwrap_or(b"-")).into_owned()
}

async fn call(session: &Session, operation: &str, params: Value) -> Result<Value> {
    session.call(operation, &params).await
}

#[tokio::test]
async fn content_and_trailers_stream_both_ways() {
    for version in [Version::Http1, Version::Http2] {
        let [client, server] = both(version);
        let session = served(client, server).await;
        let exchange = session.take_exchange().unwrap();
        let (send, parts) = tokio::sync::mpsc::channel(1);
        let parts = futures_util::stream::unfold(parts, |mut parts| async {
            parts.recv().await.map(|part| (part, parts))
        });
        let body = Body::new(Box::pin(parts));
        let fields = [(":method", "POST"), (":path", "/a?b"), ("x-own", "yes"), ("te", "trailers")];
        let answer = exchange.send(asked(&fields, body)).await.unwrap();
        assert_eq!(field(&answer.head, "was-method"), "POST");
        assert_eq!(field(&answer.head, "was-path"), "/a?b");
        assert_eq!(field(&answer.head, "was-authority"), "a.test");
        assert_eq!(field(&answer.head, "was-scheme"), "http");
        assert_eq!(field(&answer.head, "was-x-own"), "yes");
        let mut body = answer.body;
        for round in 0..10_u8 {
            send.send(Ok(BodyPart::Data(Bytes::from(vec![round; 1000])))).await.unwrap();
            let mut count = 0;
            while count < 1000 {
                let Some(Ok(BodyPart::Data(bytes))) = body.next().await else { panic!("{round}") };
                assert!(bytes.iter().all(|byte| *byte == round));
                count += bytes.len();
            }
        }
        if version == Version::Http2 {
            let trailers = HeaderBlock::new([("x-sum", "42")]).unwrap();
            send.send(Ok(BodyPart::Trailers(trailers))).await.unwrap();
        }
        drop(send);
        let (rest, trailers) = whole(body).await.unwrap();
        assert!(rest.is_empty());
        assert_eq!(trailers.is_some(), version == Version::Http2);
    }
}

#[tokio::test]
async fn calls_are_for_people() {
    for version in [Version::Http1, Version::Http2] {
        let [client, server] = both(version);
        let session = served(client, server).await;
        let answer = call(&session, "get", json!({})).await.unwrap();
        assert_eq!(answer["status"], 200);
        assert_eq!(answer["body"], "");
        assert_eq!(answer["headers"]["was-path"], "/start");
        let params = json!({
            "path": "/x?a=b", "query": { "c d": ["1", 2], "e": "&" },
            "json": { "k": 1 }, "headers": { "X-Own": "mine" },
        });
        let answer = call(&session, "put", params).await.unwrap();
        assert_eq!(answer["headers"]["was-method"], "PUT");
        assert_eq!(answer["headers"]["was-x-own"], "mine");
        assert_eq!(answer["headers"]["was-path"], "/x?a=b&c%20d=1&c%20d=2&e=%26");
        assert_eq!(answer["body"], "{\"k\":1}");
        let binary = json!({ "method": "propfind", "body_base64": "/wA=" });
        let answer = call(&session, "request", binary).await.unwrap();
        assert_eq!(answer["headers"]["was-method"], "PROPFIND");
        assert_eq!(answer["body_base64"], "/wA=");
        let answer = call(&session, "head", json!({})).await.unwrap();
        assert_eq!(answer["headers"]["was-method"], "HEAD");
        session.ping().await.unwrap();
        for (operation, wrong) in [
            ("get", json!({ "method": "PUT" })),
            ("request", json!({})),
            ("post", json!({ "body": "a", "json": 1 })),
            ("post", json!({ "body_base64": "%" })),
            ("get", json!({ "path": "x" })),
            ("get", json!({ "path": "/a b" })),
            ("get", json!({ "headers": { "a": "b\r\nc: d" } })),
            ("get", json!({ "pth": "/" })),
        ] {
            let error = call(&session, operation, wrong.clone()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{wrong}: {error}");
        }
    }
}

#[tokio::test]
async fn redirects_are_followed_when_asked_and_never_to_others() {
    let [client, server] = both(Version::Http1);
    let session = served(client, server).await;
    let follow = |path: &str| json!({ "path": path, "redirects": 3, "body": "content" });
    let answer = call(&session, "post", json!({ "path": "/from", "body": "x" })).await.unwrap();
    assert_eq!(answer["status"], 302);
    let answer = call(&session, "post", follow("/from")).await.unwrap();
    assert_eq!((&answer["path"], &answer["redirects"]), (&json!("/to?x=1"), &json!(1)));
    assert_eq!((&answer["headers"]["was-method"], &answer["body"]), (&json!("GET"), &json!("")));
    let error = call(&session, "get", follow("/loop")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let error = call(&session, "get", follow("/away")).await.unwrap_err();
    assert!(error.to_string().contains("location=http://b.test/"), "{error}");
}

#[tokio::test]
async fn credentials_are_sent_and_not_shown() {
    let (near, far) = testing::carriers(CAPACITY);
    let address =
        Address::new("a.test", 8080).with_user("Aladdin").with_password(Secret::new("open sesame"));
    let session = open_to(address.clone(), HttpOptions::default(), near).await.unwrap();
    let server = accept(HttpOptions::default(), far);
    let serving = tokio::spawn(async move {
        // The facet alone keeps the connection.
        let exchange = taken(&server.await.unwrap());
        echo(exchange.accept().await.unwrap().unwrap()).await;
        assert!(exchange.accept().await.unwrap().is_none());
    });
    let answer = call(&session, "get", json!({})).await.unwrap();
    session.close(0, "").await.unwrap();
    serving.await.unwrap();
    assert_eq!(answer["headers"]["was-authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!(answer["headers"]["was-authority"], "a.test:8080");

    let options =
        || HttpOptions { bearer_token: Some(Secret::new("t0p")), ..HttpOptions::default() };
    assert!(!format!("{:?}", options()).contains("t0p"));
    let session = served(options(), HttpOptions::default()).await;
    let answer = call(&session, "get", json!({})).await.unwrap();
    assert_eq!(answer["headers"]["was-authorization"], "Bearer t0p");
    let error = open_to(address, options(), testing::carriers(64).0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn many_requests_run_at_once_up_to_the_limit() {
    let client = HttpOptions { version: Version::Http2, max_requests: 2, ..HttpOptions::default() };
    let (near, far) = testing::carriers(CAPACITY);
    let session = open(client, near).await.unwrap();
    let exchange = session.take_exchange().unwrap();
    let get = || exchange.send(asked(&[(":path", "/")], Body::empty()));
    let (one, two, three) = (get(), get(), get());
    let server = async {
        let session = accept(HttpOptions::default(), far).await.unwrap();
        let exchange = session.take_exchange().unwrap();
        let first = exchange.accept().await.unwrap().unwrap();
        let second = exchange.accept().await.unwrap().unwrap();
        let empty = || asked(&[(":status", "204")], Body::empty());
        second.answer.send(empty()).await.unwrap();
        first.answer.send(empty()).await.unwrap();
        (session, exchange)
    };
    let (one, two, three, _server) = tokio::join!(one, two, three, server);
    assert_eq!(field(&one.unwrap().head, ":status"), "204");
    assert_eq!(field(&two.unwrap().head, ":status"), "204");
    assert_eq!(three.unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(session.info().facts["http_version"], "2");
}

#[tokio::test]
async fn connect_gives_a_connection_onward() {
    for version in [Version::Http1, Version::Http2] {
        let (near, far) = testing::carriers(CAPACITY);
        let [client, server] = both(version);
        let proxy = open(client, near).await.unwrap();
        let served = tokio::spawn(async move {
            let session = accept(server, far).await.unwrap();
            let exchange = session.take_exchange().unwrap();
            let incoming = exchange.accept().await.unwrap().unwrap();
            assert_eq!(field(&incoming.request.head, ":method"), "CONNECT");
            assert_eq!(field(&incoming.request.head, ":authority"), "far.test:22");
            let answered = incoming.answer.send(asked(&[(":status", "200")], Body::empty()));
            let (_, tunnel) = tokio::join!(answered, incoming.request.upgrade.unwrap());
            let mut stream: Stream = tunnel.unwrap().take_stream().unwrap();
            let mut text = [0; 4];
            stream.read_exact(&mut text).await.unwrap();
            assert_eq!(&text, b"ping");
            stream.write_all(b"pong").await.unwrap();
            stream.shutdown().await.unwrap();
            assert_eq!(stream.read(&mut text).await.unwrap(), 0);
        });
        let tunnel = proxy.dial(&Address::new("far.test", 22)).await.unwrap();
        let mut stream = tunnel.take_stream().unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.unwrap();
        assert_eq!(text, b"pong");
        stream.shutdown().await.unwrap();
        served.await.unwrap();
    }
}

#[tokio::test]
async fn an_upgrade_gives_a_session() {
    let (near, far) = testing::carriers(CAPACITY);
    let session = open(HttpOptions::default(), near).await.unwrap();
    let exchange = session.take_exchange().unwrap();
    let fields = [(":path", "/"), ("connection", "upgrade"), ("upgrade", "own")];
    let server = async {
        let options = HttpOptions { upgrades: vec!["own".to_owned()], ..HttpOptions::default() };
        let session = accept(options, far).await.unwrap();
        let incoming = session.take_exchange().unwrap().accept().await.unwrap().unwrap();
        let answer = [(":status", "101"), ("connection", "upgrade"), ("upgrade", "own")];
        let answered = incoming.answer.send(asked(&answer, Body::empty()));
        let (_, upgraded) = tokio::join!(answered, incoming.request.upgrade.unwrap());
        upgraded.unwrap().take_stream().unwrap().write_all(b"own words").await.unwrap();
    };
    let (answer, ()) = tokio::join!(exchange.send(asked(&fields, Body::empty())), server);
    let mut stream = answer.unwrap().upgrade.unwrap().await.unwrap().take_stream().unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "own words");
}

/// A peer of ours for a server or client that the test writes byte by byte.
async fn head_of(stream: &mut Stream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn taken(session: &Session) -> Exchange {
    session.take_exchange().unwrap()
}

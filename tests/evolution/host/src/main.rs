//! A small host: loads one plugin file, uses every facet of it, and prints what it saw, a line each.
//! With several files it only loads them, in the order given and then all at once. It ends with 1 where something that both sides have does not work.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::load::{Module, read_manifest};
use jackfield_plugin_api::{
    Address, Body, BodyPart, Call, DatagramMeta, Envelope, ErrorKind, HeaderBlock, Info, Message,
    Messages, Next, Request, Role, Session, abi, testing,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main]
async fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.len() > 1 {
        return load_all(&paths);
    }
    let path = paths.into_iter().next().expect("a plugin's file");
    let file = std::fs::read(&path).expect("the file");
    let manifest = read_manifest(&file).expect("its manifest");
    assert_eq!(abi::mismatch(&manifest.abi.layouts), None, "fingerprints");
    assert_eq!(manifest.abi.lacking(jackfield_plugin_api::ABI_MINOR), None, "requirements");
    println!("minor {}", manifest.abi.minor);
    let module = Module::load(path.as_ref(), &manifest.symbol).expect("to load");
    let plugin = module.init(testing::services(), "{}").expect("to start");
    assert_eq!(module.describe().expect("a description").drivers.len(), 1);
    println!("health {:?}", plugin.health().status);

    let endpoint = plugin.configure_driver(0, Role::Client, "{}").expect("a driver");
    let mut address = Address::new("there", 7);
    address.query = Some("q".to_owned());
    let session = endpoint.open(Request::new(address, Duration::from_secs(9))).await.expect("to open");
    assert_eq!(session.info().peer.as_deref(), Some("there:7?q"));
    bytes(&session).await;
    messages(&session).await;
    exchange(&session).await;
    datagrams(&session).await;
    calls(&session).await;
    next(&session).await;

    let handler = plugin.configure_handler(0, "{}").expect("a handler");
    served(&handler).await;
    let stamp = plugin.configure_interceptor(0, "{}").expect("an interceptor");
    intercepted(&stamp).await;
    plugin.drain(Duration::from_secs(1)).await.expect("to drain");
    println!("drained");
}

fn load_all(paths: &[String]) {
    let load = |path: &String| {
        let manifest = read_manifest(&std::fs::read(path).expect("the file")).expect("its manifest");
        Module::load(path.as_ref(), &manifest.symbol).map(drop).expect(path);
    };
    paths.iter().for_each(load);
    std::thread::scope(|scope| {
        paths.iter().for_each(|path| drop(scope.spawn(move || load(path))));
    });
    println!("loaded {}", paths.len());
}

async fn bytes(session: &Session) {
    let mut stream = session.take_stream().expect("a stream");
    stream.write_all(b"to and fro").await.expect("to write");
    stream.shutdown().await.expect("to end");
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.expect("to read");
    assert_eq!(back, b"to and fro");
    println!("bytes");
}

async fn messages(session: &Session) {
    let mut messages = session.take_messages().expect("messages");
    for number in 0..40_u8 {
        messages.feed(Message::binary(vec![number; 3])).await.expect("to feed");
    }
    messages.flush().await.expect("to flush");
    for number in 0..40_u8 {
        let message = messages.next().await.expect("one more").expect("a message");
        assert_eq!(message, Message::binary(vec![number; 3]));
    }
    messages.close().await.expect("to close");
    assert!(messages.next().await.is_none());
    println!("messages");
}

async fn exchange(session: &Session) {
    let exchange = session.take_exchange().expect("an exchange");
    let head = HeaderBlock::new([(":path", "/x"), ("a", "b")]).expect("a head");
    let request = Envelope::new(head, Body::full(Bytes::from_static(b"content")));
    let mut answer = exchange.send(request).await.expect("an answer");
    assert_eq!(answer.head.get("a"), Some(&b"b"[..]));
    let part = answer.body.next().await.expect("a part").expect("content");
    assert_eq!(part, BodyPart::Data(Bytes::from_static(b"content")));
    assert!(answer.body.next().await.is_none());
    let incoming = exchange.accept().await.expect("to accept").expect("a request");
    assert_eq!(incoming.request.head.get(":path"), Some(&b"/asked"[..]));
    let head = HeaderBlock::new([(":status", "200")]).expect("a head");
    incoming.answer.send(Envelope::new(head, Body::empty())).await.expect("to be answered");
    println!("exchange");
}

async fn datagrams(session: &Session) {
    let mut datagrams = session.take_datagrams().expect("datagrams");
    assert_eq!(datagrams.max_size(), 1200);
    for byte in [1_u8, 2, 3] {
        let mut meta = DatagramMeta::default();
        meta.len = 5;
        meta.ecn = byte;
        datagrams.send(&[byte; 5], meta).await.expect("to send");
    }
    // Several at once, so that the slots of a batch are walked by their stride.
    let (mut a, mut b, mut c) = ([0; 9], [0; 9], [0; 9]);
    let mut metas = [DatagramMeta::default(); 3];
    let count = std::future::poll_fn(|cx| {
        datagrams.poll_recv(cx, &mut [&mut a[..], &mut b[..], &mut c[..]], &mut metas)
    });
    assert_eq!(count.await.expect("to receive"), 3);
    assert_eq!((&a[..5], &b[..5], &c[..5]), (&[1; 5][..], &[2; 5][..], &[3; 5][..]));
    assert_eq!(metas.map(|meta| (meta.len, meta.ecn)), [(5, 1), (5, 2), (5, 3)]);
    println!("datagrams");
}

async fn calls(session: &Session) {
    let params = json!({ "a": [1, 2] });
    assert_eq!(session.call("mirror", &params).await.expect("an answer"), params);
    assert_eq!(session.call("timer", &Value::Null).await.expect("a timer"), json!("rang"));
    let unknown = session.call("nonsense", &Value::Null).await.expect_err("no such operation");
    assert_eq!(unknown.kind(), ErrorKind::Unsupported);
    assert_eq!(session.ping().await.expect("a ping"), Duration::from_millis(7));
    assert_eq!(session.next_event().await.expect("an event").expect("one").name, "once");
    assert_eq!(session.reset().await.expect_err("refused").kind(), ErrorKind::Refused);
    println!("calls");
}

/// What only 1.1 has, as far as both sides have it.
async fn next(session: &Session) {
    let tired = session.call("tire", &Value::Null).await.expect_err("an error either way");
    println!("tired {}", tired.kind());
    println!("facets {}", session.facets().names().collect::<Vec<_>>().join(" "));
    #[cfg(feature = "next")]
    match session.warp(21).await {
        Ok(time) => println!("warp {}", time.as_nanos()),
        Err(error) => println!("warp {}", error.kind()),
    }
}

async fn served(handler: &jackfield_plugin_api::load::Endpoint) {
    let (near, far) = tokio::io::duplex(64);
    let framed = |io| Messages::new(Bytewise(io));
    let session = Session::builder(Info::default()).messages(framed(far)).build();
    let mut near = framed(near);
    let serving = handler.serve(session);
    near.send(Message::binary(vec![9])).await.expect("to send");
    let (served, back) = tokio::join!(serving, near.next());
    served.expect("to be served");
    assert_eq!(back.expect("one").expect("a message"), Message::binary(vec![9]));
    println!("handler");
}

async fn intercepted(stamp: &jackfield_plugin_api::load::Endpoint) {
    let next = Next::new(|call: Call| async move { Ok(json!([call.driver, call.params])) });
    let call = Call::new("lab", "mirror", "get", json!(1));
    let result = stamp.intercept(&call, next).await.expect("a result");
    assert_eq!(result, json!({ "stamped": ["mirror", [1, "lab", "get"]] }));
    println!("interceptor");
}

/// Each byte of a stream as a message.
struct Bytewise(tokio::io::DuplexStream);

impl futures_util::Stream for Bytewise {
    type Item = jackfield_plugin_api::Result<Message>;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let mut byte = [0];
        let mut buffer = tokio::io::ReadBuf::new(&mut byte);
        let io = std::pin::Pin::new(&mut self.0);
        std::task::ready!(tokio::io::AsyncRead::poll_read(io, cx, &mut buffer))?;
        let filled = buffer.filled().to_vec();
        std::task::Poll::Ready((!filled.is_empty()).then(|| Ok(Message::binary(filled))))
    }
}

impl futures_util::Sink<Message> for Bytewise {
    type Error = jackfield_plugin_api::Error;
    fn poll_ready(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn start_send(mut self: std::pin::Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        let io = std::pin::Pin::new(&mut self.0);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = tokio::io::AsyncWrite::poll_write(io, &mut context, &message.payload);
        Ok(())
    }
    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn poll_close(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }
}

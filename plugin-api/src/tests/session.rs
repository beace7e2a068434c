//! Sessions and listeners.

use super::{Count, OnDrop, panicked};
use crate::op::Transfer;
use crate::{
    Accept, Address, Control, Datagrams, ErrorKind, Event, Exchange, Facets, Info, Listener,
    Messages, Result, Secret, Session, Stream,
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn crossed<T: Transfer>(value: T) -> T {
    // SAFETY: used once.
    unsafe { T::from_raw(value.into_raw()) }
}

fn info() -> Info {
    Info::new().local("here").peer("there").encrypted().identity("CN=lab").with("rtt_ms", 3)
}

/// Writes down what it is asked.
#[derive(Default, Clone)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }
}

impl Control for Recorder {
    fn info(&self) -> Info {
        info()
    }
    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        self.note(format!("call {operation} {params}"));
        Ok(params)
    }
    async fn open_stream(&self, params: Value) -> Result<Session> {
        self.note(format!("open_stream {params}"));
        Ok(Session::builder(Info::default()).build())
    }
    async fn accept_stream(&self) -> Result<Option<Session>> {
        self.note("accept_stream");
        Ok(Some(Session::builder(info()).build()))
    }
    async fn dial(&self, address: Address) -> Result<Session> {
        self.note(format!("dial {address:?}"));
        Ok(Session::builder(Info::default()).build())
    }
    async fn ping(&self) -> Result<Duration> {
        Ok(Duration::from_micros(17))
    }
    async fn next_event(&self) -> Result<Option<Event>> {
        Ok(Some(Event::new("resized", json!({ "rows": 24 }))))
    }
    async fn close(&self, code: u64, reason: String) -> Result<()> {
        self.note(format!("close {code} {reason}"));
        Ok(())
    }
    async fn drain(&self) -> Result<()> {
        self.note("drain");
        Ok(())
    }
}

#[tokio::test]
async fn every_call_arrives_with_what_it_was_given() {
    let recorder = Recorder::default();
    let session = crossed(
        Session::builder(recorder.clone()).facets(Facets::CALL | Facets::CLOSE_CODE).build(),
    );
    let params = json!({ "command": "ls \"ä\"", "n": [1, null] });
    assert_eq!(session.call("exec", &params).await.unwrap(), params);
    session.open_stream(&json!({ "kind": "shell" })).await.unwrap();
    assert_eq!(session.accept_stream().await.unwrap().expect("a stream").info(), info());
    let address = Address {
        path: "/p".into(),
        query: Some(String::new()),
        user: Some("lab".into()),
        password: Some(Secret::new("hunter2")),
        ..Address::new("2001:db8::1", 22)
    };
    session.dial(&address).await.unwrap();
    assert_eq!(session.ping().await.unwrap(), Duration::from_micros(17));
    let event = session.next_event().await.unwrap().expect("an event");
    assert_eq!((event.name.as_str(), event.data), ("resized", json!({ "rows": 24 })));
    session.drain().await.unwrap();
    session.close(u64::MAX, "bye").await.unwrap();

    let noted = recorder.0.lock().unwrap().clone();
    let dialled = format!("dial {address:?}");
    assert!(!dialled.contains("hunter2"));
    assert_eq!(
        noted,
        [
            format!("call exec {params}"),
            "open_stream {\"kind\":\"shell\"}".to_owned(),
            "accept_stream".to_owned(),
            dialled,
            "drain".to_owned(),
            format!("close {} bye", u64::MAX),
        ]
    );
}

#[tokio::test]
async fn a_control_that_has_nothing_says_what_is_unsupported() {
    struct Nothing;
    impl Control for Nothing {}
    let session = crossed(Session::builder(Nothing).build());
    assert_eq!((session.facets(), session.info()), (Facets::empty(), Info::default()));
    let unsupported = [
        session.call("exec", &Value::Null).await.map(drop),
        session.open_stream(&Value::Null).await.map(drop),
        session.accept_stream().await.map(drop),
        session.dial(&Address::default()).await.map(drop),
        session.ping().await.map(drop),
    ];
    for result in unsupported {
        assert_eq!(result.expect_err("unsupported").kind(), ErrorKind::Unsupported);
    }
    assert_eq!(session.next_event().await, Ok(None));
    session.drain().await.unwrap();
    session.close(0, "").await.unwrap();
}

#[test]
fn facets_are_those_it_was_made_with_and_each_is_taken_once() {
    let (stream, _far) = tokio::io::duplex(8);
    let messages = futures_util::stream::empty();
    struct NoDatagrams;
    impl crate::DatagramIo for NoDatagrams {
        fn poll_recv(
            &mut self,
            _: &mut std::task::Context<'_>,
            _: &mut [u8],
        ) -> std::task::Poll<Result<Option<crate::DatagramMeta>>> {
            std::task::Poll::Ready(Ok(None))
        }
        fn poll_send(
            &mut self,
            _: &mut std::task::Context<'_>,
            _: &[u8],
            _: &crate::DatagramMeta,
        ) -> std::task::Poll<Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn max_size(&self) -> usize {
            0
        }
    }
    struct NoRequests;
    impl crate::Exchanger for NoRequests {}
    let session = Session::builder(Recorder::default())
        .facets(Facets::CALL | Facets::CLOSE_CODE)
        .stream(Stream::new(stream))
        .messages(Messages::new(Both(messages)))
        .datagrams(Datagrams::new(NoDatagrams))
        .exchange(Exchange::new(NoRequests))
        .build();
    let session = crossed(session);
    let names: Vec<_> = session.facets().names().collect();
    assert_eq!(names, ["stream", "messages", "datagrams", "exchange", "call", "close_code"]);
    assert!(session.take_stream().is_some() && session.take_stream().is_none());
    assert!(session.take_messages().is_some() && session.take_messages().is_none());
    assert!(session.take_datagrams().is_some() && session.take_datagrams().is_none());
    assert!(session.take_exchange().is_some() && session.take_exchange().is_none());
    assert!(session.facets().contains(Facets::STREAM), "it says what it was made with");
}

/// A stream of messages that takes none.
struct Both<T>(T);

impl<T: futures_core::Stream<Item = Result<crate::Message>> + Unpin> futures_core::Stream
    for Both<T>
{
    type Item = Result<crate::Message>;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::pin::Pin::new(&mut self.0).poll_next(cx)
    }
}

impl<T: Unpin> futures_sink::Sink<crate::Message> for Both<T> {
    type Error = crate::Error;
    fn poll_ready(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<()>> {
        std::task::Poll::Pending
    }
    fn start_send(self: std::pin::Pin<&mut Self>, _: crate::Message) -> Result<()> {
        Ok(())
    }
    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn poll_close(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[test]
fn facts_made_here_and_there_are_the_same() {
    // The first is recognised as this binary's own, the second goes through its text.
    assert_eq!(crossed(Session::builder(info()).build()).info(), info());
    assert_eq!(crossed(Session::builder(Recorder::default()).build()).info(), info());
}

/// Panics in everything, drop included.
struct Broken {
    _dropped: OnDrop,
}

impl Control for Broken {
    fn info(&self) -> Info {
        panic!("told to panic")
    }
    async fn call(&self, _: String, _: Value) -> Result<Value> {
        panic!("told to panic")
    }
    async fn dial(&self, _: Address) -> Result<Session> {
        panic!("told to panic")
    }
    async fn next_event(&self) -> Result<Option<Event>> {
        panic!("told to panic")
    }
    async fn close(&self, _: u64, _: String) -> Result<()> {
        panic!("told to panic")
    }
}

#[tokio::test]
async fn a_panic_becomes_an_error_or_no_facts() {
    let dropped = Count::default();
    let session = crossed(Session::builder(Broken { _dropped: OnDrop::panic(&dropped) }).build());
    assert_eq!(session.info(), Info::default());
    panicked(session.call("x", &Value::Null).await);
    panicked(session.dial(&Address::default()).await);
    panicked(session.next_event().await);
    panicked(session.close(0, "").await);
    // A call that still runs holds the session's state.
    let running = session.close(0, "");
    drop(session);
    assert_eq!(dropped.get(), 0);
    drop(running);
    assert_eq!(dropped.get(), 1);
}

struct Door {
    info: Info,
    _dropped: OnDrop,
}

impl Door {
    fn new(dropped: &Count) -> Self {
        Door { info: info(), _dropped: OnDrop::panic(dropped) }
    }
}

impl Accept for Door {
    fn info(&self) -> Info {
        self.info.clone()
    }
    async fn accept(&self) -> Result<Session> {
        Ok(Session::builder(self.info.clone()).build())
    }
}

struct BrokenDoor;

impl Accept for BrokenDoor {
    fn info(&self) -> Info {
        panic!("told to panic")
    }
    async fn accept(&self) -> Result<Session> {
        panic!("told to panic")
    }
}

#[tokio::test]
async fn a_listener_accepts_and_is_known_where_it_was_made() {
    let dropped = Count::default();
    let listener = crossed(Listener::new(Door::new(&dropped)));
    assert_eq!(listener.info(), info());
    assert_eq!(listener.accept().await.unwrap().info(), info());
    assert!(listener.inner::<BrokenDoor>().is_none());
    let door = listener.inner::<Door>().expect("its own type");
    drop(listener);
    assert_eq!((dropped.get(), &door.info), (0, &info()));
    std::mem::forget(door);

    let listener = crossed(Listener::new(BrokenDoor));
    assert_eq!(listener.info(), Info::default());
    panicked(listener.accept().await);
    drop(crossed(Listener::new(Door::new(&dropped))));
    assert_eq!(dropped.get(), 1);
}

#[test]
fn the_object_of_a_driver_is_there_by_its_type_where_this_binary_has_made_it() {
    let recorder = Recorder::default();
    let session = crossed(Session::builder(recorder.clone()).build());
    session.native::<Recorder>().expect("a recorder").note("as it is");
    assert_eq!(*recorder.0.lock().unwrap(), ["as it is"]);
    assert!(session.native::<Info>().is_none());
    // Facts are a control too.
    let session = Session::of_stream(info(), Stream::new(tokio::io::empty()));
    assert_eq!(session.native::<Info>().expect("facts").local.as_deref(), Some("here"));
}

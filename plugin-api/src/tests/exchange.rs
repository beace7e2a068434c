//! Requests and responses.

use super::{Count, OnDrop, panicked};
use crate::op::{Op, Transfer};
use crate::{
    Answer, Body, BodyPart, Envelope, Error, ErrorKind, Exchange, Exchanger, HeaderBlock, Incoming,
    Info, Result, Session, Stream,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::sync::{Arc, Mutex};

fn head(fields: &[(&str, &str)]) -> HeaderBlock {
    HeaderBlock::new(fields.iter().copied()).unwrap()
}

fn crossed<T: Transfer>(value: T) -> T {
    // SAFETY: used once.
    unsafe { T::from_raw(value.into_raw()) }
}

async fn text(body: Body) -> Result<String> {
    let mut text = String::new();
    for part in body.collect::<Vec<_>>().await {
        match part? {
            BodyPart::Data(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            BodyPart::Trailers(fields) => text.push_str(&format!("{fields:?}")),
        }
    }
    Ok(text)
}

#[derive(Default)]
struct Server {
    answered: Arc<Mutex<Vec<String>>>,
}

impl Exchanger for Server {
    /// Sends the request back as the response, with an upgrade.
    async fn send(&self, request: Envelope) -> Result<Envelope> {
        if request.head.get("x-panic").is_some() {
            panic!("told to panic");
        }
        let upgrade = Op::new(async {
            let (stream, _) = tokio::io::duplex(8);
            Ok(Session::of_stream(Info::default(), Stream::new(stream)))
        });
        Ok(Envelope { upgrade: Some(upgrade), ..request })
    }

    async fn send_telling(&self, request: Envelope, mut interim: Answer) -> Result<Envelope> {
        for status in ["102", "103"] {
            interim.interim(head(&[(":status", status)]));
        }
        self.send(request).await
    }

    async fn accept(&self) -> Result<Option<Incoming>> {
        let answered = Arc::clone(&self.answered);
        let interim = Arc::clone(&self.answered);
        let answer = Answer::telling(
            move |response: Envelope| async move {
                let status = response.head.get(":status").map(<[u8]>::to_vec);
                let text = text(response.body).await?;
                let status = String::from_utf8(status.unwrap_or_default()).unwrap_or_default();
                answered.lock().unwrap().push(format!("{status} {text}"));
                Ok(())
            },
            move |head: HeaderBlock| {
                if head.get("x-panic").is_some() {
                    panic!("told to panic");
                }
                let status = String::from_utf8(head.get(":status").unwrap().to_vec()).unwrap();
                interim.lock().unwrap().push(status);
            },
        );
        let request = Envelope::new(head(&[(":method", "GET")]), Body::empty());
        Ok(Some(Incoming::new(request, answer)))
    }
}

#[tokio::test]
async fn a_request_and_its_response_pass_whole() {
    let exchange = crossed(Exchange::new(Server::default()));
    let parts = [
        Ok(BodyPart::Data(Bytes::from_static(b"one "))),
        Ok(BodyPart::Data(Bytes::from_static(b"two "))),
        Ok(BodyPart::Trailers(head(&[("checksum", "secret")]))),
    ];
    let fields = [(":path", "/a?b"), ("accept", "*/*"), ("accept", "text/html")];
    let request = Envelope::new(head(&fields), Body::new(stream::iter(parts)));
    let response = exchange.send(request).await.unwrap();
    assert_eq!(response.head, head(&fields));
    // Names of trailers show, values do not.
    assert_eq!(text(response.body).await.unwrap(), "one two [\"checksum\"]");
    let session = response.upgrade.expect("an upgrade").await.unwrap();
    assert!(session.take_stream().is_some());
}

#[tokio::test]
async fn an_answer_reaches_the_one_that_waits_for_it() {
    let server = Server::default();
    let answered = Arc::clone(&server.answered);
    let exchange = crossed(Exchange::new(server));
    let incoming = exchange.accept().await.unwrap().expect("a request");
    assert_eq!(incoming.request.head.get(":method"), Some(&b"GET"[..]));
    assert_eq!(text(incoming.request.body).await.unwrap(), "");
    let response = Envelope::new(head(&[(":status", "200")]), Body::full("hello"));
    incoming.answer.send(response).await.unwrap();
    assert_eq!(*answered.lock().unwrap(), ["200 hello"]);
    // One that is not answered is dropped on its own side.
    drop(exchange.accept().await.unwrap());
}

#[tokio::test]
async fn interim_responses_reach_who_waits_for_the_answer_in_both_directions() {
    let server = Server::default();
    let answered = Arc::clone(&server.answered);
    let exchange = crossed(Exchange::new(server));
    let mut incoming = exchange.accept().await.unwrap().expect("a request");
    // One that panics is lost, and no more than that.
    incoming.answer.interim(head(&[(":status", "100"), ("x-panic", "1")]));
    incoming.answer.interim(head(&[(":status", "103")]));
    let response = Envelope::new(head(&[(":status", "200")]), Body::full("hello"));
    incoming.answer.send(response).await.unwrap();
    assert_eq!(*answered.lock().unwrap(), ["103", "200 hello"]);

    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let no_answer = |_| async { Err(Error::unsupported("an answer")) };
    let place = Answer::telling(no_answer, move |head| telling.lock().unwrap().push(head));
    let request = Envelope::new(head(&[(":path", "/")]), Body::empty());
    assert!(exchange.send_telling(request, place).await.is_ok());
    let heads = ["102", "103"].map(|status| head(&[(":status", status)]));
    assert_eq!(*told.lock().unwrap(), heads);
}

#[tokio::test]
async fn a_body_that_is_cut_short_says_so_once_and_ends() {
    let parts = [
        Ok(BodyPart::Data(Bytes::from_static(b"half"))),
        Err(Error::new(ErrorKind::Closed, "cut short")),
        Ok(BodyPart::Data(Bytes::from_static(b"never"))),
    ];
    let mut body = crossed(Body::new(stream::iter(parts)));
    assert!(matches!(body.next().await, Some(Ok(BodyPart::Data(_)))));
    assert_eq!(body.next().await.unwrap().expect_err("an error").kind(), ErrorKind::Closed);
    assert!(body.next().await.is_none());
    assert!(crossed(body).next().await.is_none());
}

#[tokio::test]
async fn a_body_is_not_asked_again_after_its_end() {
    let mut left = 1;
    // Panics if it is polled after its end.
    let parts = stream::poll_fn(move |_| {
        left -= 1;
        assert!(left >= -1, "told to panic after the end");
        let part = (left == 0).then(|| Ok(BodyPart::Data(Bytes::from_static(b"all"))));
        std::task::Poll::Ready(part)
    });
    let mut body = crossed(Body::new(parts));
    assert!(body.next().await.unwrap().is_ok());
    for _ in 0..3 {
        assert!(body.next().await.is_none());
    }
}

#[tokio::test]
async fn a_panic_becomes_an_error_and_a_drop_that_panics_ends_there() {
    let exchange = crossed(Exchange::new(Server::default()));
    let request = Envelope::new(head(&[("x-panic", "")]), Body::empty());
    panicked(exchange.send(request).await);

    let dropped = Count::default();
    let guard = OnDrop::panic(&dropped);
    let mut body = crossed(Body::new(stream::poll_fn(move |_| {
        let _ = &guard;
        panic!("told to panic")
    })));
    panicked(body.next().await.unwrap());
    drop(body);
    assert_eq!(dropped.get(), 1);

    let guard = OnDrop::panic(&dropped);
    drop(Answer::new(move |_| {
        drop(guard);
        async { Ok(()) }
    }));
    assert_eq!(dropped.get(), 2);
    let answer = Answer::new(|_| -> std::future::Ready<Result<()>> { panic!("told to panic") });
    panicked(answer.send(Envelope::new(head(&[]), Body::empty())).await);
}

struct Neither;

impl Exchanger for Neither {}

#[tokio::test]
async fn a_role_that_is_not_there_is_unsupported() {
    let exchange = crossed(Exchange::new(Neither));
    let request = Envelope::new(head(&[]), Body::empty());
    assert_eq!(exchange.send(request).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(exchange.accept().await.unwrap_err().kind(), ErrorKind::Unsupported);
}

//! [`Asking`]: a peer of HTTP/2 whose bytes are the content of a request and of its answer.

use bytes::Bytes;
use futures_util::{StreamExt, stream::unfold};
use jackfield_plugin_api::{
    Body, BodyPart, Envelope, Error, ErrorKind, HeaderBlock, Result, Session,
};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{Column, Role, breaker::Order, kind::Kind, seen::Seen, stage::Stage};
use crate::support::peers::quic::soon;

/// GOAWAY with INTERNAL_ERROR (RFC 9113 §6.8), of a peer that has seen to the first stream.
const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
/// The same, of one that has seen to none.
const GOAWAY_BEFORE: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
/// RST_STREAM with NO_ERROR, which ends the first stream in the middle of its content.
const RESET_WITHOUT_ERROR: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0];

/// A request of a client of a host of its own.
pub(crate) struct Asking {
    _session: Session,
    content: Option<mpsc::Sender<Result<BodyPart>>>,
    answer: Option<JoinHandle<Result<Envelope>>>,
    body: Option<Body>,
}

impl Asking {
    pub(crate) fn over(session: Session) -> Self {
        let exchange = session.take_exchange().expect("requests");
        let (content, told) = mpsc::channel(1);
        let parts = unfold(told, |mut told: mpsc::Receiver<_>| async {
            told.recv().await.map(|part| (part, told))
        });
        let head = HeaderBlock::new([(":method", "POST"), (":path", "/")]).expect("a head");
        let request = Envelope::new(head, Body::new(Box::pin(parts)));
        let answer = tokio::spawn(async move { exchange.send(request).await });
        Self { _session: session, content: Some(content), answer: Some(answer), body: None }
    }

    async fn say(&mut self, part: Result<BodyPart>) {
        self.content.as_ref().expect("open").send(part).await.expect("taken");
    }

    pub(crate) async fn send(&mut self, word: &str) {
        self.say(Ok(BodyPart::Data(Bytes::copy_from_slice(word.as_bytes())))).await;
    }

    pub(crate) async fn hears(&mut self, word: &str) {
        let answer = self.answer.take().expect("no answer yet").await.expect("no panic");
        let mut body = answer.expect("an answer").body;
        match body.next().await {
            Some(Ok(BodyPart::Data(bytes))) => assert_eq!(&bytes[..], word.as_bytes()),
            other => panic!("{other:?}"),
        }
        self.body = Some(body);
    }

    pub(crate) fn end(&mut self) {
        self.content = None;
    }

    /// The stream is reset in the middle of its content.
    pub(crate) async fn reset(mut self) {
        self.say(Err(Error::new(ErrorKind::Closed, "enough"))).await;
    }

    pub(crate) async fn sees(&mut self) -> Seen {
        let body = self.body.as_mut().expect("an answer");
        while let Some(part) = body.next().await {
            if let Err(error) = part {
                return Seen::of(&error);
            }
        }
        Seen::End
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_over_http2_is_cut_however_its_connection_breaks() {
    for role in [Role::Client, Role::Destination] {
        let stage = Stage::new(Kind::Http2, role, Column::Resets).await;
        for order in [
            Order::Reset,
            Order::Leave(GOAWAY),
            Order::Say(GOAWAY_BEFORE),
            Order::Say(RESET_WITHOUT_ERROR),
        ] {
            // To a client's going away nothing is to be done as long as its connection stays.
            let order = match (role, order) {
                (Role::Client, Order::Say(GOAWAY_BEFORE)) => Order::Leave(GOAWAY_BEFORE),
                (_, order) => order,
            };
            let mut world = soon(stage.world()).await;
            stage.breaker.as_ref().expect("a relay").order(order.clone()).await;
            let seen = soon(world.tcp.sees()).await;
            assert!(matches!(seen, Seen::Cut | Seen::Reset), "{role:?}, {order:?}: {seen:?}");
        }
    }
}

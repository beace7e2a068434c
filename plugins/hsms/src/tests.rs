//! The driver against scripted peers, over memory and with a clock that stands still.

mod codec;
mod communication;
mod handlers;
mod packets;
mod peers;
mod secs1;
mod select;
mod shared;
mod stream9;
mod text;
mod timers;
mod transactions;
mod wrong;

use crate::header::{ALL_SESSIONS, HEADER, Header, Kind, LENGTH};
use crate::{HsmsDriver, HsmsOptions, SecsEndpoint};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::testing::{self, TestHost};
use jackfield_plugin_api::{
    Address, Driver, Error, ErrorKind, Info, Message, Messages, Request, Result, Role, Session,
    Stream,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn options(options: Value) -> HsmsOptions {
    serde_json::from_value(options).expect("options")
}

/// A driver with its options, on a host of its own.
struct Place {
    host: TestHost,
    driver: HsmsDriver,
    endpoint: Arc<SecsEndpoint>,
    role: Role,
}

impl Place {
    fn new(role: Role, given: Value) -> Self {
        let host = TestHost::new();
        let driver = HsmsDriver::new(host.host()).expect("a driver");
        let endpoint = driver.configure(options(given), role).expect("an endpoint");
        Place { host, driver, endpoint, role }
    }

    async fn over(&self, carrier: Session) -> Result<Session> {
        let address = Address::new("tool", 5000);
        let request = Request::new(address, testing::DEADLINE).with_carrier(carrier);
        match self.role {
            Role::Client => self.driver.open(&self.endpoint, request).await,
            Role::Server => self.driver.accept(&self.endpoint, request).await,
        }
    }

    /// A session that is to be, and its peer.
    fn begin(&self) -> (impl Future<Output = Result<Session>>, Peer) {
        let (near, far) = testing::carriers(64 * 1024);
        (self.over(near), Peer::over(far.take_stream().expect("a stream")))
    }

    /// The same, with what is known of the peer below.
    fn begin_as(&self, known: Info) -> (impl Future<Output = Result<Session>>, Peer) {
        let (near, far) = testing::carriers(64 * 1024);
        let near = Session::of_stream(known, near.take_stream().expect("a stream"));
        (self.over(near), Peer::over(far.take_stream().expect("a stream")))
    }

    /// A selected session and its peer.
    async fn selected(&self) -> (Session, Peer) {
        let (session, mut peer) = self.begin();
        let (session, ()) = tokio::join!(session, async {
            match self.role {
                Role::Client => peer.accepts().await,
                Role::Server => peer.selects(ALL_SESSIONS, 0).await,
            }
        });
        (session.expect("a session"), peer)
    }
}

async fn active(given: Value) -> (Session, Peer) {
    Place::new(Role::Client, given).selected().await
}

async fn passive(given: Value) -> (Session, Peer) {
    Place::new(Role::Server, given).selected().await
}

/// The other end, by hand.
struct Peer {
    stream: Stream,
    system: u32,
}

impl Peer {
    fn over(stream: Stream) -> Self {
        Peer { stream, system: 1000 }
    }

    async fn bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("written");
        self.stream.flush().await.expect("flushed");
    }

    async fn sends(&mut self, header: Header, body: &[u8]) {
        self.bytes(&header.frame(body).expect("a frame")).await;
    }

    /// Sends a control message with system bytes of its own, which it gives.
    async fn asks(&mut self, kind: Kind, session: u16) -> u32 {
        self.system += 1;
        self.sends(Header::control(kind, session, 0, self.system), &[]).await;
        self.system
    }

    async fn answers(&mut self, to: Header, kind: Kind, status: u8) {
        self.sends(Header::control(kind, to.session, status, to.system), &[]).await;
    }

    async fn next(&mut self) -> Option<(Header, Vec<u8>)> {
        let mut length = [0; LENGTH];
        if self.stream.read_exact(&mut length).await.is_err() {
            return None;
        }
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).await.expect("a whole message");
        let body = frame.split_off(HEADER);
        Some((Header::of(*frame.first_chunk().expect("a header")), body))
    }

    /// The next message, which must be of that kind.
    async fn reads(&mut self, kind: Kind) -> Header {
        let (header, _) = self.next().await.expect("a message");
        assert_eq!(Kind::of(header.kind), Some(kind), "{header:?}");
        header
    }

    async fn data(&mut self) -> (Header, Vec<u8>) {
        let (header, body) = self.next().await.expect("a message");
        assert_eq!(header.kind, 0, "{header:?}");
        (header, body)
    }

    async fn reads_reject(&mut self, reason: u8) -> Header {
        let header = self.reads(Kind::RejectReq).await;
        assert_eq!(header.byte3, reason, "{header:?}");
        header
    }

    /// Nothing more comes, and the connection has ended.
    async fn hears_the_end(&mut self) {
        let next = self.next().await;
        assert_eq!(next, None);
    }

    /// As the passive side.
    async fn accepts(&mut self) {
        let asked = self.reads(Kind::SelectReq).await;
        self.answers(asked, Kind::SelectRsp, 0).await;
    }

    /// As the active side.
    async fn selects(&mut self, session: u16, status: u8) {
        let system = self.asks(Kind::SelectReq, session).await;
        let answer = self.reads(Kind::SelectRsp).await;
        assert_eq!((answer.system, answer.byte3), (system, status), "{answer:?}");
    }

    /// The connection works, and so everything before this was taken.
    async fn is_served(&mut self) {
        let system = self.asks(Kind::LinktestReq, ALL_SESSIONS).await;
        assert_eq!(self.reads(Kind::LinktestRsp).await.system, system);
    }
}

/// The next event of that name.
async fn event(session: &Session, name: &str) -> Value {
    loop {
        let event = session.next_event().await.expect("no error").expect("an event");
        if event.name == name {
            return event.data;
        }
    }
}

/// How a session that nobody uses ends.
async fn end_of(session: &Session) -> Option<Error> {
    let mut messages = session.take_messages().expect("messages");
    loop {
        match messages.next().await {
            None => return None,
            Some(Ok(_)) => {}
            Some(Err(error)) => return Some(error),
        }
    }
}

fn message(header: Header, body: &'static [u8]) -> Message {
    crate::users::message(header, Bytes::from_static(body))
}

fn header_of(message: &Message) -> Header {
    Header::of(*message.metadata.first_chunk().expect("a header"))
}

async fn received(messages: &mut Messages) -> (Header, Bytes) {
    let message = messages.next().await.expect("a message").expect("no error");
    (header_of(&message), message.payload)
}

async fn says(session: &Session, sml: &str) -> Result<Value> {
    session.call("send", &json!({ "sml": sml })).await
}

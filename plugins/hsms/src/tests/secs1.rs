//! SECS-I against scripted peers at the other end of a line.

mod blocks;
mod contention;
mod messages;
mod peers;
mod timers;
mod wrong;

use super::{event, received, says};
use crate::header::Header;
use crate::secs1::block::{ACK, ENQ, EOT, NAK, read};
use crate::secs1::{BlockHeader, Secs1Driver, Secs1Options};
use bytes::Bytes;
use jackfield_plugin_api::testing::{self, TestHost};
use jackfield_plugin_api::{
    Address, Driver, Error, ErrorKind, Info, Request, Result, Role, Session, Stream,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

fn options(given: Value) -> Secs1Options {
    serde_json::from_value(given).expect("options")
}

/// A session with such options, and its peer.
async fn line(given: Value) -> (Session, Far) {
    let (opened, far) = begun(given);
    (opened.await.expect("a session"), far)
}

fn begun(given: Value) -> (impl Future<Output = Result<Session>>, Far) {
    opened_as(Role::Client, given, Info::new())
}

fn opened_as(
    role: Role,
    given: Value,
    known: Info,
) -> (impl Future<Output = Result<Session>>, Far) {
    let (near, far) = testing::carriers(64 * 1024);
    let near = Session::of_stream(known, near.take_stream().expect("a stream"));
    let host = TestHost::new();
    let driver = Secs1Driver::new(host.host()).expect("a driver");
    let equipment = given["equipment"] == true;
    let opening = async move {
        // It lives as long as what is opened.
        let _host = &host;
        let endpoint = driver.configure(options(given), role)?;
        let request =
            Request::new(Address::new("tool", 5000), testing::DEADLINE).with_carrier(near);
        match role {
            Role::Client => driver.open(&endpoint, request).await,
            Role::Server => driver.accept(&endpoint, request).await,
        }
    };
    let stream = far.take_stream().expect("a stream");
    (opening, Far { stream, equipment: !equipment })
}

/// The other end, by hand.
struct Far {
    stream: Stream,
    equipment: bool,
}

impl Far {
    async fn says(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("written");
        self.stream.flush().await.expect("flushed");
    }

    async fn hears(&mut self, expected: u8) {
        let byte = self.stream.read_u8().await.expect("a byte");
        assert_eq!(byte, expected, "{byte:#04x} came where {expected:#04x} was to come");
    }

    /// Nothing more comes, and the connection has ended.
    async fn hears_the_end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.expect("an end");
        assert_eq!(rest, Vec::<u8>::new());
    }

    /// Reads a block behind its EOT.
    async fn block(&mut self) -> (BlockHeader, Bytes) {
        let length = self.stream.read_u8().await.expect("a length");
        let mut block = vec![0; usize::from(length) + 2];
        self.stream.read_exact(&mut block).await.expect("a whole block");
        read(block.into()).expect("a block")
    }

    /// Takes a block of ours.
    async fn takes_block(&mut self) -> (BlockHeader, Bytes) {
        self.hears(ENQ).await;
        self.says(&[EOT]).await;
        let block = self.block().await;
        self.says(&[ACK]).await;
        block
    }

    /// Takes a message of ours.
    async fn takes(&mut self) -> (Header, Bytes) {
        let mut body = Vec::new();
        for number in 1.. {
            let (block, text) = self.takes_block().await;
            assert_eq!((block.number, block.reverse), (number, !self.equipment));
            body.extend_from_slice(&text);
            if block.end {
                return (block.message(), body.into());
            }
        }
        unreachable!("blocks do not end")
    }

    fn head(&self, header: Header, number: u16, end: bool) -> BlockHeader {
        BlockHeader::new(header, self.equipment, number, end)
    }

    /// Asks to send, and sends.
    async fn offers(&mut self, block: &[u8]) {
        self.says(&[ENQ]).await;
        self.hears(EOT).await;
        self.says(block).await;
    }

    async fn sends_block(&mut self, header: BlockHeader, text: &[u8]) {
        self.offers(&header.write(text)).await;
        self.hears(ACK).await;
    }

    /// Sends a message.
    async fn sends(&mut self, header: Header, body: &[u8]) {
        let count = body.len().div_ceil(244).max(1);
        for number in 1..=count {
            let text = &body[(number - 1) * 244..body.len().min(number * 244)];
            let head = self.head(header, u16::try_from(number).unwrap(), number == count);
            self.sends_block(head, text).await;
        }
    }

    /// The line works, and so everything before this was taken.
    async fn is_served(&mut self, session: &Session) {
        let (answer, ()) = tokio::join!(says(session, "S1F1 W ."), async {
            let (asked, _) = self.takes().await;
            self.sends(asked.answer(2), b"").await;
        });
        answer.expect("an answer");
    }
}

fn data(function: u8, wait: bool, system: u32) -> Header {
    Header::data(0, 6, function, wait, system)
}

/// How long something took, to a tenth of a second.
async fn took<T>(work: impl Future<Output = T>) -> (T, u64) {
    let begun = Instant::now();
    let done = work.await;
    (done, u64::try_from((begun.elapsed() + Duration::from_millis(50)).as_millis() / 100).unwrap())
}

/// How a session that nobody uses ends.
async fn end_of(session: &Session) -> Option<Error> {
    super::end_of(session).await
}

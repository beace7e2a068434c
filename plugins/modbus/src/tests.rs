//! The drivers against scripted peers, over memory and with a clock that stands still.

mod codec;
mod gateway;
mod late;
mod listener;
mod memory;
mod reading;
mod typed;
mod wrong;

use crate::frame::{Found, Frame, Framing, Pause, Reading};
use crate::{ModbusEndpoint, ModbusOptions, client, server};
use bytes::{Bytes, BytesMut};
use jackfield_plugin_api::testing::{self, TestHost};
use jackfield_plugin_api::{Error, Info, Result, Role, Session, Stream};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn endpoint(framing: Framing, role: Role, given: Value) -> Arc<ModbusEndpoint> {
    let options: ModbusOptions = serde_json::from_value(given).expect("options");
    Arc::new(ModbusEndpoint::new(&options, framing, role).expect("an endpoint"))
}

/// A client's session and the device that it asks.
fn client(framing: Framing, given: Value) -> (Session, Peer) {
    let (near, far) = testing::carriers(64 * 1024);
    let endpoint = endpoint(framing, Role::Client, given);
    let carrier = (near.take_stream().expect("a stream"), Info::new().peer("device"));
    let session = client::session(TestHost::new().host(), &endpoint, carrier);
    (session, Peer::over(framing, Reading::Requests, &far))
}

/// A master's session, and the master.
fn master(framing: Framing, given: Value) -> (Session, Peer) {
    let (near, far) = testing::carriers(64 * 1024);
    let endpoint = endpoint(framing, Role::Server, given);
    let carrier = (near.take_stream().expect("a stream"), Info::new().peer("10.0.0.5:4711"));
    let session = server::session(TestHost::new().host(), &endpoint, carrier);
    (session, Peer::over(framing, Reading::Answers(None), &far))
}

/// The other end, by hand.
struct Peer {
    framing: Framing,
    reading: Reading,
    stream: Stream,
    buffer: BytesMut,
}

impl Peer {
    fn over(framing: Framing, reading: Reading, carrier: &Session) -> Self {
        let stream = carrier.take_stream().expect("a stream");
        Peer { framing, reading, stream, buffer: BytesMut::new() }
    }

    async fn bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("written");
        self.stream.flush().await.expect("flushed");
    }

    async fn sends(&mut self, transaction: u16, unit: u8, pdu: &[u8]) {
        let frame = Frame { transaction, unit, pdu: Bytes::copy_from_slice(pdu) };
        self.bytes(&self.framing.write(&frame)).await;
    }

    /// Answers `to`.
    async fn answers(&mut self, to: &Frame, pdu: &[u8]) {
        self.sends(to.transaction, to.unit, pdu).await;
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            let found = self.framing.take(&mut self.buffer, self.reading, Pause::Quiet);
            if let Found::Frame(frame, _) = found.expect("a frame of the framing") {
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.buffer).await.expect("bytes") == 0 {
                return None;
            }
        }
    }

    async fn frame(&mut self) -> Frame {
        self.next().await.expect("a frame")
    }

    /// Whether nothing comes for so long.
    async fn hears_nothing_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.next()).await.is_err()
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

async fn registers(session: &Session, given: Value) -> Result<Value> {
    session.call("read_holding_registers", &given).await
}

/// The fact of an error with that name.
fn fact<'a>(error: &'a Error, name: &str) -> Option<&'a str> {
    error.context().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// A count in a session's facts.
fn count(session: &Session, name: &str) -> u64 {
    session.info().facts[name].as_u64().expect("a count")
}

const ALL: [Framing; 3] = [Framing::Tcp, Framing::Rtu, Framing::Ascii];

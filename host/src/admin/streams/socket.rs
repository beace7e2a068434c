//! One WebSocket at a stream (RFC 6455).

use super::held::{HeldStream, StreamInput};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use jackfield_timers::{sleep_until, timeout};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

/// The largest message of a client.
const MAX_MESSAGE: usize = 64 << 10;

/// How often a client is asked whether it is there, and how long its answer, or room for a message, may take.
const ALIVE: Duration = Duration::from_secs(15);

/// How a WebSocket has left its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamLeft {
    /// The client has closed it, or it has ended.
    Over,
    /// It was cut off, or another one has taken its place: the stream goes on.
    Cut,
}

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum ClientWord {
    Ack { offset: u64 },
    End,
}

type ClientSocket = WebSocketStream<TokioIo<Upgraded>>;

/// Serves a client from `offset` on; without one, from what comes next.
pub(super) async fn serve(
    held: &HeldStream,
    upgraded: Upgraded,
    offset: Option<u64>,
) -> StreamLeft {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let io = TokioIo::new(upgraded);
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (number, others) = held.attach();
    let sent = offset.unwrap_or_else(|| held.buffer().next());
    let mut attached = Attached { held, socket, sent, told: 0, told_end: false, others };
    let left = attached.run().await.unwrap_or(StreamLeft::Cut);
    held.detach(number);
    left
}

struct Attached<'a> {
    held: &'a HeldStream,
    socket: ClientSocket,
    /// The offset of the next byte for it.
    sent: u64,
    /// What it was told of its input that was passed on.
    told: u64,
    /// Whether it was told what became of the end of its input.
    told_end: bool,
    others: tokio::sync::watch::Receiver<u64>,
}

impl Attached<'_> {
    async fn run(&mut self) -> Result<StreamLeft, SocketError> {
        let held = self.held;
        let mut news = held.news();
        self.told = held.taken();
        let (stream, mode) = (held.id, held.mode);
        self.say(json!({
            "type": "hello", "stream": stream, "mode": mode, "offset": self.sent, "taken": self.told,
        }))
        .await?;
        let mut alive = Instant::now() + ALIVE;
        let mut is_asked = false;
        loop {
            news.mark_unchanged();
            if self.show().await? {
                return Ok(StreamLeft::Over);
            }
            tokio::select! {
                message = self.socket.next() => {
                    let Some(message) = message else { return Ok(StreamLeft::Cut) };
                    (alive, is_asked) = (Instant::now() + ALIVE, false);
                    if let Some(left) = self.take(message?).await? {
                        return Ok(left);
                    }
                }
                _ = news.changed() => {}
                _ = self.others.changed() => {
                    self.close(CloseCode::Library(4001), "another client goes on with this stream").await?;
                    return Ok(StreamLeft::Cut);
                }
                () = sleep_until(alive) => {
                    if std::mem::replace(&mut is_asked, true) {
                        return Ok(StreamLeft::Cut);
                    }
                    alive = Instant::now() + ALIVE;
                    self.send(Message::Ping(Vec::new().into())).await?;
                }
            }
        }
    }

    /// Sends what is new; answers whether that is all that there will ever be.
    async fn show(&mut self) -> Result<bool, SocketError> {
        loop {
            // Asked before the bytes are looked at: what came before the end is among them.
            let ended = self.held.ended();
            let (begin, bytes) = self.held.buffer().from(self.sent);
            if begin > self.sent {
                let gap = json!({ "type": "gap", "from": self.sent, "to": begin });
                self.sent = begin;
                self.say(gap).await?;
            }
            let taken = self.held.taken();
            if taken != self.told {
                self.told = taken;
                self.say(json!({ "type": "taken", "bytes": taken })).await?;
            }
            if let Some(told) = self.held.told_end().filter(|_| !self.told_end) {
                self.told_end = true;
                self.say(json!({ "type": "input_ended", "told": told })).await?;
            }
            if !bytes.is_empty() {
                self.sent += bytes.len() as u64;
                self.send(Message::Binary(bytes)).await?;
                continue;
            }
            let Some(reason) = ended else { return Ok(false) };
            self.say(json!({ "type": "end", "reason": reason })).await?;
            self.close(CloseCode::Normal, "the stream has ended").await?;
            return Ok(true);
        }
    }

    /// Does what a message says; answers whether that was the last one.
    async fn take(&mut self, message: Message) -> Result<Option<StreamLeft>, SocketError> {
        let sent = match message {
            Message::Binary(bytes) => self.held.send(StreamInput::Bytes(bytes)),
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(ClientWord::Ack { offset }) => {
                    self.held.acknowledge(offset);
                    Ok(())
                }
                Ok(ClientWord::End) => self.held.send(StreamInput::End),
                Err(_) => {
                    let text = "expected {\"type\":\"ack\",\"offset\":N} or {\"type\":\"end\"}";
                    self.close(CloseCode::Policy, text).await?;
                    return Ok(Some(StreamLeft::Cut));
                }
            },
            Message::Close(frame) => {
                let is_over = frame.is_some_and(|frame| frame.code == CloseCode::Normal);
                // The answer to it goes out by itself.
                let _ = timeout(ALIVE, self.socket.flush()).await;
                return Ok(Some(if is_over { StreamLeft::Over } else { StreamLeft::Cut }));
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        };
        match sent {
            Ok(()) => Ok(None),
            Err(error) if self.held.ended().is_some() => {
                tracing::debug!(%error, "input for a stream that has ended");
                Ok(None)
            }
            Err(error) => {
                self.close(CloseCode::Policy, &error.to_string()).await?;
                Ok(Some(StreamLeft::Cut))
            }
        }
    }

    async fn say(&mut self, word: Value) -> Result<(), SocketError> {
        self.send(Message::Text(word.to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), SocketError> {
        let sent = timeout(ALIVE, self.socket.send(message)).await;
        sent.unwrap_or(Err(SocketError::ConnectionClosed))
    }

    async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SocketError> {
        let reason: String = reason.chars().take(100).collect();
        let frame = CloseFrame { code, reason: reason.into() };
        timeout(ALIVE, self.socket.close(Some(frame)))
            .await
            .unwrap_or(Err(SocketError::ConnectionClosed))
    }
}

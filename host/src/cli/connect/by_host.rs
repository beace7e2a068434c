//! `jackfield connect NAME` by way of a running host: a session of one's own that the host opens, or what it sees pass on
//! an exclusive path. Where the way to the host is cut off, it goes on where it was.

use super::escape::Escape;
use super::output::Sink;
use super::terminal::{self, RawMode};
use crate::cli::admin::{HostLink, part};
use crate::cli::failure::{Failure, Outcome, one_line};
use crate::cli::output::complain;
use crate::cli::runtime::Signals;
use crate::config::{DevicePath, Reference};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncReadExt, Stdin, stdin};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;

/// Input that may be under way and not taken.
const WINDOW: usize = 128 << 10;

/// How long a way that was cut off is tried again, and how often.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(250);

/// A stream of a running host.
pub(super) struct HostStream {
    link: HostLink,
    /// Of the object, in the API.
    path: String,
    mode: &'static str,
    /// Its number, once it is there.
    stream: Option<u64>,
    /// The first byte that is not shown yet.
    offset: u64,
    /// Input that was not taken, and how much was before it.
    unsaid: VecDeque<u8>,
    taken: u64,
    input: Input,
}

/// How far our direction is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    /// Nothing more comes; whether the peer was told is not known yet.
    Ended,
    /// Likewise, and the peer cannot be told; since when nothing has come of it.
    Untold(Instant),
    Told,
}

/// How the way to the host has ended.
enum WayEnd {
    Cut,
    Over,
}

type Way = WebSocketStream<TokioIo<Upgraded>>;

impl HostStream {
    /// To what `to` names, which has to be a connection or a path of a device.
    pub(super) fn new(link: HostLink, to: &Reference, observe: bool) -> Option<Self> {
        let path = match to {
            Reference::Connection(name) => format!("/v1/connections/{}", part(name)),
            Reference::Device(DevicePath { device, path: Some(path) }) => {
                format!("/v1/devices/{}/paths/{}", part(device), part(path))
            }
            _ => return None,
        };
        let mode = if observe { "observer" } else { "writer" };
        Some(HostStream {
            link,
            path,
            mode,
            stream: None,
            offset: 0,
            unsaid: VecDeque::new(),
            taken: 0,
            input: Input::Open,
        })
    }

    /// Passes standard input and output on until either ends.
    pub(super) async fn run(mut self, no_raw: bool, linger: Duration) -> Outcome {
        let mut signals = Signals::of_command()?;
        let mut way = self.attach().await?;
        let raw = terminal::is_terminal() && !no_raw;
        let _raw = if raw { Some(RawMode::enter().map_err(Failure::run)?) } else { None };
        let mut escape = raw.then(Escape::new);
        let (mut input, mut sink) = (stdin(), Sink::new());
        loop {
            let talking = self.talk(&mut way, (&mut input, &mut escape), &mut sink, linger);
            let end = tokio::select! {
                end = talking => end,
                ended = signals.next() => {
                    leave(&mut way).await;
                    return Ok(ExitCode::from(ended.code));
                }
            };
            match end? {
                WayEnd::Over => {
                    leave(&mut way).await;
                    return Ok(ExitCode::SUCCESS);
                }
                WayEnd::Cut => way = self.attach_again().await?,
            }
        }
    }

    /// Has a WebSocket by a ticket.
    async fn attach(&mut self) -> Outcome<Way> {
        let body = match self.stream {
            Some(stream) => json!({ "mode": self.mode, "stream": stream }),
            None => json!({ "mode": self.mode }),
        };
        let answer = self.link.json("POST", &format!("{}/ticket", self.path), Some(&body)).await?;
        let ticket = answer["ticket"].as_str().unwrap_or_default();
        let query = format!("ticket={}&offset={}", part(ticket), self.offset);
        let upgraded = self.link.socket(&format!("{}/stream?{query}", self.path)).await?;
        let io = TokioIo::new(upgraded);
        let mut way = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
        let hello = match way.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap_or_default(),
            _ => Value::Null,
        };
        self.stream = hello["stream"].as_u64();
        if self.stream.is_none() {
            return Err(Failure::run("expected the number of a stream from the host, found none"));
        }
        self.note_taken(hello["taken"].as_u64().unwrap_or_default());
        let again: Vec<u8> = self.unsaid.iter().copied().collect();
        for piece in again.chunks(CHUNK) {
            send(&mut way, Message::Binary(piece.to_vec().into())).await?;
        }
        if self.input != Input::Open {
            send(&mut way, Message::Text(json!({ "type": "end" }).to_string().into())).await?;
        }
        Ok(way)
    }

    async fn attach_again(&mut self) -> Outcome<Way> {
        let end = Instant::now() + PATIENCE;
        loop {
            sleep(PAUSE).await;
            match self.attach().await {
                Ok(way) => {
                    tracing::info!("the way to the host was cut off and is there again");
                    return Ok(way);
                }
                Err(error) if Instant::now() >= end => return Err(error),
                Err(error) if error.is_config() => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// What the host has passed on is not said again.
    fn note_taken(&mut self, taken: u64) {
        let more = usize::try_from(taken.saturating_sub(self.taken)).unwrap_or(usize::MAX);
        drop(self.unsaid.drain(..more.min(self.unsaid.len())));
        self.taken = self.taken.max(taken);
    }

    async fn talk(
        &mut self,
        way: &mut Way,
        (input, escape): (&mut Stdin, &mut Option<Escape>),
        sink: &mut Sink,
        linger: Duration,
    ) -> Outcome<WayEnd> {
        let mut piece = vec![0; CHUNK];
        loop {
            let silent = match self.input {
                Input::Untold(since) => Some(since + linger),
                _ => None,
            };
            let reads = self.input == Input::Open && self.unsaid.len() + CHUNK <= WINDOW;
            tokio::select! {
                message = way.next() => {
                    let Some(Ok(message)) = message else { return Ok(WayEnd::Cut) };
                    if let Some(end) = self.take(way, message, sink).await? {
                        return Ok(end);
                    }
                }
                count = input.read(&mut piece), if reads => {
                    let count = count.map_err(Failure::run)?;
                    if self.typed(way, &piece[..count], escape).await? {
                        return Ok(WayEnd::Over);
                    }
                }
                () = sleep_until(silent.unwrap_or_else(Instant::now)), if silent.is_some() => {
                    return Ok(WayEnd::Over);
                }
            }
        }
    }

    /// Sends what was typed; answers whether that was the escape.
    async fn typed(
        &mut self,
        way: &mut Way,
        bytes: &[u8],
        escape: &mut Option<Escape>,
    ) -> Outcome<bool> {
        if bytes.is_empty() {
            self.input = Input::Ended;
            // One that only watches has nothing to end.
            if self.mode == "writer" {
                send(way, Message::Text(json!({ "type": "end" }).to_string().into())).await?;
            }
            return Ok(false);
        }
        let (bytes, quits) = match escape {
            Some(escape) => {
                let typed = escape.filter(bytes);
                (typed.bytes, typed.quit)
            }
            None => (bytes.to_vec(), false),
        };
        if !bytes.is_empty() && self.mode == "writer" {
            self.unsaid.extend(&bytes);
            send(way, Message::Binary(bytes.into())).await?;
        }
        Ok(quits)
    }

    async fn take(
        &mut self,
        way: &mut Way,
        message: Message,
        sink: &mut Sink,
    ) -> Outcome<Option<WayEnd>> {
        let text = match message {
            Message::Binary(bytes) => {
                self.offset += bytes.len() as u64;
                if let Input::Untold(since) = &mut self.input {
                    *since = Instant::now();
                }
                let is_read = sink.write(&[&bytes]).await.map_err(Failure::run)?;
                let ack = json!({ "type": "ack", "offset": self.offset }).to_string();
                send(way, Message::Text(ack.into())).await?;
                return Ok((!is_read).then_some(WayEnd::Over));
            }
            Message::Text(text) => text,
            Message::Close(frame) => {
                let normal = frame.as_ref().is_some_and(|frame| frame.code == CloseCode::Normal);
                if let Some(frame) = frame.filter(|_| !normal) {
                    return Err(Failure::run(frame.reason.to_string()));
                }
                return Ok(Some(if normal { WayEnd::Over } else { WayEnd::Cut }));
            }
            _ => return Ok(None),
        };
        let word: Value = serde_json::from_str(&text).unwrap_or_default();
        match word["type"].as_str().unwrap_or_default() {
            "taken" => self.note_taken(word["bytes"].as_u64().unwrap_or_default()),
            "gap" => {
                let to = word["to"].as_u64().unwrap_or(self.offset);
                let missed = to.saturating_sub(self.offset);
                self.offset = to;
                complain(&one_line(&format!("[{missed} bytes missed]")));
            }
            "input_ended" if word["told"] == false => self.input = Input::Untold(Instant::now()),
            "input_ended" => self.input = Input::Told,
            "end" => {
                let reason = word["reason"].as_str().unwrap_or_default();
                tracing::info!(reason, "the stream has ended");
                if reason != "the peer has ended" {
                    complain(&one_line(reason));
                }
                return Ok(Some(WayEnd::Over));
            }
            _ => {}
        }
        Ok(None)
    }
}

async fn send(way: &mut Way, message: Message) -> Outcome<()> {
    match way.send(message).await {
        // What is read next says how it has ended.
        Err(SocketError::ConnectionClosed | SocketError::AlreadyClosed | SocketError::Io(_))
        | Ok(()) => Ok(()),
        Err(error) => Err(Failure::run(error)),
    }
}

/// Says that the stream is not wanted any more.
async fn leave(way: &mut Way) {
    let _ = tokio::time::timeout(Duration::from_secs(2), async {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        if way.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = way.next().await {}
        }
    })
    .await;
}

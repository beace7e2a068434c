//! [`Socket`]: one WebSocket as a state machine that its waiting tasks poll.

mod answer;
mod control;

use crate::close::{NONE, abnormal, poll_linger, short};
use crate::endpoint::Limits;
use crate::failure::{Failure, closed, is_hang_up};
use crate::server::Promise;
use crate::wire::Wire;
use futures_util::{Sink, Stream as _};
use jackfield_plugin_api::Timer;
use jackfield_plugin_api::{Error, ErrorKind, EventQueue, Host, Message, MessageKind, Result};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};

/// What a kept message costs beside its content.
const OVERHEAD: usize = 128;

pub(crate) struct Socket {
    ws: WebSocketStream<Wire>,
    host: Host,
    limits: Limits,
    phase: Phase,
    /// Our answer to the client, which waits.
    promise: Option<Promise>,
    /// The time of a message that has begun, by when it began.
    late: Option<(Duration, Timer)>,
    /// Messages that came while a ping or close waited and no receiver did.
    ahead: VecDeque<Message>,
    ahead_bytes: usize,
    /// The peer's close frame; code 1005 if it had none in it.
    peer_close: Option<(u16, String)>,
    pings: Pings,
    /// Where control frames of the peer are told, if they are.
    events: Option<Arc<EventQueue>>,
    /// Whether the receiver was given a message since it last had to wait.
    delivered: bool,
    /// Whether the receiver knows why it ended.
    told: bool,
    /// Something happened that others than the one who polls wait for.
    news: bool,
}

enum Phase {
    /// Messages go both ways.
    Open,
    /// Our close frame is under way; the peer may send until it answers. Until the timer ends.
    Closing(Timer),
    /// The peer closed; our answer is being written. Until the timer ends.
    Answering(Timer),
    /// The peer broke a rule: it is told, and what it still sends is thrown away, so that the
    /// carrier does not reset before our close frame has arrived. Until the timer ends.
    Failing(Error, Timer),
    /// The peer broke a rule right behind a message, which its receiver may still answer before
    /// the peer is told.
    Broken(Failure),
    /// Over.
    Ended(Option<Error>),
}

const OVER: Phase = Phase::Ended(None);

/// Our pings carry a number that counts up; an answer answers the earlier ones too (§5.5.3).
#[derive(Default)]
struct Pings {
    sent: u64,
    answered: u64,
    answered_at: Duration,
}

/// A ping under way: its number, and when it was sent.
pub(crate) type Ticket = Option<(u64, Duration)>;

impl Socket {
    pub(crate) fn new(
        ws: WebSocketStream<Wire>,
        host: Host,
        limits: Limits,
        promise: Option<Promise>,
    ) -> Self {
        Socket {
            ws,
            host,
            limits,
            phase: Phase::Open,
            promise,
            late: None,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            peer_close: None,
            pings: Pings::default(),
            events: None,
            delivered: false,
            told: false,
            news: false,
        }
    }

    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    pub(crate) fn peer_close(&self) -> Option<&(u16, String)> {
        self.peer_close.as_ref()
    }

    /// Whether nothing more is read until the kept messages are received.
    pub(crate) fn is_full(&self) -> bool {
        self.ahead_bytes >= self.limits.read_ahead
    }

    /// The next message. A failure is told once; then the end.
    pub(crate) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message>>> {
        if let Some(message) = self.ahead.pop_front() {
            // Who waits for an answer may read on.
            self.news |= self.is_full();
            self.ahead_bytes -= message.payload.len() + OVERHEAD;
            return Poll::Ready(Some(Ok(message)));
        }
        let incoming = self.poll_incoming(cx);
        self.delivered = matches!(incoming, Poll::Ready(Some(_)));
        match ready!(incoming) {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => Poll::Ready(self.untold().map(Err)),
        }
    }

    fn untold(&mut self) -> Option<Error> {
        match &self.phase {
            Phase::Ended(error) if !std::mem::replace(&mut self.told, true) => error.clone(),
            _ => None,
        }
    }

    /// Reads ahead for one who waits for something else than messages.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while !self.is_full() {
            let Poll::Ready(Some(message)) = self.poll_incoming(cx) else { return };
            self.ahead_bytes += message.payload.len() + OVERHEAD;
            self.ahead.push_back(message);
            self.news = true;
        }
        self.check_timer(cx);
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            match &mut self.phase {
                Phase::Open | Phase::Closing(_) => match Pin::new(&mut self.ws).poll_next(cx) {
                    Poll::Ready(item) => {
                        if let Some(message) = self.arrived(item) {
                            return Poll::Ready(Some(message));
                        }
                        if self.delivered && matches!(self.phase, Phase::Broken(_)) {
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                    }
                    Poll::Pending if self.check_timer(cx) || self.check_late(cx) => {}
                    Poll::Pending => return Poll::Pending,
                },
                Phase::Answering(timer) => {
                    // The peer may be gone already; it has said all it wanted to.
                    if Pin::new(&mut self.ws).poll_flush(cx).is_pending() {
                        ready!(Pin::new(timer).poll(cx));
                    }
                    let error = self.abnormal();
                    self.end(error);
                }
                Phase::Failing(error, timer) => {
                    if poll_linger(&mut self.ws, cx).is_pending() {
                        ready!(Pin::new(timer).poll(cx));
                    }
                    let error = error.clone();
                    self.end(Some(error));
                }
                Phase::Broken(_) => self.tell(),
                Phase::Ended(_) => return Poll::Ready(None),
            }
        }
    }

    /// Takes what was read; a message is the caller's.
    fn arrived(&mut self, item: Option<Result<WsMessage, WsError>>) -> Option<Message> {
        if let Some(Ok(item)) = &item {
            self.tell_control(item);
        }
        match item {
            Some(Ok(WsMessage::Binary(bytes))) => {
                return Some(Message::of(MessageKind::BINARY, bytes));
            }
            Some(Ok(WsMessage::Text(text))) => {
                return Some(Message::of(MessageKind::TEXT, text.into()));
            }
            Some(Ok(WsMessage::Pong(payload))) => self.answered(&payload),
            Some(Ok(WsMessage::Close(frame))) => self.closed_by_peer(frame),
            // tungstenite answers pings, and never gives single frames.
            Some(Ok(WsMessage::Ping(_) | WsMessage::Frame(_))) => {}
            Some(Err(error)) if is_hang_up(&error) && matches!(self.phase, Phase::Closing(_)) => {
                self.end(None);
            }
            Some(Err(error)) => self.fail(error.into()),
            None => self.end(None),
        }
        None
    }

    fn answered(&mut self, payload: &[u8]) {
        let Ok(number) = payload.try_into().map(u64::from_be_bytes) else { return };
        if (self.pings.answered + 1..=self.pings.sent).contains(&number) {
            self.pings.answered = number;
            self.pings.answered_at = self.host.now();
            self.news = true;
        }
    }

    fn closed_by_peer(&mut self, frame: Option<CloseFrame>) {
        self.peer_close = Some(match frame {
            Some(frame) => (frame.code.into(), frame.reason.as_str().to_owned()),
            None => (CloseCode::Status.into(), String::new()),
        });
        match self.phase {
            Phase::Open => {
                self.phase = Phase::Answering(self.host.timer(self.limits.close_timeout));
                self.news = true;
            }
            _ => self.end(None),
        }
    }

    fn abnormal(&self) -> Option<Error> {
        self.peer_close.as_ref().and_then(|(code, reason)| abnormal(*code, reason))
    }

    /// Gives up a session whose peer is silent. One that is ending anyway has its own timer.
    pub(crate) fn abandon(&mut self, error: Error) {
        if matches!(self.phase, Phase::Open) {
            self.end(Some(error));
        }
    }

    fn end(&mut self, error: Option<Error>) {
        self.phase = Phase::Ended(error);
        self.news = true;
        if let Some(events) = &self.events {
            events.end();
        }
    }

    fn fail(&mut self, failure: Failure) {
        match failure.tell {
            Some(_) => self.phase = Phase::Broken(failure),
            None => self.end(Some(failure.error)),
        }
    }

    /// Tells the peer which rule it broke.
    fn tell(&mut self) {
        let Phase::Broken(Failure { error, tell }) = std::mem::replace(&mut self.phase, OVER)
        else {
            return;
        };
        let reason = Utf8Bytes::from(short(error.message()));
        let frame = tell.map(|code| CloseFrame { code, reason });
        // What cannot be written any more cannot be told.
        let _ = Pin::new(&mut self.ws).start_send(WsMessage::Close(frame));
        self.phase = Phase::Failing(error, self.host.timer(self.limits.close_timeout));
        self.news = true;
    }

    /// Whether a close frame of ours stayed without answer for too long, which ends it.
    fn check_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Phase::Closing(timer) = &mut self.phase else { return false };
        if Pin::new(timer).poll(cx).is_pending() {
            return false;
        }
        let limit = self.limits.close_timeout;
        let message = format!("the peer did not answer our close frame within {limit:?}");
        self.end(Some(Error::new(ErrorKind::TimedOut, message)));
        true
    }

    /// Why nothing can be sent.
    fn refusal(&self) -> Error {
        match &self.phase {
            Phase::Failing(error, _)
            | Phase::Broken(Failure { error, .. })
            | Phase::Ended(Some(error)) => error.clone(),
            _ => self.abnormal().unwrap_or_else(closed),
        }
    }

    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.phase {
            Phase::Open | Phase::Broken(_) => {
                Pin::new(&mut self.ws).poll_ready(cx).map_err(|error| self.lost(error))
            }
            _ => Poll::Ready(Err(self.refusal())),
        }
    }

    pub(crate) fn send(&mut self, message: Message) -> Result<()> {
        let size = message.payload.len();
        if size > self.limits.max_message {
            let most = self.limits.max_message;
            let message = format!("a message of {size} bytes is not sent; the most is {most}");
            return Err(Error::new(ErrorKind::Limit, message).with("option", "max_message"));
        }
        let message = match message.kind {
            MessageKind::BINARY => WsMessage::Binary(message.payload),
            MessageKind::TEXT => match Utf8Bytes::try_from(message.payload) {
                Ok(text) => WsMessage::Text(text),
                Err(_) => return Err(Error::new(ErrorKind::Config, "a text that is not UTF-8")),
            },
            MessageKind(other) => {
                return Err(Error::unsupported(&format!("a message of kind {other}")));
            }
        };
        Pin::new(&mut self.ws).start_send(message).map_err(|error| self.lost(error))
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &self.phase {
            Phase::Failing(error, _) | Phase::Ended(Some(error)) => Poll::Ready(Err(error.clone())),
            Phase::Ended(None) => Poll::Ready(Ok(())),
            _ => Pin::new(&mut self.ws).poll_flush(cx).map_err(|error| self.lost(error)),
        }
    }

    /// An error of sending. The receiving side goes on: the peer's close frame may wait there and
    /// say why.
    fn lost(&mut self, error: WsError) -> Error {
        match error {
            WsError::ConnectionClosed | WsError::AlreadyClosed => self.refusal(),
            WsError::WriteBufferFull(_) => {
                let failure = Failure::from(error);
                self.end(Some(failure.error.clone()));
                failure.error
            }
            error => Failure::from(error).error,
        }
    }

    /// Sends a close frame, waits for the peer's, and ends our direction of the carrier.
    ///
    /// Messages that come before it are kept for the receiver.
    pub(crate) fn poll_close(
        &mut self,
        code: u16,
        reason: &str,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        if matches!(self.phase, Phase::Open) {
            self.refuse(code, reason);
        }
        loop {
            match &self.phase {
                Phase::Open => {
                    let reason = Utf8Bytes::from(short(reason));
                    let frame = (code != NONE).then(|| CloseFrame { code: code.into(), reason });
                    // It takes its place after what is still to be written, without waiting.
                    let sent = Pin::new(&mut self.ws).start_send(WsMessage::Close(frame));
                    self.phase = Phase::Closing(self.host.timer(self.limits.close_timeout));
                    self.news = true;
                    if let Err(error) = sent {
                        let error = self.lost(error);
                        self.end(Some(error));
                    }
                }
                Phase::Ended(error) => {
                    let late = match error {
                        Some(error) if error.kind() == ErrorKind::TimedOut => Err(error.clone()),
                        _ => Ok(()),
                    };
                    // A carrier that is gone needs no end.
                    let _ = ready!(Pin::new(self.ws.get_mut()).poll_shutdown(cx));
                    return Poll::Ready(late);
                }
                _ => {
                    let _ = self.poll_flush(cx);
                    self.fill(cx);
                    if !matches!(self.phase, Phase::Ended(_)) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Sends a ping and waits for its answer, reading ahead where there is no other reader.
    pub(crate) fn poll_ping(
        &mut self,
        ticket: &mut Ticket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Duration>> {
        let (number, sent_at) = match *ticket {
            Some(ticket) => ticket,
            None => {
                ready!(self.poll_ready(cx))?;
                let number = self.pings.sent + 1;
                let ping = WsMessage::Ping(number.to_be_bytes().to_vec().into());
                if let Err(error) = Pin::new(&mut self.ws).start_send(ping) {
                    return Poll::Ready(Err(self.lost(error)));
                }
                self.pings.sent = number;
                *ticket.insert((number, self.host.now()))
            }
        };
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        self.fill(cx);
        if self.pings.answered >= number {
            return Poll::Ready(Ok(self.pings.answered_at.saturating_sub(sent_at)));
        }
        match self.phase {
            Phase::Open | Phase::Closing(_) => Poll::Pending,
            _ => Poll::Ready(Err(self.refusal())),
        }
    }
}

//! [`Wt`]: a session on a connection.

use super::capsules::Capsules;
use super::codes;
use super::incoming::{Incoming, Of};
use super::queue::Queue;
use crate::failure::shown;
use crate::flow::{self, Flow};
use crate::link::Link;
use crate::mux::{Halves, Mux, Wanted};
use futures_util::future::BoxFuture;
use jackfield_plugin_api::Op;
use jackfield_plugin_api::{Error, ErrorKind, Event, Info, Result};
use quinn::{ConnectionError, RecvStream, SendStream, VarInt};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use web_transport_proto as proto;
use web_transport_proto::{Capsule, Frame, StreamUni};

/// How long a close waits for the peer to have it.
const CLOSE_WAIT: Duration = Duration::from_secs(3);
/// The longest reason of a close in bytes (draft-14 §6).
const LONGEST_REASON: usize = 1024;

/// What the handshake has given.
pub(super) struct Begun {
    pub(super) link: Arc<Link>,
    pub(super) incoming: Incoming,
    /// Our settings' stream, which must not end before the connection.
    pub(super) settings: SendStream,
    /// The request's stream.
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
    pub(super) flow: Option<Arc<Flow>>,
    /// Capsules go without frames.
    pub(super) bare: bool,
    /// What else is known.
    pub(super) facts: Info,
}

/// A session.
pub(super) struct Wt {
    link: Arc<Link>,
    incoming: Incoming,
    _settings: SendStream,
    control: Mutex<Option<SendStream>>,
    id: proto::VarInt,
    prefix: Vec<u8>,
    state: Arc<State>,
    /// Capsules go without frames.
    bare: bool,
    facts: Info,
    _reading: Op<()>,
}

/// How the session stands, also for the task that reads its capsules.
struct State {
    end: watch::Sender<Phase>,
    flow: Option<Arc<Flow>>,
}

#[derive(Clone, Debug)]
enum Phase {
    Open,
    Ended(Ended),
    /// The connection was lost without an end of the session.
    Lost,
}

#[derive(Clone, Debug)]
struct Ended {
    by_us: bool,
    code: u32,
    reason: String,
}

impl State {
    /// The first end is the one that counts.
    fn end(&self, next: Phase) {
        self.end.send_if_modified(|phase| {
            let first = matches!(phase, Phase::Open);
            if first {
                *phase = next;
            }
            first
        });
    }

    fn ended(&self) -> Option<Ended> {
        match &*self.end.borrow() {
            Phase::Ended(ended) => Some(ended.clone()),
            Phase::Open | Phase::Lost => None,
        }
    }
}

impl Wt {
    pub(super) fn new(begun: Begun) -> Self {
        let stream = u64::from(VarInt::from(begun.send.id()));
        let small = |value: u64| proto::VarInt::from_u64(value).unwrap_or(proto::VarInt::MAX);
        let mut prefix = Vec::new();
        // Datagrams name a quarter of it (RFC 9297 §2.1).
        small(stream / 4).encode(&mut prefix);
        let state = Arc::new(State { end: watch::Sender::new(Phase::Open), flow: begun.flow });
        let reading = read(begun.recv, Arc::clone(&state), Arc::clone(&begun.link));
        Wt {
            _reading: begun.link.host().spawn(reading),
            link: begun.link,
            incoming: begun.incoming,
            _settings: begun.settings,
            control: Mutex::new(Some(begun.send)),
            id: small(stream),
            prefix,
            state,
            bare: begun.bare,
            facts: begun.facts,
        }
    }

    async fn opened(&self, uni: bool) -> Result<Halves> {
        if let Some(flow) = &self.state.flow {
            flow.enter(if uni { flow::Of::Uni } else { flow::Of::Bidi }).await?;
        }
        let connection = &self.link.connection;
        let mut header = Vec::new();
        let opened = if uni {
            StreamUni::WEBTRANSPORT.encode(&mut header);
            connection.open_uni().await.map(|send| (send, None))
        } else {
            Frame::WEBTRANSPORT.encode(&mut header);
            connection.open_bi().await.map(|(send, recv)| (send, Some(recv)))
        };
        let (mut send, recv) = opened.map_err(|error| self.loss(&error))?;
        self.id.encode(&mut header);
        send.write_all(&header).await.map_err(|error| match error {
            quinn::WriteError::ConnectionLost(lost) => self.loss(&lost),
            other => Error::new(ErrorKind::Closed, other.to_string()),
        })?;
        Ok((Some(send), recv))
    }

    /// The next of a queue that belongs to this session; `None` when no more will come.
    async fn next<T>(&self, queue: &Queue<Of<T>>) -> Option<T> {
        loop {
            let (session, stream) = queue.next().await?;
            // There is no other; a stream that names one is dropped, and so given up.
            if session == self.id.into_inner() {
                return Some(stream);
            }
        }
    }

    async fn accepted(&self, wanted: Wanted) -> Option<Halves> {
        let both = self.next(&self.incoming.queues().bidi);
        if wanted == Wanted::Bidi {
            return both.await.map(|(send, recv)| (Some(send), Some(recv)));
        }
        let one = self.next(&self.incoming.queues().uni);
        let (both, one) = (std::pin::pin!(both), std::pin::pin!(one));
        match futures_util::future::select(both, one).await {
            futures_util::future::Either::Left((both, _)) => {
                both.map(|(send, recv)| (Some(send), Some(recv)))
            }
            futures_util::future::Either::Right((one, _)) => one.map(|recv| (None, Some(recv))),
        }
    }

    /// Tells the peer, and waits until it has heard.
    async fn say_goodbye(&self, code: u32, reason: String) {
        let Some(mut send) = self.control.lock().await.take() else { return };
        let mut capsule = Vec::new();
        Capsule::CloseWebTransportSession { code, reason }.encode(&mut capsule);
        let mut frame = Vec::new();
        if !self.bare {
            Frame::DATA.encode(&mut frame);
            proto::VarInt::from_u32(u32::try_from(capsule.len()).unwrap_or(0)).encode(&mut frame);
        }
        frame.extend(capsule);
        let telling = async {
            if send.write_all(&frame).await.is_ok() && send.finish().is_ok() {
                // The connection may be gone already, which is what comes next.
                let _ = send.stopped().await;
            }
            Ok(())
        };
        let _ = self.link.host().timeout(CLOSE_WAIT, "the close", telling).await;
    }
}

/// What the peer says on the request's stream, until it ends.
async fn read(recv: RecvStream, state: Arc<State>, link: Arc<Link>) {
    let mut reader = Capsules::new(recv);
    let ended = loop {
        match reader.next().await {
            Ok(Some(Capsule::CloseWebTransportSession { code, reason })) => {
                break Ended { by_us: false, code, reason };
            }
            Ok(Some(Capsule::Unknown { typ, payload })) => {
                if let Some(flow) = &state.flow {
                    raise(flow, typ.into_inner(), &payload);
                }
            }
            Ok(Some(Capsule::Grease { .. })) => {}
            Ok(None) => break Ended { by_us: false, code: 0, reason: String::new() },
            Err(_) => {
                state.end(Phase::Lost);
                return link.connection.close(codes::MESSAGE_ERROR, b"not a capsule");
            }
        }
    };
    state.end(Phase::Ended(ended));
    // The session was all that the connection is for.
    link.connection.close(codes::NO_ERROR, b"");
}

fn raise(flow: &Flow, kind: u64, payload: &[u8]) {
    let what = match kind {
        codes::MAX_DATA => flow::Of::Data,
        codes::MAX_STREAMS_BIDI => flow::Of::Bidi,
        codes::MAX_STREAMS_UNI => flow::Of::Uni,
        _ => return,
    };
    if let Ok(most) = proto::VarInt::decode(&mut &payload[..]) {
        flow.raise(what, most.into_inner());
    }
}

/// A session that is dropped has ended for the peer too.
impl Drop for Wt {
    fn drop(&mut self) {
        self.link.connection.close(codes::NO_ERROR, b"");
    }
}

impl Mux for Wt {
    fn link(&self) -> &Arc<Link> {
        &self.link
    }

    fn open(&self, uni: bool) -> BoxFuture<'_, Result<Halves>> {
        Box::pin(self.opened(uni))
    }

    fn accept(&self, wanted: Wanted) -> BoxFuture<'_, Result<Option<Halves>>> {
        Box::pin(async move {
            if let Some(halves) = self.accepted(wanted).await {
                return Ok(Some(halves));
            }
            let lost = self.link.connection.closed().await;
            if self.is_normal(&lost) { Ok(None) } else { Err(self.loss(&lost)) }
        })
    }

    fn close(&self, code: u64, reason: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let code = codes::session_code(code)?;
            if reason.len() > LONGEST_REASON {
                let message = format!("a reason has at most {LONGEST_REASON} bytes");
                return Err(Error::new(ErrorKind::Config, message));
            }
            self.state.end(Phase::Ended(Ended { by_us: true, code, reason: reason.clone() }));
            self.say_goodbye(code, reason).await;
            self.link.connection.close(codes::NO_ERROR, b"");
            Ok(())
        })
    }

    fn loss(&self, error: &ConnectionError) -> Error {
        match (self.state.ended(), error) {
            (Some(Ended { by_us: false, code, reason }), _) => {
                let message = format!("the peer closed with code {code}");
                let error = Error::new(ErrorKind::Closed, message).with_code(codes::SPACE, code);
                if reason.is_empty() { error } else { error.with("reason", shown(&reason)) }
            }
            (Some(_), _) => Error::new(ErrorKind::Closed, "it was closed on this side"),
            (None, ConnectionError::ApplicationClosed(close))
                if codes::is_normal(close.error_code) =>
            {
                Error::new(ErrorKind::Closed, "the peer closed the connection")
            }
            (None, other) => self.link.explain.loss(other),
        }
    }

    fn is_normal(&self, error: &ConnectionError) -> bool {
        match (self.state.ended(), error) {
            (Some(ended), _) => ended.by_us || ended.code == 0,
            (None, ConnectionError::LocallyClosed) => true,
            (None, ConnectionError::ApplicationClosed(close)) => codes::is_normal(close.error_code),
            (None, _) => false,
        }
    }

    fn end(&self) -> BoxFuture<'_, Event> {
        Box::pin(async move {
            let lost = self.link.connection.closed().await;
            // What the peer said before it closed may still have to be read.
            let mut end = self.state.end.subscribe();
            let _ = end.wait_for(|phase| !matches!(phase, Phase::Open)).await;
            let data = match self.state.ended() {
                Some(Ended { by_us: true, .. }) => json!({ "by": "us" }),
                Some(Ended { code, reason, .. }) => {
                    json!({ "by": "peer", "code": code, "reason": shown(&reason) })
                }
                None => json!({ "by": "transport", "reason": self.loss(&lost).to_string() }),
            };
            Event::new("closed", data)
        })
    }

    fn info(&self) -> Info {
        self.facts.clone().over(&self.link.facts())
    }

    fn wire_code(&self, code: u64) -> Result<VarInt> {
        codes::wire_code(code)
    }

    fn code(&self, code: VarInt) -> (&'static str, u64) {
        codes::read_code(code)
    }

    fn datagram_prefix(&self) -> &[u8] {
        &self.prefix
    }

    fn flow(&self) -> Option<&Arc<Flow>> {
        self.state.flow.as_ref()
    }
}

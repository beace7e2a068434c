//! [`Incoming`]: what the peer opens, sorted by what it begins with. One task reads the beginnings;
//! how many streams wait there is bounded by what the peer may have open.

use super::codes;
use super::settings::Theirs;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jackfield_plugin_api::Host;
use jackfield_plugin_api::op::Op;
use quinn::{Connection, RecvStream, SendStream};
use std::future::poll_fn;
use std::io::Cursor;
use std::task::Poll;
use tokio::io::{AsyncReadExt, copy, sink};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Mutex, watch};
use web_transport_proto::{Frame, Settings, StreamUni, VarInt};

/// Streams of each kind that wait in the queue; more wait before it.
const QUEUE: usize = 8;
/// Requests that wait to be looked at; more are rejected.
const REQUESTS: usize = 2;

/// A stream and the session that it says to belong to.
pub(super) type Of<T> = (u64, T);

/// The receiving ends. Dropped, they close the connection.
pub(super) struct Incoming {
    connection: Connection,
    pub(super) bidi: Mutex<Receiver<Of<(SendStream, RecvStream)>>>,
    pub(super) uni: Mutex<Receiver<Of<RecvStream>>>,
    /// Requests, from after the type of their first frame.
    pub(super) requests: Mutex<Receiver<(SendStream, RecvStream)>>,
    settings: watch::Receiver<Option<Theirs>>,
    _work: Op<()>,
}

impl Incoming {
    /// Begins to read.
    pub(super) fn start(host: Host, connection: &Connection) -> Self {
        let (bidi, bidi_out) = channel(QUEUE);
        let (uni, uni_out) = channel(QUEUE);
        let (requests, requests_out) = channel(REQUESTS);
        let (settings, settings_out) = watch::channel(None);
        let sorter = Sorter { connection: connection.clone(), bidi, uni, requests, settings };
        Incoming {
            connection: connection.clone(),
            bidi: Mutex::new(bidi_out),
            uni: Mutex::new(uni_out),
            requests: Mutex::new(requests_out),
            settings: settings_out,
            _work: host.spawn(sorter.run()),
        }
    }

    /// The peer's settings; `None` when the connection ends before they come.
    pub(super) async fn settings(&self) -> Option<Theirs> {
        let mut settings = self.settings.clone();
        let found = settings.wait_for(Option::is_some).await.ok()?;
        found.clone()
    }
}

/// Nobody reads any more. The peer is told so before its streams are given up, which tells it nothing.
impl Drop for Incoming {
    fn drop(&mut self) {
        self.connection.close(codes::NO_ERROR, b"");
    }
}

struct Sorter {
    connection: Connection,
    bidi: Sender<Of<(SendStream, RecvStream)>>,
    uni: Sender<Of<RecvStream>>,
    requests: Sender<(SendStream, RecvStream)>,
    settings: watch::Sender<Option<Theirs>>,
}

impl Sorter {
    async fn run(self) {
        let (both, one) = (self.bidis(), self.unis());
        futures_util::future::join(both, one).await;
    }

    async fn bidis(&self) {
        let mut reading = FuturesUnordered::new();
        loop {
            let next = {
                let mut accept = std::pin::pin!(self.connection.accept_bi());
                poll_fn(|cx| {
                    while let Poll::Ready(Some(())) = reading.poll_next_unpin(cx) {}
                    accept.as_mut().poll(cx)
                })
                .await
            };
            let Ok((send, recv)) = next else { return };
            reading.push(self.bidi(send, recv));
        }
    }

    async fn unis(&self) {
        let mut reading = FuturesUnordered::new();
        loop {
            let next = {
                let mut accept = std::pin::pin!(self.connection.accept_uni());
                poll_fn(|cx| {
                    while let Poll::Ready(Some(())) = reading.poll_next_unpin(cx) {}
                    accept.as_mut().poll(cx)
                })
                .await
            };
            let Ok(recv) = next else { return };
            reading.push(self.uni(recv));
        }
    }

    async fn bidi(&self, mut send: SendStream, mut recv: RecvStream) {
        // A stream that is reset before it says what it is concerns nobody.
        let Ok(kind) = VarInt::read(&mut recv).await else { return };
        let refusal = match Frame(kind) {
            Frame::WEBTRANSPORT => {
                let Ok(session) = VarInt::read(&mut recv).await else { return };
                let _ = self.bidi.send((session.into_inner(), (send, recv))).await;
                return;
            }
            Frame::HEADERS => match self.requests.try_send((send, recv)) {
                Ok(()) => return,
                Err(full) => {
                    (send, recv) = full.into_inner();
                    codes::REQUEST_REJECTED
                }
            },
            _ => codes::FRAME_UNEXPECTED,
        };
        // The peer may have ended them already.
        let _ = send.reset(refusal);
        let _ = recv.stop(refusal);
    }

    async fn uni(&self, mut recv: RecvStream) {
        let Ok(kind) = VarInt::read(&mut recv).await else { return };
        match StreamUni(kind) {
            StreamUni::WEBTRANSPORT => {
                let Ok(session) = VarInt::read(&mut recv).await else { return };
                let _ = self.uni.send((session.into_inner(), recv)).await;
            }
            StreamUni::CONTROL => self.control(recv).await,
            // We let the peer put nothing into tables, so that there is nothing to know of them.
            StreamUni::QPACK_ENCODER | StreamUni::QPACK_DECODER => {
                let _ = copy(&mut recv, &mut sink()).await;
            }
            _ => {
                let _ = recv.stop(codes::STREAM_CREATION);
            }
        }
    }

    async fn control(&self, recv: RecvStream) {
        if self.settings.borrow().is_some() {
            return self.connection.close(codes::STREAM_CREATION, b"a second control stream");
        }
        // What was read to know the stream belongs to it.
        let mut whole = Cursor::new([0]).chain(recv);
        match Settings::read(&mut whole).await {
            Ok(settings) => {
                self.settings.send_replace(Some(Theirs::of(&settings)));
            }
            Err(_) => return self.connection.close(codes::SETTINGS_ERROR, b"no settings"),
        }
        // What else may come here, such as GOAWAY, does not change one session.
        if copy(&mut whole, &mut sink()).await.is_ok() {
            self.connection.close(codes::CLOSED_CRITICAL_STREAM, b"the control stream has ended");
        }
    }
}

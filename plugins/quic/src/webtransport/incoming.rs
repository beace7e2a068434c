//! [`Incoming`]: what the peer opens, sorted by what it begins with. One task reads the beginnings;
//! how many streams wait there is bounded by what the peer may have open.

use super::codes;
use super::queue::Queue;
use super::settings::Theirs;
use crate::link::Link;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jackfield_plugin_api::Op;
use quinn::{ReadError, RecvStream, SendStream};
use std::future::poll_fn;
use std::io::Cursor;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use web_transport_proto::{Frame, Settings, StreamUni, VarInt};

/// Requests that wait to be looked at; more are rejected.
const REQUESTS: usize = 2;

/// A stream and the session that it says to belong to.
pub(super) type Of<T> = (u64, T);

/// What the peer has opened. Dropped, it closes the connection.
pub(super) struct Incoming {
    link: Arc<Link>,
    queues: Arc<Queues>,
    settings: watch::Receiver<Option<Theirs>>,
    _work: Op<()>,
}

/// Streams by their kind, from after what they begin with.
pub(super) struct Queues {
    pub(super) bidi: Queue<Of<(SendStream, RecvStream)>>,
    pub(super) uni: Queue<Of<RecvStream>>,
    /// Requests, from after the type of their first frame.
    pub(super) requests: Queue<(SendStream, RecvStream)>,
}

impl Incoming {
    /// Begins to read.
    pub(super) fn start(link: &Arc<Link>) -> Self {
        let queues = Queues { bidi: Queue::new(), uni: Queue::new(), requests: Queue::new() };
        let queues = Arc::new(queues);
        let (settings, settings_out) = watch::channel(None);
        let sorter = Sorter { link: Arc::clone(link), queues: Arc::clone(&queues), settings };
        Incoming {
            link: Arc::clone(link),
            queues,
            settings: settings_out,
            _work: link.host().spawn(sorter.run()),
        }
    }

    pub(super) fn queues(&self) -> &Queues {
        &self.queues
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
        self.link.connection.close(codes::NO_ERROR, b"");
    }
}

struct Sorter {
    link: Arc<Link>,
    queues: Arc<Queues>,
    settings: watch::Sender<Option<Theirs>>,
}

/// Nothing more will be sorted.
impl Drop for Sorter {
    fn drop(&mut self) {
        self.queues.bidi.close();
        self.queues.uni.close();
        self.queues.requests.close();
    }
}

/// Reads what is not of interest, without a buffer: it may never come.
async fn discard(recv: &mut RecvStream) -> Result<(), ReadError> {
    while recv.read_chunk(usize::MAX, true).await?.is_some() {}
    Ok(())
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
                let mut accept = std::pin::pin!(self.link.bidi());
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
                let mut accept = std::pin::pin!(self.link.uni());
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
        // A stream that is reset before its type is known is ignored.
        let Ok(kind) = VarInt::read(&mut recv).await else { return };
        let refusal = match Frame(kind) {
            Frame::WEBTRANSPORT => {
                let Ok(session) = VarInt::read(&mut recv).await else { return };
                self.queues.bidi.push((session.into_inner(), (send, recv)));
                return;
            }
            Frame::HEADERS => match self.queues.requests.offer((send, recv), REQUESTS) {
                Ok(()) => return,
                Err(back) => {
                    (send, recv) = back;
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
                self.queues.uni.push((session.into_inner(), recv));
            }
            StreamUni::CONTROL => self.control(recv).await,
            // We let the peer put nothing into tables, so that there is nothing to know of them.
            StreamUni::QPACK_ENCODER | StreamUni::QPACK_DECODER => {
                let _ = discard(&mut recv).await;
            }
            _ => {
                let _ = recv.stop(codes::STREAM_CREATION);
            }
        }
    }

    async fn control(&self, recv: RecvStream) {
        if self.settings.borrow().is_some() {
            return self.link.connection.close(codes::STREAM_CREATION, b"a second control stream");
        }
        // What was read to know the stream belongs to it.
        let mut whole = Cursor::new([0]).chain(recv);
        match Settings::read(&mut whole).await {
            Ok(settings) => {
                self.settings.send_replace(Some(Theirs::of(&settings)));
            }
            Err(_) => return self.link.connection.close(codes::SETTINGS_ERROR, b"no settings"),
        }
        // What else may come here, such as GOAWAY, does not change one session.
        let (_, mut rest) = whole.into_inner();
        if discard(&mut rest).await.is_ok() {
            self.link
                .connection
                .close(codes::CLOSED_CRITICAL_STREAM, b"the control stream has ended");
        }
    }
}

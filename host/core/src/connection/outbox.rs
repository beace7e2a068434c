//! [`Outbox`]: what was posted to a connection and is not sent yet. Bounded, and every accepted post
//! gets an answer.

use super::policy::Policy;
use crate::lock::IgnorePoison;
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Message, MessageKind, Result};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use tokio::sync::{oneshot, watch};

/// What travels over a session: bytes of a stream, one message, or one datagram as a binary message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Bytes; to a session of messages they go as one binary message, to one of datagrams as one datagram.
    Bytes(Bytes),
    /// A message; to a session that is a stream or has datagrams only its payload goes.
    Message(Message),
}

impl Payload {
    /// The content.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Payload::Bytes(bytes) => bytes,
            Payload::Message(message) => &message.payload,
        }
    }

    /// As a message.
    pub fn into_message(self) -> Message {
        match self {
            Payload::Bytes(bytes) => Message::of(MessageKind::BINARY, bytes),
            Payload::Message(message) => message,
        }
    }
}

impl From<Message> for Payload {
    fn from(message: Message) -> Self {
        Payload::Message(message)
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Self {
        Payload::Bytes(Bytes::from_static(text.as_bytes()))
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Payload::Bytes(bytes.into())
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Payload::Bytes(bytes)
    }
}

/// The answer to an accepted post. Dropping it takes nothing back.
#[derive(Debug)]
#[must_use = "only its answer says whether the post was sent"]
pub struct Receipt(oneshot::Receiver<Result<()>>);

impl Receipt {
    /// Waits until the post has been given to the session's protocol, which for a datagram is the network:
    /// whether it arrived is not known. Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] if the connection ended before; [`ErrorKind::Cancelled`] if its session
    /// was lost in the middle of it, so that a part may have been sent; what sending said.
    pub async fn sent(self) -> Result<()> {
        self.0.await.unwrap_or_else(|_| {
            let text = "the session was lost while this was being sent; a part may have arrived";
            Err(Error::new(ErrorKind::Cancelled, text))
        })
    }
}

pub(super) struct Posted {
    pub(super) payload: Payload,
    pub(super) answer: oneshot::Sender<Result<()>>,
}

/// What a queue that was full must be down to.
pub(super) fn low_mark(high: usize, percent: u32) -> usize {
    let percent = usize::try_from(percent).unwrap_or(100).min(100);
    high / 100 * percent + high % 100 * percent / 100
}

/// The queue of one life, over all its sessions.
#[derive(Debug)]
pub(super) struct Outbox {
    posts: usize,
    bytes: usize,
    /// In percent of these, see [`low_mark`].
    low_water: u32,
    state: Mutex<OutboxState>,
    /// Set while posts were refused because it is full.
    was_full: AtomicBool,
    /// Posts that have no answer yet.
    waiting: watch::Sender<usize>,
}

#[derive(Default)]
struct OutboxState {
    queue: VecDeque<Posted>,
    bytes: usize,
    /// Once set, nothing is taken any more.
    refused: Option<Error>,
}

impl std::fmt::Debug for OutboxState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("posts", &self.queue.len()).finish_non_exhaustive()
    }
}

impl Outbox {
    /// As the policy says.
    pub(super) fn new(policy: &Policy) -> Self {
        let Policy { post_queue, post_bytes, low_water, .. } = *policy;
        Outbox {
            posts: post_queue,
            bytes: post_bytes,
            low_water,
            state: Mutex::default(),
            was_full: AtomicBool::new(false),
            waiting: watch::channel(0).0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, OutboxState> {
        self.state.lock().ignore_poison()
    }

    pub(super) fn post(&self, payload: Payload) -> Result<Receipt> {
        let size = payload.bytes().len();
        let mut state = self.lock();
        if let Some(error) = &state.refused {
            return Err(error.clone());
        }
        if state.queue.len() >= self.posts || state.bytes.saturating_add(size) > self.bytes {
            let (count, held) = (state.queue.len(), state.bytes);
            self.was_full.store(true, Ordering::Relaxed);
            let text =
                format!("{count} posts of {held} bytes wait already; this one was not taken");
            return Err(Error::new(ErrorKind::Limit, text).with("key", "post_queue, post_bytes"));
        }
        let (answer, receipt) = oneshot::channel();
        state.bytes += size;
        state.queue.push_back(Posted { payload, answer });
        drop(state);
        self.waiting.send_modify(|count| *count += 1);
        Ok(Receipt(receipt))
    }

    /// The next post to send. Cancel safe.
    pub(super) async fn next(&self) -> Posted {
        let mut changes = self.waiting.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(posted) = self.take() {
                return posted;
            }
            // The sender is in here: it cannot be gone.
            let _ = changes.changed().await;
        }
    }

    fn take(&self) -> Option<Posted> {
        let mut state = self.lock();
        let posted = state.queue.pop_front()?;
        state.bytes -= posted.payload.bytes().len();
        Some(posted)
    }

    /// What waits, the next one first.
    pub(super) fn waiting(&self) -> Vec<Payload> {
        self.lock().queue.iter().map(|posted| posted.payload.clone()).collect()
    }

    /// A post that [`Outbox::next`] gave is done with. Returns whether it is down to the low water mark again
    /// after posts were refused: said once.
    pub(super) fn done(&self) -> bool {
        self.waiting.send_modify(|count| *count = count.saturating_sub(1));
        if !self.was_full.load(Ordering::Relaxed) {
            return false;
        }
        let state = self.lock();
        let low = |high| low_mark(high, self.low_water);
        let has_room = state.queue.len() <= low(self.posts) && state.bytes <= low(self.bytes);
        drop(state);
        has_room && self.was_full.swap(false, Ordering::Relaxed)
    }

    /// Completes when something waits to be sent. Cancel safe.
    pub(super) async fn wanted(&self) {
        let _ = self.waiting.subscribe().wait_for(|count| *count > 0).await;
    }

    /// Completes when everything taken has its answer. Cancel safe.
    pub(super) async fn flushed(&self) {
        let _ = self.waiting.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Takes nothing more, for this reason; what waits is still sent.
    pub(super) fn stop(&self, why: Error) {
        self.lock().refused.get_or_insert(why);
    }

    /// Takes nothing more, and tells those who wait why.
    pub(super) fn refuse(&self, why: &Error) {
        let left = {
            let mut state = self.lock();
            state.refused = Some(why.clone());
            state.bytes = 0;
            std::mem::take(&mut state.queue)
        };
        for posted in left {
            // The caller may have stopped waiting.
            let _ = posted.answer.send(Err(why.clone()));
        }
        self.waiting.send_replace(0);
    }

    /// Posts that wait, their bytes, and whether no more fit.
    pub(super) fn level(&self) -> (usize, usize, bool) {
        let state = self.lock();
        let full = state.queue.len() >= self.posts || state.bytes >= self.bytes;
        (state.queue.len(), state.bytes, full)
    }
}

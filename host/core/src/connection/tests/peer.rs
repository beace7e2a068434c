//! A peer in this process, that does as the test says.

use futures_util::{Sink, Stream as FuturesStream};
use jackfield_plugin_api::{
    Control, Error, ErrorKind, Facets, Info, Message, Messages, Result, Session,
};
use serde_json::Value;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// What the peer does, and what was done to it.
#[derive(Debug)]
pub(super) struct Peer {
    /// Whether opening succeeds.
    pub(super) up: AtomicBool,
    /// Whether pings are answered.
    pub(super) answers: AtomicBool,
    /// Whether a polite close is never answered.
    pub(super) stalls: AtomicBool,
    /// Whether a polite close fails, and by which kind.
    pub(super) close_fails: Mutex<Option<ErrorKind>>,
    pub(super) opened: AtomicUsize,
    /// Sessions that live: control or facets.
    pub(super) living: Arc<AtomicUsize>,
    pub(super) closes: Mutex<Vec<(u64, String)>>,
    pub(super) got: Mutex<Vec<Message>>,
    /// Lets calls finish, and messages be taken.
    pub(super) gate: watch::Sender<bool>,
    /// Sends to the session opened last; dropping it ends that session.
    pub(super) sender: Mutex<Option<mpsc::Sender<Message>>>,
}

struct Token(Arc<AtomicUsize>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Peer {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Peer {
            up: AtomicBool::new(true),
            answers: AtomicBool::new(true),
            stalls: AtomicBool::new(false),
            close_fails: Mutex::default(),
            opened: AtomicUsize::new(0),
            living: Arc::default(),
            closes: Mutex::default(),
            got: Mutex::default(),
            gate: watch::channel(true).0,
            sender: Mutex::default(),
        })
    }

    pub(super) async fn open(self: Arc<Self>) -> Result<Session> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        if !self.up.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unreachable, "nobody there"));
        }
        let (sender, receiver) = mpsc::channel(1000);
        *self.sender.lock().unwrap() = Some(sender);
        let io = Io { peer: Arc::clone(&self), receiver, _token: self.token() };
        let control = PeerControl { token: self.token(), peer: self };
        Ok(Session::builder(control)
            .facets(Facets::PING | Facets::CALL | Facets::DRAIN)
            .messages(Messages::new(io))
            .build())
    }

    fn token(&self) -> Token {
        self.living.fetch_add(1, Ordering::SeqCst);
        Token(Arc::clone(&self.living))
    }

    pub(super) fn send(&self, text: &str) {
        let sender = self.sender.lock().unwrap();
        sender.as_ref().expect("a session").try_send(Message::text(text)).expect("it is open");
    }

    /// Ends the session opened last.
    pub(super) fn hang_up(&self) {
        self.sender.lock().unwrap().take();
    }

    pub(super) fn texts(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        got.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
    }
}

struct PeerControl {
    peer: Arc<Peer>,
    #[allow(dead_code, reason = "counts by living")]
    token: Token,
}

impl Control for PeerControl {
    fn info(&self) -> Info {
        let info = Info::new().peer("there").local("here").encrypted();
        info.identity("CN=there").with("version", 2)
    }
    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        if operation == "lose" {
            return Err(Error::new(ErrorKind::Closed, "the line is cut"));
        }
        let _ = self.peer.gate.subscribe().wait_for(|open| *open).await;
        Ok(params)
    }
    async fn ping(&self) -> Result<Duration> {
        if !self.peer.answers.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(Duration::from_millis(7))
    }
    async fn close(&self, code: u64, reason: String) -> Result<()> {
        self.peer.closes.lock().unwrap().push((code, reason));
        if self.peer.stalls.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let fails = *self.peer.close_fails.lock().unwrap();
        fails.map_or(Ok(()), |kind| Err(Error::new(kind, "the close has failed")))
    }
}

struct Io {
    peer: Arc<Peer>,
    receiver: mpsc::Receiver<Message>,
    _token: Token,
}

impl FuturesStream for Io {
    type Item = Result<Message>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(cx).map(|message| message.map(Ok))
    }
}

impl Sink<Message> for Io {
    type Error = Error;
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut open = self.peer.gate.subscribe();
        if *open.borrow_and_update() {
            return Poll::Ready(Ok(()));
        }
        // Polled again when the gate moves.
        let waker = cx.waker().clone();
        tokio::spawn(async move {
            let _ = open.changed().await;
            waker.wake();
        });
        Poll::Pending
    }
    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<()> {
        self.peer.got.lock().unwrap().push(message);
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

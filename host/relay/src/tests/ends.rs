//! Ends for the tests: each kind of stream with its peer, and messages with theirs.

use crate::kernel_stream::tcp_stream;
use crate::{End, Pipes, Relay, RelayEnd, RelayOptions, RelayTimeouts, Totals, relay};
use bytes::Bytes;
use futures_util::{Sink, Stream as FuturesStream};
use jackfield_plugin_api::{Error, ErrorKind, Message, Messages, Result, Stream};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc;

/// The far side of a stream under test.
pub(super) trait Peer: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Peer for T {}

/// The ways a stream can come to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The host's own TCP socket.
    Tcp,
    /// A Unix socket, given by its descriptor.
    Unix,
    /// A driver's TCP stream that gives its descriptor with `LEFTOVER`.
    Taken,
    /// A stream that is no socket.
    Foreign,
}

pub(super) const KINDS: [Kind; 4] = [Kind::Tcp, Kind::Unix, Kind::Taken, Kind::Foreign];

/// What a `Taken` stream had read before it gave its descriptor.
pub(super) const LEFTOVER: &[u8] = b"read before";

impl Kind {
    pub(super) fn leftover(self) -> &'static [u8] {
        if self == Kind::Taken { LEFTOVER } else { b"" }
    }

    pub(super) async fn open(self) -> (End, Box<dyn Peer>) {
        match self {
            Kind::Tcp => {
                let (ours, peer) = tcp_pair().await;
                (End::Stream(tcp_stream(ours)), Box::new(peer))
            }
            Kind::Unix => {
                let (ours, peer) = UnixStream::pair().expect("a pair");
                let stream = Stream::with_fd(Taken(Some(ours)), |taken| {
                    let fd = taken.0.take()?.into_std().ok()?;
                    Some((OwnedFd::from(fd), Bytes::new()))
                });
                (End::Stream(stream), Box::new(peer))
            }
            Kind::Taken => {
                let (ours, peer) = tcp_pair().await;
                let stream = Stream::with_fd(Taken(Some(ours)), |taken| {
                    let fd = taken.0.take()?.into_std().ok()?;
                    Some((OwnedFd::from(fd), Bytes::from_static(LEFTOVER)))
                });
                (End::Stream(stream), Box::new(peer))
            }
            Kind::Foreign => {
                let (ours, peer) = tokio::io::duplex(8 * 1024);
                (End::Stream(Stream::new(ours)), Box::new(peer))
            }
        }
    }
}

/// A driver's stream that is some descriptor.
pub(super) fn descriptor(fd: OwnedFd) -> End {
    End::Stream(Stream::with_fd(Taken(Some(fd)), |fd| Some((fd.0.take()?, Bytes::new()))))
}

pub(super) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (accepted.expect("a connection").0, peer.expect("a connection"))
}

/// A stream that answers the end of one direction with "unsupported", and its far side.
pub(super) async fn whole() -> (End, Box<dyn Peer>) {
    let (ours, peer) = tokio::io::duplex(8 * 1024);
    (End::Stream(Stream::new(Whole(ours))), Box::new(peer))
}

struct Whole(tokio::io::DuplexStream);

impl AsyncRead for Whole {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Whole {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Err(Error::unsupported("half-close").into_io()))
    }
}

/// A layer over a TCP socket, which is plain bytes and sends no goodbye.
pub(super) struct Layer(pub(super) Stream);

impl AsyncRead for Layer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Layer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A driver's stream that is never polled, since it gives its descriptor away.
struct Taken<T>(Option<T>);

impl<T: Unpin> AsyncRead for Taken<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        panic!("its descriptor was taken")
    }
}

impl<T: Unpin> AsyncWrite for Taken<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        panic!("its descriptor was taken")
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        panic!("its descriptor was taken")
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        panic!("its descriptor was taken")
    }
}

/// Messages under test, and what their protocol's peer does.
pub(super) fn messages() -> (End, MessagePeer) {
    let (to_relay, incoming) = mpsc::channel(4);
    let (outgoing, from_relay) = mpsc::channel(4);
    let both = Both { incoming, outgoing: Some(outgoing), sending: None };
    (End::Messages(Messages::new(both)), MessagePeer { tx: Some(to_relay), rx: from_relay })
}

pub(super) struct MessagePeer {
    /// What the relay receives; `None` ends it.
    pub(super) tx: Option<mpsc::Sender<Result<Message>>>,
    /// What the relay has sent; ends when it has closed its side.
    pub(super) rx: mpsc::Receiver<Message>,
}

impl MessagePeer {
    pub(super) async fn send(&self, message: Message) {
        self.tx.as_ref().expect("still open").send(Ok(message)).await.expect("a relay");
    }
}

type Sending = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

struct Both {
    incoming: mpsc::Receiver<Result<Message>>,
    outgoing: Option<mpsc::Sender<Message>>,
    sending: Option<Sending>,
}

impl FuturesStream for Both {
    type Item = Result<Message>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.incoming.poll_recv(cx)
    }
}

impl Sink<Message> for Both {
    type Error = Error;
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        let done = std::task::ready!(sending.as_mut().poll(cx));
        self.sending = None;
        Poll::Ready(done)
    }
    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        let tx = self.outgoing.clone();
        self.sending = Some(Box::pin(async move {
            let closed = || Error::new(ErrorKind::Closed, "the peer is gone");
            tx.ok_or_else(closed)?.send(message).await.map_err(|_| closed())
        }));
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_ready(cx)
    }
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        std::task::ready!(self.as_mut().poll_ready(cx))?;
        self.outgoing = None;
        Poll::Ready(Ok(()))
    }
}

/// A relay on its own task, with its counters and its own pipes.
pub(super) struct Running {
    pub(super) task: tokio::task::JoinHandle<RelayEnd>,
    pub(super) totals: Arc<Totals>,
    pub(super) pipes: Arc<Pipes>,
}

impl Running {
    pub(super) async fn end(self) -> RelayEnd {
        self.task.await.expect("no panic")
    }
}

pub(super) fn start(a: End, b: End) -> Running {
    start_with(a, b, RelayOptions::default())
}

/// With these limits.
pub(super) fn limited(timeouts: RelayTimeouts) -> RelayOptions {
    RelayOptions { timeouts, ..RelayOptions::default() }
}

pub(super) fn start_with(a: End, b: End, options: RelayOptions) -> Running {
    let (run, totals, pipes) = make(a, b, options);
    Running { task: tokio::spawn(run), totals, pipes }
}

pub(super) fn make(a: End, b: End, mut options: RelayOptions) -> (Relay, Arc<Totals>, Arc<Pipes>) {
    let (totals, pipes) = (Arc::new(Totals::default()), Arc::new(Pipes::new(4)));
    options.pipes = Arc::clone(&pipes);
    (relay(a, b, options, Arc::clone(&totals)), totals, pipes)
}

/// Bytes that tell where they belong: the number of each 8-byte word, times an odd number.
pub(super) struct Pattern {
    at: u64,
    seed: u64,
}

impl Pattern {
    pub(super) fn new(seed: u64) -> Self {
        Pattern { at: 0, seed: seed | 1 }
    }

    pub(super) fn fill(&mut self, chunk: &mut [u8]) {
        for byte in chunk {
            let word = (self.at / 8).wrapping_mul(self.seed).to_le_bytes();
            *byte = word[usize::try_from(self.at % 8).expect("small")];
            self.at += 1;
        }
    }
}

/// Writes `total` bytes of a pattern and ends the direction.
pub(super) async fn send_pattern(peer: &mut (impl AsyncWrite + Unpin), seed: u64, total: usize) {
    let (mut pattern, mut chunk) = (Pattern::new(seed), vec![0; 100_000]);
    let mut left = total;
    while left > 0 {
        let length = left.min(chunk.len());
        pattern.fill(&mut chunk[..length]);
        peer.write_all(&chunk[..length]).await.expect("taken");
        left -= length;
    }
    peer.shutdown().await.expect("ended");
}

/// Reads to the end and checks that it is `total` bytes of the pattern.
pub(super) async fn expect_pattern(peer: &mut (impl AsyncRead + Unpin), seed: u64, total: usize) {
    let (mut pattern, mut chunk, mut want) = (Pattern::new(seed), vec![0; 70_000], Vec::new());
    let mut seen = 0;
    loop {
        let count = peer.read(&mut chunk).await.expect("bytes");
        if count == 0 {
            break;
        }
        want.resize(count, 0);
        pattern.fill(&mut want);
        assert!(chunk[..count] == want[..], "bytes {seen}..{} differ", seen + count);
        seen += count;
    }
    assert_eq!(seen, total);
}

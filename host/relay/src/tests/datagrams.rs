//! Datagrams to anything, and streams that know no half-close.

use super::ends::{Kind, limited, messages, start, start_with};
use crate::{End, RelayEnd, RelayTimeouts, Side};
use jackfield_plugin_api::{
    DatagramIo, DatagramMeta, Datagrams, Error, ErrorKind, Message, Result, Stream,
};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;

/// Datagrams of at most ten bytes; what came is given out `segment` bytes at a time.
struct Script {
    incoming: mpsc::Receiver<Vec<u8>>,
    outgoing: mpsc::Sender<Vec<u8>>,
    segment: u32,
}

impl DatagramIo for Script {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        let Some(bytes) = ready!(self.incoming.poll_recv(cx)) else { return Poll::Ready(Ok(None)) };
        buffer[..bytes.len()].copy_from_slice(&bytes);
        let mut meta = DatagramMeta::new(bytes.len(), None);
        meta.segment = self.segment;
        Poll::Ready(Ok(Some(meta)))
    }
    fn poll_send(
        &mut self,
        _: &mut Context<'_>,
        buffer: &[u8],
        _: &DatagramMeta,
    ) -> Poll<Result<()>> {
        if buffer.len() > 10 {
            return Poll::Ready(Err(Error::new(ErrorKind::Limit, "more than ten bytes")));
        }
        Poll::Ready(
            self.outgoing
                .try_send(buffer.to_vec())
                .map_err(|_| Error::new(ErrorKind::Closed, "the test has ended")),
        )
    }
    fn max_size(&self) -> usize {
        10
    }
}

type Peer = (mpsc::Sender<Vec<u8>>, mpsc::Receiver<Vec<u8>>);

fn datagrams(segment: u32) -> (End, Peer) {
    let (tx, incoming) = mpsc::channel(4);
    let (outgoing, rx) = mpsc::channel(1000);
    (End::Datagrams(Datagrams::new(Script { incoming, outgoing, segment })), (tx, rx))
}

#[tokio::test]
async fn datagrams_stay_apart_and_joined_ones_are_taken_apart() {
    let ((a, (tx, _rx)), (b, (_tx, mut rx))) = (datagrams(3), datagrams(0));
    let running = start(a, b);
    for bytes in ["one", "", "onetwofi"] {
        tx.send(bytes.into()).await.expect("room");
    }
    for bytes in ["one", "", "one", "two", "fi"] {
        assert_eq!(rx.recv().await.expect("a datagram"), bytes.as_bytes());
    }
    running.task.abort();
}

#[tokio::test]
async fn bytes_are_cut_to_the_size_and_datagrams_are_written() {
    let ((a, mut peer), (b, (tx, mut rx))) = (Kind::Tcp.open().await, datagrams(0));
    let running = start(a, b);
    peer.write_all(&[7; 1000]).await.expect("room");
    let mut count = 0;
    while count < 1000 {
        let bytes = rx.recv().await.expect("a datagram");
        assert!((1..=10).contains(&bytes.len()));
        count += bytes.len();
    }
    tx.send(b"ans".to_vec()).await.expect("room");
    tx.send(b"wer".to_vec()).await.expect("room");
    let mut answer = [0; 6];
    peer.read_exact(&mut answer).await.expect("the answer");
    assert_eq!(&answer, b"answer");
    running.task.abort();
}

#[tokio::test]
async fn a_message_too_long_for_a_datagram_is_refused() {
    let ((a, mut peer), (b, (tx, mut rx))) = (messages(), datagrams(0));
    let running = start(a, b);
    peer.send(Message::text("just right")).await;
    assert_eq!(rx.recv().await.expect("a datagram"), b"just right");
    tx.send(b"hello".to_vec()).await.expect("room");
    assert_eq!(peer.rx.recv().await, Some(Message::binary(&b"hello"[..])));
    peer.send(Message::text("a byte more")).await;
    let RelayEnd::Failed { side: Side::B, receiving: false, error } = running.end().await else {
        panic!("not refused")
    };
    assert_eq!(error.kind(), ErrorKind::Limit);
}

/// Neither ends nor can be told of an end, like a serial line.
struct Line;

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(b.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(Error::unsupported("half-close").into_io()))
    }
}

#[tokio::test]
async fn a_stream_that_knows_no_half_close_is_left_after_a_while() {
    for kind in [Kind::Tcp, Kind::Foreign] {
        let (a, peer) = kind.open().await;
        let drain = Duration::from_millis(20);
        let options = limited(RelayTimeouts { drain, ..RelayTimeouts::default() });
        let running = start_with(a, End::Stream(Stream::new(Line)), options);
        drop(peer);
        assert_eq!(running.end().await, RelayEnd::Closed { first: Side::A });
    }
}

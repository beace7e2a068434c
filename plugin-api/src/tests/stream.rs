//! Byte streams.

use super::{Count, OnDrop, Task, panicked};
use crate::op::Transfer;
use crate::{Error, ErrorKind, Stream};
use bytes::Bytes;
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

/// Over the boundary and back, as an object is.
fn crossed(stream: Stream) -> Stream {
    // SAFETY: used once.
    unsafe { Stream::from_raw(stream.into_raw()) }
}

fn pair(capacity: usize) -> (Stream, DuplexStream) {
    let (near, far) = tokio::io::duplex(capacity);
    (crossed(Stream::new(near)), far)
}

#[tokio::test]
async fn bytes_pass_both_ways_and_each_way_ends_by_itself() {
    let (mut stream, mut far) = pair(8);
    let sent: Vec<u8> = (0..100_u8).collect();
    let (mut back, mut got) = (Vec::new(), vec![0; 100]);
    let near = async {
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut back).await.unwrap();
    };
    let other = async {
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0, "our direction has ended");
        far.write_all(b"still here").await.unwrap();
        drop(far);
    };
    tokio::join!(near, other);
    assert_eq!((got, back.as_slice()), (sent, &b"still here"[..]));
}

#[tokio::test]
async fn pieces_are_written_in_order_even_when_there_are_many() {
    let (mut stream, mut far) = pair(1024);
    let pieces: Vec<[u8; 2]> = (0..40).map(|number| [number, 255]).collect();
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let count = stream.write_vectored(left).await.unwrap();
        assert!(count > 0);
        IoSlice::advance_slices(&mut left, count);
    }
    let mut got = vec![0; 80];
    far.read_exact(&mut got).await.unwrap();
    assert_eq!(got, pieces.concat());
    assert_eq!(stream.write(&[]).await.unwrap(), 0);
    assert_eq!(stream.write_vectored(&[]).await.unwrap(), 0);
}

#[test]
fn a_reader_that_waits_is_woken_and_costs_one_clone() {
    let (mut stream, mut far) = pair(8);
    let task = Task::new();
    let waker = task.waker();
    let mut cx = Context::from_waker(&waker);
    let mut room = [0; 8];
    let mut buffer = ReadBuf::new(&mut room);
    for _ in 0..3 {
        assert!(Pin::new(&mut stream).poll_read(&mut cx, &mut buffer).is_pending());
    }
    // What the stream keeps, and what the task is known by, are shares of one.
    assert_eq!((task.clones.get(), task.wakes.get()), (1, 0));
    let sent = super::once(|cx| Pin::new(&mut far).poll_write(cx, b"hello"));
    assert!(matches!(sent, Poll::Ready(Ok(5))));
    assert_eq!(task.wakes.get(), 1);
    assert!(Pin::new(&mut stream).poll_read(&mut cx, &mut buffer).is_ready());
    assert_eq!(buffer.filled(), b"hello");
}

#[tokio::test]
async fn what_was_in_the_buffer_before_a_read_stays() {
    let (mut stream, mut far) = pair(8);
    far.write_all(b"56").await.unwrap();
    let mut bytes = Vec::from(&b"1234"[..]);
    stream.read_buf(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"123456");
}

/// Fails in a way of its own at each step.
struct Failing {
    step: &'static str,
    how: fn() -> io::Error,
    _dropped: OnDrop,
}

impl Failing {
    fn at(&self, step: &str) -> io::Result<()> {
        if self.step == step { Err((self.how)()) } else { Ok(()) }
    }
}

impl AsyncRead for Failing {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(self.at("read"))
    }
}

impl AsyncWrite for Failing {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let lie = usize::from(self.step == "lie");
        Poll::Ready(self.at("write").map(|()| bytes.len() + lie))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.at("flush"))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.at("shutdown"))
    }
}

fn failing(step: &'static str, how: fn() -> io::Error, dropped: &Count) -> Stream {
    let io = Failing { step, how, _dropped: OnDrop::panic(dropped) };
    crossed(Stream::with_fd(io, |io| {
        io.at("take_fd").unwrap();
        None
    }))
}

async fn use_all(stream: &mut Stream) -> io::Result<()> {
    let _ = stream.read(&mut [0; 4]).await?;
    stream.write_all(b"bytes").await?;
    stream.flush().await?;
    stream.shutdown().await
}

#[tokio::test]
async fn an_error_arrives_whole_wherever_it_happens() {
    let dropped = Count::default();
    let how = || {
        let error = Error::new(ErrorKind::Untrusted, "no such key").with("host", "lab");
        error.into_io()
    };
    for step in ["read", "write", "flush", "shutdown"] {
        let error = use_all(&mut failing(step, how, &dropped)).await.expect_err(step);
        let error = Error::from(error);
        assert_eq!(error, Error::from(how()), "{step}");
    }
    let how = || io::Error::from(io::ErrorKind::BrokenPipe);
    let error = use_all(&mut failing("write", how, &dropped)).await.expect_err("a broken pipe");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(Error::from(error).kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_panic_becomes_an_error_wherever_it_happens() {
    let dropped = Count::default();
    let how = || panic!("told to panic");
    for step in ["read", "write", "flush", "shutdown"] {
        panicked(use_all(&mut failing(step, how, &dropped)).await);
    }
    assert!(failing("take_fd", how, &dropped).take_fd().is_none());
    assert_eq!(dropped.get(), 5, "each was dropped, and each of those panics ended there");
}

#[tokio::test]
async fn more_written_than_given_is_an_error_not_a_panic_of_the_caller() {
    let mut stream = failing("lie", || io::Error::other("unused"), &Count::default());
    let error = Error::from(stream.write_all(b"bytes").await.expect_err("a lie"));
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[test]
fn a_stream_comes_home_as_itself_and_only_as_itself() {
    let (stream, _far) = pair(8);
    let stream = stream.into_inner::<Failing>().err().expect("another type");
    let stream = stream.into_inner::<DuplexStream>().expect("its own type");
    // Wrapped once more it is a stream of streams.
    let twice = Stream::new(Stream::new(stream));
    let twice = twice.into_inner::<DuplexStream>().expect_err("the outer one is not");
    assert!(twice.into_inner::<Stream>().unwrap().into_inner::<DuplexStream>().is_ok());
}

/// Plain bytes on a socket, of which some were read ahead.
struct Socket {
    fd: Option<UnixStream>,
    ahead: Bytes,
    _dropped: OnDrop,
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[test]
fn a_taken_descriptor_belongs_to_its_taker() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (freed, gone) = (Count::default(), Count::default());
    struct Ahead(OnDrop);
    impl AsRef<[u8]> for Ahead {
        fn as_ref(&self) -> &[u8] {
            let _ = &self.0;
            b"read ahead"
        }
    }
    let ahead = Bytes::from_owner(Ahead(OnDrop::count(&freed)));
    let io = Socket { fd: Some(ours), ahead, _dropped: OnDrop::count(&gone) };
    let mut stream = crossed(Stream::with_fd(io, |io| {
        Some((io.fd.take()?.into(), std::mem::take(&mut io.ahead)))
    }));

    let (fd, ahead) = stream.take_fd().expect("a descriptor");
    assert!(stream.take_fd().is_none(), "there is only one");
    drop(stream);
    assert_eq!((gone.get(), freed.get()), (1, 0));
    assert_eq!(ahead, "read ahead");
    drop(ahead);
    assert_eq!(freed.get(), 1);

    // It is open, although the stream is gone.
    let mut socket = UnixStream::from(fd);
    socket.write_all(b"direct").unwrap();
    drop(socket);
    let mut got = String::new();
    theirs.read_to_string(&mut got).unwrap();
    assert_eq!(got, "direct");
}

#[test]
fn without_a_socket_there_is_nothing_to_take() {
    assert!(pair(8).0.take_fd().is_none());
}

//! What safe code of an author can do wrong, facet by facet: it costs that object, and the other side
//! gets no byte that was not written for it.

use super::{Count, OnDrop, once, panicked};
use crate::op::{Op, Transfer};
use crate::{
    Answer, Body, BodyPart, DatagramIo, DatagramMeta, Datagrams, Envelope, Error, ErrorKind,
    Exchange, Exchanger, HeaderBlock, Incoming, Origin, Result, Serving, Stream,
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

fn crossed<T: Transfer>(value: T) -> T {
    // SAFETY: used once.
    unsafe { T::from_raw(value.into_raw()) }
}

/// Reads and writes by two functions.
struct By<R, W>(R, W);

impl<R, W> AsyncRead for By<R, W>
where
    R: FnMut(&mut ReadBuf<'_>) -> Poll<io::Result<()>> + Unpin,
    W: Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0(buf)
    }
}

impl<R, W> AsyncWrite for By<R, W>
where
    R: Unpin,
    W: FnMut(&[u8]) -> usize + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.1(bytes)))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn reading(
    read: impl FnMut(&mut ReadBuf<'_>) -> Poll<io::Result<()>> + Send + Unpin + 'static,
) -> Stream {
    crossed(Stream::new(By(read, <[u8]>::len)))
}

fn writing(write: impl FnMut(&[u8]) -> usize + Send + Unpin + 'static) -> Stream {
    crossed(Stream::new(By(|_: &mut ReadBuf<'_>| Poll::Pending, write)))
}

/// Puts a buffer of `size` bytes with `filled` of them in the place of the lent one.
fn swap(buf: &mut ReadBuf<'_>, size: usize, filled: usize) {
    *buf = ReadBuf::new(vec![b'x'; size].leak());
    buf.set_filled(filled);
}

#[tokio::test]
async fn a_reader_gets_no_byte_of_a_buffer_that_was_swapped() {
    type Fault = (&'static str, fn(&mut ReadBuf<'_>));
    let faults: [Fault; 5] = [
        ("as much as there is room for", |buf| swap(buf, 8, 8)),
        ("less", |buf| swap(buf, 8, 1)),
        ("more", |buf| swap(buf, 64, 64)),
        ("nothing", |buf| swap(buf, 0, 0)),
        ("after something was written into the right one", |buf| {
            buf.put_slice(b"right");
            swap(buf, 8, 5);
        }),
    ];
    for (case, fault) in faults {
        let mut stream = reading(move |buf| {
            fault(buf);
            Poll::Ready(Ok(()))
        });
        let mut room = *b"of other";
        let error = Error::from(stream.read(&mut room).await.expect_err(case));
        let whose = (error.kind(), error.origin());
        assert_eq!(whose, (ErrorKind::Protocol, Origin::Internal), "{case}: {error}");
    }
    // Swapped and not ready: nothing is taken from it.
    let mut asked = false;
    let mut stream = reading(move |buf| {
        if std::mem::replace(&mut asked, true) {
            buf.put_slice(b"right");
            return Poll::Ready(Ok(()));
        }
        swap(buf, 8, 8);
        Poll::Pending
    });
    let mut room = [0; 8];
    assert!(stream.read(&mut room).now_or_never().is_none());
    assert_eq!(stream.read(&mut room).await.unwrap(), 5);
    assert_eq!(&room[..5], b"right");
}

#[tokio::test]
async fn what_a_reader_takes_back_does_not_arrive() {
    let mut stream = reading(|buf| {
        buf.put_slice(b"written");
        buf.set_filled(3);
        Poll::Ready(Ok(()))
    });
    let mut room = [0; 8];
    assert_eq!(stream.read(&mut room).await.unwrap(), 3);
    assert_eq!(&room[..3], b"wri");
    // What was only initialised is no byte that was read, and of no other content.
    let mut stream = reading(|buf| {
        assert!(buf.initialize_unfilled().iter().all(|byte| *byte == 0));
        Poll::Ready(Ok(()))
    });
    let mut room = *b"of other";
    assert_eq!(stream.read(&mut room).await.unwrap(), 0);
}

#[tokio::test]
async fn no_room_is_no_end() {
    let asked = Count::default();
    let count = asked.clone();
    let mut stream = reading(move |_| {
        count.add();
        Poll::Ready(Ok(()))
    });
    assert_eq!(stream.read(&mut []).await.unwrap(), 0);
    assert_eq!(asked.get(), 0, "nothing is asked of a stream for which there is no room");
}

#[tokio::test]
async fn a_stream_that_panics_after_its_end_says_so_and_nothing_else_happens() {
    let mut ended = false;
    let mut stream = reading(move |_| {
        assert!(!std::mem::replace(&mut ended, true), "told to panic after the end");
        Poll::Ready(Ok(()))
    });
    assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 0);
    for _ in 0..2 {
        panicked(stream.read(&mut [0; 4]).await);
    }
}

#[tokio::test]
async fn no_more_is_written_than_was_given() {
    for more in [1, usize::MAX - 5] {
        let error = writing(move |bytes| bytes.len() + more).write(b"bytes").await;
        let error = Error::from(error.expect_err("a lie"));
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
    let error = writing(|_| 0).write_all(b"bytes").await.expect_err("it takes nothing");
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
}

/// Says of each datagram what it is told to, and writes as much as it is told to.
struct Says(Vec<(usize, &'static [u8])>);

impl DatagramIo for Says {
    fn poll_recv(
        &mut self,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        let Some((len, bytes)) = self.0.pop() else { return Poll::Ready(Ok(None)) };
        buffer[..bytes.len()].copy_from_slice(bytes);
        Poll::Ready(Ok(Some(DatagramMeta { len, ..DatagramMeta::default() })))
    }
    fn poll_send(&mut self, _: &mut Context<'_>, _: &[u8], _: &DatagramMeta) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn max_size(&self) -> usize {
        usize::MAX
    }
}

#[tokio::test]
async fn a_datagram_has_no_byte_that_its_own_session_has_not_written() {
    let mut datagrams = crossed(Datagrams::new(Says(vec![(8, b"")])));
    let mut room = *b"of other";
    let meta = datagrams.recv(&mut room).await.unwrap().expect("a datagram");
    assert_eq!((meta.len, room), (8, [0; 8]), "it was said to be there, and never written");

    for len in [9, usize::MAX] {
        let mut datagrams = crossed(Datagrams::new(Says(vec![(1, b"y"), (len, b"x")])));
        let error = datagrams.recv(&mut room).await.expect_err("longer than its buffer");
        let whose = (error.kind(), error.origin());
        assert_eq!(whose, (ErrorKind::Protocol, Origin::Internal), "{error}");
        let next = datagrams.recv(&mut room).await.unwrap().expect("the next");
        assert_eq!((next.len, room[0]), (1, b'y'));
        for _ in 0..2 {
            assert_eq!(datagrams.recv(&mut room).await, Ok(None), "the end is the end");
        }
    }
    assert_eq!(datagrams.max_size(), usize::MAX);
}

#[tokio::test]
async fn a_result_and_a_future_that_both_panic_when_they_are_dropped_cost_one_error() {
    struct Owned(OnDrop);
    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            let _ = &self.0;
            b"bytes"
        }
    }
    let (future, result) = (Count::default(), Count::default());
    let (in_future, in_result) = (OnDrop::panic(&future), OnDrop::panic(&result));
    let mut value = Some(Bytes::from_owner(Owned(in_result)));
    let mut op = crossed(Op::new(std::future::poll_fn(move |_| {
        let _ = &in_future;
        Poll::Ready(Ok(value.take().expect("told to panic: polled again")))
    })));
    panicked((&mut op).await);
    assert_eq!((future.get(), result.get()), (1, 1));
    assert_eq!((&mut op).await.expect_err("finished").kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_body_is_not_asked_again_by_any_reader_after_an_error_or_its_end() {
    for first in [None, Some(Err(Error::unsupported("more")))] {
        let mut first = Some(first);
        let parts = futures_util::stream::poll_fn(move |_| {
            Poll::Ready(first.take().expect("told to panic after the end"))
        });
        // Two readers, one behind the other: the outer one asks the inner one's table.
        let mut body = crossed(Body::new(crossed(Body::new(parts))));
        let part = body.next().await;
        assert!(!matches!(part, Some(Ok(_))));
        assert!(body.next().await.is_none());
    }
}

/// Gives requests, and keeps what was answered to each.
struct Server {
    left: Mutex<Vec<&'static str>>,
    answered: Arc<Mutex<Vec<String>>>,
}

impl Exchanger for Server {
    async fn accept(&self) -> Result<Option<Incoming>> {
        let Some(path) = self.left.lock().unwrap().pop() else { return Ok(None) };
        /// As a driver does: 500 if nobody has answered.
        struct Unanswered(Option<Arc<Mutex<Vec<String>>>>, &'static str);
        impl Drop for Unanswered {
            fn drop(&mut self) {
                if let Some(answered) = &self.0 {
                    answered.lock().unwrap().push(format!("{} 500", self.1));
                }
            }
        }
        let mut unanswered = Unanswered(Some(Arc::clone(&self.answered)), path);
        let answer = Answer::new(move |_| async move {
            let answered = unanswered.0.take();
            answered.expect("a place").lock().unwrap().push(format!("{path} 200"));
            Ok(())
        });
        let request = Envelope::new(HeaderBlock::new([(":path", path)])?, Body::empty());
        Ok(Some(Incoming { request, answer }))
    }
}

#[tokio::test]
async fn a_request_whose_answer_panics_costs_that_request() {
    const ALL: [&str; 6] = ["/a", "/at-once", "/later", "/drop", "/call", "/z"];
    let answered = Arc::default();
    let left = Mutex::new(ALL.to_vec());
    let exchange = crossed(Exchange::new(Server { left, answered: Arc::clone(&answered) }));
    let mut serving = Serving::new(exchange, 3);
    let dropped = Count::default();
    let answer = |incoming: Incoming| {
        let path = incoming.request.head.get(":path").map(<[u8]>::to_vec).unwrap_or_default();
        assert!(path != b"/call", "told to panic before there is a future");
        let guard = (path == b"/drop").then(|| OnDrop::panic(&dropped));
        async move {
            assert!(path != b"/at-once", "told to panic");
            tokio::task::yield_now().await;
            assert!(path != b"/later", "told to panic");
            let head = HeaderBlock::new([(":status", "200")]).unwrap();
            incoming.answer.send(Envelope::new(head, Body::empty())).await.unwrap();
            drop(guard);
        }
    };
    std::future::poll_fn(|cx| serving.poll(cx, answer)).await.expect("all were answered");
    let mut answered = answered.lock().unwrap().clone();
    answered.sort();
    let expected = ["/a 200", "/at-once 500", "/call 500", "/drop 200", "/later 500", "/z 200"];
    assert_eq!(answered, expected);
    assert_eq!(dropped.get(), 1);
}

#[test]
fn requests_that_are_given_up_are_all_dropped_whatever_their_drops_do() {
    let left = Mutex::new(vec!["/1", "/2", "/3"]);
    let server = Server { left, answered: Arc::default() };
    let mut serving = Serving::new(crossed(Exchange::new(server)), 3);
    let dropped = Count::default();
    let answer = |incoming: Incoming| {
        let guard = OnDrop::panic(&dropped);
        async move {
            let _both = (incoming, guard);
            std::future::pending::<()>().await;
        }
    };
    assert!(once(|cx| serving.poll(cx, answer)).is_pending());
    drop(serving);
    assert_eq!(dropped.get(), 3);
}

#[test]
fn a_part_of_a_body_is_only_what_it_is() {
    assert_eq!(
        crossed(Body::full("x")).next().now_or_never(),
        Some(Some(Ok(BodyPart::Data(Bytes::from_static(b"x")))))
    );
}

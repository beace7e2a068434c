//! A far side that breaks its contract: what it says is an error of that object, and nothing of it is
//! used. Each case puts one function into the table of an object that otherwise works.

use super::once;
use crate::op::{Op, OpTable, Transfer};
use crate::raw::layout::Declared;
use crate::raw::{
    AnswerTable, BodyTable, DatagramsTable, ExchangeTable, FAILED, ListenerTable, MessagesTable,
    NextTable, RawBuf, RawDatagram, RawEnvelope, RawError, RawMessage, RawObject, RawSlice, RawStr,
    RawWaker, SessionTable, StreamTable,
};
use crate::services::{FdReady, FdTable, Interest, Timer, TimerIo, TimerTable};
use crate::{
    Accept, Answer, Body, BodyPart, Call, Control, DatagramMeta, Datagrams, Envelope, Error,
    ErrorKind, Exchange, Exchanger, HeaderBlock, Info, Listener, Message, Messages, Next, Origin,
    Result, Session, Stream,
};
use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::Value;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Data = *mut c_void;
type Wake = *const RawWaker;
type Slot = *mut RawError;

/// `raw` with another function in the place of one of its table's.
fn lying<T: Declared>(raw: RawObject<T>, entry: &str, with: *const ()) -> RawObject<T> {
    let field = T::LAYOUT.fields.iter().find(|field| field.name == entry).expect("an entry");
    let table = Box::leak(Box::new(MaybeUninit::<T>::uninit())).as_mut_ptr();
    // SAFETY: the table is copied whole; each entry after the first words is one pointer to a function.
    unsafe {
        std::ptr::copy_nonoverlapping(raw.table, table, 1);
        table.byte_add(field.offset).cast::<*const ()>().write(with);
    }
    RawObject { data: raw.data, table }
}

/// An object whose table has one lie in it.
fn liar<V, T>(value: V, entry: &str, with: *const ()) -> V
where
    V: Transfer<Raw = RawObject<T>>,
    T: Declared,
{
    // SAFETY: the object is used once; the function has the signature of its entry, by each case.
    unsafe { V::from_raw(lying(value.into_raw(), entry, with)) }
}

#[track_caller]
fn untrue<T: std::fmt::Debug>(case: &str, result: Result<T, impl Into<Error>>) {
    let error: Error = result.expect_err(case).into();
    let whose = (error.kind(), error.origin());
    assert_eq!(whose, (ErrorKind::Protocol, Origin::Internal), "{case}: {error}");
}

/// A poll function without arguments of its own that answers a code.
macro_rules! says {
    ($code:expr; $($argument:ty),*) => {{
        unsafe extern "C" fn lie(_: Data, $(_: $argument),*) -> i64 { $code }
        lie as *const ()
    }};
}

fn stream(entry: &str, with: *const ()) -> Stream {
    liar::<Stream, StreamTable>(Stream::new(tokio::io::duplex(8).0), entry, with)
}

#[tokio::test]
async fn of_a_stream() {
    let cases = [
        ("read: one above the room", says!(5; Wake, *mut u8, usize, Slot)),
        ("read: as much as there can be", says!(i64::MAX; Wake, *mut u8, usize, Slot)),
        ("read: no code", says!(-3; Wake, *mut u8, usize, Slot)),
        ("read: the least code", says!(i64::MIN; Wake, *mut u8, usize, Slot)),
    ];
    for (case, with) in cases {
        let mut room = [7; 4];
        untrue(case, stream("poll_read", with).read(&mut room).await);
        assert_eq!(room, [7; 4], "{case}");
    }
    let cases = [
        ("write: one above what was given", says!(5; Wake, *const RawSlice, usize, Slot)),
        ("write: as much as there can be", says!(i64::MAX; Wake, *const RawSlice, usize, Slot)),
        ("write: no code", says!(-3; Wake, *const RawSlice, usize, Slot)),
    ];
    for (case, with) in cases {
        untrue(case, stream("poll_write", with).write(b"four").await);
        let pieces = [std::io::IoSlice::new(b"fo"), std::io::IoSlice::new(b"ur")];
        untrue(case, stream("poll_write", with).write_vectored(&pieces).await);
    }
    untrue("flush: no code", stream("poll_flush", says!(-3; Wake, Slot)).flush().await);
    untrue("shutdown: no code", stream("poll_shutdown", says!(-3; Wake, Slot)).shutdown().await);
    for with in [says!(i64::MAX; *mut RawBuf), says!(-2; *mut RawBuf)] {
        assert!(stream("take_fd", with).take_fd().is_none(), "no descriptor has that number");
    }
    // A failure without an error is a failure.
    let mut silent = stream("poll_read", says!(FAILED; Wake, *mut u8, usize, Slot));
    assert!(silent.read(&mut [0; 4]).await.is_err());
}

fn messages(entry: &str, with: *const ()) -> Messages {
    let io = futures_util::sink::drain().sink_map_err(|never| match never {});
    let both = Both(futures_util::stream::pending(), io);
    liar::<Messages, MessagesTable>(Messages::new(both), entry, with)
}

/// A stream and a sink as one.
struct Both<A, B>(A, B);

impl<A: futures_core::Stream + Unpin, B: Unpin> futures_core::Stream for Both<A, B> {
    type Item = A::Item;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<A::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl<A: Unpin, B: futures_sink::Sink<Message> + Unpin> futures_sink::Sink<Message> for Both<A, B> {
    type Error = B::Error;
    fn poll_ready(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), B::Error>> {
        self.1.poll_ready_unpin(cx)
    }
    fn start_send(mut self: std::pin::Pin<&mut Self>, message: Message) -> Result<(), B::Error> {
        self.1.start_send_unpin(message)
    }
    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), B::Error>> {
        self.1.poll_flush_unpin(cx)
    }
    fn poll_close(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), B::Error>> {
        self.1.poll_close_unpin(cx)
    }
}

#[tokio::test]
async fn of_messages() {
    let cases = [
        ("recv: one above the room", says!(17; Wake, *mut RawMessage, usize, Slot)),
        ("recv: as many as there can be", says!(i64::MAX; Wake, *mut RawMessage, usize, Slot)),
        ("recv: no code", says!(-3; Wake, *mut RawMessage, usize, Slot)),
    ];
    for (case, with) in cases {
        let mut messages = messages("poll_recv", with);
        untrue(case, messages.next().await.expect(case));
        assert!(messages.next().await.is_none(), "{case}: it is not asked again");
    }
    let cases = [
        ("send: one above what was given", says!(3; Wake, *mut RawMessage, usize, Slot)),
        ("send: as many as there can be", says!(i64::MAX; Wake, *mut RawMessage, usize, Slot)),
        ("send: none", says!(0; Wake, *mut RawMessage, usize, Slot)),
        ("send: no code", says!(-3; Wake, *mut RawMessage, usize, Slot)),
        ("send: taken and left in its place", says!(1; Wake, *mut RawMessage, usize, Slot)),
    ];
    for (case, with) in cases {
        let mut messages = messages("poll_send", with);
        messages.feed(Message::text("one")).await.unwrap();
        messages.feed(Message::text("two")).await.unwrap();
        untrue(case, messages.flush().await);
        messages.flush().await.expect("what could not be told is lost, and nothing waits");
    }
    untrue("flush: no code", messages("poll_flush", says!(-3; Wake, Slot)).flush().await);
    untrue("close: no code", messages("poll_close", says!(-3; Wake, Slot)).close().await);
}

struct Silent;

impl crate::DatagramIo for Silent {
    fn poll_recv(
        &mut self,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        Poll::Pending
    }
    fn poll_send(&mut self, _: &mut Context<'_>, _: &[u8], _: &DatagramMeta) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn max_size(&self) -> usize {
        1200
    }
}

fn datagrams(entry: &str, with: *const ()) -> Datagrams {
    liar::<Datagrams, DatagramsTable>(Datagrams::new(Silent), entry, with)
}

/// Makes a slot say that it is longer than it is.
unsafe extern "C" fn longer_than_its_buffer(
    _: Data,
    _: Wake,
    slots: *mut RawDatagram,
    _: usize,
    _: usize,
    _: Slot,
) -> i64 {
    let fields = RawDatagram::LAYOUT.fields;
    for name in ["capacity", "len"] {
        let at = fields.iter().find(|field| field.name == name).expect(name).offset;
        // SAFETY: the caller's slot, and one of its words.
        unsafe { slots.byte_add(at).cast::<usize>().write(4096) };
    }
    1
}

#[tokio::test]
async fn of_datagrams() {
    let cases = [
        ("recv: two for one", says!(2; Wake, *mut RawDatagram, usize, usize, Slot)),
        ("recv: many", says!(i64::MAX; Wake, *mut RawDatagram, usize, usize, Slot)),
        ("recv: no code", says!(-3; Wake, *mut RawDatagram, usize, usize, Slot)),
        ("recv: longer than its buffer", longer_than_its_buffer as *const ()),
    ];
    for (case, with) in cases {
        untrue(case, datagrams("poll_recv", with).recv(&mut [0; 8]).await);
    }
    let cases = [
        ("send: none", says!(0; Wake, *const RawDatagram, usize, usize, Slot)),
        ("send: two of one", says!(2; Wake, *const RawDatagram, usize, usize, Slot)),
        ("send: no code", says!(-3; Wake, *const RawDatagram, usize, usize, Slot)),
    ];
    for (case, with) in cases {
        untrue(case, datagrams("poll_send", with).send(b"x", DatagramMeta::default()).await);
    }
}

fn body(with: *const ()) -> Body {
    liar::<Body, BodyTable>(Body::full("x"), "poll_part", with)
}

unsafe extern "C" fn garbage_trailers(_: Data, _: Wake, out: *mut RawBuf, _: Slot) -> i64 {
    // SAFETY: the caller's slot.
    unsafe { out.write(RawBuf::new(Bytes::from_static(&[0xff; 9]))) };
    2
}

unsafe extern "C" fn nothing_with_a_length(_: Data, _: Wake, out: *mut RawBuf, _: Slot) -> i64 {
    // SAFETY: the caller's slot; a null pointer, and a length.
    unsafe {
        out.write(RawBuf::empty());
        out.cast::<usize>().add(1).write(7);
    }
    1
}

#[tokio::test]
async fn of_a_body() {
    for (case, with) in
        [("3", says!(3; Wake, *mut RawBuf, Slot)), ("-3", says!(-3; Wake, *mut RawBuf, Slot))]
    {
        let mut body = body(with);
        untrue(case, body.next().await.expect(case));
        assert!(body.next().await.is_none(), "{case}");
    }
    let mut trailers = body(garbage_trailers as *const ());
    assert_eq!(trailers.next().await.unwrap().unwrap_err().kind(), ErrorKind::Protocol);
    let part = body(nothing_with_a_length as *const ()).next().await;
    assert_eq!(part, Some(Ok(BodyPart::Data(Bytes::new()))), "a null pointer is no bytes");
}

unsafe extern "C" fn garbage_head(_: Data, _: *mut RawEnvelope) -> RawObject<OpTable> {
    let good = Envelope::new(HeaderBlock::default(), Body::full("content"));
    let mut raw = MaybeUninit::new(good.into_raw());
    // The head is the first field.
    // SAFETY: it is empty and owns nothing.
    let raw = unsafe {
        raw.as_mut_ptr().cast::<RawBuf>().write(RawBuf::new(Bytes::from_static(&[0xff; 9])));
        Envelope::from_raw(raw.assume_init())
    };
    Op::ready(Ok(raw)).into_raw()
}

struct Neither;
impl Exchanger for Neither {}

#[tokio::test]
async fn of_an_exchange() {
    let exchange = Exchange::new(Neither);
    let exchange = liar::<Exchange, ExchangeTable>(exchange, "send", garbage_head as *const ());
    let request = Envelope::new(HeaderBlock::default(), Body::empty());
    let mut response = exchange.send(request).await.expect("a response");
    assert_eq!(response.head.iter().count(), 0, "nothing of a head that cannot be read");
    let error = response.body.next().await.expect("a part").expect_err("and no content");
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert_eq!(AnswerTable::LAYOUT.fields.len(), 4, "an answer gives an operation, and no more");
    drop(Answer::new(|_| async { Ok(()) }));
}

#[test]
fn of_an_operation() {
    for (case, with) in [
        ("1", says!(1; Wake, Data, Slot)),
        ("as much as there can be", says!(i64::MAX; Wake, Data, Slot)),
        ("-3", says!(-3; Wake, Data, Slot)),
    ] {
        let op = Op::ready(Ok(Bytes::from_static(b"never looked at")));
        let op = liar::<Op<Bytes>, OpTable>(op, "poll", with);
        untrue(case, op.now_or_never().expect(case));
    }
}

unsafe extern "C" fn garbage(_: Data, _: RawStr, _: RawStr) -> RawObject<OpTable> {
    Op::ready(Ok(Bytes::from_static(b"\xff{"))).into_raw()
}

unsafe extern "C" fn garbage_event(_: Data) -> RawObject<OpTable> {
    Op::ready(Ok(Some(Bytes::from_static(b"[1]")))).into_raw()
}

unsafe extern "C" fn garbage_info(_: Data) -> RawBuf {
    RawBuf::new(Bytes::from_static(b"nothing"))
}

unsafe extern "C" fn all_bits(_: Data) -> u64 {
    u64::MAX
}

struct Plain;
impl Control for Plain {}
impl Accept for Plain {
    fn info(&self) -> Info {
        Info::default()
    }
    async fn accept(&self) -> Result<Session> {
        Ok(Session::builder(Plain).build())
    }
}

#[tokio::test]
async fn of_a_session_or_a_listener() {
    let session = |entry: &str, with: *const ()| {
        liar::<Session, SessionTable>(Session::builder(Plain).build(), entry, with)
    };
    untrue("call", session("call", garbage as *const ()).call("x", &Value::Null).await);
    untrue("event", session("next_event", garbage_event as *const ()).next_event().await);
    assert_eq!(session("info", garbage_info as *const ()).info(), Info::default());
    let claims = session("facets", all_bits as *const ());
    assert!(claims.facets().contains(crate::Facets::STREAM));
    assert!(claims.take_stream().is_none() && claims.take_exchange().is_none());
    let listener = Listener::new(Plain);
    let listener = liar::<Listener, ListenerTable>(listener, "info", garbage_info as *const ());
    assert_eq!(listener.info(), Info::default());
}

#[test]
fn of_the_rest_of_an_operations_way() {
    let next = Next::new(|_| async { Ok(Value::Null) });
    let raw = lying::<NextTable>(next.into_raw(), "run", garbage_next as *const ());
    // SAFETY: used once; the function has the signature of its entry.
    let next = unsafe { Next::from_raw(raw) };
    let result = next.run(Call::new("c", "d", "o", Value::Null)).now_or_never();
    assert_eq!(result.expect("at once").unwrap_err().kind(), ErrorKind::Protocol);
}

unsafe extern "C" fn garbage_next(_: Data, _: RawStr) -> RawObject<OpTable> {
    Op::ready(Ok(Bytes::from_static(b"\xff{"))).into_raw()
}

struct Now;
impl TimerIo for Now {
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
    fn reset(&mut self, _: Duration) {}
}

#[test]
fn of_a_service() {
    let timer = liar::<Timer, TimerTable>(Timer::new(Box::new(Now)), "poll", says!(-3; Wake));
    assert_eq!(timer.now_or_never(), Some(()), "a timer that cannot tell has fired");
    let ready = FdReady::new(Box::new(crate::raw::Broken("x")));
    let mut ready = liar::<FdReady, FdTable>(ready, "poll_ready", says!(-3; u32, Wake, Slot));
    let Poll::Ready(result) = once(|cx| ready.poll_ready(Interest::Read, cx)) else {
        panic!("it is not known to be pending")
    };
    untrue("poll_ready", result);
}

#[test]
fn parameters_that_cannot_be_read_are_not_taken_for_none() {
    let session = Session::builder(Plain).build().into_raw();
    let params = RawStr::new("{");
    // The table's functions are private words: they are reached as a far side reaches them.
    let at = |name: &str| {
        let field = SessionTable::LAYOUT.fields.iter().find(|field| field.name == name);
        let offset = field.expect(name).offset;
        // SAFETY: an entry of the table, which is a pointer to a function.
        unsafe { session.table.byte_add(offset).cast::<*const ()>().read() }
    };
    type Call = unsafe extern "C" fn(Data, RawStr, RawStr) -> RawObject<OpTable>;
    // SAFETY: the signature is that of the entry; the data is the table's.
    let op: Op<Bytes> = unsafe {
        let call = std::mem::transmute::<*const (), Call>(at("call"));
        Op::from_raw(call(session.data, RawStr::new("x"), params))
    };
    untrue("call", op.now_or_never().expect("at once"));
    // SAFETY: the one owner.
    drop(unsafe { Session::from_raw(session) });
}

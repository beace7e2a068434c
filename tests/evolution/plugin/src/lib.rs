//! One driver whose sessions have every facet, and give back what they are given.

use bytes::Bytes;
use futures_util::{Sink, Stream as Futures};
use jackfield_plugin_api::{
    Answer, Body, Call, Control, DatagramIo, DatagramMeta, Datagrams, Driver, DriverInfo, Envelope,
    Error, ErrorKind, Event, Exchange, Exchanger, Facets, Handler, HandlerInfo, Host, Incoming, Info,
    Interceptor, InterceptorInfo, Message, Messages, Next, NoParams, Operation, Request, Result, Role,
    Scheme, Session, Stream,
};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The new facet is in there where there is one: an older host does not know it.
#[cfg(feature = "next")]
const NEXT: Facets = Facets::WARP;
#[cfg(not(feature = "next"))]
const NEXT: Facets = Facets::empty();

struct Mirror(Host);

impl Driver for Mirror {
    const INFO: DriverInfo = DriverInfo::transport("mirror", "Gives back what it is given")
        .schemes(&[Scheme::new("mirror", "mirror")])
        .client()
        .facets(Facets::all());
    type Options = NoParams;
    type Endpoint = ();

    fn new(host: Host) -> Result<Self> {
        Ok(Mirror(host))
    }

    fn configure(&self, _: NoParams, _: Role) -> Result<()> {
        Ok(())
    }

    fn operations() -> Vec<Operation> {
        vec![Operation::new::<Value, Value>("mirror", "Gives its parameters back")]
    }

    async fn open(&self, (): &(), request: Request) -> Result<Session> {
        let (near, far) = tokio::io::duplex(1024);
        let copies = self.0.spawn(async move {
            let (mut read, mut write) = tokio::io::split(far);
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        let told = format!("{}?{}", request.address.authority(), request.address.query.as_deref().unwrap_or(""));
        let control = Told { host: self.0, told, _copies: copies, events: Mutex::new(1) };
        Ok(Session::builder(control)
            .facets(Facets::CALL | Facets::PING | Facets::EVENTS | Facets::RESET | NEXT)
            .stream(Stream::new(near))
            .messages(Messages::new(Queue::default()))
            .datagrams(Datagrams::new(Kept::default()))
            .exchange(Exchange::new(Answers))
            .build())
    }
}

struct Told {
    host: Host,
    told: String,
    _copies: jackfield_plugin_api::op::Op<()>,
    events: Mutex<u32>,
}

impl Control for Told {
    fn info(&self) -> Info {
        let mut info = Info::default();
        info.peer = Some(self.told.clone());
        info
    }

    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        match operation.as_str() {
            "mirror" => Ok(params),
            "timer" => {
                self.host.timer(Duration::from_millis(1)).await;
                Ok(json!("rang"))
            }
            "connect" => self.host.open("nothing:", &Value::Null).await.map(|_| Value::Null),
            #[cfg(feature = "next")]
            "tire" => Err(Error::new(ErrorKind::Tired, "worn out")),
            _ => Err(Error::new(ErrorKind::Unsupported, operation)),
        }
    }

    async fn ping(&self) -> Result<Duration> {
        Ok(Duration::from_millis(7))
    }

    async fn next_event(&self) -> Result<Option<Event>> {
        let mut left = self.events.lock().unwrap();
        let event = (*left > 0).then(|| serde_json::from_value(json!({ "name": "once", "data": 1 })));
        *left = 0;
        Ok(event.and_then(Result::ok))
    }

    async fn reset(&self) -> Result<()> {
        Err(Error::new(ErrorKind::Refused, "told so"))
    }

    #[cfg(feature = "next")]
    async fn warp(&self, factor: u64) -> Result<Duration> {
        Ok(Duration::from_nanos(factor * 2))
    }
}

/// Messages come back in order.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Message>,
    closed: bool,
    reader: Option<Waker>,
}

impl Futures for Queue {
    type Item = Result<Message>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.waiting.pop_front() {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None if self.closed => Poll::Ready(None),
            None => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Sink<Message> for Queue {
    type Error = Error;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        self.waiting.push_back(message);
        self.reader.take().into_iter().for_each(Waker::wake);
        Ok(())
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.closed = true;
        self.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

/// Datagrams come back, each with the address it was sent to.
#[derive(Default)]
struct Kept(VecDeque<(Vec<u8>, DatagramMeta)>);

impl DatagramIo for Kept {
    fn poll_recv(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<Option<DatagramMeta>>> {
        let Some((bytes, mut meta)) = self.0.pop_front() else { return Poll::Pending };
        buffer[..bytes.len()].copy_from_slice(&bytes);
        meta.len = bytes.len();
        Poll::Ready(Ok(Some(meta)))
    }
    fn poll_send(&mut self, _: &mut Context<'_>, buffer: &[u8], meta: &DatagramMeta) -> Poll<Result<()>> {
        self.0.push_back((buffer.to_vec(), *meta));
        Poll::Ready(Ok(()))
    }
    fn max_size(&self) -> usize {
        1200
    }
}

/// Answers each request with its own head and body.
struct Answers;

impl Exchanger for Answers {
    async fn send(&self, request: Envelope) -> Result<Envelope> {
        Ok(request)
    }
    async fn accept(&self) -> Result<Option<Incoming>> {
        let head = jackfield_plugin_api::HeaderBlock::new([(":path", "/asked")])?;
        let answer = Answer::new(|_| async { Ok(()) });
        let request = Envelope::new(head, Body::full(Bytes::from_static(b"?")));
        Ok(Some(Incoming::new(request, answer)))
    }
}

/// Serves a session by sending one message back.
struct Once;

impl Handler for Once {
    const INFO: HandlerInfo = HandlerInfo::new("once", "Sends one message back", Facets::MESSAGES);
    type Options = NoParams;
    fn new(_: Host, _: NoParams) -> Result<Self> {
        Ok(Once)
    }
    async fn serve(&self, session: Session) -> Result<()> {
        use futures_util::{SinkExt, StreamExt};
        let mut messages = session.take_messages().ok_or_else(|| Error::unsupported("this"))?;
        let one = messages.next().await.ok_or_else(|| Error::new(ErrorKind::Closed, "none"))??;
        messages.send(one).await
    }
}

/// Adds a word to what it passes on, and one to what comes back.
struct Stamp(#[expect(dead_code, reason = "shows that it crosses")] Arc<()>);

impl Interceptor for Stamp {
    const INFO: InterceptorInfo = InterceptorInfo::new("stamp", "Writes on what passes").order(-3);
    type Options = NoParams;
    fn new(_: Host, _: NoParams) -> Result<Self> {
        Ok(Stamp(Arc::default()))
    }
    async fn call(&self, mut call: Call, next: Next) -> Result<Value> {
        call.params = json!([call.params, call.connection, call.operation]);
        Ok(json!({ "stamped": next.run(call).await? }))
    }
}

jackfield_plugin_api::export_plugin! { drivers: [Mirror], handlers: [Once], interceptors: [Stamp] }

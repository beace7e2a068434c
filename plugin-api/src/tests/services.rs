//! Host services, as a driver uses them, over the table.

use super::{Count, OnDrop, once, panicked};
use crate::op::Op;
use crate::services::{
    FdIo, Interest, Level, Services, Socket, SocketKind, TimerIo, export_services,
};
use crate::{Accept, Datagrams, Error, ErrorKind, Event, Host, Info, Listener, Result, Session};
use bytes::Bytes;
use serde_json::json;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

/// Writes down what it is asked; panics instead if it is told to.
#[derive(Default)]
struct Fake {
    noted: Arc<Mutex<Vec<String>>>,
    panics: bool,
}

impl Fake {
    fn note(&self, what: String) {
        assert!(!self.panics, "told to panic");
        self.noted.lock().unwrap().push(what);
    }
}

struct Ticks(u32);

impl TimerIo for Ticks {
    fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
    fn reset(&mut self, after: Duration) {
        self.0 = after.subsec_nanos();
    }
}

struct Readable(bool);

impl FdIo for Readable {
    fn poll_ready(&mut self, interest: Interest, _: &mut Context<'_>) -> Poll<Result<()>> {
        match (interest, self.0) {
            (Interest::Write, _) => Poll::Ready(Err(Error::new(ErrorKind::Io, "not writable"))),
            (Interest::Read, true) => Poll::Ready(Ok(())),
            (Interest::Read, false) => Poll::Pending,
        }
    }
    fn clear_ready(&mut self, _: Interest) {
        self.0 = false;
    }
}

struct Nobody;

impl Accept for Nobody {
    fn info(&self) -> Info {
        Info { local: Some("nowhere".into()), ..Info::default() }
    }
    async fn accept(&self) -> Result<Session> {
        Err(Error::new(ErrorKind::Closed, "nobody comes"))
    }
}

impl Services for Fake {
    fn log(&self, level: Level, target: &str, message: &str) {
        self.note(format!("log {level:?} {target} {message}"));
    }
    fn now(&self) -> Duration {
        self.note("now".into());
        Duration::from_nanos(42)
    }
    fn spawn(&self, task: Op<()>) -> Op<()> {
        self.note("spawn".into());
        task
    }
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> Op<()> {
        self.note("spawn_blocking".into());
        Op::new(async move {
            work();
            Ok(())
        })
    }
    fn timer(&self, after: Duration) -> Box<dyn TimerIo> {
        self.note(format!("timer {after:?}"));
        Box::new(Ticks(after.subsec_nanos()))
    }
    fn connect(&self, socket: Socket) -> Op<Session> {
        self.note(format!("connect {socket:?}"));
        Op::ready(Ok(Session::builder(Info::default()).build()))
    }
    fn listen(&self, socket: Socket) -> Op<Listener> {
        self.note(format!("listen {socket:?}"));
        Op::ready(Ok(Listener::new(Nobody)))
    }
    fn bind_datagrams(&self, socket: Socket) -> Op<Datagrams> {
        self.note(format!("bind_datagrams {socket:?}"));
        Op::ready(Err(Error::new(ErrorKind::InUse, "taken")))
    }
    fn watch(&self, fd: BorrowedFd<'_>) -> Result<Box<dyn FdIo>> {
        self.note(format!("watch {}", fd.as_raw_fd()));
        Ok(Box::new(Readable(true)))
    }
    fn resolve(&self, host: &str, port: u16) -> Op<Bytes> {
        self.note(format!("resolve {host} {port}"));
        Op::ready(Ok(Bytes::from_static(b"[\"192.0.2.1:22\",\"[2001:db8::1]:22\"]")))
    }
    fn secret(&self, reference: &str) -> Op<Bytes> {
        self.note(format!("secret {reference}"));
        Op::ready(Ok(Bytes::from_static(b"hunter2")))
    }
    fn metric(&self, kind: &str, name: &str, labels: &str, value: f64) {
        self.note(format!("metric {kind} {name} {labels} {value}"));
    }
    fn event(&self, event: &str) {
        self.note(format!("event {event}"));
    }
    fn open(&self, uri: &str, options: &str) -> Op<Session> {
        self.note(format!("open {uri} {options}"));
        Op::ready(Err(Error::new(ErrorKind::Unreachable, "no way")))
    }
}

fn host(fake: Fake) -> Host {
    let (table, context) = export_services(Arc::new(fake));
    // SAFETY: both come from the call above.
    unsafe { Host::new(table, context) }
}

fn socket() -> Socket {
    Socket {
        bind: Some("127.0.0.1:9".into()),
        nodelay: false,
        reuse_port: true,
        keepalive: Duration::from_secs(1),
        keepalive_interval: Duration::from_secs(2),
        keepalive_count: 3,
        attempt_delay: Duration::from_millis(4),
        backlog: 5,
        send_buffer: 6,
        recv_buffer: 7,
        user_timeout: Duration::from_secs(8),
        family: 6,
        ..Socket::new(SocketKind::Tcp, "localhost", 65535)
    }
}

#[tokio::test]
async fn every_service_arrives_with_what_it_was_given() {
    let fake = Fake::default();
    let noted = Arc::clone(&fake.noted);
    let host = host(fake);
    host.log(Level::Warn, "ssh", "grüße");
    assert_eq!(host.now(), Duration::from_nanos(42));
    host.spawn(async {}).await.unwrap();
    assert_eq!(host.blocking(|| 6 * 7).await.unwrap(), 42);
    host.connect(&socket()).await.unwrap();
    let path = Socket::at_path(SocketKind::UnixDatagram, "/run/x");
    let listener = host.listen(&path).await.unwrap();
    assert_eq!(listener.info().local.as_deref(), Some("nowhere"));
    assert_eq!(host.bind_datagrams(&socket()).await.unwrap_err().kind(), ErrorKind::InUse);
    let found = host.resolve("lab", 22).await.unwrap();
    assert_eq!(found, ["192.0.2.1:22".parse().unwrap(), "[2001:db8::1]:22".parse().unwrap()]);
    assert_eq!(host.secret("{\"env\":\"X\"}").await.unwrap(), "hunter2");
    host.metric("gauge", "rtt", &json!({ "peer": "a" }), 1.5);
    host.event(&Event { name: "up".into(), data: json!(1) });
    let error = host.open("tcp://lab:1", &json!({ "nodelay": true })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);

    let noted = noted.lock().unwrap().clone();
    let expected = [
        "log Warn ssh grüße".to_owned(),
        "now".to_owned(),
        "spawn".to_owned(),
        "spawn_blocking".to_owned(),
        format!("connect {:?}", socket()),
        format!("listen {path:?}"),
        format!("bind_datagrams {:?}", socket()),
        "resolve lab 22".to_owned(),
        "secret {\"env\":\"X\"}".to_owned(),
        "metric gauge rtt {\"peer\":\"a\"} 1.5".to_owned(),
        "event {\"name\":\"up\",\"data\":1}".to_owned(),
        "open tcp://lab:1 {\"nodelay\":true}".to_owned(),
    ];
    assert_eq!(noted, expected);
}

#[tokio::test]
async fn a_timer_fires_and_starts_over() {
    let host = host(Fake::default());
    let mut timer = host.timer(Duration::from_nanos(5));
    assert!(once(|cx| Pin::new(&mut timer).poll(cx)).is_pending());
    timer.reset(Duration::ZERO);
    assert!(once(|cx| Pin::new(&mut timer).poll(cx)).is_ready());
    timer.reset(Duration::from_nanos(1));
    assert!(once(|cx| Pin::new(&mut timer).poll(cx)).is_pending());

    let never = std::future::pending::<Result<()>>();
    let late = host.timeout(Duration::ZERO, "the peer", never).await.expect_err("time is up");
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    assert!(late.message().contains("the peer"), "{late}");
    let soon = host.timeout(Duration::ZERO, "the peer", async { Ok(7) }).await;
    assert_eq!(soon, Ok(7), "what is ready wins");
}

#[test]
fn a_descriptor_is_watched_by_direction() {
    let (fd, _other) = UnixStream::pair().unwrap();
    let mut ready = host(Fake::default()).watch(&fd).unwrap();
    assert_eq!(once(|cx| ready.poll_ready(Interest::Read, cx)), Poll::Ready(Ok(())));
    ready.clear_ready(Interest::Read);
    assert!(once(|cx| ready.poll_ready(Interest::Read, cx)).is_pending());
    let Poll::Ready(Err(error)) = once(|cx| ready.poll_ready(Interest::Write, cx)) else {
        panic!("it is not writable")
    };
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[tokio::test]
async fn a_task_that_is_dropped_is_stopped_and_work_that_panics_says_so() {
    let host = host(Fake::default());
    let dropped = Count::default();
    let guard = OnDrop::panic(&dropped);
    let task = host.spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    drop(task);
    assert_eq!(dropped.get(), 1);
    panicked(host.spawn(async { panic!("told to panic") }).await);
    let error = host.blocking(|| -> u8 { panic!("told to panic") }).await.expect_err("a panic");
    assert_eq!(error.kind(), ErrorKind::Panicked);
}

#[tokio::test]
async fn blocking_work_that_a_host_does_not_take_is_dropped() {
    let refuses = host(Fake { panics: true, ..Fake::default() });
    let dropped = Count::default();
    let guard = OnDrop::count(&dropped);
    panicked(refuses.blocking(move || drop(guard)).await);
    assert_eq!(dropped.get(), 1);
}

#[tokio::test]
async fn a_host_that_panics_costs_its_plugin_that_call() {
    let host = host(Fake { panics: true, ..Fake::default() });
    host.log(Level::Error, "", "");
    assert_eq!(host.now(), Duration::ZERO);
    panicked(host.spawn(async {}).await);
    panicked(host.blocking(|| ()).await);
    panicked(host.connect(&socket()).await.map(drop));
    panicked(host.listen(&socket()).await.map(drop));
    panicked(host.bind_datagrams(&socket()).await.map(drop));
    panicked(host.resolve("lab", 1).await);
    panicked(host.secret("x").await);
    panicked(host.open("x", &json!({})).await.map(drop));
    host.metric("counter", "x", &json!({}), 0.0);
    host.event(&Event { name: "x".into(), data: json!(null) });
    let (fd, _other) = UnixStream::pair().unwrap();
    panicked(host.watch(&fd).map(drop));
    // A timer that could not be made never fires; it is not a pointer to nothing.
    let mut timer = host.timer(Duration::ZERO);
    timer.reset(Duration::ZERO);
    assert!(once(|cx| Pin::new(&mut timer).poll(cx)).is_pending());
}

//! Host services on the current tokio runtime.

use super::host::Shared;
use crate::datagrams::{DatagramIo, DatagramMeta, Datagrams};
use crate::error::{Error, ErrorKind, Result};
use crate::info::Info;
use crate::inside::{AcceptInside, inside};
use crate::listener::{Accept, Listener};
use crate::op::Op;
use crate::services::{FdIo, Interest, Level, Services, Socket, SocketKind, TimerIo};
use crate::session::Session;
use crate::stream::Stream;
use bytes::Bytes;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};

pub(super) struct TokioServices {
    /// The test's: a plugin's private runtime has a clock of its own, that does not stand still. A test of
    /// options alone has none, and needs none.
    runtime: OnceLock<Handle>,
    start: Instant,
    shared: Arc<Shared>,
}

impl TokioServices {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let runtime = Handle::try_current().map(OnceLock::from).unwrap_or_default();
        TokioServices { runtime, start: Instant::now(), shared }
    }

    /// Where everything is done from the first use on.
    fn runtime(&self) -> &Handle {
        self.runtime.get_or_init(Handle::current)
    }
}

impl Services for TokioServices {
    fn log(&self, level: Level, target: &str, message: &str) {
        self.shared.log(level, target, message);
    }

    fn now(&self) -> Duration {
        let _entered = self.runtime.get().map(Handle::enter);
        self.start.elapsed()
    }

    fn spawn(&self, task: Op<()>) -> Op<()> {
        let counted = self.shared.task();
        Op::new(Running(self.runtime().spawn(async move {
            let _counted = counted;
            task.await
        })))
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) -> Op<()> {
        let task = self.runtime().spawn_blocking(work);
        Op::new(async move { task.await.map_err(|error| lost(&error)) })
    }

    fn timer(&self, after: Duration) -> Box<dyn TimerIo> {
        let _entered = self.runtime().enter();
        Box::new(TokioTimer(Box::pin(tokio::time::sleep(after))))
    }

    fn connect(&self, socket: Socket) -> Op<Session> {
        inside(self.runtime(), async move {
            if socket.kind == SocketKind::Unix {
                let stream = UnixStream::connect(&socket.path).await?;
                return Ok(unix_session(stream, &socket.path));
            }
            tcp_only(&socket)?;
            session(TcpStream::connect((socket.host.as_str(), socket.port)).await?)
        })
    }

    fn listen(&self, socket: Socket) -> Op<Listener> {
        inside(self.runtime(), async move {
            if socket.kind == SocketKind::Unix {
                let listener = UnixListener::bind(&socket.path)?;
                return Ok(AcceptInside::listener(UnixAccept { listener, path: socket.path }));
            }
            tcp_only(&socket)?;
            let listener = TcpListener::bind((socket.host.as_str(), socket.port)).await?;
            let info = Info::new().local(listener.local_addr()?.to_string());
            Ok(AcceptInside::listener(TcpAccept { listener, info }))
        })
    }

    fn bind_datagrams(&self, socket: Socket) -> Op<Datagrams> {
        inside(self.runtime(), async move {
            if socket.kind != SocketKind::Udp {
                return Err(absent("a datagram socket other than UDP"));
            }
            let socket = UdpSocket::bind((socket.host.as_str(), socket.port)).await?;
            Ok(Datagrams::new(Udp(socket)))
        })
    }

    fn watch(&self, fd: BorrowedFd<'_>) -> Result<Box<dyn FdIo>> {
        let _entered = self.runtime().enter();
        #[allow(deprecated, reason = "sound for an OwnedFd, which cannot change its descriptor")]
        let fd = AsyncFd::new(fd.try_clone_to_owned()?)?;
        Ok(Box::new(Watched(fd)))
    }

    fn resolve(&self, host: &str, port: u16) -> Op<Bytes> {
        let host = host.to_owned();
        inside(self.runtime(), async move {
            let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
            serde_json::to_vec(&found)
                .map(Bytes::from)
                .map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
        })
    }

    fn secret(&self, reference: &str) -> Op<Bytes> {
        let found = self.shared.secret(reference);
        let secret = found.map(|secret| Bytes::from(secret.expose().to_owned()));
        Op::ready(secret.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no such secret").with("secret", reference)
        }))
    }

    fn metric(&self, kind: &str, name: &str, labels: &str, value: f64) {
        self.shared.metric(kind, name, labels, value);
    }

    fn event(&self, event: &str) {
        self.shared.event(event);
    }

    fn open(&self, uri: &str, options: &str) -> Op<Session> {
        let opened = self.shared.open(uri, options);
        Op::ready(opened.unwrap_or_else(|| Err(absent("opening stacks"))))
    }

    fn stopping(&self) -> Op<()> {
        let mut stopping = self.shared.stopping.subscribe();
        Op::new(async move {
            // Without a host nothing stops any more.
            let _ = stopping.wait_for(|stops| *stops).await;
            Ok(())
        })
    }
}

fn absent(what: &str) -> Error {
    Error::unsupported(&format!("{what} in a test without a host"))
}

fn lost(error: &tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Panicked, error.to_string())
}

fn tcp_only(socket: &Socket) -> Result<()> {
    if socket.kind == SocketKind::Tcp { Ok(()) } else { Err(absent("a socket other than TCP")) }
}

fn session(socket: TcpStream) -> Result<Session> {
    let info =
        Info::new().local(socket.local_addr()?.to_string()).peer(socket.peer_addr()?.to_string());
    Ok(Session::of_stream(info, Stream::new(socket)))
}

struct TcpAccept {
    listener: TcpListener,
    info: Info,
}

impl Accept for TcpAccept {
    fn info(&self) -> Info {
        self.info.clone()
    }
    async fn accept(&self) -> Result<Session> {
        session(self.listener.accept().await?.0)
    }
}

fn unix_session(stream: UnixStream, path: &str) -> Session {
    let info = Info::new().peer(path.to_owned());
    Session::of_stream(info, Stream::new(stream))
}

struct UnixAccept {
    listener: UnixListener,
    path: String,
}

impl Accept for UnixAccept {
    fn info(&self) -> Info {
        Info::new().local(self.path.clone())
    }
    async fn accept(&self) -> Result<Session> {
        Ok(unix_session(self.listener.accept().await?.0, &self.path))
    }
}

struct Udp(UdpSocket);

impl DatagramIo for Udp {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        let mut buffer = ReadBuf::new(buffer);
        let peer = ready!(self.0.poll_recv_from(cx, &mut buffer))?;
        Poll::Ready(Ok(Some(DatagramMeta::new(buffer.filled().len(), Some(peer)))))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &[u8],
        meta: &DatagramMeta,
    ) -> Poll<Result<()>> {
        let Some(peer) = meta.peer else {
            return Poll::Ready(Err(Error::new(ErrorKind::Config, "a datagram needs a peer")));
        };
        let bytes = buffer.get(..meta.len).unwrap_or(buffer);
        Poll::Ready(ready!(self.0.poll_send_to(cx, bytes, peer)).map(drop).map_err(Error::from))
    }

    fn max_size(&self) -> usize {
        65_507
    }
}

/// A second descriptor of the same open file.
struct Watched(AsyncFd<OwnedFd>);

impl FdIo for Watched {
    fn poll_ready(&mut self, interest: Interest, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let ready = match interest {
            Interest::Read => self.0.poll_read_ready(cx),
            Interest::Write => self.0.poll_write_ready(cx),
        };
        ready.map(|guard| guard.map(|mut guard| guard.retain_ready()).map_err(Error::from))
    }

    fn clear_ready(&mut self, interest: Interest) {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let ready = match interest {
            Interest::Read => self.0.poll_read_ready(&mut context),
            Interest::Write => self.0.poll_write_ready(&mut context),
        };
        if let Poll::Ready(Ok(mut guard)) = ready {
            guard.clear_ready();
        }
    }
}

/// A task that ends when nobody holds this any longer.
struct Running(JoinHandle<Result<()>>);

impl Future for Running {
    type Output = Result<()>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|joined| joined.unwrap_or_else(|error| Err(lost(&error))))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct TokioTimer(Pin<Box<Sleep>>);

impl TimerIo for TokioTimer {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
    fn reset(&mut self, after: Duration) {
        self.0.as_mut().reset(Instant::now() + after);
    }
}

//! [`HostRuntime`]: quinn on the host's services, so that the host's reactor is the only one. Datagrams
//! go through the socket itself, several in one system call where the system can, with ECN.

use crate::handing::Handing;
use jackfield_plugin_api::Op;
use jackfield_plugin_api::{Error, Host};
use jackfield_plugin_api::{FdReady, Interest, Timer};
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};
use slab::Slab;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct HostRuntime {
    host: Host,
    tasks: Arc<Tasks>,
}

impl HostRuntime {
    pub(crate) fn new(host: Host) -> Self {
        HostRuntime { host, tasks: Arc::default() }
    }
}

impl Runtime for HostRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        let after = at.saturating_duration_since(Instant::now());
        Box::pin(HostTimer(self.host.timer(after)))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        Tasks::run(&self.tasks, &self.host, future);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(HostSocket::new(self.host, socket)?))
    }
}

#[derive(Debug)]
struct HostTimer(Timer);

impl AsyncTimer for HostTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.reset(at.saturating_duration_since(Instant::now()));
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Future::poll(Pin::new(&mut self.0), cx)
    }
}

/// Tasks whose results are not awaited. The host stops a task whose handle is dropped, so the handles are
/// here until their tasks have ended.
#[derive(Debug, Default)]
struct Tasks(Mutex<Slab<Handle>>);

#[derive(Debug)]
enum Handle {
    Starting,
    Running { _task: Op<()> },
    Ended,
}

impl Tasks {
    fn all(&self) -> MutexGuard<'_, Slab<Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(tasks: &Arc<Self>, host: &Host, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let key = tasks.all().insert(Handle::Starting);
        let mine = Arc::clone(tasks);
        let task = host.spawn(async move {
            future.await;
            mine.end(key);
        });
        let mut all = tasks.all();
        match all.get_mut(key) {
            // It was faster than we.
            Some(Handle::Ended) | None => {
                all.try_remove(key);
            }
            Some(handle) => *handle = Handle::Running { _task: task },
        }
    }

    fn end(&self, key: usize) {
        let mut all = self.all();
        let ended = match all.get_mut(key) {
            Some(handle @ Handle::Starting) => {
                *handle = Handle::Ended;
                None
            }
            _ => all.try_remove(key),
        };
        drop(all);
        // Outside of the lock: it goes back to the host.
        drop(ended);
    }
}

pub(crate) struct HostSocket {
    host: Host,
    socket: UdpSocket,
    state: UdpSocketState,
    readable: Mutex<FdReady>,
    /// Of a listener's.
    handing: Option<Handing>,
}

impl HostSocket {
    pub(crate) fn new(host: Host, socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let readable = Mutex::new(host.watch(&socket).map_err(Error::into_io)?);
        Ok(HostSocket { host, socket, state, readable, handing: None })
    }

    /// A listener's, which is handed over when another process takes over.
    pub(crate) fn handing(self, handing: Handing) -> Self {
        HostSocket { handing: Some(handing), ..self }
    }

    fn poll_socket(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut readable = self.readable.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            ready!(readable.poll_ready(Interest::Read, cx)).map_err(Error::into_io)?;
            match self.state.recv((&self.socket).into(), buffers, meta) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    readable.clear_ready(Interest::Read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl std::fmt::Debug for HostSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HostSocket").field(&self.socket).finish()
    }
}

impl AsyncUdpSocket for HostSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { socket: self, ready: Mutex::new(None) })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.state.send((&self.socket).into(), transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.poll_socket(cx, buffers, meta);
        match (&received, &self.handing) {
            (Poll::Pending, Some(handing)) => return handing.poll_recv(cx, buffers, meta),
            (Poll::Ready(Ok(count)), Some(handing)) => {
                let count = meta.len().min(*count);
                handing.pass_on(buffers, &mut meta[..count]);
            }
            _ => {}
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// Waits until a full socket has room again. The descriptor is watched only meanwhile: each
/// connection has one of these, and hardly any ever needs it.
struct Writable {
    socket: Arc<HostSocket>,
    ready: Mutex<Option<FdReady>>,
}

impl std::fmt::Debug for Writable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writable")
    }
}

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = match &mut *ready {
            Some(watched) => watched,
            empty => {
                let watched = self.socket.host.watch(&self.socket.socket);
                empty.insert(watched.map_err(Error::into_io)?)
            }
        };
        let done = ready!(watched.poll_ready(Interest::Write, cx));
        *ready = None;
        Poll::Ready(done.map_err(Error::into_io))
    }
}

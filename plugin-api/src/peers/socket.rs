//! [`Bound`]: a datagram socket that does not block, and [`Outgoing`]: sending on it.

use super::too_long;
use crate::error::{Error, Result};
use crate::services::{FdReady, Host, Interest, Timer};
use socket2::{Protocol, SockAddr, Socket, Type};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Asks for the whole length of a datagram that was cut.
#[cfg(any(target_os = "linux", target_os = "android"))]
const WHOLE_LENGTH: i32 = 0x20;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const WHOLE_LENGTH: i32 = 0;

pub(super) struct Bound(Socket);

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Bound {
    pub(super) fn new(fd: OwnedFd) -> Result<Self> {
        let socket = Socket::from(fd);
        socket.set_nonblocking(true)?;
        Ok(Bound(socket))
    }

    /// Another socket of the same address that receives from `peer` alone. The system gives it what comes from there, and
    /// the one that is not connected the rest.
    pub(super) fn own(&self, peer: &SockAddr) -> io::Result<Bound> {
        let local = self.0.local_addr()?;
        self.0.set_reuse_address(true)?;
        let own = Socket::new(local.domain(), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if local.is_ipv6() {
            own.set_only_v6(self.0.only_v6()?)?;
        }
        own.set_reuse_address(true)?;
        if self.0.reuse_port()? {
            own.set_reuse_port(true)?;
        }
        own.bind(&local)?;
        // What others send in between comes to it as well, and is sorted by its sender.
        own.connect(peer)?;
        Ok(Bound(own))
    }

    pub(super) fn local(&self) -> Option<String> {
        self.0.local_addr().ok().as_ref().and_then(name)
    }

    pub(super) fn peer(&self) -> Option<SockAddr> {
        self.0.peer_addr().ok()
    }

    /// Receives one datagram; its length may be more than the buffer has room for.
    pub(super) fn poll_recv(
        &self,
        ready: &mut FdReady,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<(usize, SockAddr)>> {
        // SAFETY: the same memory; receiving writes only what it has received, so that no byte of
        // it becomes uninitialised.
        let buffer = unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) };
        loop {
            ready!(ready.poll_ready(Interest::Read, cx))?;
            match self.0.recv_from_with_flags(buffer, WHOLE_LENGTH) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready(Interest::Read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done.map_err(Error::from)),
            }
        }
    }

    fn send(&self, to: Option<&SockAddr>, bytes: &[u8]) -> io::Result<usize> {
        match to {
            Some(peer) => self.0.send_to(bytes, peer),
            None => self.0.send(bytes),
        }
    }
}

/// How a peer is written: `127.0.0.1:53`, a path, `@name` in the abstract namespace; nothing when it
/// has no name.
pub(super) fn name(address: &SockAddr) -> Option<String> {
    if let Some(ip) = address.as_socket() {
        return Some(ip.to_string());
    }
    if let Some(path) = address.as_pathname() {
        return Some(path.display().to_string());
    }
    let name = address.as_abstract_namespace()?;
    Some(format!("@{}", String::from_utf8_lossy(name)))
}

/// Pause before a full queue is tried again. A datagram socket is always writable when the queue
/// that is full is its peer's, so readiness would not tell.
const PAUSE: Duration = Duration::from_millis(1);

/// One sender on a socket.
pub(super) struct Outgoing {
    pub(super) max_size: usize,
    host: Host,
    pause: Option<Timer>,
}

impl Outgoing {
    pub(super) fn new(host: Host, max_size: usize) -> Self {
        Outgoing { max_size, host, pause: None }
    }

    pub(super) fn poll_send(
        &mut self,
        socket: &Bound,
        to: Option<&SockAddr>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<()>> {
        if bytes.len() > self.max_size {
            return Poll::Ready(Err(too_long(bytes.len(), self.max_size)));
        }
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(Pin::new(pause).poll(cx));
                self.pause = None;
            }
            match socket.send(to, bytes) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if full(&error) => self.pause = Some(self.host.timer(PAUSE)),
                Err(error) => return Poll::Ready(Err(Error::from(error))),
            }
        }
    }
}

/// The queue of the socket, of the device or of the peer has no room now.
fn full(error: &io::Error) -> bool {
    const ENOBUFS: i32 = 105;
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(ENOBUFS)
}

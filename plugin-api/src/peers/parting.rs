//! What becomes of a listener's peers when another process takes over: each that is there gets a socket of its own, which
//! this process reads, and the listener's socket goes to the new one.

use super::mailboxes::Place;
use super::socket::Bound;
use super::{LONGEST, Shared, TURN};
use crate::error::{Error, ErrorKind, Result};
use crate::services::{FdReady, Host, Level};
use socket2::SockAddr;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

/// A datagram socket to listen on. One that [`bind`] has made knows by which name it is handed over.
#[derive(Debug)]
pub struct ListeningSocket {
    pub(super) fd: OwnedFd,
    pub(super) name: Option<String>,
}

impl ListeningSocket {
    /// The descriptor, and the name by which it is to be offered ([`Host::offer`]) if it is handed over.
    pub fn into_parts(self) -> (OwnedFd, Option<String>) {
        (self.fd, self.name)
    }
}

impl From<OwnedFd> for ListeningSocket {
    fn from(fd: OwnedFd) -> Self {
        ListeningSocket { fd, name: None }
    }
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The socket that the process before this one has handed over for this address, or the one that `make` binds.
///
/// # Errors
/// Those of `make`.
pub fn bind(
    host: &Host,
    address: SocketAddr,
    make: impl FnOnce() -> io::Result<OwnedFd>,
) -> io::Result<ListeningSocket> {
    // The end keeps one address from being the beginning of another.
    let name = format!("udp://{address}/");
    let fd = match host.received(&name) {
        Some((_, taken)) => taken,
        None => make()?,
    };
    Ok(ListeningSocket { fd, name: Some(name) })
}

/// Offers the socket of a listener for as long as that lives, and parts its peers when a handover begins.
pub(super) async fn hand_over(host: Host, shared: Arc<Shared>, name: String) {
    loop {
        if host.offer(&name, &shared.socket).await.is_err() {
            return;
        }
        let failed: Vec<Error> = shared
            .mail
            .part()
            .iter()
            .filter_map(|place| own(&host, &shared, place).err())
            .collect();
        if let Some(first) = failed.first() {
            let text = format!(
                "of {} peers what comes from now on goes to the process that takes over: {first}",
                failed.len()
            );
            host.log(Level::Warn, "peers", &text);
        }
    }
}

/// Takes a datagram in, and gives a new peer a socket of its own where all have one.
pub(super) fn put(host: &Host, shared: &Arc<Shared>, peer: &SockAddr, bytes: &[u8]) {
    let Some(place) = shared.mail.put(peer, bytes, host.now()) else { return };
    if let Err(error) = own(host, shared, &place) {
        let text = format!("a peer goes to the process that takes over: {error}");
        host.log(Level::Warn, "peers", &text);
    }
}

/// Gives a peer a socket of its own.
fn own(host: &Host, shared: &Arc<Shared>, place: &Place) -> Result<()> {
    let socket = shared.socket.own(&place.peer)?;
    let ready = host.watch(&socket)?;
    let reading = Own { socket, ready, host: *host, shared: Arc::downgrade(shared) };
    shared.mail.keep(place, host.spawn(reading.run()));
    Ok(())
}

/// The reader of a peer's own socket.
struct Own {
    socket: Bound,
    ready: FdReady,
    host: Host,
    shared: Weak<Shared>,
}

impl Own {
    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Not kept: there may be a thousand of these, and most are silent.
        let mut buffer = vec![0; LONGEST];
        for _ in 0..TURN {
            let received = ready!(self.socket.poll_recv(&mut self.ready, cx, &mut buffer));
            let Some(shared) = self.shared.upgrade() else { return Poll::Ready(()) };
            match received {
                Ok((len, peer)) => match buffer.get(..len) {
                    Some(bytes) => put(&self.host, &shared, &peer, bytes),
                    None => shared.mail.drop_one(),
                },
                // The answer of the peer's machine to something we sent it.
                Err(error) if error.kind() == ErrorKind::Unreachable => {}
                Err(_) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

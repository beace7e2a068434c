//! Descriptors of plugins that are handed over: read by one process at a time.
//!
//! ```text
//! old: reads ─ give: the plugin is told, and is ready ─ let_go: reads no more ─┐
//! new:         takes, watches ─────────────────────────────────────────────────┴─ go: reads
//! ```
//!
//! Two readers of one datagram socket would each get some of a peer's datagrams.

use super::{Giving, HandoverName};
use crate::lock::IgnorePoison;
use rustix::fs::fstat;
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// How long a plugin has to make ready for a handover.
const READY: Duration = Duration::from_secs(1);

/// Which open file a datagram socket is.
pub(super) type FileId = (u64, u64);

/// `None` for what is no datagram socket: of that several may read.
pub(super) fn datagram_file(fd: BorrowedFd<'_>) -> Option<FileId> {
    if !matches!(socket_type(fd), Ok(SocketType::DGRAM)) {
        return None;
    }
    let file = fstat(fd).ok()?;
    Some((file.st_dev, file.st_ino))
}

/// Whether this process may read a descriptor.
#[derive(Debug, Default)]
pub(crate) struct ReadGate {
    is_closed: AtomicBool,
    opened: Notify,
    /// Whether the plugin has made ready for a handover.
    ready: Mutex<bool>,
    readied: Condvar,
}

impl ReadGate {
    /// Whether it may be read now. No lock: datagrams pass it.
    pub(crate) fn is_open(&self) -> bool {
        !self.is_closed.load(Ordering::Acquire)
    }

    /// Completes when it may be read. Cancel safe.
    pub(crate) async fn opened(self: Arc<Self>) {
        loop {
            let opened = self.opened.notified();
            if self.is_open() {
                return;
            }
            opened.await;
        }
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    fn open(&self) {
        self.is_closed.store(false, Ordering::Release);
        self.opened.notify_waiters();
    }

    fn set_ready(&self, is_ready: bool) {
        *self.ready.lock().ignore_poison() = is_ready;
        self.readied.notify_all();
    }

    /// Waits until the plugin is ready, for a moment at most. Blocks.
    fn wait_ready(&self) -> bool {
        let ready = self.ready.lock().ignore_poison();
        let waited = self.readied.wait_timeout_while(ready, READY, |ready| !*ready);
        waited.map(|(ready, _)| *ready).unwrap_or_default()
    }
}

/// The gates of the datagram sockets that are watched, offered or received.
#[derive(Debug, Default)]
pub(super) struct ReadGates {
    all: Vec<(FileId, Weak<ReadGate>)>,
    /// Of what was received, until the process before this one has let go.
    waiting: Vec<Arc<ReadGate>>,
}

impl ReadGates {
    /// The gate of an open file.
    pub(super) fn of(&mut self, id: FileId) -> Arc<ReadGate> {
        let known = self.all.iter().find(|(other, _)| *other == id);
        if let Some(gate) = known.and_then(|(_, gate)| gate.upgrade()) {
            return gate;
        }
        self.all.retain(|(_, gate)| gate.strong_count() > 0);
        let gate = Arc::new(ReadGate::default());
        self.all.push((id, Arc::downgrade(&gate)));
        gate
    }

    /// What was received is not read before the process before this one has let go.
    pub(super) fn wait_for(&mut self, id: FileId) {
        let gate = self.of(id);
        gate.close();
        self.waiting.push(gate);
    }

    /// The process before this one has let go.
    pub(super) fn open(&mut self) {
        self.waiting.drain(..).for_each(|gate| gate.open());
    }
}

/// A descriptor of a plugin that can be handed over.
#[derive(Debug)]
pub(crate) struct PluginOffer {
    name: HandoverName,
    fd: OwnedFd,
    gate: Option<Arc<ReadGate>>,
    begun: Notify,
}

impl PluginOffer {
    /// Of the plugin that is ready for it.
    pub(super) fn new(
        name: HandoverName,
        fd: BorrowedFd<'_>,
        gate: Option<Arc<ReadGate>>,
    ) -> io::Result<Arc<Self>> {
        gate.iter().for_each(|gate| gate.set_ready(true));
        let fd = fd.as_fd().try_clone_to_owned()?;
        Ok(Arc::new(PluginOffer { name, fd, gate, begun: Notify::new() }))
    }

    /// Completes when a handover begins. Cancel safe.
    pub(crate) async fn begun(&self) {
        self.begun.notified().await;
    }
}

impl Giving for PluginOffer {
    fn prepare(&self) {
        self.gate.iter().for_each(|gate| gate.set_ready(false));
        self.begun.notify_one();
    }

    fn give(&self) -> io::Result<Vec<(HandoverName, OwnedFd)>> {
        if !self.gate.iter().all(|gate| gate.wait_ready()) {
            let name = self.name.to_string();
            tracing::warn!(
                name,
                "its plugin has not made ready within {READY:?}: peers may be cut off"
            );
        }
        Ok(vec![(self.name.clone(), self.fd.try_clone()?)])
    }

    fn let_go(&self) {
        self.gate.iter().for_each(|gate| gate.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn socket() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").unwrap()
    }

    #[test]
    fn each_datagram_socket_has_one_gate_by_whichever_descriptor_and_others_have_none() {
        let mut gates = ReadGates::default();
        let (one, other) = (socket(), socket());
        let mut of = |socket: &UdpSocket| gates.of(datagram_file(socket.as_fd()).unwrap());
        let gate = of(&one);
        let copy = one.try_clone().unwrap();
        assert!(Arc::ptr_eq(&gate, &of(&copy)));
        assert!(!Arc::ptr_eq(&gate, &of(&other)));
        let stream = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(datagram_file(stream.as_fd()).is_none());
    }

    #[tokio::test]
    async fn what_is_received_is_read_once_the_process_before_has_let_go() {
        let (mut gates, socket) = (ReadGates::default(), socket());
        let file = datagram_file(socket.as_fd()).unwrap();
        gates.wait_for(file);
        let gate = gates.of(file);
        assert!(!gate.is_open());
        let mut opened = std::pin::pin!(Arc::clone(&gate).opened());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(opened.as_mut().poll(&mut context).is_pending());
        gates.open();
        opened.await;
        assert!(gate.is_open());
    }

    #[tokio::test]
    async fn a_plugin_makes_ready_before_its_socket_is_given_and_reads_until_it_is_let_go() {
        let (mut gates, socket) = (ReadGates::default(), socket());
        let name = || HandoverName::OfPlugin { plugin: "p".into(), name: "udp://x/".into() };
        let gate = datagram_file(socket.as_fd()).map(|file| gates.of(file));
        let offer = PluginOffer::new(name(), socket.as_fd(), gate.clone()).unwrap();
        offer.prepare();
        offer.begun().await;
        let giving = {
            let offer = Arc::clone(&offer);
            std::thread::spawn(move || offer.give().unwrap().len())
        };
        // The plugin offers it again: it is ready.
        let again = PluginOffer::new(name(), socket.as_fd(), gate.clone()).unwrap();
        assert_eq!(giving.join().unwrap(), 1);
        assert!(gate.as_ref().unwrap().is_open());
        offer.let_go();
        assert!(!gate.unwrap().is_open());
        drop(again);
    }
}

//! What passes from one process to another by name: sockets that listen, and the lock of the state folder.
//!
//! ```text
//! service manager ─ LISTEN_FDS ─┐                                        ┌─ listeners, the admin API, the state
//!                               ├─▶ received, by name ─▶ taken by those ─┤
//! process before this one ──────┘                        that ask        └─▶ offered to the process after this one
//! ```
//!
//! A listening socket that is handed over is never closed on the way, so that no peer is refused. It goes to what asks
//! for its very name and to nothing else; what nobody has asked for is told and closed.
//!
//! Plugins hand descriptors of their own over to themselves, by names that only they know. A datagram socket among them is
//! read by one process at a time.

#[cfg(feature = "handover")]
mod activation;
mod channel;
mod gate;

#[cfg(feature = "handover")]
pub use activation::{not_taken, received_from_service_manager};
pub use channel::{AT_ONCE, HandoverChannel, HandoverMessage};
pub(crate) use gate::{PluginOffer, ReadGate};

use crate::lock::IgnorePoison;
use crate::nearest::did_you_mean;
use gate::{ReadGates, datagram_file};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

tokio::task_local! {
    /// The name that a listener wants its socket by, while it takes it.
    static WANTED: Option<Arc<str>>;
}

/// Runs `binding`, in which sockets to listen on are those of that name, if there is one. Cancel safe as `binding` is.
pub(crate) async fn by_name<F: Future>(name: Option<Arc<str>>, binding: F) -> F::Output {
    WANTED.scope(name, binding).await
}

/// The name by which a socket is wanted here.
pub(crate) fn wanted() -> Option<Arc<str>> {
    WANTED.try_with(Clone::clone).ok().flatten()
}

/// What something that is handed over is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoverName {
    /// A socket that listens at this address, as it was asked for: port 0 is one that the system chose.
    Tcp(SocketAddr),
    /// A Unix socket that listens at this path.
    Unix(String),
    /// A socket that a service manager has opened, by its name there.
    Named(String),
    /// The socket of the admin API at this path.
    Admin(String),
    /// The lock of this state folder.
    State(String),
    /// What a plugin hands over to itself.
    OfPlugin {
        /// The name of its package.
        plugin: String,
        /// As the plugin calls it.
        name: String,
    },
}

impl fmt::Display for HandoverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandoverName::Tcp(address) => write!(f, "tcp://{address}"),
            HandoverName::Unix(path) => write!(f, "unix:{path}"),
            HandoverName::Named(name) => write!(f, "socket:{name}"),
            HandoverName::Admin(path) => write!(f, "admin unix:{path}"),
            HandoverName::State(folder) => write!(f, "state {folder}"),
            HandoverName::OfPlugin { plugin, name } => write!(f, "{name} of {plugin}"),
        }
    }
}

/// Something that can be handed over.
pub trait Giving: Send + Sync {
    /// A handover begins: what has to be made ready for it is.
    fn prepare(&self) {}

    /// Second handles of its descriptors, by name.
    ///
    /// # Errors
    /// What the system says.
    fn give(&self) -> io::Result<Vec<(HandoverName, OwnedFd)>>;

    /// From now on it belongs to the process that has taken it: what it has in the file system stays there.
    fn let_go(&self) {}
}

/// Whether a file that goes with something handed over is this process's to remove.
pub(crate) type FileOwned = Arc<AtomicBool>;

/// One that was received and not taken yet.
#[derive(Debug)]
struct ReceivedHandle {
    name: HandoverName,
    fd: OwnedFd,
}

#[derive(Default)]
struct HandoverTable {
    received: Vec<ReceivedHandle>,
    taken: Vec<HandoverName>,
    offers: Vec<Weak<dyn Giving>>,
    /// Of what was taken, until the process before this one has let go.
    files: Vec<FileOwned>,
    gates: ReadGates,
    /// What another process has.
    given: Vec<HandoverName>,
}

/// What this process has received and what it can hand over. Empty unless somebody fills it.
#[derive(Default)]
pub struct Handover {
    table: Mutex<HandoverTable>,
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.table().received.iter().map(|received| &received.name)).finish()
    }
}

impl Handover {
    fn table(&self) -> MutexGuard<'_, HandoverTable> {
        self.table.lock().ignore_poison()
    }

    /// Takes what has this name, once; of what a service manager has opened, all sockets of the name, as often as they
    /// are asked for: it holds them open itself.
    pub fn take(&self, name: &HandoverName) -> io::Result<Vec<OwnedFd>> {
        let mut table = self.table();
        let is_it = |received: &ReceivedHandle| received.name == *name;
        let found = if let HandoverName::Named(_) = name {
            let all = table.received.iter().filter(|received| is_it(received));
            all.map(|received| received.fd.try_clone()).collect::<io::Result<Vec<_>>>()?
        } else {
            let at = table.received.iter().position(is_it);
            at.map(|at| table.received.remove(at).fd).into_iter().collect()
        };
        if !found.is_empty() {
            table.taken.push(name.clone());
        }
        Ok(found)
    }

    /// Takes the first descriptor that a plugin has handed over to itself of those whose names begin with `prefix`. It is
    /// read once the process before this one has let go.
    pub(crate) fn take_of_plugin(&self, plugin: &str, prefix: &str) -> Option<(String, OwnedFd)> {
        let mut table = self.table();
        let of_plugin = |received: &ReceivedHandle| match &received.name {
            HandoverName::OfPlugin { plugin: of, name } => of == plugin && name.starts_with(prefix),
            _ => false,
        };
        let at = table.received.iter().position(of_plugin)?;
        let ReceivedHandle { name, fd } = table.received.remove(at);
        if let Some(file) = datagram_file(fd.as_fd()) {
            table.gates.wait_for(file);
        }
        table.taken.push(name.clone());
        match name {
            HandoverName::OfPlugin { name, .. } => Some((name, fd)),
            _ => None,
        }
    }

    /// Offers a descriptor of a plugin, which is ready for a handover.
    pub(crate) fn offer_of_plugin(
        &self,
        plugin: &str,
        name: &str,
        fd: BorrowedFd<'_>,
    ) -> io::Result<Arc<PluginOffer>> {
        let gate = self.gate(fd);
        let name = HandoverName::OfPlugin { plugin: plugin.to_owned(), name: name.to_owned() };
        let offer = PluginOffer::new(name, fd, gate)?;
        let giving = Arc::downgrade(&offer);
        self.offer(giving);
        Ok(offer)
    }

    /// What tells whether this process may read a descriptor; `None` where several may.
    pub(crate) fn gate(&self, fd: BorrowedFd<'_>) -> Option<Arc<ReadGate>> {
        datagram_file(fd).map(|file| self.table().gates.of(file))
    }

    /// A mark that a file is removed by another process, until [`Handover::own_files`].
    pub(crate) fn file_of_another(&self) -> FileOwned {
        let file = FileOwned::default();
        self.table().files.push(Arc::clone(&file));
        file
    }

    /// The process before this one has let go: files of what was taken are this one's now, and sockets are
    /// read.
    pub fn own_files(&self) {
        let mut table = self.table();
        for file in table.files.drain(..) {
            file.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        table.gates.open();
    }

    /// Can be handed over for as long as it lives.
    pub fn offer(&self, giving: Weak<dyn Giving>) {
        let mut table = self.table();
        table.offers.retain(|offer| offer.strong_count() > 0);
        table.offers.push(giving);
    }

    /// What can be handed over now.
    pub fn offers(&self) -> Vec<Arc<dyn Giving>> {
        self.table().offers.iter().filter_map(Weak::upgrade).collect()
    }

    /// Adds what another process has sent.
    pub fn receive(&self, name: HandoverName, fd: OwnedFd) {
        self.table().received.push(ReceivedHandle { name, fd });
    }

    /// Closes what was received and not taken, but for sockets that a service manager holds; answers their names.
    pub fn close_rest(&self) -> Vec<HandoverName> {
        let mut table = self.table();
        let (kept, rest): (Vec<_>, Vec<_>) =
            table.received.drain(..).partition(|it| matches!(it.name, HandoverName::Named(_)));
        table.received = kept;
        rest.into_iter().map(|received| received.name).collect()
    }

    /// Notes what another process has taken.
    pub fn note_given(&self, names: &[HandoverName]) {
        self.table().given.extend_from_slice(names);
    }

    /// Whether another process has taken something of a plugin.
    pub fn has_given_of(&self, plugin: &str) -> bool {
        let of = |name: &HandoverName| match name {
            HandoverName::OfPlugin { plugin, .. } => Some(plugin.clone()),
            _ => None,
        };
        self.table().given.iter().filter_map(of).any(|of| of == plugin)
    }

    /// What was taken.
    pub fn taken(&self) -> Vec<HandoverName> {
        self.table().taken.clone()
    }

    /// The names of the sockets that a service manager has opened.
    pub fn names(&self) -> Vec<String> {
        let table = self.table();
        let mut names = Vec::new();
        for received in &table.received {
            if let HandoverName::Named(name) = &received.name
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
        names
    }
}

/// What is wrong with a name that something is to take its socket by.
pub fn unknown_name(name: &str, given: &[String]) -> String {
    if given.is_empty() {
        return format!(
            "expected a socket {name:?} of the service manager (LISTEN_FDNAMES), which has opened none"
        );
    }
    let near = did_you_mean(name, given.iter().map(String::as_str));
    let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
    let given = given.join(", ");
    format!(
        "expected a socket of the service manager, which has opened {given}; found {name:?}{hint}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn what_was_received_is_taken_by_its_very_name_and_once() {
        let handover = Handover::default();
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        for name in [HandoverName::Tcp(address), HandoverName::Tcp(address)] {
            handover.receive(name, handle());
        }
        let take = |name: &HandoverName| handover.take(name).unwrap().len();
        assert_eq!(take(&HandoverName::Tcp("127.0.0.1:1".parse().unwrap())), 0);
        let wanted = HandoverName::Tcp(address);
        assert_eq!([take(&wanted), take(&wanted), take(&wanted)], [1, 1, 0]);
        assert_eq!(handover.taken(), [wanted.clone(), wanted]);
    }

    #[test]
    fn sockets_of_a_service_manager_are_taken_together_and_again_and_are_not_closed() {
        let handover = Handover::default();
        let named = || HandoverName::Named("http".to_owned());
        handover.receive(named(), handle());
        handover.receive(named(), handle());
        handover.receive(HandoverName::Unix("/gone".into()), handle());
        for _ in 0..2 {
            assert_eq!(handover.take(&named()).unwrap().len(), 2);
        }
        assert_eq!(handover.close_rest(), [HandoverName::Unix("/gone".into())]);
        assert_eq!(handover.names(), ["http"]);
    }

    #[tokio::test]
    async fn a_name_holds_while_a_listener_takes_its_socket() {
        assert_eq!(wanted(), None);
        let seen = by_name(Some("http".into()), async { wanted() }).await;
        assert_eq!(seen.as_deref(), Some("http"));
        assert_eq!(by_name(None, async { wanted() }).await, None);
    }
}

//! Unix sockets to listen on: the permissions of their file, and its removal.

use crate::handover::{FileOwned, Giving, Handover, HandoverName};
use jackfield_plugin_api::services::Socket;
use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Type};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::UnixListener;

/// A Unix socket that listens. Its file goes with it.
#[derive(Debug)]
pub(crate) struct UnixListening {
    pub(super) listener: UnixListener,
    file: SocketFile,
    /// By which a service manager has opened it.
    name: Option<Arc<str>>,
}

impl UnixListening {
    /// Takes the socket that was handed over for this place, or binds.
    pub(super) fn bind(socket: &Socket, handover: &Handover) -> io::Result<Arc<Self>> {
        let taken = handover.take(&HandoverName::Unix(socket.path.clone()))?.pop();
        let (listener, file) = match taken {
            Some(taken) => {
                let file = SocketFile::new(&socket.path).of_another(handover);
                (listening(taken)?, file)
            }
            None => bind(socket)?,
        };
        Ok(UnixListening { listener, file, name: None }.offered(handover))
    }

    /// The socket of a service manager, to which its file belongs.
    pub(super) fn of(name: Arc<str>, taken: OwnedFd, handover: &Handover) -> io::Result<Arc<Self>> {
        let listener = listening(taken)?;
        let path = listener.local_addr().ok();
        let path = path.as_ref().and_then(|address| address.as_pathname());
        let file = SocketFile::foreign(&path.unwrap_or_else(|| name.as_ref().as_ref()).display());
        Ok(UnixListening { listener, file, name: Some(name) }.offered(handover))
    }

    fn offered(self, handover: &Handover) -> Arc<Self> {
        let listening = Arc::new(self);
        let offer = Arc::downgrade(&listening);
        handover.offer(offer);
        listening
    }

    /// Where it listens.
    pub(super) fn path(&self) -> &str {
        self.file.path()
    }
}

fn listening(taken: OwnedFd) -> io::Result<UnixListener> {
    let listener = net::UnixListener::from(taken);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

impl Giving for UnixListening {
    fn give(&self) -> io::Result<Vec<(HandoverName, OwnedFd)>> {
        let name = match &self.name {
            Some(name) => HandoverName::Named(name.to_string()),
            None => HandoverName::Unix(self.path().to_owned()),
        };
        Ok(vec![(name, self.listener.as_fd().try_clone_to_owned()?)])
    }

    fn let_go(&self) {
        self.file.let_go();
    }
}

/// Binds and listens. The file never has more permissions than were asked for, not even while it is
/// made.
fn bind(socket: &Socket) -> io::Result<(UnixListener, SocketFile)> {
    let unix = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    if socket.mode != 0 {
        // Linux gives the file the permissions that the socket has, less the umask.
        fchmod(&unix, Mode::from_raw_mode(socket.mode & 0o777))?;
    }
    unix.bind(&SockAddr::unix(&socket.path)?)?;
    let file = SocketFile::new(&socket.path);
    if socket.mode != 0 {
        let wanted = std::fs::Permissions::from_mode(socket.mode & 0o777);
        std::fs::set_permissions(&socket.path, wanted)?;
    }
    unix.listen(i32::try_from(socket.backlog).unwrap_or(i32::MAX))?;
    Ok((UnixListener::from_std(unix.into())?, file))
}

/// The file of a listening socket; removed on drop, unless another has its place by then.
#[derive(Debug)]
pub struct SocketFile {
    path: String,
    identity: Option<(u64, u64)>,
    is_ours: FileOwned,
}

fn identity(path: &str) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

impl SocketFile {
    /// The file that is there now.
    pub fn new(path: &str) -> Self {
        let is_ours = Arc::new(AtomicBool::new(true));
        SocketFile { path: path.to_owned(), identity: identity(path), is_ours }
    }

    /// One that stays where it is.
    pub fn foreign(path: &impl ToString) -> Self {
        SocketFile { path: path.to_string(), identity: None, is_ours: FileOwned::default() }
    }

    /// One that another process removes until it has let go.
    pub fn of_another(mut self, handover: &Handover) -> Self {
        self.is_ours = handover.file_of_another();
        self
    }

    /// The file stays: another process has it.
    pub fn let_go(&self) {
        self.is_ours.store(false, Ordering::Relaxed);
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = self.is_ours.load(Ordering::Relaxed);
        if is_ours && self.identity.is_some() && identity(&self.path) == self.identity {
            // Without its file no peer can connect; it may be gone already.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

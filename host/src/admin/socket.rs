//! The sockets of the admin API. The file of one of Unix has never more permissions than it is to have, and takes the place of one
//! that a dead host has left, never of one that a live host has.

use crate::files;
use crate::handover::{Giving, Handover, HandoverName, unknown_name};
use crate::services::SocketFile;
use rustix::fs::{AtFlags, FlockOperation, Mode, fchmod, flock};
use socket2::{Domain, SockAddr, Type};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// A bound socket, and the file of one of Unix, which goes with it.
pub(super) struct AdminSocket {
    listening: AdminListening,
    /// As `admin.listen` has it.
    pub(super) place: String,
    file: Option<SocketFile>,
    name: HandoverName,
}

enum AdminListening {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// What a socket has accepted.
pub(super) enum AdminStream {
    /// From this machine: the kernel says of whom.
    Unix(UnixStream),
    /// A token says of whom.
    Tcp(TcpStream),
}

impl AdminSocket {
    /// Listens at `path`. Everybody who reaches the folder may connect if `for_all` says so, else only the user of
    /// the host and root. Has to be called inside a runtime.
    ///
    /// # Errors
    /// In words: where, and what was expected there.
    pub(super) fn bind(
        path: &Path,
        for_all: bool,
        handover: &Handover,
    ) -> Result<Arc<Self>, String> {
        let name = HandoverName::Admin(path.display().to_string());
        let made = |listener, file| AdminSocket {
            listening: AdminListening::Unix(listener),
            place: format!("unix:{}", path.display()),
            file: Some(file),
            name: name.clone(),
        };
        let file = || SocketFile::new(&path.display().to_string());
        if let Some(taken) = handover.take(&name).map_err(|error| error.to_string())?.pop() {
            let listener = listening(taken).map_err(|error| error.to_string())?;
            return Ok(made(listener, file().of_another(handover)).offered(handover));
        }
        let folder = path.parent().ok_or("expected a path with a folder")?;
        // The socket is bound elsewhere and moved, and a place that is too long for clients would be no place.
        SockAddr::unix(path).map_err(|error| format!("{}: {error}", path.display()))?;
        make_folder(folder, for_all)?;
        let within = |error: io::Error| format!("{}: {}", path.display(), files::why(path, &error));
        // Held until the file is in its place, so that of two hosts that start at once one sees the other.
        let held = File::open(folder).map_err(within)?;
        flock(&held, FlockOperation::LockExclusive).map_err(|error| within(error.into()))?;
        is_free(path)?;
        let listener = put(folder, path, mode_of(for_all)).map_err(within)?;
        Ok(made(listener, file()).offered(handover))
    }

    /// Listens on what a service manager has opened by that name; its file belongs to that.
    ///
    /// # Errors
    /// In words.
    pub(super) fn named(name: &str, handover: &Handover) -> Result<Arc<Self>, String> {
        let wanted = HandoverName::Named(name.to_owned());
        let taken = handover.take(&wanted).map_err(|error| error.to_string())?.pop();
        let taken = taken.ok_or_else(|| unknown_name(name, &handover.names()))?;
        let within = |error: io::Error| format!("socket {name:?}: expected a Unix socket: {error}");
        let listener = listening(taken).map_err(within)?;
        let path = listener.local_addr().map_err(within)?;
        let path = path.as_pathname().unwrap_or(Path::new(name)).display().to_string();
        let socket = AdminSocket {
            listening: AdminListening::Unix(listener),
            file: Some(SocketFile::foreign(&path)),
            place: format!("unix:{path}"),
            name: wanted,
        };
        Ok(socket.offered(handover))
    }

    /// Listens at an address, for those who have a token.
    ///
    /// # Errors
    /// In words.
    pub(super) fn tcp(address: SocketAddr, handover: &Handover) -> Result<Arc<Self>, String> {
        let within = |error: io::Error| format!("tcp://{address}: {error}");
        let name = HandoverName::Tcp(address);
        let listener = match handover.take(&name).map_err(within)?.pop() {
            Some(taken) => std::net::TcpListener::from(taken),
            None => std::net::TcpListener::bind(address).map_err(within)?,
        };
        listener.set_nonblocking(true).map_err(within)?;
        let place = listener.local_addr().map_err(within)?;
        let listener = TcpListener::from_std(listener).map_err(within)?;
        let socket = AdminSocket {
            listening: AdminListening::Tcp(listener),
            place: format!("tcp://{place}"),
            file: None,
            name,
        };
        Ok(socket.offered(handover))
    }

    /// Lets everybody connect who reaches the folder, if `for_all` says so, else only the user of the host and root.
    pub(super) fn let_in(&self, for_all: bool) {
        let HandoverName::Admin(path) = &self.name else { return };
        let mode = Mode::from_raw_mode(mode_of(for_all));
        let set = rustix::fs::chmodat(rustix::fs::CWD, path.as_str(), mode, AtFlags::empty());
        if let Err(error) = set {
            tracing::warn!(socket = self.place, %error, "its permissions cannot be changed");
        }
    }

    /// The next who connects. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<AdminStream> {
        match &self.listening {
            AdminListening::Unix(listener) => {
                listener.accept().await.map(|(stream, _)| AdminStream::Unix(stream))
            }
            AdminListening::Tcp(listener) => {
                listener.accept().await.map(|(stream, _)| AdminStream::Tcp(stream))
            }
        }
    }

    fn offered(self, handover: &Handover) -> Arc<Self> {
        let socket = Arc::new(self);
        let offer = Arc::downgrade(&socket);
        handover.offer(offer);
        socket
    }
}

fn mode_of(for_all: bool) -> u32 {
    if for_all { 0o666 } else { 0o600 }
}

fn listening(taken: OwnedFd) -> io::Result<UnixListener> {
    let listener = net::UnixListener::from(taken);
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

impl Giving for AdminSocket {
    fn give(&self) -> io::Result<Vec<(HandoverName, OwnedFd)>> {
        let fd = match &self.listening {
            AdminListening::Unix(listener) => listener.as_fd(),
            AdminListening::Tcp(listener) => listener.as_fd(),
        };
        Ok(vec![(self.name.clone(), fd.try_clone_to_owned()?)])
    }

    fn let_go(&self) {
        if let Some(file) = &self.file {
            file.let_go();
        }
    }
}

/// Makes a folder that is not there; one that is there must be one that nobody else can put a file into.
fn make_folder(folder: &Path, for_all: bool) -> Result<(), String> {
    let shown = folder.display();
    if !folder.exists() {
        let mode = if for_all { 0o755 } else { 0o750 };
        return DirBuilder::new().mode(mode).create(folder).map_err(|error| {
            let why = files::why(folder, &error);
            format!("the folder {shown} cannot be made: {why}")
        });
    }
    let about = fs::metadata(folder).map_err(|error| format!("the folder {shown}: {error}"))?;
    let own = rustix::process::geteuid().as_raw();
    if about.uid() != own && about.uid() != 0 {
        let owner = about.uid();
        return Err(format!(
            "the folder {shown} belongs to uid {owner}: expected one of root or of the user of the host"
        ));
    }
    if about.mode() & 0o022 != 0 && about.mode() & 0o1000 == 0 {
        let mode = about.mode() & 0o7777;
        return Err(format!(
            "the folder {shown} has mode {mode:04o}: expected one that others cannot write"
        ));
    }
    Ok(())
}

/// Whether a socket may take the place `path`: nothing is there, or what a dead host has left.
fn is_free(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("{shown}: {}", files::why(path, &error))),
        Ok(there) => there,
    };
    if !there.file_type().is_socket() {
        return Err(format!("{shown} is there and is no socket"));
    }
    match net::UnixStream::connect(path) {
        Ok(_) => Err(format!("another host listens at {shown}")),
        // Nobody listens behind it.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => {
            Err(format!("{shown} is there, and whether a host has it cannot be seen: {error}"))
        }
    }
}

/// Binds in a folder that only this user can enter, then moves the socket to its place.
fn put(folder: &Path, path: &Path, mode: u32) -> io::Result<UnixListener> {
    let private = folder.join(format!(".{:08x}", fastrand::u32(..)));
    DirBuilder::new().mode(0o700).create(&private)?;
    let made = private.join("s");
    let bound = bind(&made, mode).and_then(|listener| {
        fs::rename(&made, path)?;
        Ok(listener)
    });
    // Nothing is in it any more; after a failure perhaps the socket.
    let _ = fs::remove_file(&made);
    let _ = fs::remove_dir(&private);
    bound
}

fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    // Linux gives the file the permissions that the socket has, less the umask.
    fchmod(&socket, Mode::from_raw_mode(mode))?;
    socket.bind(&SockAddr::unix(path)?)?;
    // What the umask has taken is given back while only this user can reach it.
    rustix::fs::chmodat(rustix::fs::CWD, path, Mode::from_raw_mode(mode), AtFlags::empty())?;
    socket.listen(BACKLOG)?;
    UnixListener::from_std(socket.into())
}

/// Where the admin API listens unless the configuration says otherwise: in the folder that the service manager has made
/// (`RuntimeDirectory=`), else in that of the user, else in that of the system.
pub fn usual_place() -> PathBuf {
    let made = std::env::var("RUNTIME_DIRECTORY").ok();
    let made = made.as_deref().and_then(|made| made.split(':').next()).map(PathBuf::from);
    if let Some(made) = made.filter(|made| made.is_absolute()) {
        return made.join("admin.sock");
    }
    let user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    // After a change of the user it is that of another.
    let own = rustix::process::geteuid().as_raw();
    let is_own = |folder: &PathBuf| fs::metadata(folder).map_or(true, |about| about.uid() == own);
    let user = user.filter(|folder| folder.is_absolute() && is_own(folder));
    user.unwrap_or_else(|| PathBuf::from("/run")).join("jackfield/admin.sock")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_has_its_permissions_from_the_beginning_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host/admin.sock");
        let socket = AdminSocket::bind(&path, false, &Handover::default())
            .map_err(|error| panic!("{error}"))
            .unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o750));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        drop(socket);
        assert!(!path.exists());
        let open = AdminSocket::bind(&path, true, &Handover::default())
            .map_err(|error| panic!("{error}"))
            .unwrap();
        assert_eq!(mode(&path), 0o666);
        drop(open);
    }

    #[tokio::test]
    async fn a_socket_of_a_dead_host_is_replaced_and_one_of_a_live_host_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(net::UnixListener::bind(&path).unwrap());
        let live = AdminSocket::bind(&path, false, &Handover::default())
            .map_err(|error| panic!("{error}"))
            .unwrap();
        let refused = AdminSocket::bind(&path, false, &Handover::default()).err().unwrap();
        assert!(refused.contains("another host listens at"), "{refused}");
        drop(live);
        fs::write(&path, "a text").unwrap();
        let refused = AdminSocket::bind(&path, false, &Handover::default()).err().unwrap();
        assert!(refused.contains("is no socket"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "a text");
    }

    #[tokio::test]
    async fn a_folder_that_others_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let refused = AdminSocket::bind(&folder.path().join("a.sock"), false, &Handover::default())
            .err()
            .unwrap();
        assert!(refused.contains("0777"), "{refused}");
    }
}

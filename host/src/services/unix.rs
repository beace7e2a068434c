//! Unix sockets to listen on: the permissions of their file, and its removal.

use jackfield_plugin_api::services::Socket;
use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Type};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use tokio::net::UnixListener;

/// Binds and listens. The file never has more permissions than were asked for, not even while it is
/// made.
pub(super) fn bind(socket: &Socket) -> io::Result<(UnixListener, SocketFile)> {
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
pub(crate) struct SocketFile {
    path: String,
    identity: Option<(u64, u64)>,
}

fn identity(path: &str) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

impl SocketFile {
    /// The file that is there now.
    pub(crate) fn new(path: &str) -> Self {
        SocketFile { path: path.to_owned(), identity: identity(path) }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // Without its file no peer can connect; it may be gone already.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

//! What the server does with names: each a request with its answer.

use super::attributes::Attributes;
use super::engine::Sftp;
use super::wire::{Ask, kind, open};
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

/// How long a file that is no longer wanted may take to be closed, or to be removed.
pub(super) const ABANDONED: Duration = Duration::from_secs(5);
/// The longest path that is sent; longer ones would not fit a packet of every server.
const MAX_PATH: usize = 16 * 1024;

const POSIX_RENAME: &str = "posix-rename@openssh.com";
const FSYNC: &str = "fsync@openssh.com";

/// An open file or folder. Dropped, it is closed in its own time.
pub(super) struct Handle {
    sftp: Arc<Sftp>,
    name: Bytes,
    open: bool,
}

impl Handle {
    pub(super) fn sftp(&self) -> &Arc<Sftp> {
        &self.sftp
    }

    /// The server's name of it.
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// What is known of it.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn attributes(&self) -> Result<Attributes> {
        let reply = self.sftp.ask(Ask::new(kind::FSTAT).bytes(&self.name)).await?;
        Attributes::read(&mut reply.of(kind::ATTRS)?)
    }

    /// Sets what is given.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn set(&self, attributes: &Attributes) -> Result<()> {
        let ask = attributes.write(Ask::new(kind::FSETSTAT).bytes(&self.name));
        self.sftp.ask(ask).await?.done()
    }

    /// Has the content written to the medium, where the server can do that.
    ///
    /// # Errors
    /// The server's; [`ErrorKind::Unsupported`] where it cannot.
    pub(super) async fn sync(&self) -> Result<()> {
        if !self.sftp.has(FSYNC) {
            return Err(Error::unsupported(
                "sync: the SFTP server has no fsync@openssh.com, which",
            ));
        }
        self.sftp.ask(Ask::extended(FSYNC).bytes(&self.name)).await?.done()
    }

    /// Closes it.
    ///
    /// # Errors
    /// The server's: what was written may not be there then.
    pub(super) async fn close(mut self) -> Result<()> {
        let asked = self.sftp.start_asking(Ask::new(kind::CLOSE).bytes(&self.name)).await?;
        self.open = false;
        asked.answer().await?.done()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        let (true, Ok(runtime)) = (self.open, runtime) else { return };
        let (sftp, name) = (Arc::clone(&self.sftp), self.name.clone());
        runtime.spawn(tokio::time::timeout(ABANDONED, async move {
            // Nobody is left to hear how it goes.
            let _ = sftp.ask(Ask::new(kind::CLOSE).bytes(&name)).await;
        }));
    }
}

/// Opens a file with flags of [`open`].
///
/// # Errors
/// The server's.
pub(super) async fn open_file(
    sftp: &Arc<Sftp>,
    path: &str,
    flags: u32,
    attributes: &Attributes,
) -> Result<Handle> {
    let ask = Ask::new(kind::OPEN).text(checked(path)?).u32(flags);
    handle(sftp, attributes.write(ask)).await.map_err(|error| error.with("path", path))
}

/// Opens a file to read it.
///
/// # Errors
/// The server's.
pub(super) async fn open_to_read(sftp: &Arc<Sftp>, path: &str) -> Result<Handle> {
    open_file(sftp, path, open::READ, &Attributes::default()).await
}

async fn handle(sftp: &Arc<Sftp>, ask: Ask) -> Result<Handle> {
    let name = sftp.ask(ask).await?.of(kind::HANDLE)?.bytes()?;
    // A copy, so that the packet is not kept with it.
    Ok(Handle { sftp: Arc::clone(sftp), name: Bytes::copy_from_slice(&name), open: true })
}

/// A request that is about one path and answered by a status.
///
/// # Errors
/// The server's.
pub(super) async fn at_path(sftp: &Sftp, kind: u8, path: &str) -> Result<()> {
    let ask = Ask::new(kind).text(checked(path)?);
    at(path, sftp.ask(ask).await?.done())
}

/// What is known of a path: of what a link leads to if it `follows` it. `None` if there is nothing.
///
/// # Errors
/// The server's.
pub(super) async fn look(sftp: &Sftp, path: &str, follows: bool) -> Result<Option<Attributes>> {
    let kind = if follows { kind::STAT } else { kind::LSTAT };
    let reply = sftp.ask(Ask::new(kind).text(checked(path)?)).await?;
    if reply.kind == kind::STATUS {
        let status = reply.status()?;
        return if status.is_missing() { Ok(None) } else { at(path, Err(status.error())) };
    }
    Attributes::read(&mut reply.of(kind::ATTRS)?).map(Some)
}

/// Sets what is given of a path.
///
/// # Errors
/// The server's.
pub(super) async fn set(sftp: &Sftp, path: &str, attributes: &Attributes) -> Result<()> {
    let ask = attributes.write(Ask::new(kind::SETSTAT).text(checked(path)?));
    at(path, sftp.ask(ask).await?.done())
}

/// Makes a folder.
///
/// # Errors
/// The server's.
pub(super) async fn make_folder(sftp: &Sftp, path: &str, mode: Option<u32>) -> Result<()> {
    let attributes = Attributes { mode, ..Attributes::default() };
    let ask = attributes.write(Ask::new(kind::MKDIR).text(checked(path)?));
    at(path, sftp.ask(ask).await?.done())
}

/// The one path that the server gives for another: the absolute form, or where a link leads.
///
/// # Errors
/// The server's.
pub(super) async fn path_of(sftp: &Sftp, kind: u8, path: &str) -> Result<String> {
    let reply = sftp.ask(Ask::new(kind).text(checked(path)?)).await?;
    let mut fields = at(path, reply.of(kind::NAME))?;
    if fields.u32()? != 1 {
        let text = "the SFTP server gave more or fewer paths than the one that was asked for";
        return Err(Error::new(ErrorKind::Protocol, text).with("path", path));
    }
    let found = fields.bytes()?;
    String::from_utf8(found.to_vec()).map_err(|_| {
        Error::new(ErrorKind::Unsupported, "the path is not UTF-8, which no operation can name")
    })
}

/// Renames, in place of what is there under the new name if it `replaces` that: in one step where the server has
/// `posix-rename@openssh.com`, else what is there is removed before.
///
/// # Errors
/// The server's.
pub(super) async fn rename(sftp: &Sftp, from: &str, to: &str, replaces: bool) -> Result<()> {
    let (from, to) = (checked(from)?, checked(to)?);
    let tell = |done: Result<()>| done.map_err(|error| error.with("from", from).with("to", to));
    if replaces && sftp.has(POSIX_RENAME) {
        let ask = Ask::extended(POSIX_RENAME).text(from).text(to);
        return tell(sftp.ask(ask).await?.done());
    }
    let plain = || Ask::new(kind::RENAME).text(from).text(to);
    let done = sftp.ask(plain()).await?.done();
    if !replaces || done.is_ok() || look(sftp, to, false).await?.is_none() {
        return tell(done);
    }
    at_path(sftp, kind::REMOVE, to).await?;
    tell(sftp.ask(plain()).await?.done())
}

/// The names in a folder, with what is known of each, without `.` and `..`; each batch of the server's goes to
/// `take`, which refuses what is too much.
///
/// # Errors
/// The server's; [`ErrorKind::Protocol`] for a name that is none; those of `take`.
pub(super) async fn read_folder(
    sftp: &Arc<Sftp>,
    path: &str,
    mut take: impl FnMut(&[u8], Attributes) -> Result<()>,
) -> Result<()> {
    let folder = handle(sftp, Ask::new(kind::OPENDIR).text(checked(path)?)).await;
    let folder = at(path, folder)?;
    loop {
        let reply = sftp.ask(Ask::new(kind::READDIR).bytes(folder.name())).await?;
        let Some(mut fields) = at(path, reply.until_end(kind::NAME))? else { break };
        for _ in 0..fields.u32()? {
            let (name, _long) = (fields.bytes()?, fields.bytes()?);
            let attributes = Attributes::read(&mut fields)?;
            if matches!(&name[..], b"." | b"..") {
                continue;
            }
            // Whoever copies a folder makes files of such names: none may lead out of it.
            if name.is_empty() || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
                let text = "the SFTP server gave a name in a folder that no file can have";
                let error = Error::new(ErrorKind::Protocol, text).with("path", path);
                return Err(
                    error.with("name", crate::failure::printable(&String::from_utf8_lossy(&name)))
                );
            }
            take(&name, attributes)?;
        }
    }
    folder.close().await
}

/// Says of an error which path it is about.
pub(super) fn at<T>(path: &str, done: Result<T>) -> Result<T> {
    done.map_err(|error| error.with("path", path))
}

/// A path that can be sent; empty is the folder in which the account begins.
fn checked(path: &str) -> Result<&str> {
    if path.len() > MAX_PATH {
        let error = Error::new(ErrorKind::Limit, "the path is too long");
        return Err(error.with("length", path.len()).with("most", MAX_PATH));
    }
    if path.contains('\0') {
        return Err(Error::new(ErrorKind::Config, "a path cannot contain a NUL"));
    }
    Ok(if path.is_empty() { "." } else { path })
}

/// A name in a folder.
pub(super) fn join(folder: &str, name: &str) -> String {
    match folder {
        "" | "." => name.to_owned(),
        folder if folder.ends_with('/') => format!("{folder}{name}"),
        folder => format!("{folder}/{name}"),
    }
}

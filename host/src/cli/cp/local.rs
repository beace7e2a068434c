//! The files of this machine.

use super::entry::FileEntry;
use crate::files;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::fs::{FileTimes, OpenOptions, Permissions};
use std::io::{self, ErrorKind as Failed};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, UNIX_EPOCH};

/// What tells temporary files of one process apart.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// What is at a path, links followed; `None`: nothing.
pub(super) fn stat(path: &str) -> Result<Option<FileEntry>> {
    match std::fs::metadata(path) {
        Ok(known) => Ok(Some(FileEntry::of_local(path, &known))),
        Err(error) if matches!(error.kind(), Failed::NotFound) => Ok(None),
        Err(error) => Err(failed(path)(error)),
    }
}

/// Why something could not be done with `path`.
fn failed(path: &str) -> impl Fn(io::Error) -> Error + '_ {
    move |error| {
        let why = files::why(Path::new(path), &error);
        Error::new(Error::from(error).kind(), why)
    }
}

/// What is in a folder, by names. Names that are not UTF-8 have their bytes beside them, as those of a device.
pub(super) fn list(path: &str) -> Result<Vec<FileEntry>> {
    let mut entries = Vec::new();
    for found in std::fs::read_dir(path).map_err(failed(path))? {
        let found = found?;
        let name = found.file_name();
        let mut entry = FileEntry::of_local(&name.to_string_lossy(), &found.metadata()?);
        if name.to_str().is_none() {
            entry.name_base64 = Some(String::new());
        }
        entries.push(entry);
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

/// Makes a folder; one that is there already is none to complain of.
pub(super) fn make_folder(path: &str) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(_) if Path::new(path).is_dir() => Ok(()),
        made => made.map_err(failed(path)),
    }
}

/// Sets permissions and the time of the last change.
pub(super) fn keep(path: &str, entry: &FileEntry) -> Result<()> {
    if let Some(mode) = entry.mode_bits() {
        std::fs::set_permissions(path, Permissions::from_mode(mode & 0o777))?;
    }
    if let Some(modified) = entry.modified {
        let modified = UNIX_EPOCH + Duration::from_secs(modified);
        let times = FileTimes::new().set_modified(modified).set_accessed(modified);
        OpenOptions::new().read(true).open(path)?.set_times(times)?;
    }
    Ok(())
}

/// At most `length` bytes from `offset` on.
pub(super) fn bytes(path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).map_err(failed(path))?;
    let mut bytes = vec![0; length];
    let mut have = 0;
    while have < length {
        let at = offset + u64::try_from(have).unwrap_or(0);
        match file.read_at(&mut bytes[have..], at)? {
            0 => break,
            count => have += count,
        }
    }
    bytes.truncate(have);
    Ok(bytes)
}

/// A file that is written. Dropped before it is put in place, it is removed, or kept to go on with.
pub(super) struct LocalFile {
    pub(super) file: tokio::fs::File,
    /// The first byte that is still to come.
    pub(super) offset: u64,
    /// The name until it is whole; `None`: its own.
    pub(super) temporary: Option<PathBuf>,
    goal: PathBuf,
    resume: bool,
}

impl LocalFile {
    /// A file that gets its name when it is whole, unless what is there is no file, or it shall be written in place.
    pub(super) fn create(path: &str, mode: u32, in_place: bool, resume: bool) -> Result<Self> {
        // A link leads to the file that is meant.
        let goal = std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
        let there = std::fs::metadata(&goal).ok();
        let mut options = OpenOptions::new();
        options.write(true).mode(mode & 0o777);
        if in_place || there.as_ref().is_some_and(|there| !there.is_file()) {
            let file = options.create(true).truncate(true).open(&goal).map_err(failed(path))?;
            let file = tokio::fs::File::from_std(file);
            return Ok(LocalFile { file, offset: 0, temporary: None, goal, resume: false });
        }
        let name = goal.file_name().unwrap_or_default().to_string_lossy();
        let (temporary, file) = if resume {
            let part = goal.with_file_name(format!(".{name}.part"));
            (
                part.clone(),
                options
                    .create(true)
                    .truncate(false)
                    .custom_flags(NO_FOLLOW)
                    .open(part)
                    .map_err(failed(path))?,
            )
        } else {
            let number = NUMBER.fetch_add(1, Relaxed);
            let mark = format!(".{name}.{}-{number}.part", std::process::id());
            let part = goal.with_file_name(mark);
            (part.clone(), options.create_new(true).open(part).map_err(failed(path))?)
        };
        let known = file.metadata()?;
        if !known.is_file() {
            let text = "what should be the rest of an earlier attempt is no file";
            return Err(Error::new(ErrorKind::InUse, text).with("path", temporary.display()));
        }
        if let Some(there) = there {
            file.set_permissions(there.permissions())?;
        }
        let file = tokio::fs::File::from_std(file);
        Ok(LocalFile { file, offset: known.len(), temporary: Some(temporary), goal, resume })
    }

    /// Gives it its name.
    pub(super) async fn place(mut self, sync: bool) -> Result<()> {
        if sync {
            self.file.sync_all().await?;
        }
        if let Some(temporary) = &self.temporary {
            tokio::fs::rename(temporary, &self.goal).await?;
        }
        self.temporary = None;
        Ok(())
    }
}

/// A link under the name of a temporary file is somebody else's.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

impl Drop for LocalFile {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take().filter(|_| !self.resume) {
            // Nobody is left to hear that it could not be.
            let _: io::Result<()> = std::fs::remove_file(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn what_is_not_whole_is_not_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "before").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        let name = path.to_str().unwrap();
        let entries = || std::fs::read_dir(folder.path()).unwrap().count();
        let mut file = LocalFile::create(name, 0o755, false, false).unwrap();
        file.file.write_all(b"after").await.unwrap();
        file.file.flush().await.unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), entries()), (b"before".to_vec(), 2));
        drop(file);
        assert_eq!(entries(), 1);
        let mut file = LocalFile::create(name, 0o755, false, false).unwrap();
        file.file.write_all(b"after").await.unwrap();
        file.file.flush().await.unwrap();
        file.place(true).await.unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), entries()), (b"after".to_vec(), 1));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o604);
        let kept = LocalFile::create(name, 0o644, false, true).unwrap();
        drop(kept);
        assert!(folder.path().join(".a.part").exists());
    }

    #[test]
    fn a_device_is_written_as_it_is() {
        let file = LocalFile::create("/dev/null", 0o644, false, true).unwrap();
        assert_eq!((file.temporary.clone(), file.offset), (None, 0));
    }
}

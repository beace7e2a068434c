//! [`KnownFile`]: what an earlier start read of a plugin file, so that this one need not read it again.
//!
//! Hashing all files and comparing them with their copies is most of a start. As `git` and build systems do,
//! a file counts as unchanged while its device, inode, length and times of change are what they were; the
//! time of the last status change cannot be set by who writes a file. The copy, which is what is loaded, is
//! held against the same. Anything else is read whole.

use super::cache::{place_of_copy, write_whole};
use super::file::{Candidate, FoundFile};
use super::records::this_host;
use jackfield_plugin_api::PluginManifest;
use serde::{Deserialize, Serialize};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The largest record that is read, in bytes: a manifest, and a little more.
const MAX_RECORD: u64 = 4 * 1024 * 1024;

/// A change within this time of another may leave the same time behind.
const TOO_YOUNG: Duration = Duration::from_secs(2);

/// By what a file is known again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds since 1970, of the content and of the status.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a change from now on would be seen.
    fn is_settled(&self) -> bool {
        let changed = u64::try_from(self.changed.0).unwrap_or(u64::MAX);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        now.checked_sub(Duration::from_secs(changed)).is_some_and(|age| age > TOO_YOUNG)
    }
}

/// A file that was read, and its copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KnownFile {
    /// The host that wrote this; another one reads the file anew.
    host: String,
    file: PathBuf,
    stamp: Stamp,
    copy: Stamp,
    pub(super) sha256: String,
    pub(super) manifest: PluginManifest,
}

impl KnownFile {
    /// What is known of a file with this stamp, if its copy is unchanged too.
    pub(super) fn get(cache: &Path, file: &Path, stamp: &Stamp) -> Option<Self> {
        let place = place(cache, stamp);
        let small = fs::metadata(&place).ok()?.len() <= MAX_RECORD;
        let bytes = small.then(|| fs::read(&place).ok()).flatten()?;
        let known: KnownFile = serde_json::from_slice(&bytes).ok()?;
        let same = known.host == this_host()
            && known.file == file
            && known.stamp == *stamp
            && known.has_copy(&place_of_copy(cache, &known.sha256));
        same.then_some(known)
    }

    /// Whether the copy at `place` is the one that was written down.
    pub(super) fn has_copy(&self, place: &Path) -> bool {
        let is_ours = |copy: Metadata| copy.is_file() && Stamp::of(&copy) == self.copy;
        fs::symlink_metadata(place).is_ok_and(is_ours)
    }

    /// Writes down what was read of a file with this stamp, unless it may still change unseen.
    pub(super) fn put(
        cache: &Path,
        found: &FoundFile,
        stamp: &Stamp,
        candidate: &Candidate,
    ) -> io::Result<()> {
        if !stamp.is_settled() {
            return Ok(());
        }
        let known = KnownFile {
            host: this_host(),
            file: found.path.clone(),
            stamp: stamp.clone(),
            copy: Stamp::of(&fs::symlink_metadata(&candidate.place)?),
            sha256: candidate.sha256.clone(),
            manifest: candidate.manifest.clone(),
        };
        fs::create_dir_all(folder(cache))?;
        write_whole(&place(cache, stamp), &serde_json::to_vec(&known)?, 0o600)
    }
}

/// The folder of these records in the cache folder.
pub(super) fn folder(cache: &Path) -> PathBuf {
    cache.join("files")
}

fn place(cache: &Path, stamp: &Stamp) -> PathBuf {
    folder(cache).join(format!("{:x}-{:x}.json", stamp.device, stamp.inode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::file::tests::settled_file;

    #[test]
    fn a_file_is_known_until_it_or_its_copy_changes_or_another_host_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let (found, candidate) = settled_file(folder.path());
        let cache = folder.path().join("cache");
        let stamp = |path: &Path| Stamp::of(&fs::metadata(path).unwrap());
        let of_file = Stamp { changed: (1, 0), ..stamp(&found.path) };
        assert_eq!(KnownFile::get(&cache, &found.path, &of_file), None);
        KnownFile::put(&cache, &found, &of_file, &candidate).unwrap();
        let known = KnownFile::get(&cache, &found.path, &of_file).unwrap();
        assert_eq!((&known.sha256, &known.manifest), (&candidate.sha256, &candidate.manifest));

        let other = Stamp { modified: (2, 0), ..of_file.clone() };
        assert_eq!(KnownFile::get(&cache, &found.path, &other), None);
        assert_eq!(KnownFile::get(&cache, Path::new("/other.so"), &of_file), None);
        fs::remove_file(&candidate.place).unwrap();
        assert_eq!(KnownFile::get(&cache, &found.path, &of_file), None);
        fs::write(&candidate.place, b"changed").unwrap();
        assert_eq!(KnownFile::get(&cache, &found.path, &of_file), None);
    }

    #[test]
    fn a_file_that_has_just_changed_is_read_again_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let (found, candidate) = settled_file(folder.path());
        let cache = folder.path().join("cache");
        let stamp = Stamp::of(&fs::metadata(&found.path).unwrap());
        KnownFile::put(&cache, &found, &stamp, &candidate).unwrap();
        assert_eq!(KnownFile::get(&cache, &found.path, &stamp), None);
    }
}

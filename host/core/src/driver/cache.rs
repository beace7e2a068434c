//! The cache folder: copies of plugin files by their hash, which are what is loaded.

use super::refusal::Refusal;
use super::trust::{self, Trust};
use crate::files;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Copies that this process began.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// How long a copy stays that no host has loaded.
const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn in_cache(what: &Path, error: &std::io::Error) -> Refusal {
    Refusal::Unreadable(format!("cache {}: {}", what.display(), files::why(what, error)))
}

/// Makes the cache folder if it is not there, and holds it against the rules for folders of plugins.
pub(super) fn check_cache(cache: &Path) -> Result<(), Refusal> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(cache)
        .map_err(|error| in_cache(cache, &error))?;
    let real = fs::canonicalize(cache).map_err(|error| in_cache(cache, &error))?;
    trust::of_folder(Trust::Strict, &real)
}

/// Puts the bytes that were checked where only we can change them, under a name of their own:
/// replacing a file in place would give the old code back (dlopen knows files by path and inode).
/// A copy that is there already is used if it is the same to the byte.
pub(super) fn generation(cache: &Path, sha256: &str, bytes: &[u8]) -> Result<PathBuf, Refusal> {
    let place = place_of_copy(cache, sha256);
    if is_same(&place, bytes).is_ok_and(|same| same) {
        mark_used(&place);
        return Ok(place);
    }
    write_whole(&place, bytes, 0o500).map_err(|error| in_cache(&place, &error))?;
    Ok(place)
}

/// The copy of a file, which is known to be as it was.
pub(super) fn kept(cache: &Path, sha256: &str) -> PathBuf {
    let place = place_of_copy(cache, sha256);
    mark_used(&place);
    place
}

/// Where the copy of a file with this hash is.
pub(super) fn place_of_copy(cache: &Path, sha256: &str) -> PathBuf {
    cache.join(format!("{sha256}.so"))
}

/// Whether a file has exactly these bytes. Read in pieces, so that it is never twice in memory.
fn is_same(place: &Path, bytes: &[u8]) -> std::io::Result<bool> {
    let mut file = File::open(place)?;
    if file.metadata()?.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let mut piece = vec![0; 64 * 1024];
    for expected in bytes.chunks(piece.len()) {
        let Some(read) = piece.get_mut(..expected.len()) else { return Ok(false) };
        file.read_exact(read)?;
        if read != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes a file of the cache whole, over what was there.
pub(super) fn write_whole(place: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    // A name that no other host writes: hosts share a cache, and a host may load twice at a time.
    let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let draft = place.with_extension(format!("{}.{number}", std::process::id()));
    let written = write(&draft, bytes, mode).and_then(|()| fs::rename(&draft, place));
    written.inspect_err(|_| {
        // It may not even have been made.
        let _ = fs::remove_file(&draft);
    })
}

fn write(draft: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    // Left by a process of the same number that was killed.
    match fs::remove_file(draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(draft)?;
    file.write_all(bytes)
}

/// Notes that a copy was loaded, by its time of change. At most once a day, so that a start writes nothing.
fn mark_used(place: &Path) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    if age(place).is_some_and(|age| age > DAY) {
        // If it cannot be noted, the copy is made again after it has been removed.
        let _ = File::open(place).and_then(|file| file.set_modified(SystemTime::now()));
    }
}

fn age(place: &Path) -> Option<Duration> {
    fs::metadata(place).ok()?.modified().ok()?.elapsed().ok()
}

/// Removes copies that no host has loaded for [`KEEP`], so that the cache does not grow with every release
/// of a plugin. A host that runs for longer than that keeps its code: it is mapped.
pub(super) fn remove_unused(cache: &Path) {
    remove_old(cache, is_copy);
    // Written anew by a start that still needs them.
    remove_old(&super::known::folder(cache), |_| true);
}

fn remove_old(folder: &Path, ours: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for place in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = place.file_name().and_then(|name| name.to_str()).unwrap_or("");
        if ours(name) && age(&place).is_some_and(|age| age > KEEP) {
            // The next start tries again.
            let _ = fs::remove_file(&place);
        }
    }
}

/// Whether a file is a copy, or one that was begun and left: `SHA256.so`, `SHA256.PID.NUMBER`.
fn is_copy(name: &str) -> bool {
    name.split_once('.').is_some_and(|(hash, _)| {
        hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aged(place: &Path, days: u64) {
        let then = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60);
        File::open(place).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn a_copy_that_no_host_has_loaded_for_a_month_is_removed_and_nothing_else() {
        let cache = tempfile::tempdir().unwrap();
        let (old, used) = ("a".repeat(64), "b".repeat(64));
        let old = generation(cache.path(), &old, b"old").unwrap();
        let draft = cache.path().join(format!("{}.17.0", "c".repeat(64)));
        let other = cache.path().join("notes.so");
        for place in [&draft, &other] {
            fs::write(place, b"").unwrap();
        }
        let kept = generation(cache.path(), &used, b"used").unwrap();
        for place in [&old, &draft, &other, &kept] {
            aged(place, 40);
        }
        generation(cache.path(), &used, b"used").unwrap();
        remove_unused(cache.path());
        assert!(kept.exists() && other.exists());
        assert!(!old.exists() && !draft.exists());
    }
}

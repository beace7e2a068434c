//! [`FileStamp`]: whether a file is the one that was seen before, without reading it.

use super::known::Stamp;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// How long a file has to be as it is until it is judged: one that is being written is left alone.
pub(super) const SETTLE: Duration = Duration::from_millis(200);

/// What tells a file from others, and from itself before a change. Links are followed, so that one which leads
/// elsewhere is another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    real: PathBuf,
    stamp: Stamp,
}

impl FileStamp {
    /// Of the file at `path`; `None` where there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let real = fs::canonicalize(path).ok()?;
        let stamp = Stamp::of(&fs::metadata(&real).ok()?);
        Some(FileStamp { real, stamp })
    }
}

/// Files that are other than they were judged, and since when each is as it is now.
#[derive(Debug, Default)]
pub(super) struct Sightings(BTreeMap<PathBuf, (Option<FileStamp>, Instant)>);

impl Sightings {
    /// Notes how a file is now; answers whether it has been so for [`SETTLE`].
    pub(super) fn has_settled(&mut self, path: &Path, now: &Option<FileStamp>) -> bool {
        let (seen, since) =
            self.0.entry(path.to_owned()).or_insert_with(|| (now.clone(), Instant::now()));
        if seen != now {
            (*seen, *since) = (now.clone(), Instant::now());
        }
        since.elapsed() >= SETTLE
    }

    /// Keeps only what is said of these files: others are as they were judged, or were just judged.
    pub(super) fn retain(&mut self, is_open: impl Fn(&Path) -> bool) {
        self.0.retain(|path, _| is_open(path));
    }
}

//! [`SecretFiles`]: whether a file has changed that a secret of the configuration is in.

use crate::config::diff::WantedSecrets;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What files look like from outside: which they are, how long, and when they were changed.
pub(super) type FilesSeen = [u8; 32];

/// The files of secrets, as they were before they were read.
#[derive(Clone, Debug)]
pub(super) struct SecretFiles {
    files: Arc<BTreeSet<PathBuf>>,
    pub(super) seen: FilesSeen,
}

impl SecretFiles {
    pub(super) async fn of(wanted: &WantedSecrets) -> Self {
        let files = Arc::new(wanted.files());
        let seen = look(Arc::clone(&files)).await;
        SecretFiles { files, seen }
    }

    /// As they are now.
    pub(super) async fn now(&self) -> FilesSeen {
        look(Arc::clone(&self.files)).await
    }

    /// The folders in which a change may be one of them.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter_map(|file| file.parent())
    }
}

async fn look(files: Arc<BTreeSet<PathBuf>>) -> FilesSeen {
    let look = move || {
        let mut seen = Sha256::new();
        for file in files.iter() {
            let Ok(about) = fs::metadata(file) else {
                seen.update([0]);
                continue;
            };
            seen.update([1]);
            for number in [about.dev(), about.ino(), about.size()] {
                seen.update(number.to_le_bytes());
            }
            for time in [about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec()] {
                seen.update(time.to_le_bytes());
            }
        }
        seen.finalize().into()
    };
    // Only a runtime that ends does not answer.
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

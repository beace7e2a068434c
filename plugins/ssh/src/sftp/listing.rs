//! Folders and patterns: what is listed, up to its limits.

use super::Sftp;
use super::attributes::{Attributes, Entry, FileType};
use super::files::{self, join};
use super::glob::{self, Part};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes of names that one listing may have together.
const MAX_NAMES: usize = 16 * 1024 * 1024;
/// Folders that one pattern may look into.
const MAX_FOLDERS: usize = 10_000;

/// Parameters of `sftp_list`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// The folder. Not set: where the account begins.
    #[serde(default)]
    path: String,
    /// The most entries; more make the call fail.
    #[serde(default = "max_entries")]
    max_entries: usize,
}

/// Parameters of `sftp_glob`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Glob {
    /// A path with `*`, `?` and `[a-z]` in any of its parts, as a shell has them.
    pattern: String,
    /// The most entries; more make the call fail.
    #[serde(default = "max_entries")]
    max_entries: usize,
}

fn max_entries() -> usize {
    10_000
}

/// Result of `sftp_list` and `sftp_glob`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Entries {
    /// In order of their names.
    entries: Vec<Entry>,
}

/// Entries up to a limit of their number and of the bytes of their names.
struct Collected {
    entries: Vec<Entry>,
    names: usize,
    most: usize,
}

impl Collected {
    fn up_to(most: usize) -> Self {
        Collected { entries: Vec::new(), names: 0, most }
    }

    fn add(&mut self, name: &[u8], attributes: &Attributes) -> Result<()> {
        self.names += name.len();
        if self.entries.len() >= self.most || self.names > MAX_NAMES {
            let error = Error::new(ErrorKind::Limit, "there are more entries than may be listed");
            return Err(error.with("max_entries", self.most));
        }
        self.entries.push(Entry::new(name, attributes));
        Ok(())
    }

    fn sorted(mut self) -> Entries {
        // A folder that has just changed may be told twice, in part or whole (readdir of POSIX).
        self.entries.sort_by(|one, other| one.key().cmp(&other.key()));
        self.entries.dedup_by(|one, other| one.key() == other.key());
        Entries { entries: self.entries }
    }
}

/// What is in a folder.
///
/// # Errors
/// The server's; [`ErrorKind::Limit`] where there is more than may be.
pub(super) async fn list(sftp: &Arc<Sftp>, List { path, max_entries }: List) -> Result<Entries> {
    let mut found = Collected::up_to(max_entries);
    files::read_folder(sftp, &path, |name, attributes| found.add(name, &attributes)).await?;
    Ok(found.sorted())
}

/// What a pattern matches: goes through its parts, each time from all folders that were found to those below them.
///
/// # Errors
/// As [`list`]; [`ErrorKind::Config`] for a pattern that is none.
pub(super) async fn matching(
    sftp: &Arc<Sftp>,
    Glob { pattern, max_entries }: Glob,
) -> Result<Entries> {
    let (root, parts) = glob::parse(&pattern)?;
    let mut found = Collected::up_to(max_entries);
    let mut folders = vec![if root { "/".to_owned() } else { String::new() }];
    let last = parts.len().saturating_sub(1);
    for (number, part) in parts.iter().enumerate() {
        let mut below = Vec::new();
        for folder in &folders {
            match part {
                Part::Name(name) if number < last => below.push(join(folder, name)),
                Part::Name(name) => {
                    let path = join(folder, name);
                    if let Some(attributes) = files::look(sftp, &path, false).await? {
                        found.add(path.as_bytes(), &attributes)?;
                    }
                }
                Part::Pattern(matcher) => {
                    for (name, attributes) in names(sftp, folder, number > 0, max_entries).await? {
                        let path = join(folder, &name);
                        if !matcher.matches(&name) {
                            continue;
                        } else if number == last {
                            found.add(path.as_bytes(), &attributes)?;
                        } else if may_be_folder(&attributes) {
                            below.push(path);
                        }
                    }
                }
            }
            if below.len() > MAX_FOLDERS {
                let error = Error::new(ErrorKind::Limit, "the pattern leads into too many folders");
                return Err(error.with("most", MAX_FOLDERS));
            }
        }
        folders = below;
    }
    Ok(found.sorted())
}

fn may_be_folder(attributes: &Attributes) -> bool {
    matches!(attributes.file_type(), FileType::Folder | FileType::Link | FileType::Unknown)
}

/// Names in a folder that are text. A folder that a pattern has led to need not be one that can be read.
async fn names(
    sftp: &Arc<Sftp>,
    folder: &str,
    guessed: bool,
    most: usize,
) -> Result<Vec<(String, Attributes)>> {
    let (mut names, mut bytes) = (Vec::new(), 0);
    let read = files::read_folder(sftp, folder, |name, attributes| {
        bytes += name.len();
        if names.len() >= most.max(MAX_FOLDERS) || bytes > MAX_NAMES {
            let error =
                Error::new(ErrorKind::Limit, "a folder has more entries than may be looked at");
            return Err(error.with("path", folder).with("max_entries", most));
        }
        if let Ok(name) = std::str::from_utf8(name) {
            names.push((name.to_owned(), attributes));
        }
        Ok(())
    });
    match read.await {
        Err(error)
            if guessed
                && error.code().is_some()
                && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Refused) => {}
        read => read?,
    }
    names.sort_by(|(one, _), (other, _)| one.cmp(other));
    names.dedup_by(|(one, _), (other, _)| one == other);
    Ok(names)
}

//! One destination: what is copied there, folders first, then files.

use super::entry::FileKind;
use super::files::{FileAt, Files, copy};
use super::walk::{CopySource, SourceItem, join};
use super::{CopyDevice, Work};
use crate::parallel::in_order;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::HashSet;

/// Files that are copied to one destination at a time: the way there and back counts for small ones.
const AT_ONCE: usize = 4;

/// Where copies are made.
pub(super) struct Goal<'a> {
    /// Which device; `None`: this machine.
    pub(super) device: Option<&'a CopyDevice>,
    pub(super) path: String,
}

impl Goal<'_> {
    fn shown(&self) -> String {
        match self.device {
            Some(device) => format!("{}:{}", device.name, self.path),
            None => self.path.clone(),
        }
    }

    async fn files(&self) -> Result<Files> {
        match self.device {
            Some(device) => device.files().await,
            None => Ok(Files::Local),
        }
    }
}

impl Work<'_> {
    /// Copies all sources to one destination, and tells what is not copied.
    pub(super) async fn copy_to(&self, goal: &Goal<'_>, sources: &[CopySource], several: bool) {
        let into = async {
            let files = goal.files().await?;
            let into = is_folder(&files, &goal.path, several).await?;
            Ok::<_, Error>((files, into))
        };
        let (files, into) = match into.await {
            Ok(found) => found,
            Err(error) => return self.fail(&format!("{}: {error}", goal.shown())),
        };
        let mut names = HashSet::new();
        for source in sources {
            if into && (source.name.is_empty() || !names.insert(source.name.as_str())) {
                let shown = source.files.shown(&source.path);
                let why = if source.name.is_empty() {
                    "has no name"
                } else {
                    "has the name of another source"
                };
                self.fail(&format!("{shown} -> {}: the source {why}", goal.shown()));
                continue;
            }
            let root = if into { join(&goal.path, &source.name) } else { goal.path.clone() };
            self.copy_source(source, &files, &root).await;
        }
    }

    async fn copy_source(&self, source: &CopySource, files: &Files, root: &str) {
        for item in source.items.iter().filter(|item| item.is_folder()) {
            let path = join(root, &item.below);
            if let Err(error) = files.make_folder(&path).await {
                return self.fail(&format!("{}: {error}", files.shown(&path)));
            }
        }
        let all = || source.items.iter().filter(|item| !item.is_folder());
        all().for_each(|item| self.progress.expect(item.entry.size.unwrap_or(0)));
        in_order(all().map(|item| self.copy_item(source, item, files, root)), AT_ONCE).await;
        if self.args.preserve {
            // The innermost first: what is made in a folder changes its time.
            for item in source.items.iter().rev().filter(|item| item.is_folder()) {
                let path = join(root, &item.below);
                if let Err(error) = files.keep(&path, &item.entry).await {
                    self.fail(&format!("{}: {error}", files.shown(&path)));
                }
            }
        }
    }

    async fn copy_item(&self, source: &CopySource, item: &SourceItem, files: &Files, root: &str) {
        let (from, to) = (source.path_of(item), join(root, &item.below));
        let (from, to) =
            (FileAt { files: &source.files, path: &from }, FileAt { files, path: &to });
        match copy(from, to, &item.entry, self.settings(), &self.progress).await {
            Ok(()) => self.progress.done(),
            Err(error) => {
                let (from, to) = (from.files.shown(from.path), to.files.shown(to.path));
                self.fail(&format!("{from} -> {to}: {error}"));
            }
        }
    }
}

/// Whether copies go into it by their names.
///
/// # Errors
/// It should be a folder and is none.
async fn is_folder(files: &Files, path: &str, several: bool) -> Result<bool> {
    let there = files.stat(path).await?.map(|entry| entry.kind);
    let wanted = several || path.ends_with('/');
    match there {
        Some(FileKind::Folder) => Ok(true),
        _ if !wanted => Ok(false),
        Some(_) => Err(Error::new(ErrorKind::Config, "expected a folder, and it is none")),
        None => Err(Error::new(ErrorKind::NotFound, "there is no such folder")),
    }
}

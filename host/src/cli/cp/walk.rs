//! What is to be copied: the files that a source names, and with `-r` all that is in its folders.

use super::entry::{FileEntry, FileKind};
use super::files::Files;
use super::place::base_name;
use crate::cli::failure::one_line;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::VecDeque;

/// The most files and folders of one copy; each is remembered until all are copied.
const MAX_ITEMS: usize = 1_000_000;

/// One source, with all that is in it.
pub(super) struct CopySource {
    pub(super) files: Files,
    /// Its path.
    pub(super) path: String,
    /// What a copy in a folder is called.
    pub(super) name: String,
    /// Itself, then what is in it: a folder before its content.
    pub(super) items: Vec<SourceItem>,
}

/// A file or a folder of a source.
pub(super) struct SourceItem {
    /// Its path below the source; empty for the source itself.
    pub(super) below: String,
    pub(super) entry: FileEntry,
}

impl SourceItem {
    pub(super) fn is_folder(&self) -> bool {
        self.entry.kind == FileKind::Folder
    }
}

/// Looks at a source. What cannot be copied is told to `complain`, one line each, and left out.
///
/// # Errors
/// There is nothing, or it is a folder without `recursive`, or the device says why not.
pub(super) async fn look(
    files: &Files,
    path: &str,
    recursive: bool,
    complain: &mut impl FnMut(String),
) -> Result<CopySource> {
    let entry = files.stat(path).await?;
    let missing = || Error::new(ErrorKind::NotFound, "there is no such file");
    let entry = entry.ok_or_else(missing)?;
    if entry.kind == FileKind::Folder && !recursive {
        return Err(Error::new(
            ErrorKind::Config,
            "it is a folder; -r copies it with all that is in it",
        ));
    }
    let name = base_name(path).unwrap_or_default().to_owned();
    let mut source =
        CopySource { files: files.clone(), path: path.to_owned(), name, items: Vec::new() };
    let mut folders = VecDeque::new();
    source.add(SourceItem { below: String::new(), entry }, &mut folders)?;
    while let Some(below) = folders.pop_front() {
        let path = join(&source.path, &below);
        let listed = match files.list(&path).await {
            Ok(listed) => listed,
            Err(error) => {
                complain(one_line(&format!("error: {}: {error}", files.shown(&path))));
                continue;
            }
        };
        for entry in listed {
            let below = join(&below, &entry.name);
            match copyable(files, &join(&source.path, &below), entry).await {
                Ok(entry) => source.add(SourceItem { below, entry }, &mut folders)?,
                Err(why) => {
                    let shown = files.shown(&join(&source.path, &below));
                    complain(one_line(&format!("error: {shown}: {why}")));
                }
            }
        }
    }
    Ok(source)
}

/// What is copied of a name in a folder: of a link what it leads to, if that is a file.
async fn copyable(files: &Files, path: &str, entry: FileEntry) -> Result<FileEntry, String> {
    if entry.name_base64.is_some() {
        return Err("its name is not UTF-8".to_owned());
    }
    // A device could lead a copy anywhere by a name with a slash.
    if entry.name.contains(['/', '\0']) || matches!(entry.name.as_str(), "" | "." | "..") {
        return Err("no file can have that name".to_owned());
    }
    match entry.kind {
        FileKind::File | FileKind::Folder => Ok(entry),
        FileKind::Special => Err("it is neither file nor folder".to_owned()),
        FileKind::Link => match files.stat(path).await {
            Ok(Some(target)) if target.kind == FileKind::File => {
                Ok(FileEntry { name: entry.name, ..target })
            }
            Ok(Some(_)) => Err("it is a link to what is no file".to_owned()),
            Ok(None) => Err("it is a link that leads nowhere".to_owned()),
            Err(error) => Err(error.to_string()),
        },
    }
}

impl CopySource {
    fn add(&mut self, item: SourceItem, folders: &mut VecDeque<String>) -> Result<()> {
        if self.items.len() >= MAX_ITEMS {
            let error = Error::new(ErrorKind::Limit, "there is more in it than one copy may have");
            return Err(error.with("most", MAX_ITEMS));
        }
        if item.is_folder() {
            folders.push_back(item.below.clone());
        }
        self.items.push(item);
        Ok(())
    }

    /// The path of one of its items.
    pub(super) fn path_of(&self, item: &SourceItem) -> String {
        join(&self.path, &item.below)
    }
}

/// A path below another; either may be empty.
pub(super) fn join(folder: &str, below: &str) -> String {
    match (folder, below) {
        (folder, "") => folder.to_owned(),
        ("", below) => below.to_owned(),
        (folder, below) if folder.ends_with('/') => format!("{folder}{below}"),
        (folder, below) => format!("{folder}/{below}"),
    }
}

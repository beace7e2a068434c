//! From the path of a request to a file inside a folder. Blocks.

use crate::files::FilesOptions;
use crate::siblings::Compressed;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The most entries of a folder that are listed.
const LISTED: usize = 10_000;

/// What may stand in a path as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a path leads to.
pub(crate) enum Found {
    Nothing,
    /// A folder without the slash at the end, and its path with it.
    Folder(String),
    Listing(String),
    File(Opened),
}

/// A file, and what is said of it.
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) length: u64,
    pub(crate) changed: Option<SystemTime>,
    pub(crate) etag: String,
    pub(crate) kind: String,
    /// Its content coding, where it lies compressed beside the original.
    pub(crate) coding: Option<&'static str>,
}

/// Looks for `target`, the path of a request with its query, and for the file as one of `codings`
/// beside it. Whatever cannot be opened is not there.
pub(crate) fn find(options: &FilesOptions, target: &str, codings: &[Compressed]) -> Found {
    let path = target.split('?').next().unwrap_or_default();
    look(options, path, codings).unwrap_or(Found::Nothing)
}

fn look(options: &FilesOptions, path: &str, codings: &[Compressed]) -> Option<Found> {
    let prefix = options.prefix.trim_end_matches('/');
    let rest = path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    let below = relative(rest, options.hidden)?;
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let root = openat(CWD, &options.root, flags, Mode::empty()).ok()?;
    let opened = open(&root, &below, options)?;
    let about = opened.metadata().ok()?;
    let smaller = |file: Opened, path: &Path| {
        let beside = |coding: &Compressed| compressed(&root, path, &file, *coding, options);
        Found::File(codings.iter().find_map(beside).unwrap_or(file))
    };
    if about.is_file() {
        let file = described(opened, &below).filter(|_| !rest.ends_with('/'));
        return file.map(|file| smaller(file, &below));
    }
    if !about.is_dir() {
        return None;
    }
    if !rest.ends_with('/') {
        // From its parts, so that it cannot be taken for the address of another host.
        let parts = path.split('/').filter(|part| !part.is_empty());
        let parts: String = parts.flat_map(|part| ["/", part]).collect();
        return Some(Found::Folder(format!("{parts}/")));
    }
    if !options.index.is_empty() {
        let index = below.join(&options.index);
        let file = open(&root, &index, options).and_then(|file| described(file, &index));
        if let Some(file) = file {
            return Some(smaller(file, &index));
        }
    }
    options.listing.then(|| Found::Listing(list(&opened, path, options.hidden)))
}

/// The same content as `file`, compressed: a file beside it that is not older.
fn compressed(
    root: &OwnedFd,
    path: &Path,
    file: &Opened,
    coding: Compressed,
    options: &FilesOptions,
) -> Option<Opened> {
    let path = coding.beside(path);
    let found = open(root, &path, options).and_then(|file| described(file, &path))?;
    let etag = found.etag.trim_end_matches('"');
    (found.changed >= file.changed).then(|| Opened {
        etag: format!("{etag}-{}\"", coding.name()),
        kind: file.kind.clone(),
        coding: Some(coding.name()),
        ..found
    })
}

/// The kernel holds it inside `root`, whatever links there are and wherever they are moved meanwhile.
fn open(root: &OwnedFd, below: &Path, options: &FilesOptions) -> Option<File> {
    let links =
        if options.follow_symlinks { ResolveFlags::empty() } else { ResolveFlags::NO_SYMLINKS };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | links;
    // Not blocking, because a pipe would.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    openat2(root.as_fd(), below, flags, Mode::empty(), resolve).ok().map(File::from)
}

/// The parts of a path, decoded; `None` if one of them is no name of a file.
fn relative(path: &str, hidden: bool) -> Option<PathBuf> {
    let mut below = PathBuf::from(".");
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let name: Vec<u8> = percent_decode_str(part).collect();
        let good = !name.contains(&b'/') && !name.contains(&0) && name != b"." && name != b"..";
        if !good || name.starts_with(b".") && !hidden {
            return None;
        }
        below.push(OsString::from_vec(name));
    }
    Some(below)
}

fn described(file: File, path: &Path) -> Option<Opened> {
    let about = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let changed = about.modified().ok();
    let age = changed.and_then(|changed| changed.duration_since(UNIX_EPOCH).ok());
    let etag = format!("\"{:x}-{:x}\"", about.len(), age.unwrap_or_default().as_nanos());
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let kind = match guess.type_().as_str() {
        "text" => format!("{guess}; charset=utf-8"),
        _ => guess.to_string(),
    };
    // A date before 1970 has no form in HTTP.
    let changed = age.and(changed);
    Some(Opened { length: about.len(), changed, etag, kind, file, coding: None })
}

fn list(folder: &File, path: &str, hidden: bool) -> String {
    let mut names: Vec<String> = rustix::fs::Dir::read_from(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_folder = entry.file_type().is_dir();
            let shown = name != "." && name != ".." && (hidden || !name.starts_with('.'));
            shown.then(|| if is_folder { format!("{name}/") } else { name })
        })
        .take(LISTED)
        .collect();
    names.sort_unstable();
    let title = escaped(&percent_decode_str(path).decode_utf8_lossy());
    let mut page = format!("<!doctype html>\n<title>{title}</title>\n<h1>{title}</h1>\n<ul>\n");
    for name in names {
        let (plain, slash) = name.strip_suffix('/').map_or((&*name, ""), |plain| (plain, "/"));
        let link = utf8_percent_encode(plain, PATH);
        // Writing to a string cannot fail.
        let _ = writeln!(page, "<li><a href=\"./{link}{slash}\">{}</a>", escaped(&name));
    }
    page + "</ul>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

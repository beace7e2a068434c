//! The operations `sftp_…`: parameters and results, and what runs them.

use super::attributes::{Attributes, Entry, FileType, Mode};
use super::files::{self, at};
use super::get::{self, Get};
use super::listing::{Entries, Glob, List, list, matching};
use super::put::{self, Put};
use super::wire::kind;
use super::{Ready, Sftp};
use data_encoding::BASE64;
use jackfield_plugin_api::{Error, ErrorKind, NoParams, Operation, Result, params};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

/// Parameters of what is about one path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AtPath {
    /// The path; without a slash at its beginning it begins where the account does.
    path: String,
}

/// Parameters of `sftp_stat`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Stat {
    /// The path.
    path: String,
    /// Tell of what a link leads to, not of the link.
    #[serde(default = "yes")]
    follow: bool,
}

fn yes() -> bool {
    true
}

/// Parameters of `sftp_setstat`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetStat {
    /// The path.
    path: String,
    /// Permissions.
    #[serde(default)]
    mode: Option<Mode>,
    /// When it was last changed, in seconds since 1970; also becomes the time of reading.
    #[serde(default)]
    modified: Option<u32>,
    /// Bytes; a file is cut off or filled up with zeros.
    #[serde(default)]
    size: Option<u64>,
    /// Number of the owner; needs `group`.
    #[serde(default)]
    user: Option<u32>,
    /// Number of the group; needs `user`.
    #[serde(default)]
    group: Option<u32>,
}

/// Parameters of `sftp_mkdir`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MakeFolder {
    /// The folder.
    path: String,
    /// Its permissions. Not set: what the server makes of it.
    #[serde(default)]
    mode: Option<Mode>,
    /// Make what is above it, too; that it is there already is no error.
    #[serde(default)]
    parents: bool,
}

/// Parameters of `sftp_rename`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rename {
    /// The path that it has.
    from: String,
    /// The path that it gets.
    to: String,
    /// Replace what has that path already: at once with `posix-rename@openssh.com`, else after it was removed.
    #[serde(default)]
    replace: bool,
}

/// Parameters of `sftp_get`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GetCall {
    /// The file.
    path: String,
    /// The first byte that is got, from 0.
    #[serde(default)]
    offset: u64,
    /// The most bytes that are got. Not set: all.
    #[serde(default)]
    length: Option<u64>,
    /// The most bytes; more make the call fail. A stream has no such limit.
    #[serde(default = "max_output")]
    max_output: usize,
    /// `output` is base64 (RFC 4648 §4) instead of text.
    #[serde(default)]
    binary: bool,
}

fn max_output() -> usize {
    16 * 1024 * 1024
}

/// Result of `sftp_get`.
#[derive(Debug, Serialize, JsonSchema)]
struct Got {
    /// The content, as text (what is not UTF-8 is replaced) or base64.
    output: String,
    /// Bytes of it.
    bytes: usize,
}

/// Parameters of `sftp_put`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PutCall {
    /// The file.
    path: String,
    /// The content.
    content: String,
    /// `content` is base64 (RFC 4648 §4) instead of text.
    #[serde(default)]
    binary: bool,
    /// Permissions. Not set: those of the file that is replaced, else what the server makes of it.
    #[serde(default)]
    mode: Option<Mode>,
    /// When it was last changed, in seconds since 1970. Not set: now.
    #[serde(default)]
    modified: Option<u32>,
    /// Write under a temporary name beside it, and rename when all is there.
    #[serde(default = "yes")]
    atomic: bool,
    /// Have it written to the medium before it gets its name.
    #[serde(default)]
    sync: bool,
}

/// A path that the server told.
#[derive(Debug, Serialize, JsonSchema)]
struct Path {
    /// The path.
    path: String,
}

/// The operations.
pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new::<List, Entries>("sftp_list", "Lists a folder"),
        Operation::new::<Glob, Entries>("sftp_glob", "Lists the paths that match a pattern"),
        Operation::new::<Stat, Entry>("sftp_stat", "Tells what is known of a path"),
        Operation::new::<SetStat, NoParams>(
            "sftp_setstat",
            "Sets permissions, times, size or owner of a path",
        ),
        Operation::new::<GetCall, Got>("sftp_get", "Gets the content of a file"),
        Operation::new::<PutCall, NoParams>(
            "sftp_put",
            "Puts content into a file, whole or not at all",
        ),
        Operation::new::<MakeFolder, NoParams>("sftp_mkdir", "Makes a folder"),
        Operation::new::<Rename, NoParams>("sftp_rename", "Renames a file or a folder"),
        Operation::new::<AtPath, NoParams>(
            "sftp_remove",
            "Removes a file, a link or an empty folder",
        ),
        Operation::new::<AtPath, Path>("sftp_realpath", "Tells the absolute form of a path"),
        Operation::new::<AtPath, Path>("sftp_readlink", "Tells where a link leads"),
    ]
}

/// Runs one of the operations. Cancel safe: what was opened is closed, and what was put is not put in place.
///
/// # Errors
/// The server's, with the name of its status; [`ErrorKind::Limit`]; [`ErrorKind::Config`] for parameters.
pub(crate) async fn run(ready: &Ready, operation: &str, given: Value) -> Result<Value> {
    let sftp = &ready.sftp;
    match operation {
        "sftp_list" => result(list(sftp, read(given)?).await?),
        "sftp_glob" => result(matching(sftp, read(given)?).await?),
        "sftp_stat" => {
            let Stat { path, follow } = read(given)?;
            result(Entry::new(path.as_bytes(), &known(sftp, &path, follow).await?))
        }
        "sftp_setstat" => set(sftp, &read(given)?).await.and_then(result),
        "sftp_get" => result(get_all(ready, read(given)?).await?),
        "sftp_put" => put_all(ready, read(given)?).await.and_then(result),
        "sftp_mkdir" => make_folder(sftp, &read(given)?).await.and_then(result),
        "sftp_rename" => {
            let Rename { from, to, replace } = read(given)?;
            files::rename(sftp, &from, &to, replace).await.and_then(result)
        }
        "sftp_remove" => remove(sftp, &read::<AtPath>(given)?.path).await.and_then(result),
        "sftp_realpath" => of_path(sftp, kind::REALPATH, given).await,
        "sftp_readlink" => of_path(sftp, kind::READLINK, given).await,
        _ => Err(Error::unsupported(&format!("operation {operation:?}"))),
    }
}

fn read<T: DeserializeOwned>(given: Value) -> Result<T> {
    params(given)
}

fn result(done: impl Serialize) -> Result<Value> {
    let value = serde_json::to_value(done);
    let value = value.map_err(|error| Error::new(ErrorKind::Other, error.to_string()))?;
    Ok(if value.is_null() { Value::Object(serde_json::Map::new()) } else { value })
}

async fn of_path(sftp: &Sftp, kind: u8, given: Value) -> Result<Value> {
    let AtPath { path } = read(given)?;
    result(Path { path: files::path_of(sftp, kind, &path).await? })
}

async fn known(sftp: &Sftp, path: &str, follow: bool) -> Result<Attributes> {
    let found = files::look(sftp, path, follow).await?;
    found.ok_or_else(|| missing(path))
}

fn missing(path: &str) -> Error {
    let error = Error::new(ErrorKind::NotFound, "there is no such file");
    error
        .with("status", "no_such_file")
        .with_code("sftp", super::status::NO_SUCH_FILE)
        .with("path", path)
}

async fn set(sftp: &Sftp, given: &SetStat) -> Result<()> {
    let owner = match (given.user, given.group) {
        (Some(user), Some(group)) => Some((user, group)),
        (None, None) => None,
        _ => {
            return Err(Error::new(
                ErrorKind::Config,
                "user and group are given together or not at all",
            ));
        }
    };
    let attributes = Attributes {
        size: given.size,
        owner,
        mode: given.mode.map(|mode| mode.0),
        times: given.modified.map(|modified| (modified, modified)),
    };
    if attributes.is_empty() {
        let text = "expected one of mode, modified, size, or user with group";
        return Err(Error::new(ErrorKind::Config, text));
    }
    files::set(sftp, &given.path, &attributes).await
}

async fn make_folder(sftp: &Sftp, given: &MakeFolder) -> Result<()> {
    let mode = given.mode.map(|mode| mode.0);
    let made = files::make_folder(sftp, &given.path, mode).await;
    if !given.parents || made.is_ok() {
        return made;
    }
    let slashes =
        given.path.trim_end_matches('/').match_indices('/').skip_while(|(at, _)| *at == 0);
    let above = slashes.map(|(at, _)| &given.path[..at]);
    for path in above.chain([given.path.as_str()]) {
        let mode = mode.filter(|_| path == given.path);
        let made = files::make_folder(sftp, path, mode).await;
        let there = files::look(sftp, path, true).await?;
        if there.is_none_or(|there| there.file_type() != FileType::Folder) {
            return made.and_then(|()| Err(missing(path)));
        }
    }
    Ok(())
}

async fn remove(sftp: &Sftp, path: &str) -> Result<()> {
    let folder = known(sftp, path, false).await?.file_type() == FileType::Folder;
    files::at_path(sftp, if folder { kind::RMDIR } else { kind::REMOVE }, path).await
}

async fn get_all(ready: &Ready, given: GetCall) -> Result<Got> {
    let GetCall { path, offset, length, max_output, binary } = given;
    let (mut reader, _) = get::open(ready, &Get { path: path.clone(), offset, length }).await?;
    let mut content = Vec::new();
    while let Some(bytes) = at(&path, reader.piece().await)? {
        if content.len() + bytes.len() > max_output {
            let error = Error::new(ErrorKind::Limit, "the file is longer than the result may be");
            return Err(error.with("path", path).with("max_output", max_output));
        }
        content.extend_from_slice(&bytes);
    }
    let output = match binary {
        true => BASE64.encode(&content),
        false => String::from_utf8_lossy(&content).into_owned(),
    };
    Ok(Got { output, bytes: content.len() })
}

async fn put_all(ready: &Ready, given: PutCall) -> Result<()> {
    let PutCall { path, content, binary, mode, modified, atomic, sync } = given;
    let content = if binary {
        BASE64.decode(content.as_bytes()).map_err(|error| {
            Error::new(ErrorKind::Config, format!("content is not base64: {error}"))
                .with("parameter", "content")
        })?
    } else {
        content.into_bytes()
    };
    let size = u64::try_from(content.len()).ok();
    let put = Put { path, mode, new_mode: None, modified, size, atomic, resume: false, sync };
    let mut stream = super::put_stream(put::start(ready, put).await?);
    // How it ended is what the end tells; a write fails for the same reason.
    let written = stream.write_all(&content).await;
    stream.shutdown().await.map_err(Error::from)?;
    written.map_err(Error::from)
}

//! [`Files`]: a folder for reading.

use crate::answering::{answer, answer_all, checked, text};
use crate::content::{Pieces, several};
use crate::folder::{Found, Opened, find};
use crate::partial::{Part, choose};
use crate::siblings::{Compressed, taken};
use hyper::StatusCode;
use jackfield_plugin_api::{
    Body, Envelope, Error, Facets, Handler, HandlerInfo, HeaderBlock, Host, Result, Secret, Session,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Options of `files`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FilesOptions {
    /// The folder; nothing outside it is ever served.
    pub root: PathBuf,
    /// The start of paths that stands for the folder.
    pub prefix: String,
    /// The file that stands for a folder; empty: none does.
    pub index: String,
    /// List folders that have no index.
    pub listing: bool,
    /// Follow symbolic links that stay inside the folder.
    pub follow_symlinks: bool,
    /// Serve what starts with a dot.
    pub hidden: bool,
    /// Codings of compressed files that lie beside their originals, the best one first: `br`
    /// (`page.html.br`), `gzip` (`.gz`), `zstd` (`.zst`). Who takes the coding gets that file, unless
    /// it is older than the original.
    pub precompressed: Vec<Compressed>,
    /// Fields of every answer with a file, by name.
    pub headers: BTreeMap<String, Secret>,
}

impl Default for FilesOptions {
    fn default() -> Self {
        FilesOptions {
            root: PathBuf::new(),
            prefix: "/".to_owned(),
            index: "index.html".to_owned(),
            listing: false,
            follow_symlinks: false,
            hidden: false,
            precompressed: Vec::new(),
            headers: BTreeMap::new(),
        }
    }
}

/// Serves the files of a folder.
pub struct Files {
    options: Arc<FilesOptions>,
    fields: Vec<(String, String)>,
    host: Host,
}

impl Handler for Files {
    const INFO: HandlerInfo =
        HandlerInfo::new("files", "Serves the files of a folder", Facets::EXCHANGE);
    type Options = FilesOptions;

    fn new(host: Host, options: FilesOptions) -> Result<Self> {
        if !options.root.is_dir() {
            let text = format!("{} is not a folder", options.root.display());
            return Err(Error::option("root", text));
        }
        if !options.prefix.starts_with('/') {
            return Err(Error::option("prefix", "must start with a slash"));
        }
        if options.index.contains('/') {
            return Err(Error::option("index", "must be the name of a file"));
        }
        let fields = checked(&options.headers)?;
        Ok(Files { options: Arc::new(options), fields, host })
    }

    async fn serve(&self, session: Session) -> Result<()> {
        answer_all(session, |request| self.answer(request.head)).await
    }
}

/// Without the fields, which may be secret.
impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Files({:?})", self.options.root)
    }
}

impl Files {
    async fn answer(&self, head: HeaderBlock) -> Result<Envelope> {
        let method = head.get(":method").unwrap_or_default();
        if !matches!(method, b"GET" | b"HEAD") {
            let status = match method {
                b"OPTIONS" => StatusCode::NO_CONTENT,
                _ => StatusCode::METHOD_NOT_ALLOWED,
            };
            return answer(status, [("allow", "GET, HEAD, OPTIONS")], Body::empty());
        }
        let path = String::from_utf8_lossy(head.get(":path").unwrap_or_default()).into_owned();
        let options = Arc::clone(&self.options);
        let accepted = head.get("accept-encoding").map(String::from_utf8_lossy);
        let codings = taken(&options.precompressed, &accepted.unwrap_or_default());
        match self.host.blocking(move || find(&options, &path, &codings)).await? {
            Found::Nothing => text(StatusCode::NOT_FOUND, "there is no such file"),
            Found::Folder(path) => {
                answer(StatusCode::MOVED_PERMANENTLY, [("location", path.as_str())], Body::empty())
            }
            Found::Listing(page) => {
                let fields = [("content-type", "text/html; charset=utf-8")];
                answer(StatusCode::OK, fields, Body::full(page))
            }
            Found::File(file) => self.file(&head, file),
        }
    }

    fn file(&self, head: &HeaderBlock, file: Opened) -> Result<Envelope> {
        let mut fields = self.fields.clone();
        let mut add = |name: &str, value: String| fields.push((name.to_owned(), value));
        add("etag", file.etag.clone());
        if let Some(changed) = file.changed {
            add("last-modified", httpdate::fmt_http_date(changed));
        }
        if !self.options.precompressed.is_empty() {
            add("vary", "accept-encoding".to_owned());
        }
        let part = choose(head, &file);
        if !matches!(part, Part::Unchanged | Part::Failed) {
            add("accept-ranges", "bytes".to_owned());
        }
        let mut kind = file.kind;
        let (status, pieces) = match part {
            Part::Unchanged => (StatusCode::NOT_MODIFIED, None),
            Part::Failed => (StatusCode::PRECONDITION_FAILED, None),
            Part::Outside => {
                add("content-range", format!("bytes */{}", file.length));
                (StatusCode::RANGE_NOT_SATISFIABLE, None)
            }
            Part::Whole => (StatusCode::OK, Some(Pieces::from(0..file.length))),
            Part::Range(range) => {
                let last = range.end.saturating_sub(1);
                add("content-range", format!("bytes {}-{last}/{}", range.start, file.length));
                (StatusCode::PARTIAL_CONTENT, Some(range.into()))
            }
            Part::Ranges(ranges) => {
                let (several, pieces) = several(&ranges, &kind, file.length);
                kind = several;
                (StatusCode::PARTIAL_CONTENT, Some(pieces))
            }
        };
        let Some(pieces) = pieces else { return answer(status, fields, Body::empty()) };
        if let Some(coding) = file.coding {
            add("content-encoding", coding.to_owned());
        }
        add("content-type", kind);
        add("x-content-type-options", "nosniff".to_owned());
        add("content-length", pieces.length().to_string());
        let body = match head.get(":method") {
            Some(b"HEAD") => Body::empty(),
            _ => pieces.of(file.file, self.host),
        };
        answer(status, fields, body)
    }
}

//! From a reference to the secret.

use crate::files;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Secret;
use super::reference::SecretRef;
use super::{prompt, schema};

/// Reads secrets where their references say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    /// The folder that relative names of files and programs are meant from. Default: the working
    /// directory.
    pub base: PathBuf,
    /// How long one reference may take. Default: 10 s.
    pub timeout: Duration,
    /// How long a person may take to type one. Default: 2 min.
    pub prompt_timeout: Duration,
    /// The largest secret, in bytes. Default: 64 KiB.
    pub max_bytes: usize,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            base: PathBuf::new(),
            timeout: Duration::from_secs(10),
            prompt_timeout: Duration::from_secs(120),
            max_bytes: 64 * 1024,
        }
    }
}

/// Options with their secrets in them. `Debug` shows the names only.
#[derive(Clone, PartialEq)]
pub struct ResolvedOptions(Map<String, Value>);

impl ResolvedOptions {
    /// The options themselves, to be handed to the driver; never log or format them.
    pub fn expose(&self) -> &Map<String, Value> {
        &self.0
    }

    /// As [`ResolvedOptions::expose`], as JSON text.
    pub fn expose_json(&self) -> Secret {
        Secret::new(Value::Object(self.0.clone()).to_string())
    }
}

impl fmt::Debug for ResolvedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why a secret could not be read. Names the reference, never the value.
#[derive(Debug, thiserror::Error)]
#[error("{}the secret {reference} {cause}", at(pointer.as_deref()))]
pub struct SecretError {
    /// The option it is for, as a JSON pointer, if it is for one.
    pub pointer: Option<String>,
    /// The reference.
    pub reference: SecretRef,
    #[source]
    cause: SecretFailure,
}

fn at(pointer: Option<&str>) -> String {
    pointer.map(|pointer| format!("{pointer}: ")).unwrap_or_default()
}

#[derive(Debug, thiserror::Error)]
enum SecretFailure {
    #[error("is not set")]
    Unset,
    #[error("is not a regular file")]
    NotAFile,
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("cannot be run: {0}")]
    Run(io::Error),
    #[error("failed: {0}")]
    Failed(std::process::ExitStatus),
    #[error("took longer than {0:?}")]
    Timeout(Duration),
    #[error("has more than {0} bytes")]
    TooLarge(usize),
    #[error("is not UTF-8 text")]
    NotText,
    #[error("is empty")]
    Empty,
    #[error(
        "was not typed: {0}; a program without a terminal takes it from a variable, a file or a command"
    )]
    NotTyped(io::Error),
}

impl Resolver {
    /// The secret behind `reference`, without one newline at its end. Dropping the future ends
    /// the program it may be running.
    ///
    /// # Errors
    ///
    /// When the variable, file, program or terminal is missing or fails, or gives nothing, too much, or no
    /// UTF-8 text, or takes too long.
    pub async fn resolve(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        let read = async {
            match reference {
                SecretRef::Env(name) => {
                    let value = std::env::var_os(name).ok_or(SecretFailure::Unset)?;
                    Ok(value.into_encoded_bytes())
                }
                SecretRef::File(path) => self.file(path).await,
                SecretRef::Command(words) => self.command(words).await,
                SecretRef::Prompt(text) => {
                    prompt::ask(text, self.max_bytes).await.map_err(SecretFailure::NotTyped)
                }
            }
        };
        let limit = match reference {
            SecretRef::Prompt(_) => self.prompt_timeout,
            _ => self.timeout,
        };
        let bytes = match jackfield_timers::timeout(limit, read).await {
            Ok(read) => read,
            Err(_) => Err(SecretFailure::Timeout(limit)),
        };
        let text = bytes.and_then(|bytes| self.text(bytes));
        text.map(Secret::new).map_err(|cause| SecretError {
            pointer: None,
            reference: reference.clone(),
            cause,
        })
    }

    /// `options` with each reference replaced by its secret, where the driver's `schema` wants
    /// one. Dropping the future ends the program it may be running.
    ///
    /// # Errors
    ///
    /// For the first reference that [`Resolver::resolve`] fails for.
    pub async fn resolve_options(
        &self,
        options: &Map<String, Value>,
        schema: &Value,
    ) -> Result<ResolvedOptions, SecretError> {
        let mut resolved = Value::Object(options.clone());
        for (pointer, reference) in schema::references(options, schema) {
            let secret = self.resolve(&reference).await;
            let secret =
                secret.map_err(|error| SecretError { pointer: Some(pointer.clone()), ..error })?;
            if let Some(place) = resolved.pointer_mut(&pointer) {
                *place = Value::String(secret.expose().to_owned());
            }
        }
        match resolved {
            Value::Object(map) => Ok(ResolvedOptions(map)),
            _ => Ok(ResolvedOptions(Map::new())),
        }
    }

    async fn file(&self, name: &str) -> Result<Vec<u8>, SecretFailure> {
        let path = self.path(name);
        let failed = |error: io::Error| {
            let why = files::why(&path, &error);
            SecretFailure::Read(io::Error::new(error.kind(), why))
        };
        // Opening a pipe would wait for a writer, in a thread that no timeout ends.
        if !tokio::fs::metadata(&path).await.map_err(failed)?.is_file() {
            return Err(SecretFailure::NotAFile);
        }
        self.read(tokio::fs::File::open(&path).await.map_err(failed)?).await
    }

    async fn command(&self, words: &[String]) -> Result<Vec<u8>, SecretFailure> {
        let (program, arguments) = words.split_first().ok_or(SecretFailure::Empty)?;
        let program = if program.contains('/') { self.path(program) } else { program.into() };
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(SecretFailure::Run)?;
        let bytes = match child.stdout.take() {
            Some(output) => self.read(output).await?,
            None => Vec::new(),
        };
        let status = child.wait().await.map_err(SecretFailure::Run)?;
        if status.success() { Ok(bytes) } else { Err(SecretFailure::Failed(status)) }
    }

    async fn read(&self, source: impl AsyncRead + Unpin) -> Result<Vec<u8>, SecretFailure> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(self.max_bytes).unwrap_or(u64::MAX);
        source
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .await
            .map_err(SecretFailure::Read)?;
        if bytes.len() > self.max_bytes {
            Err(SecretFailure::TooLarge(self.max_bytes))
        } else {
            Ok(bytes)
        }
    }

    fn text(&self, bytes: Vec<u8>) -> Result<String, SecretFailure> {
        if bytes.len() > self.max_bytes {
            return Err(SecretFailure::TooLarge(self.max_bytes));
        }
        let mut text = String::from_utf8(bytes).map_err(|_| SecretFailure::NotText)?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        if text.is_empty() { Err(SecretFailure::Empty) } else { Ok(text) }
    }

    /// The file of that name, which is meant from `base`, or below the home folder as `~/NAME`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        match (name.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(below), Some(home)) => Path::new(&home).join(below),
            _ => self.base.join(name),
        }
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;

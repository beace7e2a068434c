//! [`Reloading`]: what was made of files, made again when they have changed.

use jackfield_plugin_api::{Host, Level, Result};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A value made of files. [`Reloading::current`] looks at them each time, so that what is renewed on disk is used by
/// the next handshake; connections that are there keep what they have.
pub struct Reloading<T> {
    host: Host,
    target: &'static str,
    files: Vec<PathBuf>,
    make: Box<dyn Fn() -> Result<T> + Send + Sync>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    /// How the files were when this was made, or when it was last tried.
    seen: Vec<Option<Stamp>>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of what a link leads to; `None` where there is nothing.
    fn of(path: &Path) -> Option<Self> {
        let now: Metadata = std::fs::metadata(path).ok()?;
        Some(Stamp {
            file: (now.dev(), now.ino()),
            length: now.len(),
            modified: (now.mtime(), now.mtime_nsec()),
            changed: (now.ctime(), now.ctime_nsec()),
        })
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| Stamp::of(file)).collect()
}

impl<T> std::fmt::Debug for Reloading<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloading").field("files", &self.files).finish_non_exhaustive()
    }
}

impl<T> Reloading<T> {
    /// Makes the value of `files` for the first time. Blocks. Log lines are of `target`.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn new(
        host: Host,
        target: &'static str,
        files: Vec<PathBuf>,
        make: impl Fn() -> Result<T> + Send + Sync + 'static,
    ) -> Result<Self> {
        // Looked at before they are read: what changes meanwhile is read again.
        let seen = stamps(&files);
        let value = Arc::new(make()?);
        let state = Mutex::new(State { value, seen });
        Ok(Reloading { host, target, files, make: Box::new(make), state })
    }

    /// The value of the files as they are. While they cannot be used, for example because only one of certificate and
    /// key is new yet, it stays what it was, and the reason is logged once. Blocks for as long as the
    /// files take to be looked at and, when they have changed, to be read.
    pub fn current(&self) -> Arc<T> {
        let seen = stamps(&self.files);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.seen != seen {
            let changed = self.files.iter().zip(state.seen.iter().zip(&seen));
            let changed = changed.filter(|(_, (before, now))| before != now);
            let names: Vec<_> = changed.map(|(file, _)| file.display().to_string()).collect();
            let names = names.join(", ");
            state.seen = seen;
            match (self.make)() {
                Ok(value) => {
                    state.value = Arc::new(value);
                    let text = format!("{names}: changed, and in use from now on");
                    self.host.log(Level::Info, self.target, &text);
                }
                Err(error) => {
                    let text =
                        format!("{names}: changed, and what was read before stays in use: {error}");
                    self.host.log(Level::Warn, self.target, &text);
                }
            }
        }
        Arc::clone(&state.value)
    }
}

#[cfg(test)]
mod tests {
    use super::Reloading;
    use jackfield_plugin_api::{Error, Level, testing::TestHost};
    use std::fs;

    #[tokio::test]
    async fn what_has_changed_is_read_again_and_what_is_broken_stays_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "one").expect("a file");
        let host = TestHost::new();
        let file = path.clone();
        let make = move || match fs::read_to_string(&file) {
            Ok(text) if text != "broken" => Ok(text),
            _ => Err(Error::option("file", "is broken")),
        };
        let value = Reloading::new(host.host(), "test", vec![path.clone()], make).expect("a value");
        assert_eq!(*value.current(), "one");
        // As renewals do it: another file in the place of the old one.
        fs::write(folder.path().join("new"), "two").expect("a file");
        fs::rename(folder.path().join("new"), &path).expect("in its place");
        assert_eq!(*value.current(), "two");
        fs::write(&path, "broken").expect("a file");
        assert_eq!(*value.current(), "two");
        fs::remove_file(&path).expect("no file");
        assert_eq!(*value.current(), "two");
        fs::write(&path, "three").expect("a file");
        assert_eq!(*value.current(), "three");
        let lines = host.lines();
        let told: Vec<_> = lines.iter().map(|line| line.level).collect();
        assert_eq!(told, [Level::Info, Level::Warn, Level::Warn, Level::Info]);
        let name = path.display().to_string();
        assert!(lines.iter().all(|line| line.message.starts_with(&name)), "{lines:?}");
    }
}

//! Standard output of `connect`, and how either direction ends.

use jackfield_plugin_api::Result;
use std::io::ErrorKind;
use tokio::io::{AsyncWriteExt, Stdout, stdout};

/// How sending ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// With the end of standard input.
    All,
    /// Likewise, and the peer does not know it.
    Untold,
    /// With the escape.
    Quit,
}

/// How showing ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shown {
    /// With the peer's end.
    All,
    /// Nobody reads standard output any more.
    NoReader,
}

/// Standard output.
pub(super) struct Sink(Stdout);

impl Sink {
    pub(super) fn new() -> Self {
        Sink(stdout())
    }

    /// Writes all parts and flushes; `false` when the reader has closed.
    pub(super) async fn write(&mut self, parts: &[&[u8]]) -> Result<bool> {
        for part in parts {
            if let Err(error) = self.0.write_all(part).await {
                return ended(error);
            }
        }
        self.0.flush().await.map_or_else(ended, |()| Ok(true))
    }
}

fn ended(error: std::io::Error) -> Result<bool> {
    match error.kind() {
        ErrorKind::BrokenPipe => Ok(false),
        _ => Err(error.into()),
    }
}

//! [`ProcessOptions`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of `process`. Exactly one of `command` and `shell` is needed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessOptions {
    /// The program and its arguments, given to it as they are: no shell takes part.
    pub command: Vec<String>,
    /// A command line for `/bin/sh -c` instead.
    pub shell: Option<String>,
    /// The folder it starts in; without one the host's.
    pub cwd: Option<String>,
    /// Variables of its environment.
    pub env: BTreeMap<String, String>,
    /// Give it all of the host's environment, secrets included, and not just `PATH`, `HOME`,
    /// `USER`, `LOGNAME`, `SHELL`, `TMPDIR`, `TZ`, `LANG` and `LC_…`.
    pub inherit_env: bool,
    /// Give it a terminal.
    pub pty: bool,
    /// With `pty`: bytes pass the terminal unchanged, without echo, line editing or signals.
    pub raw: bool,
    /// With `pty`: the name of the terminal's kind, as `TERM`.
    pub term: String,
    /// With `pty`: width in characters; at least 1.
    #[schemars(range(min = 1))]
    pub columns: u16,
    /// With `pty`: height in characters; at least 1.
    #[schemars(range(min = 1))]
    pub rows: u16,
    /// What becomes of its error output.
    pub stderr: Stderr,
    /// Milliseconds between asking it to end and killing it; 0: it is killed at once.
    pub grace: u32,
}

/// What becomes of a child's error output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stderr {
    /// It is in the stream, in the order of arrival.
    #[default]
    Merge,
    /// It goes where the host's own goes.
    Inherit,
    /// It is dropped.
    Null,
}

impl Default for ProcessOptions {
    fn default() -> Self {
        ProcessOptions {
            command: Vec::new(),
            shell: None,
            cwd: None,
            env: BTreeMap::new(),
            inherit_env: false,
            pty: false,
            raw: false,
            term: "xterm-256color".to_owned(),
            columns: 80,
            rows: 24,
            stderr: Stderr::Merge,
            grace: 2000,
        }
    }
}

//! The terminal that standard input is: its size, and raw mode for as long as a guard lives.

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde_json::{Value, json};
use std::io::{IsTerminal, stdin};

/// Whether standard input is a terminal.
pub(super) fn is_terminal() -> bool {
    stdin().is_terminal()
}

/// Columns and rows; `None` if the terminal does not know.
pub(super) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stdin()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// The size as parameters of `resize`.
pub(super) fn size_params() -> Option<Value> {
    size().map(|(columns, rows)| json!({ "columns": columns, "rows": rows }))
}

/// Keys go to the peer one by one and unprinted. Dropping it gives the terminal its own mode back.
pub(super) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// # Errors
    /// The system's, when standard input is no terminal.
    pub(super) fn enter() -> std::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(RawMode { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.before);
    }
}

//! [`PanicReport`]: what a plugin tells its host of a panic.

use serde::{Deserialize, Serialize};

/// A panic of a plugin's code that was caught. Which driver or handler it was, in
/// which operation and for which connection, the host knows by itself where the panic was in a call of
/// the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PanicReport {
    /// What it said; cut to [`PanicReport::MOST`] bytes.
    pub message: String,
    /// File, line and column in the plugin's source.
    pub location: String,
    /// The thread's name as the system has it, which cuts it to 15 bytes.
    pub thread: String,
}

impl PanicReport {
    /// The longest message, in bytes.
    pub const MOST: usize = 4096;

    /// A report of `message`, cut at a character's end.
    pub fn new(message: &str) -> Self {
        let mut end = message.len().min(Self::MOST);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        PanicReport { message: message[..end].to_owned(), ..PanicReport::default() }
    }
}

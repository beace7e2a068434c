//! Secrets that a person types: asked for on the controlling terminal, without an echo.

use super::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::LazyLock;
use std::thread;
use tokio::sync::{Mutex, oneshot};

/// What was typed, by its prompt: each is asked for once in the life of a process, and one at a time.
static TYPED: LazyLock<Mutex<HashMap<String, Secret>>> = LazyLock::new(Mutex::default);

/// The terminal does not show what is typed, until this is dropped.
struct Hidden {
    terminal: File,
    before: Termios,
}

impl Hidden {
    fn new(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        // What was typed before the prompt is no answer to it.
        tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
        Ok(Hidden { terminal, before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing any more.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Asks for what `prompt` says, for at most `max` bytes, unless it was typed before. Dropping the future gives the
/// terminal its echo back.
///
/// # Errors
/// The system's: [`io::ErrorKind::NotFound`] or `ENXIO` without a terminal; [`io::ErrorKind::UnexpectedEof`] when
/// the input has ended.
pub(super) async fn ask(prompt: &str, max: usize) -> io::Result<Vec<u8>> {
    let mut typed = TYPED.lock().await;
    if let Some(secret) = typed.get(prompt) {
        return Ok(secret.expose().as_bytes().to_vec());
    }
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let reader = terminal.try_clone()?;
    let mut hidden = Hidden::new(terminal)?;
    write!(hidden.terminal, "{}: ", shown(prompt))?;
    let (tell, told) = oneshot::channel();
    // A thread of its own: a read whose caller is gone must not hold up the end of the process.
    thread::Builder::new().name("secret prompt".to_owned()).spawn(move || {
        let mut line = Vec::new();
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(2);
        let read = BufReader::new(reader.take(limit)).read_until(b'\n', &mut line);
        // Who has asked may have gone.
        let _ = tell.send(read.map(|_| line));
    })?;
    let line = told.await.map_err(|_| io::Error::from(io::ErrorKind::Interrupted))??;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if let Ok(text) = std::str::from_utf8(&line) {
        typed.insert(prompt.to_owned(), Secret::new(text));
    }
    Ok(line)
}

/// A prompt as it may be written to a terminal.
fn shown(prompt: &str) -> String {
    let text: String = prompt.chars().filter(|c| !c.is_control()).take(200).collect();
    text.trim_end().trim_end_matches(':').to_owned()
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_prompt_has_one_colon_and_nothing_that_moves_the_cursor() {
        assert_eq!(shown("Password of core1: "), "Password of core1");
        assert_eq!(shown("\x1b[2JPIN\n"), "[2JPIN");
    }
}

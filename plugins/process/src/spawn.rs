//! Starting a child. It is given three descriptors and nothing else; all of the host's are closed.

use crate::kid::Kid;
use crate::options::{ProcessOptions, Stderr};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a child is given of the host's environment, besides all `LC_…`.
const HARMLESS: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG"];

/// A started child and our end of what it reads and writes.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) kid: Kid,
    pub(crate) io: OwnedFd,
}

/// The program and its arguments.
///
/// # Errors
/// Naming the option at fault.
pub(crate) fn command(options: &ProcessOptions) -> Result<(String, Vec<String>)> {
    let words = match (&options.command[..], &options.shell) {
        ([], None) => {
            let message = "a program is needed, such as [\"cat\"], or a line for `shell`";
            return Err(Error::option("command", message));
        }
        ([], Some(line)) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
        (words, None) => words.to_vec(),
        (_, Some(_)) => return Err(Error::option("shell", "either this or `command`, not both")),
    };
    let bad = |text: &String| text.contains('\0');
    if words.iter().any(bad) {
        return Err(Error::option("command", "an argument cannot have a NUL byte"));
    }
    let name = |name: &String| name.is_empty() || name.contains('=') || bad(name);
    if options.env.iter().any(|(key, value)| name(key) || bad(value)) {
        return Err(Error::option("env", "a name is empty or has a `=`, or there is a NUL byte"));
    }
    let mut words = words.into_iter();
    let program = words.next().filter(|program| !program.is_empty());
    let program = program.ok_or_else(|| Error::option("command", "the program's name is empty"))?;
    Ok((program, words.collect()))
}

fn environment(options: &ProcessOptions) -> Vec<(String, String)> {
    let harmless = |name: &str| HARMLESS.contains(&name) || name.starts_with("LC_");
    let mut all: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| options.inherit_env || harmless(name))
        .collect();
    if options.pty {
        all.push(("TERM".to_owned(), options.term.clone()));
    }
    all.extend(options.env.clone());
    all
}

/// Starts it. Blocks until the program has been found.
///
/// # Errors
/// [`ErrorKind::NotFound`] if there is no such program or folder, and what else the system says.
pub(crate) fn start(options: &ProcessOptions) -> Result<Started> {
    let (program, arguments) = command(options)?;
    if let Some(cwd) = &options.cwd
        && !Path::new(cwd).is_dir()
    {
        return Err(Error::new(ErrorKind::NotFound, "there is no such folder").with("cwd", cwd));
    }
    let mut command = Command::new(&program);
    command.args(arguments).env_clear().envs(environment(options));
    if let Some(cwd) = &options.cwd {
        command.current_dir(cwd);
    }
    let started =
        if options.pty { on_terminal(command, options) } else { on_socket(command, options) };
    started.map_err(|error| Error::from(error).with("program", program))
}

fn errors(stderr: Stderr) -> Option<Stdio> {
    match stderr {
        Stderr::Merge => None,
        Stderr::Inherit => Some(Stdio::inherit()),
        Stderr::Null => Some(Stdio::null()),
    }
}

/// One socket for both directions: its half-close is the end of the child's input.
fn on_socket(mut command: Command, options: &ProcessOptions) -> io::Result<Started> {
    let (ours, theirs) = UnixStream::pair()?;
    let theirs = OwnedFd::from(theirs);
    let other = match errors(options.stderr) {
        Some(other) => other,
        None => theirs.try_clone()?.into(),
    };
    command.stdout(theirs.try_clone()?).stdin(theirs).stderr(other).process_group(0);
    let kid = Kid::new(command.spawn()?)?;
    Ok(Started { kid, io: ours.into() })
}

/// As the leader of a session of its own, with the terminal in control of it.
fn on_terminal(command: Command, options: &ProcessOptions) -> io::Result<Started> {
    let failed = |error: pty_process::Error| match error {
        pty_process::Error::Io(error) => error,
        other => io::Error::other(other),
    };
    let (ours, theirs) = pty_process::blocking::open().map_err(failed)?;
    ours.resize(pty_process::Size::new(options.rows, options.columns)).map_err(failed)?;
    if options.raw {
        let mut settings = tcgetattr(theirs.as_fd())?;
        settings.make_raw();
        tcsetattr(theirs.as_fd(), OptionalActions::Now, &settings)?;
    }
    let mut command = pty_process::blocking::Command::from(command);
    if let Some(other) = errors(options.stderr) {
        command = command.stderr(other);
    }
    let kid = Kid::new(command.spawn(theirs).map_err(failed)?)?;
    Ok(Started { kid, io: ours.into() })
}

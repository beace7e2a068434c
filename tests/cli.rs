//! The binary, as users run it: its answers, its exit codes, and one clear line for each mistake.

mod answers;
mod calling;
mod connecting;
mod copying;
mod documented;
mod installed;
mod logs;
mod mistakes;
mod paths;
mod plugins;
mod probing;
mod running;
mod unclean;

use crate::support::peers::sshd::{Sshd, USER};

const ECHO: &str =
    "[handlers.echo]\n[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\n";

/// A URI and the options by which the binary may log in to `sshd`.
fn login(sshd: &Sshd) -> Vec<String> {
    vec![
        format!("ssh://{USER}@127.0.0.1:{}", sshd.port()),
        "-o".to_owned(),
        format!("key_file={}", sshd.key().display()),
        "-o".to_owned(),
        format!("known_hosts={}", sshd.known_hosts().display()),
    ]
}

/// `command`, what `login` says, and `more`.
fn line<'a>(command: &'a str, login: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    let login = login.iter().map(String::as_str);
    std::iter::once(command).chain(login).chain(more.iter().copied()).collect()
}

//! The real binary, as a user starts it: in an empty folder, with no settings from the environment.

use std::{
    env, fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, ExitStatus},
};

use rustix::process::Signal;

use super::process::{Process, Ran, command, run, tempdir};

/// The binary that was built beside this test.
pub(crate) fn binary() -> PathBuf {
    beside("jackfield")
}

/// A program that was built beside this test.
pub(crate) fn beside(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("a target folder");
    let program = folder.join(name);
    let build = "cargo build --workspace --bins --lib --examples";
    assert!(program.is_file(), "{} is missing: {build}", program.display());
    program
}

/// `jackfield ARGUMENTS`, ready to be started.
pub(crate) fn jackfield(arguments: &[&str]) -> Command {
    let mut command = command(binary());
    command.args(arguments).current_dir("/");
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("JACKFIELD") || text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    // No host takes a place of the machine, and no command finds a host that a test has not started.
    command.env("XDG_RUNTIME_DIR", NOWHERE).env("JACKFIELD_ADMIN", NOWHERE);
    command
}

/// A place that nothing can be in.
const NOWHERE: &str = "/dev/null/none";

/// Runs `jackfield ARGUMENTS` to its end with `input` on standard input.
pub(crate) async fn ran(arguments: &[&str], input: &str) -> Ran {
    run(jackfield(arguments), input).await
}

/// A configuration in a folder that goes away on drop.
pub(crate) struct Config {
    folder: tempfile::TempDir,
}

impl Config {
    pub(crate) fn new(toml: &str) -> Self {
        let folder = tempdir();
        fs::write(folder.path().join("jackfield.toml"), toml).expect("a configuration file");
        Self { folder }
    }

    /// The file's name, for `--config`.
    pub(crate) fn file(&self) -> String {
        self.folder.path().join("jackfield.toml").display().to_string()
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// A running `jackfield run` or `jackfield relay`.
pub(crate) struct Jackfield {
    process: Process,
    config: Option<Config>,
}

impl Jackfield {
    /// Writes its configuration anew; it takes it over by a reload.
    pub(crate) fn write(&self, toml: &str) {
        let config = self.config.as_ref().expect("it runs by a configuration");
        fs::write(config.file(), toml).expect("a configuration file");
    }

    /// Runs `toml` until dropped.
    pub(crate) async fn run(toml: &str) -> Self {
        Self::run_with(toml, &[]).await
    }

    /// As `run`, with more arguments.
    pub(crate) async fn run_with(toml: &str, more: &[&str]) -> Self {
        let config = Config::new(toml);
        let file = config.file();
        let arguments = [&["run", "--config", &file], more].concat();
        let mut process = Process::spawn("jackfield", jackfield(&arguments));
        process.logged("ready").await.unwrap_or_else(|log| panic!("{log}"));
        Self { process, config: Some(config) }
    }

    /// As `run_with`, started by another program, such as `prlimit --nofile=256`.
    pub(crate) async fn run_under(program: &[&str], toml: &str, more: &[&str]) -> Self {
        let config = Config::new(toml);
        let mut plain = jackfield(&["run", "--config", &config.file()]);
        plain.args(more);
        let mut under = command(super::need::need(program[0], "util-linux"));
        under.args(&program[1..]).arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => under.env(name, value),
                None => under.env_remove(name),
            };
        }
        let mut process = Process::spawn("jackfield", under);
        process.logged("ready").await.unwrap_or_else(|log| panic!("{log}"));
        Self { process, config: Some(config) }
    }

    /// Its process, which is what was started: `prlimit` and its like become it.
    pub(crate) fn pid(&self) -> i32 {
        self.process.pid().as_raw_nonzero().get()
    }

    /// Starts `jackfield relay ARGUMENTS`.
    pub(crate) async fn relay(arguments: &[&str]) -> Self {
        let arguments = [&["relay"], arguments].concat();
        let mut process = Process::spawn("jackfield relay", jackfield(&arguments));
        process.logged("listening on ").await.unwrap_or_else(|log| panic!("{log}"));
        Self { process, config: None }
    }

    /// Where the route number `index` listens, from the log.
    pub(crate) fn address(&self, index: usize) -> SocketAddr {
        let log = self.log();
        let local = |line: &str| {
            let marks = ["listening on ", "local=\"", "\"local\":\""];
            let rest = marks.iter().find_map(|mark| line.split_once(mark))?.1;
            rest.split([' ', '"']).next()?.parse().ok()
        };
        log.lines().filter_map(local).nth(index).unwrap_or_else(|| panic!("no address in:\n{log}"))
    }

    /// What it wrote to both outputs.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Waits for a line with `text` in its log, and answers what follows.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        self.process.logged(text).await.unwrap_or_else(|log| panic!("{log}"))
    }

    /// Its memory in KiB.
    pub(crate) fn memory(&self) -> usize {
        let status = format!("/proc/{}/status", self.process.pid().as_raw_nonzero());
        let status = fs::read_to_string(status).expect("the state of a process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a field");
        line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        self.process.ended().await
    }
}

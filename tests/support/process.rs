//! Child processes: peers that run while a test does, and commands that end by themselves.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

use super::need::need;

/// How long a peer may take to start, or a command to end, before the test fails. Generous: it
/// only bounds a test that has failed already.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(5);

/// A command that the kernel ends when the test that started it dies.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(need("setpriv", "util-linux"));
    command.args(["--pdeathsig", "KILL", "--"]).arg(program.as_ref());
    command
}

/// A running peer. Dropping it kills its process group, waits for it and removes its folder.
pub(crate) struct Process {
    child: Child,
    name: String,
    dir: TempDir,
}

impl Process {
    /// Starts `command` in a process group of its own, with output going to a log file.
    pub(crate) fn spawn(name: &str, command: Command) -> Self {
        Self::spawn_in(name, tempdir(), command)
    }

    /// As `spawn`, keeping the log in `dir`, which then lives as long as the process.
    pub(crate) fn spawn_in(name: &str, dir: TempDir, mut command: Command) -> Self {
        use std::os::unix::process::CommandExt;

        let log = File::create(dir.path().join("log")).expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Self { child, name: name.to_owned(), dir }
    }

    /// The id of the process, which is also that of its group.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The folder with the log and whatever the peer was given.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Everything the process wrote so far, on both outputs.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for `condition`; `Err` has the log, because the process ended or took too long.
    pub(crate) async fn ready(
        &mut self,
        mut condition: impl AsyncFnMut(&Self) -> bool,
    ) -> Result<(), String> {
        let end = Instant::now() + DEADLINE;
        loop {
            if condition(self).await {
                return Ok(());
            }
            let exited = self.child.try_wait().expect("the state of a child");
            if exited.is_some() || Instant::now() > end {
                let how = exited.map_or("took too long".into(), |status| status.to_string());
                return Err(format!("{} did not become ready: {how}\n{}", self.name, self.log()));
            }
            sleep(POLL).await;
        }
    }

    /// Waits for the first log line that contains `text` and returns what follows it there.
    pub(crate) async fn logged(&mut self, text: &str) -> Result<String, String> {
        let mut rest = None;
        self.ready(async |process| {
            rest = after(&process.log(), text);
            rest.is_some()
        })
        .await?;
        Ok(rest.unwrap_or_default())
    }

    /// As `logged`, for a peer that prints the port it was given by the kernel.
    pub(crate) async fn logged_port(&mut self, before: &str) -> u16 {
        let rest = self.logged(before).await.unwrap_or_else(|log| panic!("{log}"));
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("no port after {before:?} in {rest:?}"))
    }

    /// Kills the process alone: what it has started goes on.
    pub(crate) fn kill_alone(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("the end of a child");
    }

    /// Starts `command` in place of a process that has ended, in the same folder with a new log.
    pub(crate) fn start_again(&mut self, mut command: Command) {
        use std::os::unix::process::CommandExt;

        let log = File::create(self.dir.path().join("log")).expect("a log file");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let started = command.process_group(0).spawn();
        self.child = started.unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Sends a signal to the process alone.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("a process to signal");
    }

    /// Kills the process and everything it started, even what left its group.
    pub(crate) fn kill_tree(&mut self) {
        let family = descendants(self.pid());
        self.kill_group();
        for pid in family {
            // It may have ended meanwhile.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child") {
                return status;
            }
            assert!(Instant::now() < end, "{} does not end; its log:\n{}", self.name, self.log());
            sleep(POLL).await;
        }
    }

    fn kill_group(&self) {
        let _ = rustix::process::kill_process_group(self.pid(), Signal::KILL);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_tree();
    }
}

/// What a finished command left behind.
pub(crate) struct Ran {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The same, after checking that the command succeeded.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.text(), self.stderr);
        self
    }
}

/// Runs `command` to its end with `input` on standard input.
///
/// Cancel safe: dropping the future kills the command.
pub(crate) async fn run(command: Command, input: impl Into<Vec<u8>>) -> Ran {
    dialogue(command, input, "").await
}

/// As `run`, but the input ends only once `expected` was printed, for clients that leave when
/// their input does.
pub(crate) async fn dialogue(command: Command, input: impl Into<Vec<u8>>, expected: &str) -> Ran {
    let name = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut stdin = child.stdin.take().expect("standard input of a child");
    let mut stdout = child.stdout.take().expect("standard output of a child");
    let mut stderr = child.stderr.take().expect("standard error of a child");

    let (seen, satisfied) = tokio::sync::oneshot::channel();
    let input = input.into();
    let feed = async move {
        // A command may end without reading everything; what it wrote says whether that was right.
        let _ = stdin.write_all(&input).await;
        let _ = satisfied.await;
    };
    let read = async {
        let (mut all, mut seen) = (Vec::new(), Some(seen));
        loop {
            if seen.is_some() && contains(&all, expected.as_bytes()) {
                seen.take().map(|seen| seen.send(()));
            }
            if stdout.read_buf(&mut all).await.expect("a readable pipe") == 0 {
                return all;
            }
        }
    };
    let mut errors = Vec::new();
    let all = async { tokio::join!(read, stderr.read_to_end(&mut errors), feed, child.wait()) };
    let (stdout, _, (), status) = timeout(DEADLINE, all)
        .await
        .unwrap_or_else(|_| panic!("{name} took longer than {DEADLINE:?}"));
    let status = status.unwrap_or_else(|error| panic!("{name}: {error}"));
    let stderr = String::from_utf8_lossy(&errors).into_owned();
    Ran { code: status.code(), stdout, stderr }
}

/// A folder that only its owner can read, removed on drop.
pub(crate) fn tempdir() -> TempDir {
    tempfile::Builder::new().prefix("jackfield-test-").tempdir().expect("a temporary folder")
}

/// A script that belongs to the tests.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("support/scripts").join(name)
}

/// What follows `text` in its line, once that line is complete.
fn after(log: &str, text: &str) -> Option<String> {
    log.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .find_map(|line| line.split_once(text))
        .map(|(_, rest)| rest.trim_end().to_owned())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

/// Children, their children and so on, from `/proc`.
pub(crate) fn descendants(pid: Pid) -> Vec<Pid> {
    let processes: Vec<(i32, i32)> = fs::read_dir("/proc")
        .expect("a mounted /proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, parent(id)?)))
        .collect();
    let mut family = vec![pid.as_raw_nonzero().get()];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(processes.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    family.into_iter().skip(1).filter_map(Pid::from_raw).collect()
}

fn parent(id: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in brackets, may itself contain brackets and spaces; the state and the parent
    // follow the last one.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

//! A trial: a plugin file is loaded, started and stopped once in a process of its own, so that one that
//! hangs or crashes there costs the host nothing. See [`TrialCommand`].

use super::load::settings;
use super::records::{Records, TrialRecord, TrialResult};
use super::refusal::Refusal;
use crate::metrics::MetricLimits;
use crate::services::{Common, PluginRates, PluginServices};
use jackfield_plugin_api::load::{Module, read_manifest};
use jackfield_timers::timeout;
use rustix::process::{
    Resource, Rlimit, Signal, getpid, kill_process, set_parent_process_death_signal, setrlimit,
};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

/// What the process of a trial writes, on a line of its own, when all went to its end.
const RETURNED: &str = "jackfield: the trial has ended";

/// Time for what a process has written to be read once it is gone: another process may hold its pipes.
const REST: Duration = Duration::from_secs(1);

/// The most that is kept of what a trial writes to its standard error.
const MAX_WORDS: u64 = 16 * 1024;

/// The most of it that is shown.
const MAX_LAST: usize = 200;

/// How a program starts itself for a trial: it must call [`try_file`] with the name of a file that is
/// added as the last argument, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, before the name of the file.
    pub arguments: Vec<OsString>,
}

/// What runs in the process of a trial: loads a plugin file, starts it, stops it, tells the parent, and
/// ends the process in a way that runs nothing more of the plugin. It also ends when the parent does,
/// which must hold the other end of its standard input.
pub fn try_file(place: &Path) -> ! {
    // No file of a dead trial is wanted; without the limit there may be one.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // Whatever this process does by then. The thread below waits as well: the parent may be gone already.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let watch = std::thread::Builder::new().name("parent".to_owned()).spawn(|| {
        // Ends, or fails, when the parent is gone; nothing is ever written there.
        let _ = std::io::stdin().read(&mut [0]);
        end();
    });
    if watch.is_ok() {
        start_and_stop(place);
        let mut out = std::io::stdout().lock();
        // A parent that does not hear it has its deadline.
        let _ = writeln!(out, "{RETURNED}").and_then(|()| out.flush());
    }
    end()
}

/// Handlers that a plugin registered for a regular end are not run.
fn end() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::exit(1)
}

/// What a plugin that is tried shares with nobody: it writes one line a second.
fn quiet() -> Arc<Common> {
    let rates = PluginRates { log: 1, ..PluginRates::default() };
    Arc::new(Common::new(MetricLimits::default(), rates, BTreeMap::new()))
}

/// What fails here in an orderly way will do so in the host, which then says why.
fn start_and_stop(place: &Path) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (Ok(runtime), Ok(bytes)) = (runtime, std::fs::read(place)) else { return };
    let Ok(manifest) = read_manifest(&bytes) else { return };
    let _entered = runtime.enter();
    let Ok(module) = Module::load(place, &manifest.symbol) else { return };
    let services = PluginServices::new(&manifest.name, quiet(), Box::new(|_| ()));
    if module.describe().is_ok()
        && let Ok(plugin) = module.init(Arc::new(services), &settings(1))
    {
        drop(plugin);
    }
}

/// What a trial came to.
#[derive(Debug, PartialEq, Eq)]
enum TrialOutcome {
    Returned,
    Crashed { how: String, last: Option<String> },
    Hung,
}

/// Tries the copy `place` of the plugin file `file` if there is no record of it, and keeps the result.
///
/// # Errors
/// Why the file must not be loaded.
pub(super) async fn passed(
    command: &TrialCommand,
    (file, sha256, place): (&Path, &str, &Path),
    limit: Duration,
    records: &Records,
) -> Result<(), Refusal> {
    let outcome = match run(command, place, limit).await {
        Ok(outcome) => outcome,
        Err(error) => {
            let program = command.program.display();
            tracing::warn!(file = %file.display(), %program, "loaded without a trial: {error}");
            return Ok(());
        }
    };
    let (known, result) = match outcome {
        TrialOutcome::Returned => (TrialResult::Passed, Ok(())),
        TrialOutcome::Crashed { how, last } => {
            let refusal = Refusal::TrialCrashed { how, last };
            (TrialResult::Crashed { reason: refusal.to_string() }, Err(refusal))
        }
        TrialOutcome::Hung => {
            let refusal = Refusal::TrialHung(limit);
            (TrialResult::Hung { reason: refusal.to_string() }, Err(refusal))
        }
    };
    if let Err(error) = records.put(&TrialRecord::new(sha256, file, known)) {
        tracing::warn!(file = %file.display(), "could not store the result of the trial: {error}");
    }
    result
}

/// Cancel safe: a process that runs is killed.
async fn run(
    command: &TrialCommand,
    place: &Path,
    limit: Duration,
) -> std::io::Result<TrialOutcome> {
    let mut child = Command::new(&command.program)
        .args(&command.arguments)
        .arg(place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    // The child ends when this is dropped.
    let lifeline = child.stdin.take();
    let words = child.stderr.take().map(|pipe| tokio::spawn(words(pipe)));
    let outcome = match timeout(limit, ended(&mut child)).await {
        Ok(Ok(None)) => TrialOutcome::Returned,
        Ok(Ok(Some(status))) => {
            let words = match words {
                Some(words) => timeout(REST, words).await.ok().and_then(Result::ok),
                None => None,
            };
            TrialOutcome::Crashed { how: how(status), last: words.and_then(|words| last(&words)) }
        }
        Ok(Err(error)) => return Err(error),
        Err(_) => TrialOutcome::Hung,
    };
    // It may be gone.
    let _ = child.start_kill();
    drop(lifeline);
    // After the signal it cannot stay; if it does, it is not waited for.
    let _ = timeout(REST, child.wait()).await;
    Ok(outcome)
}

/// `None` when the child says that all went to its end, else how it ended.
async fn ended(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let Some(out) = child.stdout.take() else { return child.wait().await.map(Some) };
    let mut returned = Box::pin(returned(out));
    let mut silent = false;
    loop {
        tokio::select! {
            biased;
            said = &mut returned, if !silent => match said {
                true => return Ok(None),
                false => silent = true,
            },
            status = child.wait() => {
                let status = status?;
                // What it wrote before it ended may not have been read yet.
                let said = !silent && timeout(REST, returned).await.unwrap_or(false);
                return Ok((!said).then_some(status));
            }
        }
    }
}

/// Whether the line comes that ends a trial; false at the end of what is written.
async fn returned(out: impl AsyncRead + Unpin) -> bool {
    let mut lines = BufReader::new(out);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line without an end does not grow for ever.
        match (&mut lines).take(MAX_WORDS).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return false,
            Ok(_) if line.trim_ascii() == RETURNED.as_bytes() => return true,
            Ok(_) => {}
        }
    }
}

/// The beginning of what is written; the rest is read and dropped.
async fn words(mut pipe: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut words = Vec::new();
    // What was read until an error is what there is.
    let _ = (&mut pipe).take(MAX_WORDS).read_to_end(&mut words).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    words
}

/// The last line that says something.
fn last(words: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(words);
    let line = text.lines().rev().map(str::trim).find(|line| {
        // What Rust's own messages end with.
        !line.is_empty() && !line.starts_with("note: ")
    })?;
    let plain = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    Some(plain.take(MAX_LAST).collect())
}

fn how(status: ExitStatus) -> String {
    let Some(number) = status.signal() else {
        return match status.code() {
            Some(code) => format!("it exited with code {code}"),
            None => "it ended".to_owned(),
        };
    };
    let names = [
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::ILL, "SIGILL"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::SYS, "SIGSYS"),
        (Signal::TERM, "SIGTERM"),
        (Signal::TRAP, "SIGTRAP"),
    ];
    let name = names.iter().find(|(signal, _)| signal.as_raw() == number);
    name.map_or_else(|| format!("signal {number}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> TrialCommand {
        TrialCommand { program: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] }
    }

    async fn outcome(script: &str, limit: Duration) -> TrialOutcome {
        run(&shell(script), Path::new("x.so"), limit).await.expect("a shell")
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_process_that_says_so_has_returned_whatever_ends_it() {
        for end in ["exit 0", "kill -9 $$", "exec sleep 1000"] {
            let script = format!("echo hello; echo '{RETURNED}'; {end}");
            assert_eq!(outcome(&script, LONG).await, TrialOutcome::Returned, "{end}");
        }
    }

    #[tokio::test]
    async fn a_signal_and_an_exit_are_told_with_the_last_words() {
        let crashed = |how: &str, last: Option<&str>| TrialOutcome::Crashed {
            how: how.to_owned(),
            last: last.map(str::to_owned),
        };
        let script = "echo one >&2; printf 'two\\033\\nnote: x\\n\\n' >&2; kill -SEGV $$";
        assert_eq!(outcome(script, LONG).await, crashed("SIGSEGV", Some("two ")));
        assert_eq!(outcome("exit 3", LONG).await, crashed("it exited with code 3", None));
    }

    #[tokio::test]
    async fn one_that_does_not_end_is_hung() {
        assert_eq!(outcome("exec sleep 1000", Duration::from_millis(50)).await, TrialOutcome::Hung);
    }
}

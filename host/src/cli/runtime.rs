//! What every command stands on: logs, a runtime, signals.

use super::failure::{Failure, Outcome};
use crate::config::Config;
use crate::config::model::{LogFormat, LogLevel};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Variables that say what is logged, the first one set wins.
const FILTERS: [&str; 2] = ["JACKFIELD_LOG", "RUST_LOG"];

/// How long threads of plugins that block may hold up the end of the process.
const GRACE: Duration = Duration::from_millis(500);

/// Starts logs to standard error; `default` is a filter such as `warn`.
pub(super) fn start_log(default: &str, format: LogFormat) -> Outcome<()> {
    let set = FILTERS.iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
    let filter = match set.filter(|(_, text)| !text.is_empty()) {
        Some((name, text)) => EnvFilter::builder()
            .parse(text)
            .map_err(|error| Failure::config(format!("environment variable {name}: {error}")))?,
        None => EnvFilter::builder().parse_lossy(default),
    };
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(color)
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => log.with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(Failure::run)
}

/// Logs of a command that a person waits for: warnings, or more with `-v`.
pub(super) fn start_client_log(verbose: u8) -> Outcome<()> {
    start_log(["warn", "info", "debug", "trace"][usize::from(verbose.min(3))], LogFormat::Text)
}

/// The configured level, raised by `-v`.
pub(super) fn level(level: LogLevel, verbose: u8) -> &'static str {
    const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
    let configured = match level {
        LogLevel::Error => 0,
        LogLevel::Warn => 1,
        LogLevel::Info => 2,
        LogLevel::Debug => 3,
        LogLevel::Trace => 4,
    };
    LEVELS[(configured + usize::from(verbose)).min(4)]
}

/// Runs `work` on a runtime of its own, as the configuration wants it, to its end. Threads that
/// block, in plugins or on standard input, do not hold up the end.
pub(super) fn block_on<T>(config: &Config, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = build(usize::from(config.host.worker_threads))
        .map_err(|error| Failure::run(format!("no threads: {error}")))?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(GRACE);
    outcome
}

fn build(threads: usize) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.thread_name("jackfield").enable_all().build()
}

/// The signals that tell a command to end.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ended {
    pub(super) name: &'static str,
    /// The exit code of a program that such a signal has ended.
    pub(super) code: u8,
}

impl Signals {
    /// From now on they no longer end the process by themselves.
    pub(super) fn new() -> Outcome<Self> {
        let watch = |kind| signal(kind).map_err(|error| Failure::run(format!("signals: {error}")));
        Ok(Signals {
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
        })
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Ended {
        tokio::select! {
            _ = self.interrupt.recv() => Ended { name: "SIGINT", code: 130 },
            _ = self.terminate.recv() => Ended { name: "SIGTERM", code: 143 },
        }
    }
}

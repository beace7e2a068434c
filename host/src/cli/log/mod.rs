//! Logs to standard error: one line for each event, whatever is in it, and never in the way of data.

mod line;
mod queue;

pub(super) use queue::{complain, flush};

use super::failure::{Failure, Outcome};
use crate::config::model::{LogFormat, LogLevel};
use line::{Json, Text};
use queue::ToQueue;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Variables that say what is logged, the first one set wins.
const FILTERS: [&str; 2] = ["JACKFIELD_LOG", "RUST_LOG"];

/// Starts logs to standard error; `default` is a filter such as `warn`.
pub(super) fn start_log(default: &str, format: LogFormat) -> Outcome<()> {
    let set = FILTERS.iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
    let filter = match set.filter(|(_, text)| !text.is_empty()) {
        Some((name, text)) => EnvFilter::builder()
            .parse(text)
            .map_err(|error| Failure::config(format!("environment variable {name}: {error}")))?,
        None => EnvFilter::builder().parse_lossy(default),
    };
    queue::start().map_err(|error| Failure::run(format!("no thread for the log: {error}")))?;
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(color)
        .log_internal_errors(false)
        .with_writer(ToQueue);
    let started = match format {
        LogFormat::Text => log.with_target(false).fmt_fields(Text).try_init(),
        LogFormat::Json => log.event_format(Json).try_init(),
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

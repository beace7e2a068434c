//! Logs to standard error: one line for each event, whatever is in it, and never in the way of data.

mod levels;
mod limit;
mod line;
mod queue;

pub(super) use levels::LogControl;
pub(super) use queue::{complain, flush};

use super::failure::{Failure, Outcome};
use crate::config::model::{LogConfig, LogFormat, LogLevel};
use crate::listener::SESSIONS;
use crate::route::REQUESTS;
use limit::{Limit, Limited};
use line::{FormattedLines, TextFields};
use queue::ToQueue;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Variables that say what is logged, the first one set wins.
const FILTERS: [&str; 2] = ["JACKFIELD_LOG", "RUST_LOG"];

/// Starts logs to standard error; `default` is a filter such as `warn`. Answers what its level is changed by.
pub(super) fn start_log(default: &str, config: &LogConfig) -> Outcome<Arc<LogControl>> {
    let (text, filter) = filter(default, config)?;
    let limit: &'static Limit = Box::leak(Box::new(Limit::new(config)));
    let format = Arc::new(AtomicBool::new(config.format == LogFormat::Json));
    let (filter, gate, control) =
        LogControl::new((text, filter), config, (limit, Arc::clone(&format)));
    queue::start(limit).map_err(|error| Failure::run(format!("no thread for the log: {error}")))?;
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(color)
        .log_internal_errors(false)
        .with_writer(ToQueue);
    let log = tracing_subscriber::registry()
        .with(filter)
        .with(gate)
        .with(Limited { limit, told: queue::wake })
        .with(lines.event_format(FormattedLines::of(format)).fmt_fields(TextFields));
    log.try_init().map_err(Failure::run)?;
    Ok(control)
}

/// What is logged: by the environment, else by `default` and the keys for lines of sessions and requests; as text and
/// as a filter.
fn filter(default: &str, config: &LogConfig) -> Outcome<(String, EnvFilter)> {
    let set = FILTERS.iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
    if let Some((name, text)) = set.filter(|(_, text)| !text.is_empty()) {
        let filter = EnvFilter::builder().parse(&text);
        let filter = filter
            .map_err(|error| Failure::config(format!("environment variable {name}: {error}")))?;
        return Ok((text, filter));
    }
    let text = with_kinds(default, config);
    let filter = parsed(&text)?;
    Ok((text, filter))
}

fn parsed(text: &str) -> Outcome<EnvFilter> {
    EnvFilter::builder().parse(text).map_err(Failure::run)
}

/// The filter of a level, without the lines that are not to be written.
fn with_kinds(level: &str, config: &LogConfig) -> String {
    let mut filter = level.to_owned();
    for (kind, is_written) in [(SESSIONS, config.sessions), (REQUESTS, config.requests)] {
        if !is_written {
            // A filter holds for what is below it, too: what failed is written all the same.
            filter.push_str(&format!(",{kind}=off,{kind}::failed={level}"));
        }
    }
    filter
}

/// Logs of a command that a person waits for: warnings, or more with `-v`.
pub(super) fn start_client_log(verbose: u8) -> Outcome<()> {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    start_log(level, &LogConfig::default()).map(drop)
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

//! `jackfield status`.

use super::link::asked;
use super::place::AdminArgs;
use crate::cli::failure::Outcome;
use crate::cli::output::{print, table};
use serde_json::Value;
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct StatusArgs {
    #[command(flatten)]
    admin: AdminArgs,
    /// Print what the API answers
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
The exit code is 3 when no host is there.

Examples:
  jackfield status
  jackfield status --admin /run/lab/admin.sock --json";

pub(in crate::cli) fn status(args: &StatusArgs) -> Outcome {
    let text = asked(&args.admin, "GET", "/v1/status", None)?;
    if args.json {
        return print(&text);
    }
    let status: Value = serde_json::from_str(&text).unwrap_or_default();
    print(&shown(&status))
}

/// Milliseconds as people read them, in one unit or two.
pub(super) fn time(millis: &Value) -> String {
    let Some(millis) = millis.as_u64() else { return "-".to_owned() };
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{:?}", Duration::from_millis(millis)),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// `3 up, 1 down`, as far as there are any.
pub(super) fn counted(states: &Value) -> String {
    let states = states.as_object().into_iter().flatten();
    let all: Vec<String> = states.map(|(state, count)| format!("{count} {state}")).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn shown(status: &Value) -> String {
    let (lives, leases) = (&status["connections"], &status["leases"]);
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let count = |key: &str| plain(&status[key]);
    let rows = [
        ("state", plain(&status["state"])),
        ("version", plain(&status["version"])),
        ("pid", count("pid")),
        ("uptime", time(&status["uptime_ms"])),
        (
            "connections",
            format!("{} of {} ({} accepted)", lives["now"], lives["max"], lives["accepted"]),
        ),
        ("listeners", count("listeners")),
        ("upstreams", count("upstreams")),
        ("targets", counted(&status["targets"])),
        ("devices", count("devices")),
        ("leases", format!("{} held, {} waiting", leases["held"], leases["waiting"])),
        ("plugins", counted(&status["plugins"])),
        ("you", format!("{}, {}", plain(&status["you"]["user"]), plain(&status["you"]["role"]))),
    ];
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
    table(&rows, 0, None)
}

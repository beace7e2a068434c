//! `jackfield top`.

use super::link::HostLink;
use super::list::{LIVES, TARGETS, rows};
use super::place::AdminArgs;
use super::status::{counted, time};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::{print, table, width};
use crate::cli::runtime::Signals;
use crate::units::Timespan;
use serde_json::Value;
use std::process::ExitCode;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct TopArgs {
    /// Show it once and end
    #[arg(long)]
    once: bool,
    /// How often it is shown
    #[arg(long, value_name = "TIME", default_value = "1s")]
    interval: Timespan,
    #[command(flatten)]
    admin: AdminArgs,
}

const EXAMPLES: &str = "\
The targets with most sessions, and the connections with most bytes. Control-C ends it.

Examples:
  jackfield top
  jackfield top --once";

/// Lines of each table.
const LINES: usize = 15;

/// Goes to the top left corner, and clears from there.
const CLEAR: &str = "\x1b[H\x1b[J";

pub(in crate::cli) fn top(args: &TopArgs) -> Outcome {
    if args.interval.is_zero() {
        return Err(Failure::config("--interval: expected more than \"0s\""));
    }
    super::ask(async {
        let host = args.admin.host().await?;
        if args.once {
            return print(&looked(&host).await?);
        }
        let mut signals = Signals::of_command()?;
        loop {
            print(&format!("{CLEAR}{}", looked(&host).await?))?;
            tokio::select! {
                () = tokio::time::sleep(args.interval.0) => {}
                _ = signals.next() => return Ok(ExitCode::SUCCESS),
            }
        }
    })
}

async fn looked(host: &HostLink) -> Outcome<String> {
    let status = host.json("GET", "/v1/status", None).await?;
    let lives = host.all("/v1/connections?filter=id!=null").await?;
    let targets = host.all("/v1/targets").await?;
    Ok(shown(&status, lives, targets))
}

fn bytes(live: &Value) -> u64 {
    live["bytes_in"].as_u64().unwrap_or_default() + live["bytes_out"].as_u64().unwrap_or_default()
}

fn shown(status: &Value, mut lives: Vec<Value>, mut targets: Vec<Value>) -> String {
    lives.retain(|live| !live["id"].is_null() && live["closed_at"].is_null());
    lives.sort_by_key(|live| std::cmp::Reverse(bytes(live)));
    targets.sort_by_key(|target| std::cmp::Reverse(target["in_flight"].as_u64()));
    let count = &status["connections"];
    let mut text = format!(
        "jackfield {}, up {}, {}: {} connections of {}, targets {}\n",
        status["version"].as_str().unwrap_or_default(),
        time(&status["uptime_ms"]),
        status["state"].as_str().unwrap_or_default(),
        count["now"],
        count["max"],
        counted(&status["targets"]),
    );
    // What failed last may be long.
    let short = &TARGETS[..TARGETS.len() - 1];
    for (columns, items) in [(short, targets), (LIVES, lives)] {
        let (all, few) = (items.len(), &items[..items.len().min(LINES)]);
        text.push('\n');
        text.push_str(&table(&rows(columns, few), 0, width()));
        if all > LINES {
            text.push_str(&format!("… and {} more\n", all - LINES));
        }
    }
    text
}

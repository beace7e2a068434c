//! `jackfield log`.

use super::link::asked;
use super::place::AdminArgs;
use super::status::time;
use crate::cli::failure::Outcome;
use crate::cli::names;
use crate::cli::output::print;
use crate::units::Timespan;
use serde_json::{Value, json};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct LogArgs {
    /// error, warn, info, debug or trace; without it, what is in force is shown
    level: Option<String>,
    /// Only lines of this driver
    #[arg(add = names::drivers())]
    driver: Option<String>,
    /// How long; then the configured level is in force again
    #[arg(long = "for", value_name = "TIME", default_value = "10m")]
    within: Timespan,
    #[command(flatten)]
    admin: AdminArgs,
    /// Print what the API answers
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  jackfield log                      what is in force
  jackfield log debug                every connection, for ten minutes
  jackfield log trace ssh --for 1m   every step of one driver";

pub(in crate::cli) fn log(args: &LogArgs) -> Outcome {
    let body = args.level.as_ref().map(
        |level| json!({ "level": level, "driver": args.driver, "for": args.within.to_string() }),
    );
    let method = if body.is_some() { "PUT" } else { "GET" };
    let text = asked(&args.admin, method, "/v1/log", body.as_ref())?;
    if args.json {
        return print(&text);
    }
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let mut lines = format!("{} as configured\n", answer["level"].as_str().unwrap_or_default());
    for change in answer["changes"].as_array().into_iter().flatten() {
        let level = change["level"].as_str().unwrap_or_default();
        let whose = change["driver"].as_str().map(|it| format!(" of {it}")).unwrap_or_default();
        // A second that has begun counts: what was just set to 10m is not said to be for 9m59s.
        let left = change["left_ms"].as_u64().unwrap_or_default().div_ceil(1000) * 1000;
        lines.push_str(&format!("{level}{whose} for {}\n", time(&json!(left))));
    }
    print(&lines)
}

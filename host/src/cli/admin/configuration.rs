//! `jackfield reload` and `jackfield config`.

use super::link::{asked, asked_if};
use super::place::AdminArgs;
use super::status::time;
use crate::cli::failure::Outcome;
use crate::cli::output::{print, print_json};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct ReloadArgs {
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(clap::Args)]
pub(in crate::cli) struct ChangeArgs {
    /// Check and build everything, and say what is different, but change nothing
    #[arg(long)]
    dry_run: bool,
    /// Only if this version is in force, as `jackfield config history` has it last; else nothing changes
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    #[command(flatten)]
    admin: AdminArgs,
    /// Print what the API answers
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
The host reads its files and secrets again and takes over what is different, whole or not at all; with a
mistake anywhere nothing changes and the exit code is 2. Each line is an object that is different, with the
effect of each key.

Examples:
  jackfield reload --dry-run
  jackfield reload --if-version 3
  jackfield reload";

#[derive(clap::Subcommand)]
pub(in crate::cli) enum ConfigCommand {
    /// The last versions of the configuration, the one in force last
    History {
        #[command(flatten)]
        admin: AdminArgs,
        /// Print what the API answers
        #[arg(long)]
        json: bool,
    },
    /// How what was changed at run time differs from the configuration, a line for each difference
    Diff {
        #[command(flatten)]
        admin: AdminArgs,
        /// Print what the API answers
        #[arg(long)]
        json: bool,
    },
    /// Print what was changed at run time, as JSON
    Export {
        /// Which layer; there is one that can be printed
        #[arg(long, value_parser = ["runtime"], default_value = "runtime")]
        layer: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Drop what was changed at run time: all is as the configuration says
    Reset {
        #[command(flatten)]
        admin: AdminArgs,
        /// Print what the API answers
        #[arg(long)]
        json: bool,
    },
    /// Take over a version that was in force before, as a new one; the files stay as they are
    Rollback {
        /// Its number, as `history` has it
        version: u64,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

pub(in crate::cli) fn reload(args: &ReloadArgs) -> Outcome {
    change(&args.change, "/v1/config/reload")
}

pub(in crate::cli) fn config(command: &ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::History { admin, json } => history(admin, *json),
        ConfigCommand::Diff { admin, json } => {
            let text = asked(admin, "GET", RUN_TIME, None)?;
            lines_of(&text, *json, "drift", "nothing is different")
        }
        ConfigCommand::Export { admin, .. } => export(admin),
        ConfigCommand::Reset { admin, json } => {
            let text = asked(admin, "DELETE", RUN_TIME, None)?;
            lines_of(&text, *json, "dropped", "nothing was changed at run time")
        }
        ConfigCommand::Rollback { version, change: args } => {
            change(args, &format!("/v1/config/rollback/{version}"))
        }
    }
}

/// What was changed at run time.
const RUN_TIME: &str = "/v1/config/runtime";

/// Prints the lines that an answer has at `key`, or that there are none.
fn lines_of(text: &str, json: bool, key: &str, none: &str) -> Outcome {
    if json {
        return print(text);
    }
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    let lines = listed(&answer[key]);
    print(&if lines.is_empty() { format!("{none}\n") } else { lines })
}

fn export(admin: &AdminArgs) -> Outcome {
    let mut answer: Value =
        serde_json::from_str(&asked(admin, "GET", RUN_TIME, None)?).unwrap_or_default();
    if let Some(answer) = answer.as_object_mut() {
        answer.retain(|key, _| ["connections", "objects", "upstreams"].contains(&key.as_str()));
    }
    print_json(&answer)
}

fn change(args: &ChangeArgs, path: &str) -> Outcome {
    let path = if args.dry_run { format!("{path}?dry_run=true") } else { path.to_owned() };
    let expected = args.if_version.map(|version| format!("\"{version}\""));
    let text = asked_if(&args.admin, ("POST", &path), expected.as_deref())?;
    if args.json {
        return print(&text);
    }
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let mut lines = listed(&answer["lines"]);
    if lines.is_empty() {
        lines.push_str("nothing is different\n");
    }
    let version = &answer["version"];
    let end = if args.dry_run { "nothing was changed" } else { "in force" };
    print(&format!("{lines}version {version}: {end}\n"))
}

fn listed(lines: &Value) -> String {
    let lines = lines.as_array().into_iter().flatten().filter_map(Value::as_str);
    lines.map(|line| format!("{line}\n")).collect()
}

fn history(admin: &AdminArgs, json: bool) -> Outcome {
    let text = asked(admin, "GET", "/v1/config/history", None)?;
    if json {
        return print(&text);
    }
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut lines = String::new();
    for version in answer["items"].as_array().into_iter().flatten() {
        let since = now.as_secs_f64() - version["at"].as_f64().unwrap_or_default();
        let since = Duration::try_from_secs_f64(since).unwrap_or_default();
        let ago = time(&json!(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)));
        let (number, cause) = (&version["version"], version["cause"].as_str().unwrap_or_default());
        lines.push_str(&format!("version {number}, {ago} ago: {cause}\n"));
    }
    print(&lines)
}

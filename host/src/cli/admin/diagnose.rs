//! `jackfield diagnose`.

use super::link::{asked, part};
use super::place::AdminArgs;
use super::verbs::plain;
use crate::cli::failure::Outcome;
use crate::cli::names;
use crate::cli::output::print;
use serde_json::Value;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct DiagnoseArgs {
    /// A connection by its name or id
    #[arg(add = names::connections())]
    connection: String,
    #[command(flatten)]
    admin: AdminArgs,
    /// Print what the API answers
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
What decided the state that a connection is in, what it waits for, what looks wrong and what can be done, and its
last changes of state.

Examples:
  jackfield diagnose bastion
  jackfield diagnose 17 --json";

pub(in crate::cli) fn diagnose(args: &DiagnoseArgs) -> Outcome {
    let path =
        format!("/v1/connections/{}/diagnosis", part(plain(&args.connection, "connections.")));
    let text = asked(&args.admin, "GET", &path, None)?;
    if args.json {
        return print(&text);
    }
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let lines = answer["lines"].as_array().into_iter().flatten().filter_map(Value::as_str);
    print(&lines.map(|line| format!("{line}\n")).collect::<String>())
}

//! `jackfield upgrade`.

use super::link::asked;
use super::place::AdminArgs;
use crate::cli::failure::Outcome;
use crate::cli::output::print;
use serde_json::Value;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct UpgradeArgs {
    #[command(flatten)]
    admin: AdminArgs,
    /// Print what the API answers
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
The host starts the program that its name leads to now, with the arguments it was started with. The new process takes
over its sockets, so that no connection is refused, and reads the configuration files. When it is ready the old process
takes nothing new: its sessions have reload.drain.within to end, then they are closed one after the other within
reload.drain.spread. If the new process is not ready within host.timeouts.upgrade, or says why it cannot be, it is ended,
the old one goes on, and the exit code is 1. SIGUSR2 to the host does the same.

Weights, levels of the log and what else was changed at run time is not taken along, unless host.state_dir keeps it.

Example:
  jackfield upgrade";

pub(in crate::cli) fn upgrade(args: &UpgradeArgs) -> Outcome {
    let text = asked(&args.admin, "POST", "/v1/upgrade", None)?;
    if args.json {
        return print(&text);
    }
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let (pid, before) = (&answer["pid"], &answer["before"]);
    print(&format!(
        "process {pid} has taken over from {before}, which ends with its last session\n"
    ))
}

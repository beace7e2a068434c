//! `jackfield completions`, and the manual.

use super::failure::{Failure, Outcome};
use super::output::print_bytes;
use clap::ValueEnum;
use clap_complete::Shell;
use clap_complete::env::Shells;
use std::path::Path;
use std::process::ExitCode;

/// The hidden command that writes the pages of the manual, for packages.
pub(super) const MANUAL: &str = "__manual";

/// The variable by which a shell asks this program what can come next.
const VARIABLE: &str = "COMPLETE";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell that reads it
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
The shell asks this program at each tab, so that it knows the names of connections, devices, upstreams and
drivers of a running host, where one is there.

Examples:
  jackfield completions bash > ~/.local/share/bash-completion/completions/jackfield
  jackfield completions zsh > ~/.zfunc/_jackfield
  jackfield completions fish > ~/.config/fish/completions/jackfield.fish";

pub(super) fn completions(args: &CompletionsArgs) -> Outcome {
    let name = args.shell.to_possible_value().map(|value| value.get_name().to_owned());
    let shells = Shells::builtins();
    let shell = name.as_deref().and_then(|name| shells.completer(name));
    let shell = shell.ok_or_else(|| Failure::config("expected a shell that is known"))?;
    let mut script = Vec::new();
    let bin = "jackfield";
    shell
        .write_registration(VARIABLE, bin, bin, bin, &mut script)
        .map_err(|error| Failure::run(error.to_string()))?;
    print_bytes(&script)
}

/// Answers a shell that asks, and ends; returns if none does.
pub(super) fn answer(command: fn() -> clap::Command) {
    clap_complete::CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// Writes a page for each command to `folder`.
pub(super) fn manual(folder: &Path, command: clap::Command) -> Outcome {
    let failed = |error| Failure::of_path(&folder.join("jackfield.1"), &error);
    clap_mangen::generate_to(command, folder).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

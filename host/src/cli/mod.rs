//! The commands of the binary: a thin face of the library.

mod run;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// A plugin host for connections.
#[derive(Debug, Parser)]
#[command(name = "jackfield", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load plugins, listen and carry connections until told to stop
    Run(ConfigArgs),
}

/// What is configured, and how.
#[derive(Debug, clap::Args)]
struct ConfigArgs {
    /// Configuration file; may be given several times, later ones win
    #[arg(short, long, value_name = "FILE")]
    config: Vec<PathBuf>,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run::run(&args.config),
    }
}

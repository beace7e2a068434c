//! The commands of the binary: a thin face of the library.
//!
//! Answers go to standard output, everything else to standard error, one line for each mistake.
//! Exit codes: 0 done, 1 it failed while it ran, 2 what was asked or configured is wrong, 3 no host is there to be
//! asked; `connect` and `call` exit with the remote exit status where there is one.

mod about_plugins;
mod admin;
mod args;
mod assign;
mod call;
mod check;
mod client;
mod completions;
mod connect;
mod cp;
mod descriptors;
mod direct;
mod drivers;
mod failure;
mod loading;
mod log;
mod names;
mod new;
mod output;
mod plugins;
mod probe;
mod process;
mod quarantine;
mod relay;
mod run;
mod runtime;
mod schema;
mod service;
mod signals;
mod streamed;
mod take_over;
mod upgrade;
mod user;

use clap::{CommandFactory, Parser, Subcommand};
use failure::Outcome;
use std::process::ExitCode;

/// A plugin host for connections: routes what it listens on to targets, through drivers loaded
/// from a folder.
#[derive(Parser)]
#[command(name = "jackfield", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log more; twice for every connection, three times for every step
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  jackfield run --config config/demo.toml           carry connections until stopped
  jackfield check --config config/demo.toml         say what is wrong with a configuration
  jackfield connect ws://127.0.0.1:8080/echo        talk to something
  jackfield call ssh://lab@10.0.0.7 exec command=uptime
  jackfield cp firmware.bin ssh://lab@10.0.0.7/tmp/
  jackfield probe ssh://lab@10.0.0.7 upstreams.lab  say whether each answers
  jackfield relay tcp://127.0.0.1:2323 ssh://lab@10.0.0.7
  jackfield drivers ssh                             everything about one driver
  jackfield status                                  how the running host is
  jackfield drain web tcp://10.0.0.11:8000          give one of its targets no new sessions

Logs go to standard error. JACKFIELD_LOG, or RUST_LOG, sets what is logged over everything else,
as in JACKFIELD_LOG=warn,jackfield::listener=debug.";

#[derive(Subcommand)]
enum Command {
    /// Load plugins, listen and carry connections until told to stop
    Run(run::RunArgs),
    /// Check a configuration, drivers' options included, without listening
    Check(check::CheckArgs),
    /// List plugin files, what is in them, and why some were refused
    Plugins(plugins::PluginsArgs),
    /// List drivers and handlers, or show everything about one
    Drivers(drivers::DriversArgs),
    /// Connect standard input and output to something
    Connect(connect::ConnectArgs),
    /// Connect, run one operation, and print its result
    Call(call::CallArgs),
    /// Copy files to, from and between devices
    Cp(cp::CpArgs),
    /// Say of each target whether its whole stack answers
    Probe(probe::ProbeArgs),
    /// Listen on one thing and join each session to another
    Relay(relay::RelayArgs),
    /// Say how the running host is
    Status(admin::StatusArgs),
    /// List the connections of the running host
    Ps(admin::PsArgs),
    /// Show what the running host has of something, or one of it
    Show(admin::ShowArgs),
    /// Show targets and connections of the running host as they change
    Top(admin::TopArgs),
    /// Print what happens in the running host
    Events(admin::EventsArgs),
    /// Give a target no new sessions, or let a connection finish and close it
    Drain(admin::DrainArgs),
    /// Give a drained target its weight back
    Enable(admin::EnableArgs),
    /// Change the weight of a target
    Weight(admin::WeightArgs),
    /// Add or remove targets
    #[command(subcommand)]
    Target(admin::TargetCommand),
    /// Close a connection
    Close(admin::CloseArgs),
    /// Say why a connection of the running host is as it is
    Diagnose(admin::DiagnoseArgs),
    /// Leases of exclusive paths
    #[command(subcommand)]
    Lease(admin::LeaseCommand),
    /// Have a running host read its configuration again
    Reload(admin::ReloadArgs),
    /// Have a new process of the program take over from the running host
    Upgrade(admin::UpgradeArgs),
    /// The versions of the configuration of a running host
    #[command(subcommand)]
    Config(admin::ConfigCommand),
    /// Change the level of the log for a time
    Log(admin::LogArgs),
    /// Write a plugin of one's own: a package to build, with tests
    New(new::NewArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Load, start and stop one plugin file in this process, which is ended by it
    #[command(name = loading::TRIAL, hide = true)]
    Trial {
        /// The file
        file: std::path::PathBuf,
    },
    /// Write the pages of the manual, for packages
    #[command(name = completions::MANUAL, hide = true)]
    Manual {
        /// Where to
        folder: std::path::PathBuf,
    },
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    completions::answer(Cli::command);
    let cli = Cli::parse();
    let verbose = cli.verbose;
    let outcome: Outcome = match cli.command {
        Command::Run(args) => run::run(&args, verbose),
        Command::Check(args) => check::check(&args, verbose),
        Command::Plugins(args) => plugins::plugins(&args, verbose),
        Command::Drivers(args) => drivers::drivers(&args, verbose),
        Command::Connect(args) => connect::connect(&args, verbose),
        Command::Call(args) => call::call(&args, verbose),
        Command::Cp(args) => cp::cp(&args, verbose),
        Command::Probe(args) => probe::probe(&args, verbose),
        Command::Relay(args) => relay::relay(&args, verbose),
        Command::Status(args) => admin::status(&args),
        Command::Ps(args) => admin::ps(&args),
        Command::Show(args) => admin::show(&args),
        Command::Top(args) => admin::top(&args),
        Command::Events(args) => admin::events(&args),
        Command::Drain(args) => admin::drain(&args),
        Command::Enable(args) => admin::enable(&args),
        Command::Weight(args) => admin::weight(&args),
        Command::Target(command) => admin::target(&command),
        Command::Diagnose(args) => admin::diagnose(&args),
        Command::Close(args) => admin::close(&args),
        Command::Lease(command) => admin::lease(&command),
        Command::Reload(args) => admin::reload(&args),
        Command::Upgrade(args) => admin::upgrade(&args),
        Command::Config(command) => admin::config(&command),
        Command::Log(args) => admin::log(&args),
        Command::New(args) => new::new(&args),
        Command::Trial { file } => crate::driver::try_file(&file),
        Command::Manual { folder } => completions::manual(&folder, Cli::command()),
        Command::Completions(args) => completions::completions(&args),
    };
    let code = outcome.unwrap_or_else(|failure| failure.report());
    log::flush();
    code
}

//! The verbs: `drain`, `enable`, `weight`, `close`, `target`, `lease`.

use super::link::{asked, part};
use super::place::AdminArgs;
use super::status::time;
use crate::cli::failure::Outcome;
use crate::cli::names;
use crate::cli::output::print;
use crate::units::Timespan;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// What every verb has.
#[derive(clap::Args)]
struct VerbArgs {
    #[command(flatten)]
    admin: AdminArgs,
    /// Print what the API answers
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[command(after_help = DRAIN_EXAMPLES)]
pub(in crate::cli) struct DrainArgs {
    /// An upstream, or a connection by its name or id
    #[arg(add = names::upstreams_and_connections())]
    of: String,
    /// The target of the upstream
    target: Option<String>,
    /// Wait until it is done, at most so long; without it, it goes on by itself
    #[arg(long, value_name = "TIME")]
    wait: Option<Timespan>,
    #[command(flatten)]
    verb: VerbArgs,
}

const DRAIN_EXAMPLES: &str = "\
A target that drains gets no new sessions, and those it has go on; `enable` gives it its weight back. A
connection that drains finishes what runs and is closed. The exit code is 1 when it is not done in time.

Examples:
  jackfield drain web tcp://10.0.0.11:8000 --wait 1m
  jackfield drain bastion
  jackfield drain 17 --wait 30s";

#[derive(clap::Args)]
pub(in crate::cli) struct EnableArgs {
    /// The upstream
    #[arg(add = names::upstreams())]
    upstream: String,
    /// Its target
    target: String,
    /// Its weight from now on; without it the one it had before it was drained
    #[arg(long)]
    weight: Option<u32>,
    #[command(flatten)]
    verb: VerbArgs,
}

#[derive(clap::Args)]
pub(in crate::cli) struct WeightArgs {
    /// The upstream
    #[arg(add = names::upstreams())]
    upstream: String,
    /// Its target
    target: String,
    /// From 0, which drains it, to 1000
    weight: u32,
    #[command(flatten)]
    verb: VerbArgs,
}

#[derive(clap::Args)]
pub(in crate::cli) struct CloseArgs {
    /// A connection by its name or id
    #[arg(add = names::connections())]
    connection: String,
    /// The protocol's own code, where it has one
    #[arg(long, default_value_t = 0)]
    code: u64,
    /// Told to the peer where the protocol can
    #[arg(long)]
    reason: Option<String>,
    /// Wait until it is closed, at most so long
    #[arg(long, value_name = "TIME", default_value = "10s")]
    wait: Timespan,
    #[command(flatten)]
    verb: VerbArgs,
}

#[derive(clap::Subcommand)]
pub(in crate::cli) enum TargetCommand {
    /// Add a target to an upstream
    Add(AddTargetArgs),
    /// Remove a target; its sessions go on
    Remove(RemoveTargetArgs),
}

#[derive(clap::Args)]
pub(in crate::cli) struct AddTargetArgs {
    /// The upstream
    #[arg(add = names::upstreams())]
    upstream: String,
    /// A URI, connections.NAME or devices.NAME.PATH
    to: String,
    /// Its part of the sessions
    #[arg(long)]
    weight: Option<u32>,
    #[command(flatten)]
    verb: VerbArgs,
}

#[derive(clap::Args)]
pub(in crate::cli) struct RemoveTargetArgs {
    /// The upstream
    #[arg(add = names::upstreams())]
    upstream: String,
    /// Its target
    target: String,
    #[command(flatten)]
    verb: VerbArgs,
}

#[derive(clap::Subcommand)]
pub(in crate::cli) enum LeaseCommand {
    /// Make the holder of an exclusive path let go
    Break(BreakArgs),
    /// Take the lease of an exclusive path and hold it for a time, so that nobody is let in
    Take(TakeArgs),
    /// Hold a lease that was taken for longer, from now on
    Renew(RenewArgs),
    /// Let go of a lease that was taken
    Release(ReleaseArgs),
}

#[derive(clap::Args)]
pub(in crate::cli) struct TakeArgs {
    /// The path, DEVICE.PATH
    #[arg(add = names::leases())]
    path: String,
    /// How long it is held
    #[arg(long = "for", value_name = "TIME", default_value = "1m")]
    within: Timespan,
    /// Wait for one's turn, at most so long
    #[arg(long, value_name = "TIME")]
    wait: Option<Timespan>,
    #[command(flatten)]
    verb: VerbArgs,
}

#[derive(clap::Args)]
pub(in crate::cli) struct RenewArgs {
    /// The path, DEVICE.PATH
    #[arg(add = names::leases())]
    path: String,
    /// The number of the lease, as `take` has it
    id: u64,
    /// How long it is held from now on
    #[arg(long = "for", value_name = "TIME", default_value = "1m")]
    within: Timespan,
    #[command(flatten)]
    verb: VerbArgs,
}

#[derive(clap::Args)]
pub(in crate::cli) struct ReleaseArgs {
    /// The path, DEVICE.PATH
    #[arg(add = names::leases())]
    path: String,
    /// The number of the lease, as `take` has it
    id: u64,
    #[command(flatten)]
    verb: VerbArgs,
}

#[derive(clap::Args)]
pub(in crate::cli) struct BreakArgs {
    /// The path, DEVICE.PATH
    #[arg(add = names::leases())]
    path: String,
    /// Told to the holder
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    verb: VerbArgs,
}

/// `upstreams.web` is as good as `web`.
pub(super) fn plain<'a>(name: &'a str, prefix: &str) -> &'a str {
    name.strip_prefix(prefix).unwrap_or(name)
}

fn of_target(upstream: &str, target: &str) -> String {
    format!("/v1/targets/{}/{}", part(plain(upstream, "upstreams.")), part(target))
}

/// Runs a verb, and tells what came of it in a line.
fn run(
    verb: &VerbArgs,
    (method, path): (&str, &str),
    body: Option<&Value>,
    told: impl FnOnce(&Value) -> String,
) -> Outcome {
    let text = asked(&verb.admin, method, path, body)?;
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    if verb.json {
        print(&text)?;
    } else {
        print(&format!("{}\n", told(&answer)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A target in a line.
fn target_line(answer: &Value) -> String {
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    let (name, state, weight, left) =
        (text("name"), text("state"), &answer["weight"], &answer["in_flight"]);
    format!("{name}: {state}, weight {weight}, {left} sessions")
}

pub(in crate::cli) fn drain(args: &DrainArgs) -> Outcome {
    let wait = args.wait.map(|wait| format!("?wait={wait}")).unwrap_or_default();
    let mut is_done = true;
    let mut note = |answer: &Value| is_done = answer["done"] == true;
    match &args.target {
        Some(target) => {
            let path = format!("{}/drain{wait}", of_target(&args.of, target));
            run(&args.verb, ("PUT", &path), None, |answer| {
                note(answer);
                target_line(answer)
            })?;
        }
        None => {
            let name = plain(&args.of, "connections.");
            let path = format!("/v1/connections/{}/drain{wait}", part(name));
            run(&args.verb, ("PUT", &path), None, |answer| {
                note(answer);
                format!("{name}: {}", answer["state"].as_str().unwrap_or_default())
            })?;
        }
    }
    let late = args.wait.is_some() && !is_done && !args.verb.json;
    Ok(if late { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(in crate::cli) fn enable(args: &EnableArgs) -> Outcome {
    let path = format!("{}/enable", of_target(&args.upstream, &args.target));
    let body = json!({ "weight": args.weight });
    run(&args.verb, ("PUT", &path), Some(&body), target_line)
}

pub(in crate::cli) fn weight(args: &WeightArgs) -> Outcome {
    let path = format!("{}/weight", of_target(&args.upstream, &args.target));
    run(&args.verb, ("PUT", &path), Some(&json!({ "weight": args.weight })), target_line)
}

pub(in crate::cli) fn close(args: &CloseArgs) -> Outcome {
    let name = plain(&args.connection, "connections.");
    let path = format!("/v1/connections/{}/close?wait={}", part(name), args.wait);
    let mut body = Map::from_iter([("code".to_owned(), json!(args.code))]);
    if let Some(reason) = &args.reason {
        body.insert("reason".to_owned(), json!(reason));
    }
    run(&args.verb, ("PUT", &path), Some(&Value::Object(body)), |answer| {
        format!("{name}: {}", answer["state"].as_str().unwrap_or_default())
    })
}

pub(in crate::cli) fn target(command: &TargetCommand) -> Outcome {
    match command {
        TargetCommand::Add(args) => {
            let path = format!("/v1/targets/{}", part(plain(&args.upstream, "upstreams.")));
            let key = if args.to.contains(':') { "uri" } else { "to" };
            let mut body = json!({ key: args.to });
            if let Some(weight) = args.weight {
                body["weight"] = json!(weight);
            }
            run(&args.verb, ("PUT", &path), Some(&body), |answer| {
                format!("{}: added", answer["name"].as_str().unwrap_or_default())
            })
        }
        TargetCommand::Remove(args) => {
            let path = of_target(&args.upstream, &args.target);
            run(&args.verb, ("DELETE", &path), None, |answer| {
                format!("{}: removed", answer["name"].as_str().unwrap_or_default())
            })
        }
    }
}

pub(in crate::cli) fn lease(command: &LeaseCommand) -> Outcome {
    match command {
        LeaseCommand::Break(args) => break_lease(args),
        LeaseCommand::Take(args) => {
            let wait = args.wait.map(|wait| format!("?wait={wait}")).unwrap_or_default();
            let path = format!("/v1/leases/{}/take{wait}", part(&args.path));
            let body = json!({ "for": args.within.to_string() });
            run(&args.verb, ("POST", &path), Some(&body), held_line)
        }
        LeaseCommand::Renew(args) => {
            let path = format!("/v1/leases/{}/held/{}", part(&args.path), args.id);
            let body = json!({ "for": args.within.to_string() });
            run(&args.verb, ("PUT", &path), Some(&body), held_line)
        }
        LeaseCommand::Release(args) => {
            let path = format!("/v1/leases/{}/held/{}", part(&args.path), args.id);
            run(&args.verb, ("DELETE", &path), None, |_| format!("{}: let go", args.path))
        }
    }
}

/// A lease that is held, in a line.
fn held_line(answer: &Value) -> String {
    let (name, id, left) =
        (answer["name"].as_str().unwrap_or_default(), &answer["id"], time(&answer["lasts_ms"]));
    format!("{name}: lease {id}, held for {left}")
}

fn break_lease(args: &BreakArgs) -> Outcome {
    let path = format!("/v1/leases/{}/break", part(&args.path));
    let body = args.reason.as_ref().map(|reason| json!({ "reason": reason }));
    run(&args.verb, ("PUT", &path), body.as_ref(), |answer| {
        let held = time(&answer["lease"]["holder"]["held_ms"]);
        match answer["broken"]["owner"].as_str() {
            Some(owner) => format!("{}: taken from {owner}, who had it for {held}", args.path),
            None => format!("{}: nobody has it", args.path),
        }
    })
}

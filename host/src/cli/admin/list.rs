//! `jackfield ps` and `jackfield show`.

use super::link::{asked, part};
use super::place::AdminArgs;
use super::status::time;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::{print, print_json, table, width};
use crate::nearest::did_you_mean;
use serde_json::{Value, json};

#[derive(clap::Args)]
#[command(after_help = PS_EXAMPLES)]
pub(in crate::cli) struct PsArgs {
    #[command(flatten)]
    admin: AdminArgs,
    /// Only those with FIELD=VALUE, FIELD!=VALUE or FIELD~PART; may be repeated
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Print the items as the API shows them
    #[arg(long)]
    json: bool,
}

const PS_EXAMPLES: &str = "\
Examples:
  jackfield ps                          what lives, accepted and dialled
  jackfield ps -f listener~2323 -f state=connected
  jackfield ps --json";

#[derive(clap::Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(in crate::cli) struct ShowArgs {
    /// plugins, drivers, connections, devices, leases, upstreams, targets, pools, routes, listeners or
    /// handlers
    noun: String,
    /// One of them; targets and pools by UPSTREAM and TARGET
    name: Vec<String>,
    #[command(flatten)]
    admin: AdminArgs,
    /// Only those with FIELD=VALUE, FIELD!=VALUE or FIELD~PART; may be repeated
    #[arg(short, long, value_name = "FILTER", conflicts_with = "name")]
    filter: Vec<String>,
    /// Print what the API answers
    #[arg(long)]
    json: bool,
}

const SHOW_EXAMPLES: &str = "\
Examples:
  jackfield show upstreams
  jackfield show targets -f state=down
  jackfield show targets web tcp://10.0.0.11:8000
  jackfield show leases core1.console --json";

/// What of each noun stands in a table: a heading, and where it is.
type Columns = &'static [(&'static str, &'static str)];

const NOUNS: &[(&str, Columns)] = &[
    (
        "plugins",
        &[
            ("NAME", "name"),
            ("VERSION", "version"),
            ("STATE", "state"),
            ("GENERATION", "generation"),
            ("SESSIONS", "sessions"),
            ("OLDER", "retired.generation"),
            ("PANICS", "panics"),
            ("FILE", "file"),
            ("REASON", "reason"),
        ],
    ),
    (
        "drivers",
        &[("NAME", "name"), ("KIND", "kind"), ("PLUGIN", "plugin"), ("SUMMARY", "summary")],
    ),
    ("connections", LIVES),
    (
        "devices",
        &[
            ("NAME", "name"),
            ("DEFAULT", "default"),
            ("ALIASES", "aliases"),
            ("PATHS", "paths.name"),
            ("FROM", "defined_by"),
        ],
    ),
    (
        "leases",
        &[
            ("PATH", "name"),
            ("HOLDER", "holder.owner"),
            ("HELD", "holder.held_ms"),
            ("WAITING", "waiters.owner"),
        ],
    ),
    (
        "upstreams",
        &[
            ("NAME", "name"),
            ("BALANCE", "balance"),
            ("TARGETS", "targets.name"),
            ("FROM", "defined_by"),
        ],
    ),
    ("targets", TARGETS),
    (
        "pools",
        &[
            ("UPSTREAM", "upstream"),
            ("TARGET", "name"),
            ("IDLE", "idle"),
            ("IN USE", "in_use"),
            ("WAITING", "waiting"),
            ("MAX", "max_size"),
        ],
    ),
    ("routes", &[("LISTEN", "listen"), ("LOCAL", "local"), ("TO", "to"), ("FROM", "defined_by")]),
    (
        "listeners",
        &[("LISTEN", "listen"), ("LOCAL", "local"), ("TO", "to"), ("FROM", "defined_by")],
    ),
    ("handlers", &[("NAME", "name"), ("HANDLER", "handler"), ("FROM", "defined_by")]),
];

pub(super) const LIVES: Columns = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("STATE", "state"),
    ("PEER", "peer"),
    ("DRIVER", "driver"),
    ("TO", "to"),
    ("UP", "uptime_ms"),
    ("IN", "bytes_in"),
    ("OUT", "bytes_out"),
];

pub(super) const TARGETS: Columns = &[
    ("UPSTREAM", "upstream"),
    ("TARGET", "name"),
    ("STATE", "state"),
    ("WEIGHT", "weight"),
    ("SESSIONS", "in_flight"),
    ("OPENED", "successes"),
    ("FAILED", "failures"),
    ("LAST ERROR", "last_error"),
];

/// A list with filters, page by page.
fn listed(admin: &AdminArgs, noun: &str, filters: &[String]) -> Outcome<Vec<Value>> {
    let filters: Vec<String> =
        filters.iter().map(|filter| format!("filter={}", part(filter))).collect();
    let mark = if filters.is_empty() { "" } else { "?" };
    let path = format!("/v1/{noun}{mark}{}", filters.join("&"));
    super::ask(async { admin.host().await?.all(&path).await })
}

pub(in crate::cli) fn ps(args: &PsArgs) -> Outcome {
    let items = listed(&args.admin, "connections", &args.filter)?;
    let lives: Vec<Value> = items.into_iter().filter(|item| !item["id"].is_null()).collect();
    let lives: Vec<Value> = lives.into_iter().filter(|item| item["closed_at"].is_null()).collect();
    if args.json {
        return print_json(&json!(lives));
    }
    print(&table(&rows(LIVES, &lives), 0, width()))
}

/// The plugins of a running host, as `jackfield show plugins`.
pub(in crate::cli) fn running_plugins(admin: AdminArgs, json: bool) -> Outcome {
    let (noun, name, filter) = ("plugins".to_owned(), Vec::new(), Vec::new());
    show(&ShowArgs { noun, name, admin, filter, json })
}

pub(in crate::cli) fn show(args: &ShowArgs) -> Outcome {
    let known = || NOUNS.iter().map(|(noun, _)| *noun);
    // `target` is as good as `targets`.
    let meant = format!("{}s", args.noun);
    let found = NOUNS.iter().find(|(noun, _)| *noun == args.noun || *noun == meant);
    let Some((noun, columns)) = found else {
        let near = did_you_mean(&args.noun, known().collect::<Vec<_>>());
        let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
        let known = known().collect::<Vec<_>>().join(" ");
        return Err(Failure::config(format!(
            "expected one of {known}, found {:?}{hint}",
            args.noun
        )));
    };
    if args.name.is_empty() {
        let items = listed(&args.admin, noun, &args.filter)?;
        return match args.json {
            true => print_json(&json!(items)),
            false => print(&table(&rows(columns, &items), 0, width())),
        };
    }
    let name: Vec<String> = args.name.iter().map(|name| part(name)).collect();
    let text = asked(&args.admin, "GET", &format!("/v1/{noun}/{}", name.join("/")), None)?;
    if args.json {
        return print(&text);
    }
    let item: Value = serde_json::from_str(&text).unwrap_or_default();
    let mut lines = Vec::new();
    flat(&item, "", &mut lines);
    print(&table(&lines, 0, width()))
}

/// Rows of a table with its head.
pub(super) fn rows(columns: Columns, items: &[Value]) -> Vec<Vec<String>> {
    let head = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let row = |item: &Value| columns.iter().map(|(_, at)| cell(item, at)).collect();
    std::iter::once(head).chain(items.iter().map(row)).collect()
}

/// What stands at a dotted path: of a list the value of each entry.
fn cell(item: &Value, at: &str) -> String {
    let (first, rest) = at.split_once('.').unwrap_or((at, ""));
    match &item[first] {
        Value::Array(all) if !rest.is_empty() => {
            all.iter().map(|one| cell(one, rest)).collect::<Vec<_>>().join(" ")
        }
        below if !rest.is_empty() => cell(below, rest),
        millis if first.ends_with("_ms") => time(millis),
        value => plain(value),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => crate::cli::failure::one_line(text),
        Value::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// One line for each value, with its dotted key.
fn flat(value: &Value, at: &str, lines: &mut Vec<Vec<String>>) {
    let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    match value {
        Value::Object(table) if !table.is_empty() => {
            table.iter().for_each(|(key, value)| flat(value, &below(key), lines));
        }
        Value::Array(list) if list.iter().any(|entry| entry.is_object() || entry.is_array()) => {
            let entries = list.iter().enumerate();
            entries.for_each(|(index, value)| flat(value, &below(&index.to_string()), lines));
        }
        Value::Null => {}
        Value::Object(_) => {}
        other => lines.push(vec![at.to_owned(), plain(other)]),
    }
}

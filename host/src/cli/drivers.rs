//! `jackfield drivers`.

use super::args::ConfigArgs;
use super::failure::{Failure, Outcome};
use super::loading::{complain_of, load_plugins, searched};
use super::names;
use super::output::{print, print_json, table, width};
use super::runtime::{block_on, start_client_log};
use super::schema::{TableLook, render};
use crate::dialogue;
use crate::driver::{DriverHandle, HandlerHandle, InterceptorHandle, Registry};
use crate::nearest::did_you_mean;
use jackfield_plugin_api::{Below, Facets, Kind, Operation, Query, RuntimeMode};
use serde_json::{Map, Value, json};
use std::sync::Arc;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DriversArgs {
    /// A driver, a handler, an interceptor or a URI scheme
    #[arg(add = names::drivers())]
    name: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print manifests, schemas included, as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  jackfield drivers              all of them
  jackfield drivers ssh          its schemes, options and operations
  jackfield drivers wss --json   the driver behind a scheme";

pub(super) fn drivers(args: &DriversArgs, verbose: u8) -> Outcome {
    start_client_log(verbose)?;
    let loaded = args.config.load_any(|_| ())?;
    let plugins = block_on(&loaded.config, async { Ok(load_plugins(&loaded).await) })?;
    let registry = plugins.registry();
    let Some(name) = &args.name else {
        list(registry, args.json)?;
        return Ok(complain_of(&plugins));
    };
    let by_scheme = || registry.scheme(name).ok().map(|entry| &entry.driver);
    if let Some(driver) = registry.driver(name).ok().or_else(by_scheme) {
        return if args.json {
            print_json(&driver.describe())
        } else {
            print(&about(driver, registry))
        };
    }
    match registry.handler(name) {
        Ok(handler) if args.json => print_json(&handler_json(handler)),
        Ok(handler) => print(&about_handler(handler)),
        Err(_) => match registry.interceptor(name) {
            Ok(interceptor) if args.json => print_json(&interceptor_json(interceptor)),
            Ok(interceptor) => print(&about_interceptor(interceptor)),
            Err(_) => Err(unknown(registry, name)),
        },
    }
}

fn unknown(registry: &Registry, name: &str) -> Failure {
    let drivers = registry.drivers().map(|driver| driver.name());
    let handlers = registry.handlers().map(|handler| handler.manifest.name.as_str());
    let interceptors = registry.interceptors().map(|it| it.manifest.name.as_str());
    let known: Vec<&str> = drivers.chain(handlers).chain(interceptors).collect();
    let schemes = registry.schemes().map(|entry| entry.manifest.name.as_str());
    let near = did_you_mean(name, known.iter().copied().chain(schemes));
    let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(" ") };
    Failure::config(format!(
        "there is no driver, handler or interceptor {name:?}{hint} [known={known}, looked in={}]",
        searched(registry)
    ))
}

fn list(registry: &Registry, as_json: bool) -> Outcome {
    if as_json {
        let drivers: Vec<Value> = registry.drivers().map(|driver| driver.describe()).collect();
        let handlers: Vec<Value> =
            registry.handlers().map(|handler| handler_json(handler)).collect();
        let searched = registry.searched().iter().map(|folder| folder.display().to_string());
        let searched: Vec<String> = searched.collect();
        let interceptors: Vec<Value> =
            registry.interceptors().map(|it| interceptor_json(it)).collect();
        return print_json(
            &json!({ "searched": searched, "drivers": drivers, "handlers": handlers, "interceptors": interceptors }),
        );
    }
    let head = ["DRIVER", "KIND", "SCHEMES", "ROLES", "SUMMARY"].map(str::to_owned).to_vec();
    let rows = registry.drivers().map(|driver| {
        let manifest = &driver.manifest;
        let schemes: Vec<&str> =
            manifest.schemes.iter().map(|scheme| scheme.name.as_str()).collect();
        vec![
            manifest.name.clone(),
            manifest.kind.as_str().to_owned(),
            schemes.join(" "),
            manifest.roles.join(" "),
            manifest.summary.clone(),
        ]
    });
    let mut text = table(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), 0, width());
    let head = ["HANDLER", "TAKES", "SUMMARY"].map(str::to_owned).to_vec();
    let rows = registry.handlers().map(|handler| {
        let manifest = &handler.manifest;
        let takes: Vec<&str> = manifest.facets.names().collect();
        vec![manifest.name.clone(), takes.join(" "), manifest.summary.clone()]
    });
    text.push('\n');
    text.push_str(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), 0, width()));
    text.push_str(&interceptors(registry));
    text.push_str(&format!("\nlooked in {}\n", searched(registry)));
    print(&text)
}

/// The interceptors as a table of their own; empty when there are none.
fn interceptors(registry: &Registry) -> String {
    let row = |interceptor: &Arc<InterceptorHandle>| {
        let manifest = &interceptor.manifest;
        vec![manifest.name.clone(), manifest.order.to_string(), manifest.summary.clone()]
    };
    let head = ["INTERCEPTOR", "ORDER", "SUMMARY"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> =
        std::iter::once(head).chain(registry.interceptors().map(row)).collect();
    if rows.len() == 1 {
        return String::new();
    }
    format!("\n{}", table(&rows, 0, width()))
}

fn handler_json(handler: &HandlerHandle) -> Value {
    let mut value = json!(handler.manifest);
    value["plugin"] = json!(handler.plugin_name);
    value
}

fn interceptor_json(interceptor: &InterceptorHandle) -> Value {
    let mut value = json!(interceptor.manifest);
    value["plugin"] = json!(interceptor.plugin_name);
    value["version"] = json!(interceptor.plugin_version);
    value
}

fn about(driver: &DriverHandle, registry: &Registry) -> String {
    let manifest = &driver.manifest;
    let facets: Vec<&str> = manifest.facets.names().collect();
    let runtime = match manifest.runtime {
        RuntimeMode::Host => "the host's",
        RuntimeMode::Private => "its own",
        _ => "unknown",
    };
    let query = match manifest.query {
        Query::Address => "part of the address",
        Query::Options => "options",
        _ => "unknown",
    };
    let fact = |name: &str, value: String| vec![name.to_owned(), value];
    let sessions = manifest.max_sessions.map_or("any number".to_owned(), |most| most.to_string());
    let facts = [
        fact("kind", manifest.kind.as_str().to_owned()),
        fact("over", over(manifest.kind, registry)),
        fact("roles", manifest.roles.join(" ")),
        fact("facets", facets.join(" ")),
        fact("sessions", format!("{sessions} of a target at once")),
        fact("runtime", runtime.to_owned()),
        fact("URI query", query.to_owned()),
        fact("plugin", format!("{} {}", driver.plugin_name, driver.plugin_version)),
    ];
    let schemes: Vec<Vec<String>> = manifest
        .schemes
        .iter()
        .map(|scheme| {
            let port = scheme.port.map_or_else(String::new, |port| format!("port {port}"));
            vec![format!("{}://", scheme.name), scheme.stack.clone(), port]
        })
        .collect();
    let mut text = heading(&manifest.name, &manifest.summary, &manifest.description);
    text.push_str(&table(&facts, 2, width()));
    text.push_str("\nSchemes\n");
    text.push_str(&table(&schemes, 2, width()));
    text.push_str(&wanted_below(&manifest.below));
    text.push_str(&section("Options", "OPTION", &manifest.options));
    if !manifest.operations.is_empty() {
        text.push_str("\nOperations\n");
    }
    for operation in &manifest.operations {
        text.push_str(&about_operation(operation));
    }
    text.push_str(&dialogues(manifest.facets));
    text
}

/// The operations that the host adds to a session with a byte stream.
fn dialogues(facets: Facets) -> String {
    if !facets.contains(Facets::STREAM) {
        return String::new();
    }
    let about = dialogue::operations().iter().map(about_operation).collect::<String>();
    format!("\nOperations of any session with a byte stream\n{about}")
}

/// What a driver can be laid over: what gives a stream, or messages that can hold its bytes. Messages of
/// what takes requests are another use of it.
fn over(kind: Kind, registry: &Registry) -> String {
    if kind == Kind::Transport {
        return "nothing: it reaches the outside world".to_owned();
    }
    let carries = |driver: &&Arc<DriverHandle>| {
        let has = |facet| driver.manifest.facets.contains(facet);
        has(Facets::STREAM) || has(Facets::MESSAGES) && !has(Facets::EXCHANGE)
    };
    let mut names: Vec<&str> = registry.drivers().filter(carries).map(|one| one.name()).collect();
    names.sort_unstable();
    names.join(" ")
}

/// The options that a driver sets of the layer below it, where a user has not.
fn wanted_below(below: &[Below]) -> String {
    let each = |options: &Map<String, Value>| {
        let one = |(name, value): (&String, &Value)| format!("{name} = {value}");
        options.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let row = |(index, wanted): (usize, &Below)| {
        let when = match (wanted.when.is_empty(), index) {
            (false, _) => format!("where {}", each(&wanted.when)),
            (true, 0) => String::new(),
            (true, _) => "otherwise".to_owned(),
        };
        vec![each(&wanted.options), when]
    };
    let rows: Vec<Vec<String>> = below.iter().enumerate().map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\nOptions that it sets of what is below\n{}", table(&rows, 2, width()))
}

fn about_handler(handler: &HandlerHandle) -> String {
    let manifest = &handler.manifest;
    let facets: Vec<&str> = manifest.facets.names().collect();
    let mut text = heading(&manifest.name, &manifest.summary, &manifest.description);
    let facts = [
        vec!["kind".to_owned(), "handler".to_owned()],
        vec!["takes".to_owned(), facets.join(" or ")],
        vec!["plugin".to_owned(), handler.plugin_name.clone()],
    ];
    text.push_str(&table(&facts, 2, width()));
    text.push_str(&section("Options", "OPTION", &manifest.options));
    text
}

fn about_interceptor(interceptor: &InterceptorHandle) -> String {
    let manifest = &interceptor.manifest;
    let mut text = heading(&manifest.name, &manifest.summary, "");
    let InterceptorHandle { plugin_name, plugin_version, .. } = interceptor;
    let order = format!("{}; lower ones are further outside", manifest.order);
    let facts = [
        vec!["kind".to_owned(), "interceptor".to_owned()],
        vec!["order".to_owned(), order],
        vec!["plugin".to_owned(), format!("{plugin_name} {plugin_version}")],
    ];
    text.push_str(&table(&facts, 2, width()));
    text.push_str(&section("Options", "OPTION", &manifest.options));
    text
}

/// Name and summary in one line, and what else is said of it below.
fn heading(name: &str, summary: &str, description: &str) -> String {
    let description = description.trim();
    let end = if description.is_empty() { "" } else { "\n\n" };
    format!("{name}: {summary}\n\n{description}{end}")
}

fn section(title: &str, first: &'static str, schema: &Value) -> String {
    let look = TableLook { first, indent: 2, defaults: true, applies: true };
    let rows = render(schema, &look, width());
    let rows = if rows.is_empty() { "  none\n".to_owned() } else { rows };
    format!("\n{title}\n{rows}")
}

/// Name, summary, parameters and result of an operation.
fn about_operation(operation: &Operation) -> String {
    let mut text = format!("  {}: {}\n", operation.name, operation.summary);
    let look = TableLook { first: "PARAMETER", indent: 4, defaults: true, applies: false };
    text.push_str(&render(&operation.params, &look, width()));
    let look = TableLook { first: "RESULT", indent: 4, defaults: false, applies: false };
    text.push_str(&render(&operation.result, &look, width()));
    text
}

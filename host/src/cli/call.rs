//! `jackfield call`.

use super::admin::{self, AdminArgs, HostSearch, none_at};
use super::assign;
use super::client::{Client, TargetArgs, parse_assignments, parse_options};
use super::direct::Direct;
use super::failure::{Failure, Outcome};
use super::output::{complain, print, print_json};
use super::runtime::{Signals, as_task, block_on, start_client_log};
use super::schema;
use super::streamed;
use crate::config::{Loaded, Reference};
use crate::connection::Caller;
use crate::nearest::did_you_mean;
use crate::route::Destination;
use crate::secret::{self, Resolver};
use crate::session::SessionExt;
use crate::units::Timespan;
use jackfield_plugin_api::{Operation, Result, Session};
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::timeout;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CallArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    admin: AdminArgs,
    /// The operation, as `jackfield drivers NAME` lists it
    operation: String,
    /// Its parameters
    #[arg(value_name = "KEY=VALUE")]
    parameters: Vec<String>,
    /// Its parameters as one JSON object; KEY=VALUE wins over it
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
    /// How long it may take, opening included; without it, call_timeout of what TO names, else 1m
    #[arg(long, value_name = "TIME")]
    timeout: Option<Timespan>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Print what the operation gives as it comes, where its driver has a stream for it: the rows of a walk by
    /// snmp, each a line of JSON; the content of a file by `sftp_get`. This command connects by itself
    #[arg(long, conflicts_with = "json")]
    stream: bool,
}

const EXAMPLES: &str = "\
Of a result, stdout, stderr and output are printed as such, anything else as `key: value`. When it has
an exit_status, that is the exit code.

Where a host runs (see --admin) and TO is a name, it is asked, on the session that it shares; with
--config, --plugins, --set or options of one's own, and for a URI, this command connects by itself.

Beside its driver's operations, whatever has a stream has send, expect, send_expect, execute, converse
and login: `jackfield drivers NAME` lists their parameters, too. The patterns are regular expressions,
for text without terminal sequences. What is not a text is written as TOML.

Examples:
  jackfield call telnet://10.0.0.9 execute command='show version'
  jackfield call telnet://10.0.0.9 send_expect text='show version' pattern='#$'
  jackfield call telnet://10.0.0.9 converse text='erase all' \\
      rules='[{pattern=\"confirm\", answer=\"y\"}, {pattern=\"#$\"}]'
  jackfield call ssh://lab@10.0.0.7 exec command='uname -a'
  jackfield call --stream snmp://public@10.0.0.8 walk oid=1.3.6.1.2.1
  jackfield call connections.bastion exec command=uptime --config lab.toml --json";

pub(super) fn call(args: &CallArgs, verbose: u8) -> Outcome {
    start_client_log(verbose)?;
    if args.timeout.is_some_and(Timespan::is_zero) {
        return Err(Failure::config("--timeout: expected more than \"0s\""));
    }
    if args.stream {
        return stream(args);
    }
    let result = match by_host(args)? {
        Some(result) => result,
        None => {
            let (to, loaded) = args.target.load()?;
            block_on(&loaded.config, run(args, &to, &loaded))?
        }
    };
    if args.json {
        print_json(&result)?;
    } else {
        show(&result)?;
    }
    Ok(exit_code(&result))
}

/// The result by way of a running host, if one is there and can be asked; `None`: this command does it itself.
fn by_host(args: &CallArgs) -> Outcome<Option<Value>> {
    let Some(to) = args.target.named()? else {
        if args.admin.is_named() {
            let text = "--admin: a running host is asked for connections.NAME, devices.NAME.PATH or upstreams.NAME, \
                        without options and without a configuration";
            return Err(Failure::config(text));
        }
        return Ok(None);
    };
    admin::ask(async {
        let host = match args.admin.find().await? {
            HostSearch::Host(host) => host,
            HostSearch::Nowhere(places) if args.admin.is_named() => return Err(none_at(&places)),
            HostSearch::Nowhere(_) => return Ok(None),
        };
        let path = format!("/v1/operations?to={}", admin::part(to));
        let known = host.json("GET", &path, None).await?;
        let known: Vec<Operation> =
            serde_json::from_value(known["operations"].clone()).map_err(Failure::run)?;
        let operation = known.iter().find(|operation| operation.name == args.operation);
        let operation = operation.ok_or_else(|| unknown(to, &args.operation, &known))?;
        let params = params(args, operation).await?;
        let mut body = json!({ "to": to, "operation": args.operation, "params": params });
        if let Some(limit) = args.timeout {
            body["timeout"] = json!(limit.to_string());
        }
        let answer = host.json("POST", "/v1/call", Some(&body)).await?;
        Ok(Some(answer["result"].clone()))
    })
}

/// An operation with its parameters, and the client that it goes to.
struct PreparedCall {
    client: Client,
    operation: Operation,
    params: Value,
}

/// Secrets may be asked for, and Control-C ends that too.
async fn prepare(
    args: &CallArgs,
    to: &Reference,
    loaded: &Loaded,
    signals: &mut Signals,
) -> Outcome<PreparedCall> {
    let asking = async {
        let client = args.target.resolve(to, loaded, Vec::new()).await?;
        let operation = operation(&client.to, &args.operation)?;
        let params = params(args, &operation).await?;
        Ok::<_, Failure>(PreparedCall { client, operation, params })
    };
    tokio::select! {
        asked = asking => asked,
        ended = signals.next() => Err(Failure::run(ended.name)),
    }
}

/// Prints what comes, on a session of its own.
fn stream(args: &CallArgs) -> Outcome {
    if args.admin.is_named() {
        let text =
            "--stream: this command connects by itself; --admin names a host that it would not ask";
        return Err(Failure::config(text));
    }
    let (to, loaded) = args.target.load()?;
    let mut config = loaded.config.clone();
    if config.host.worker_threads == 0 {
        // One session: whatever another thread did for it would have to be handed over each time.
        config.host.worker_threads = 1;
    }
    block_on(&config, async {
        let mut signals = Signals::of_command()?;
        let PreparedCall { client, operation, params } =
            prepare(args, &to, &loaded, &mut signals).await?;
        let passing = async {
            let session = client.to.open(&Caller::new("jackfield call", "")).await?;
            as_task(async move {
                let out = Direct::new(std::io::stdout(), tokio::io::stdout());
                let passed = streamed::pass(&session, &operation.name, &params, out).await;
                close(&session).await;
                passed
            })
            .await
        };
        let limit = args.timeout.map_or(Duration::MAX, |limit| limit.0);
        let passed = tokio::select! {
            passed = timeout(limit, passing) => passed,
            ended = signals.next() => return Err(Failure::run(ended.name)),
        };
        client.close().await;
        match passed {
            Ok(passed) => Ok(passed.map(|()| ExitCode::SUCCESS)?),
            Err(_) => Err(Failure::run(format!("it has not ended within {}", Timespan(limit)))),
        }
    })
}

async fn run(args: &CallArgs, to: &Reference, loaded: &Loaded) -> Outcome<Value> {
    let mut signals = Signals::of_command()?;
    let PreparedCall { client, operation, params } =
        prepare(args, to, loaded, &mut signals).await?;
    let calling = async {
        match args.timeout {
            Some(limit) => client.to.call_within(limit.0, &operation.name, &params).await,
            None => client.to.call(&operation.name, &params).await,
        }
    };
    let result: Result<Value> = tokio::select! {
        result = calling => result,
        ended = signals.next() => return Err(Failure::run(ended.name)),
    };
    // A session of a URI's own ends with it, politely.
    client.close().await;
    Ok(result?)
}

/// Closes politely within a limit: the result is there already.
pub(super) async fn close(session: &Session) {
    session.close_politely(0, "").await;
}

fn operation(to: &Destination, name: &str) -> Outcome<Operation> {
    if let Some(operation) = to.operation(name) {
        return Ok(operation);
    }
    let driver = to.driver();
    let driver = driver.as_ref().map_or("", |driver| driver.name());
    Err(unknown(driver, name, &to.operations()))
}

/// There is no such operation.
fn unknown(of: &str, name: &str, known: &[Operation]) -> Failure {
    let near = did_you_mean(name, known.iter().map(|operation| operation.name.as_str()));
    let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
    let names: Vec<&str> = known.iter().map(|operation| operation.name.as_str()).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(" ") };
    Failure::config(format!("{of} has no operation {name:?}{hint}; known: {names}"))
}

/// The parameters, secrets included.
async fn params(args: &CallArgs, operation: &Operation) -> Outcome<Value> {
    let mut params = parse_options("--params", args.params.as_deref())?;
    let assignments = parse_assignments("parameter", &args.parameters)?;
    params.extend(assign::params(&operation.params, &assignments));
    let known = secret::placeholders(&params, &operation.params);
    let problems = schema::check(&operation.params, &known);
    if !problems.is_empty() {
        return Err(Failure::config_lines(problems));
    }
    let resolved = Resolver::default().resolve_options(&params, &operation.params).await;
    let resolved = resolved.map_err(|error| Failure::config(error.to_string()))?;
    Ok(Value::Object(resolved.expose().clone()))
}

fn show(result: &Value) -> Outcome<()> {
    let Some(fields) = result.as_object() else {
        return if result.is_null() {
            Ok(())
        } else {
            print(&format!("{}\n", plain(result))).map(drop)
        };
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    if fields.contains_key("output") {
        return print(text("output")).map(drop);
    }
    let is_output = fields.contains_key("stdout") || fields.contains_key("stderr");
    if !is_output {
        let lines = fields.iter().map(|(key, value)| format!("{key}: {}\n", plain(value)));
        return print(&lines.collect::<String>()).map(drop);
    }
    print(text("stdout"))?;
    // When standard error is closed, the line is dropped.
    let _ = std::io::stderr().lock().write_all(text("stderr").as_bytes());
    if let Some(signal) = fields.get("signal").and_then(Value::as_str) {
        complain(&format!("ended by signal {signal}"));
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The exit status that the result tells; 1 when there should be one and is none.
fn exit_code(result: &Value) -> ExitCode {
    match result.get("exit_status") {
        None => ExitCode::SUCCESS,
        Some(status) => ExitCode::from(status.as_u64().map_or(1, status_code)),
    }
}

/// Exit codes have eight bits; what does not fit is still no success.
pub(super) fn status_code(status: u64) -> u8 {
    u8::try_from(status).unwrap_or(u8::MAX)
}

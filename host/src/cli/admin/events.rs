//! `jackfield events`.

use super::link::{HostLink, part};
use super::place::AdminArgs;
use crate::cli::failure::{Failure, Outcome, one_line};
use crate::cli::output::print;
use crate::cli::runtime::Signals;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::timeout;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct EventsArgs {
    /// Go on until Control-C, instead of ending with what is kept
    #[arg(short, long)]
    follow: bool,
    /// Names of events, with commas between
    #[arg(long, value_name = "NAMES")]
    kinds: Option<String>,
    /// Only of this connection
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// Only of this listener
    #[arg(long, value_name = "LISTENER")]
    listener: Option<String>,
    /// Only of this upstream
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Only of leases of this device
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
    /// Print each event as JSON, one a line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
A host keeps events while somebody reads them, and for a minute after that. One that reads too slowly, or
comes back too late, is told how much it has missed.

Examples:
  jackfield events -f
  jackfield events -f --kinds target_down,target_up --json
  jackfield events -f --upstream web";

/// How long nothing comes until all that is kept has come.
const QUIET: Duration = Duration::from_millis(300);

pub(in crate::cli) fn events(args: &EventsArgs) -> Outcome {
    let mut path = String::from("/v1/events?");
    let filters = [
        ("kinds", &args.kinds),
        ("connection", &args.connection),
        ("listener", &args.listener),
        ("upstream", &args.upstream),
        ("device", &args.device),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            path.push_str(&format!("{name}={}&", part(value)));
        }
    }
    super::ask(async {
        let host = args.admin.host().await?;
        if args.follow {
            let mut signals = Signals::of_command()?;
            tokio::select! {
                followed = follow(&host, &path, args.json) => followed,
                _ = signals.next() => Ok(ExitCode::SUCCESS),
            }
        } else {
            let body = opened(&host, &format!("{path}since=start")).await?;
            read(body, args.json, Some(QUIET)).await.map(|()| ExitCode::SUCCESS)
        }
    })
}

async fn opened(host: &HostLink, path: &str) -> Outcome<Incoming> {
    let response = host.send("GET", path, None).await?;
    if response.status().is_success() {
        return Ok(response.into_body());
    }
    // Asked once more for the words of the refusal.
    host.text("GET", path, None).await?;
    Err(Failure::run("the host has refused it"))
}

async fn follow(host: &HostLink, path: &str, as_json: bool) -> Outcome {
    let body = opened(host, path).await?;
    read(body, as_json, None).await?;
    Err(Failure::run("the host has ended"))
}

/// Prints events until the answer ends, or until nothing has come for `quiet`.
async fn read(mut body: Incoming, as_json: bool, quiet: Option<Duration>) -> Outcome<()> {
    let mut text = String::new();
    loop {
        let frame = match quiet {
            Some(quiet) => match timeout(quiet, body.frame()).await {
                Ok(frame) => frame,
                Err(_) => return Ok(()),
            },
            None => body.frame().await,
        };
        let Some(frame) = frame else { return Ok(()) };
        let frame = frame.map_err(|error| Failure::run(format!("the host is gone: {error}")))?;
        if let Ok(data) = frame.into_data() {
            text.push_str(&String::from_utf8_lossy(&data));
        }
        while let Some((event, rest)) = text.split_once("\n\n") {
            let line = line(event, as_json);
            text = rest.to_owned();
            if let Some(line) = line {
                print(&format!("{line}\n"))?;
            }
        }
    }
}

/// One event of the stream as a line; comments are none.
fn line(event: &str, as_json: bool) -> Option<String> {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
    let data = field("data: ")?;
    match field("event: ") {
        Some("reset") => {
            return Some("# events were missed: what was known may have changed".to_owned());
        }
        Some("lagged") => return Some(format!("# events were missed: {data}")),
        _ => {}
    }
    if as_json {
        return Some(data.to_owned());
    }
    let value: Value = serde_json::from_str(data).ok()?;
    let at = Duration::from_millis(value["at"].as_u64().unwrap_or_default());
    let at = OffsetDateTime::from(UNIX_EPOCH + at).format(&Rfc3339).unwrap_or_default();
    let mut line = format!("{at} {}", value["event"].as_str().unwrap_or_default());
    let id = value["id"].as_u64().map(|id| format!(" id={id}"));
    line.push_str(&id.unwrap_or_default());
    if let Some(name) = value["source"]["name"].as_str() {
        line.push_str(&format!(" name={name}"));
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        if ["at", "event", "id", "number", "source"].contains(&key.as_str()) || value.is_null() {
            continue;
        }
        let text = value["text"].as_str().or(value.as_str()).map(str::to_owned);
        line.push_str(&format!(" {key}={}", text.unwrap_or_else(|| value.to_string())));
    }
    // A peer's words must not steer a terminal.
    Some(one_line(&line))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn an_event_is_a_line_and_a_comment_is_none() {
        let event = "id: a-1\ndata: {\"at\":0,\"number\":7,\"event\":\"target_down\",\"upstream\":\"web\",\"cause\":{\"text\":\"gone\\nfar\"}}";
        let expected = "1970-01-01T00:00:00Z target_down cause=gone far upstream=web";
        assert_eq!(line(event, false).as_deref(), Some(expected));
        assert!(line(event, true).is_some_and(|json| json.starts_with('{')));
        assert_eq!(line(":", false), None);
        assert!(line("event: reset\ndata: {}", false).is_some_and(|text| text.starts_with('#')));
    }
}

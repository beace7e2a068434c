//! What `tests/autobahn` runs as the client under test: asks the suite for its cases, echoes every
//! message of each through the loaded `ws` driver, and has the reports written.
//!
//! `autobahn-client ws://127.0.0.1:PORT PLUGINS`
#![allow(clippy::print_stdout, reason = "progress of a run of half a minute")]

use std::{env, error::Error, path::PathBuf, time::Duration};

use futures_util::{SinkExt, StreamExt};
use jackfield::secret::Resolver;
use jackfield::{
    driver::{LoadOptions, Registry, load},
    stack::{Plan, Stack, uri::StackUri},
};
use jackfield_plugin_api::{Error as DriverError, Messages, Role};
use serde_json::Map;
use tokio::time::timeout;

/// Under which name the suite reports.
const AGENT: &str = "jackfield";

/// For one case or one answer; the longest case takes seconds.
const LIMIT: Duration = Duration::from_secs(120);

type Failure = Box<dyn Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = env::args().skip(1);
    let (Some(suite), Some(plugins)) = (arguments.next(), arguments.next()) else {
        return Err("autobahn-client ws://127.0.0.1:PORT PLUGINS".into());
    };
    let options = LoadOptions {
        folders: Vec::new(),
        beside: Some(PathBuf::from(plugins)),
        ..Default::default()
    };
    let registry = load(&options).await;

    let cases = count(&registry, &suite).await?;
    for case in 1..=cases {
        let url = format!("{suite}/runCase?case={case}&agent={AGENT}");
        let session = open(&registry, &url).await?;
        timeout(LIMIT, echo(session)).await.map_err(|_| format!("case {case} does not end"))?;
    }
    println!("autobahn-client: {cases} cases");
    let reports = open(&registry, &format!("{suite}/updateReports?agent={AGENT}")).await?;
    // The suite writes, then closes.
    timeout(LIMIT, echo(reports)).await?;
    Ok(())
}

async fn open(registry: &Registry, url: &str) -> Result<Messages, Failure> {
    let uri: StackUri = url.parse()?;
    let plan = Plan::new(&uri, registry, Role::Client, false)?;
    let stack = Stack::new(plan, &Map::new(), Role::Client, &Resolver::default())
        .await
        .map_err(DriverError::from)?;
    let session = stack.open(None, LIMIT).await?;
    session.take_messages().ok_or_else(|| "the session has no messages".into())
}

async fn count(registry: &Registry, suite: &str) -> Result<u32, Failure> {
    let mut messages = open(registry, &format!("{suite}/getCaseCount")).await?;
    let answer = timeout(LIMIT, messages.next()).await?;
    let answer = answer.ok_or("the suite did not say how many cases there are")??;
    Ok(std::str::from_utf8(&answer.payload)?.parse()?)
}

/// Until the suite ends the case. An error is how most cases are meant to end, and the suite, not
/// this program, judges whether it was the right one.
async fn echo(mut messages: Messages) {
    while let Some(Ok(message)) = messages.next().await {
        if messages.send(message).await.is_err() {
            break;
        }
    }
    // What failed already cannot be closed politely.
    let _ = messages.close().await;
}

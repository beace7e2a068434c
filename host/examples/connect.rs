//! Connects with patience, and to several at once.
//!
//! `cargo build && cargo run -p jackfield --example connect tcp://127.0.0.1:22 tcp://127.0.0.1:23`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use jackfield::config::{self, Overrides};
use jackfield::connection::{Reconnect, connect_many, connect_with_retry};
use jackfield::manager::{Manager, Plugins};
use serde_json::Map;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let loaded = config::load(&[], &Overrides::new())?;
    let manager = Manager::build(Plugins::load(&loaded).await, &loaded).await?;

    let mut targets = Vec::new();
    for uri in std::env::args().skip(1) {
        let to = manager.destination(&uri.parse()?, &Map::new()).await?;
        targets.extend(to.targets(&uri));
    }

    // The first one patiently: three more attempts, 100 ms, 200 ms and 400 ms apart.
    if let Some((name, target)) = targets.first() {
        let patience = Reconnect {
            attempts: Some(3),
            first_delay: Duration::from_millis(100),
            ..Reconnect::default()
        };
        let session = connect_with_retry(target, Duration::from_secs(2), &patience).await;
        println!("{name}: {:?}", session.map(|session| session.info().peer));
    }

    // All of them, ten at a time, within five seconds: each has its own answer.
    let deadline = Instant::now() + Duration::from_secs(5);
    for connected in connect_many(targets, 10, Duration::from_secs(2), deadline).await {
        let how = connected.result.map_or_else(|error| error.to_string(), |_| "open".to_owned());
        println!("{}: {how} after {:?}", connected.name, connected.took);
    }
    Ok(())
}

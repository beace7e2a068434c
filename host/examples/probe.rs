//! Asks whether targets answer, each by its whole stack, several at a time.
//!
//! `cargo build && cargo run -p jackfield --example probe tcp://127.0.0.1:22 wss://example.org/`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use jackfield::config::{self, Overrides};
use jackfield::manager::{Manager, Plugins};
use jackfield::probe::probe_many;
use serde_json::Map;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Nothing but defaults: drivers are found beside the example in the cargo target folder.
    let loaded = config::load(&[], &Overrides::new())?;
    let manager = Manager::build(Plugins::load(&loaded).await, &loaded).await?;

    let mut targets = Vec::new();
    for uri in std::env::args().skip(1) {
        let to = manager.destination(&uri.parse()?, &Map::new()).await?;
        targets.extend(to.targets(&uri));
    }
    for probed in probe_many(targets, 16, Duration::from_secs(5)).await {
        match &probed.error {
            None => println!("{}: answers in {:?} ms", probed.name, probed.open_ms),
            Some(error) => println!("{}: {} ({})", probed.name, error.text, error.kind),
        }
    }
    Ok(())
}

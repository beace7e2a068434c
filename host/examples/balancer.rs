//! A balancer over targets of one's own: `cargo run -p jackfield --example balancer`.
//!
//! Targets can be anything that can be opened. Here two of three answer; the third is found out,
//! ejected, and no session fails for it.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use jackfield::connection::OpenError;
use jackfield::upstream::strategy::find;
use jackfield::upstream::{Attempts, Balancer, HealthOptions, Need, Opens};
use jackfield::upstream::{RetryOptions, Spec};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A target that greets, or does not.
struct Greeter(Option<&'static str>);

impl Opens for Greeter {
    type Session = &'static str;
    type Purpose = ();

    async fn open(&self, _: Need, _: Duration) -> Result<&'static str, OpenError> {
        self.0.ok_or_else(|| Error::new(ErrorKind::Unreachable, "nobody there").into())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let targets = vec![
        Spec::new("english", Greeter(Some("hello"))),
        Spec { weight: 2, ..Spec::new("german", Greeter(Some("guten Tag"))) },
        Spec::new("nobody", Greeter(None)),
    ];
    let strategy = find("round_robin").ok_or_else(|| Error::unsupported("that strategy"))?;
    let balancer = Arc::new(Balancer::new(targets, strategy, HealthOptions::default())?);
    let attempts = Attempts::new(RetryOptions::default());
    for _ in 0..30 {
        // It counts as in flight at its target until the guard is dropped.
        let (greeting, guard) =
            attempts.open(&balancer, None, Need::default(), Duration::from_secs(1)).await?;
        println!("{:<8} {greeting}", guard.target());
    }
    // Drained: no new sessions, from now on.
    balancer.set_weight("english", 0, Instant::now())?;
    for target in balancer.snapshot(Instant::now()) {
        let (opened, failed) = (target.successes, target.failures);
        println!("{:<8} {:<8} opened {opened}, failed {failed}", target.name, target.state);
    }
    Ok(())
}

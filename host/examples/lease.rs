//! A console that one uses at a time: `cargo run -p jackfield --example lease`.
//!
//! Ann has it, Bob waits, the operator breaks Ann's lease, and Bob is served when Ann has let go.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use jackfield::connection::Caller;
use jackfield::device::{Exclusive, LeaseOptions};
use jackfield_plugin_api::Result;
use std::sync::Arc;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options =
        LeaseOptions { timeout: Duration::from_secs(5), max_waiters: 1, ..LeaseOptions::default() };
    let console = Exclusive::new("console", options);
    let ann = console.acquire(Caller::new("ann", "upgrade")).await?;

    let next = tokio::spawn({
        let console = Arc::clone(&console);
        async move { console.acquire(Caller::new("bob", "")).await }
    });
    while console.snapshot().waiters.is_empty() {
        tokio::task::yield_now().await;
    }
    // Only one may wait.
    if let Err(error) = console.acquire(Caller::new("cy", "")).await {
        println!("cy:  {error}");
    }

    console.break_off("the building is closing");
    println!("ann: {}", ann.ended().await);
    drop(ann);

    // Whatever becomes of the guard, dropping it lets go.
    let bob = next.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    if let Some(held) = console.snapshot().holder {
        println!("now {} has it", held.caller);
    }
    drop(bob);
    Ok(())
}

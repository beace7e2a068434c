//! Timers that write to connections by id: `cargo build && cargo run -p jackfield --example timers`.
//!
//! Whoever connects is told the time every now and then, and is sent away after a while.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use jackfield::connection::Live;
use jackfield::manager::Manager;
use jackfield_plugin_api::{Error, Result};
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{interval, sleep};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::builder().build().await?;
    let clock = manager
        .listen("tcp://127.0.0.1:0", |connection: Arc<Live>| async move {
            connection.wait_closed().await;
        })
        .await?;

    // Again and again, to all.
    let host = manager.clone();
    let ticking = tokio::spawn(async move {
        let mut ticks = interval(Duration::from_millis(20));
        for number in 1_u32.. {
            ticks.tick().await;
            host.broadcast(format!("tick {number}\n").into_bytes(), Live::is_accepted);
        }
    });
    // Once, to one of them.
    let host = manager.clone();
    let _subscription = manager.events().on_event(move |event| {
        let (Some(id), "connected") = (event.id, event.kind.name()) else { return };
        let Ok(connection) = host.live(id) else { return };
        tokio::spawn(async move {
            sleep(Duration::from_millis(200)).await;
            connection.close(0, "time is up").await;
        });
    });

    let uri = format!("tcp://{}", clock.local_addr().ok_or("no address")?);
    let client = manager.open(&uri, &Map::new()).await?;
    let mut stream = client.take_stream().ok_or_else(|| Error::unsupported("bytes"))?;
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await?;
    ticking.abort();
    clock.close().await;
    println!(
        "heard {} ticks; {} clients are left",
        heard.lines().count(),
        manager.count().accepted
    );
    manager.shutdown().await;
    Ok(())
}

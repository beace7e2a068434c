//! A chat over two protocols at once: `cargo build && cargo run -p jackfield --example chat`.
//!
//! Ann comes by WebSocket and Bob by TCP; what one says, all others hear.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use futures_util::{SinkExt, StreamExt};
use jackfield::connection::Live;
use jackfield::events::EventFilter;
use jackfield::manager::{Manager, RunningListener};
use jackfield_plugin_api::{Error, Message, Result};
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Hands on what comes in, to all that were accepted but the one that said it.
async fn room(manager: Manager, me: Arc<Live>) -> Result<()> {
    while let Some(said) = me.receive().await? {
        manager.broadcast(said, |other| other.is_accepted() && other.id != me.id);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::builder().build().await?;
    let connected = EventFilter::new().kinds(["connected", "closed"]);
    let mut events = manager.events().subscribe_to(connected, 16);
    let mut listeners = Vec::new();
    for uri in ["ws://127.0.0.1:0/chat", "tcp://127.0.0.1:0"] {
        let host = manager.clone();
        let code = move |me: Arc<Live>| room(host.clone(), me);
        listeners.push(manager.listen(uri, code).await?);
    }
    let mut addresses = listeners.iter().filter_map(RunningListener::local_addr);
    let mut address = || addresses.next().ok_or("no address");

    let none = || Error::unsupported("messages and bytes");
    let ws = format!("ws://{}/chat", address()?);
    let tcp = format!("tcp://{}", address()?);
    let ann = manager.open(&ws, &Map::new()).await?;
    let bob = manager.open(&tcp, &Map::new()).await?;
    // Both are in the room.
    let soon = Duration::from_secs(5);
    for _ in 0..2 {
        events.wait_for(soon, |event| event.kind.name() == "connected").await;
    }
    let (mut messages, mut bytes) =
        (ann.take_messages().ok_or_else(none)?, bob.take_stream().ok_or_else(none)?);
    messages.send(Message::text("hello from ann")).await?;
    let mut heard = [0; 14];
    bytes.read_exact(&mut heard).await?;
    println!("bob hears: {}", String::from_utf8_lossy(&heard));
    bytes.write_all(b"hello from bob").await?;
    if let Some(said) = messages.next().await {
        println!("ann hears: {}", String::from_utf8_lossy(&said?.payload));
    }
    let closed = manager.close_connections(1000, "closing time", Live::is_accepted).await;
    println!("{closed} were sent home");
    manager.shutdown().await;
    Ok(())
}

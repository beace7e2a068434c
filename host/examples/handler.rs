//! One handler for all connections of a host: `cargo build && cargo run -p jackfield --example handler`.
//!
//! The server's end says everything back, the client's end takes it, and both are given to one handler; an error hook
//! is told what goes wrong on either.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use jackfield::connection::{Delivery, Live, Payload, SessionHandler};
use jackfield::events::Event;
use jackfield::manager::Manager;
use jackfield_plugin_api::Error;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const SOON: Duration = Duration::from_secs(5);

/// Says back what was accepted, and tells what was dialled.
struct Everything(mpsc::Sender<String>);

impl SessionHandler for Everything {
    fn received<'a>(&'a self, live: &'a Arc<Live>, payload: Payload) -> Delivery<'a> {
        Box::pin(async move {
            if live.is_accepted() {
                // It may have been closed meanwhile.
                let _ = live.post(payload);
                return;
            }
            let text = String::from_utf8_lossy(payload.bytes()).into_owned();
            let _ = self.0.send(format!("{} has {text:?}", live.name)).await;
        })
    }

    fn event(&self, live: &Arc<Live>, event: &Event) {
        let end = if live.is_accepted() { "server" } else { "client" };
        println!("{end}: {}", event.kind.name());
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (say, mut said) = mpsc::channel(8);
    let manager = Manager::builder()
        .default_handler(Arc::new(Everything(say)))
        .on_error(|live: &Live, error: &Error| {
            println!("{}: wrong: {}", live.name, error.message());
        })
        .build()
        .await?;
    let listener = manager.listen_default("tcp://127.0.0.1:0").await?;
    let address = listener.local_addr().ok_or("no address")?;

    let lab = manager.define("lab", &format!("tcp://{address}")).register().await?;
    let live = lab.connect(SOON).await?;
    live.on_traffic(|passed| {
        let way = if passed.is_received { "received" } else { "sent" };
        println!("{way} {} bytes", passed.bytes);
    });
    live.post("hello")?.sent().await?;
    println!("{}", said.recv().await.ok_or("nothing came back")?);
    // A stream of bytes has no such operation.
    if lab.call("fly", &json!({})).await.is_ok() {
        return Err("it flies".into());
    }
    live.close(0, "that was all").await;
    listener.close().await;
    manager.shutdown().await;
    Ok(())
}

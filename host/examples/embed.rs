//! A host in a program, as client and as server: `cargo build && cargo run -p jackfield --example embed`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use jackfield::calls::Calls;
use jackfield::connection::Live;
use jackfield::listener::ServedRequest;
use jackfield::manager::{AllOptions, Filter, Manager};
use std::sync::Arc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Drivers beside this program, or `.plugins("folder")`; `Manager::from_config(&loaded)` takes a file.
    let manager = Manager::builder().build().await?;

    // A server of requests: the code is run for each.
    let web = manager
        .listen("http://127.0.0.1:0", |request: ServedRequest| async move {
            request.respond(200, "text/plain", "hello\n").await
        })
        .await?;
    // A server of connections: the code is run for each, and has it to its end.
    let echo = manager
        .listen("tcp://127.0.0.1:0", |connection: Arc<Live>| async move {
            while let Some(received) = connection.receive().await? {
                connection.post(received)?.sent().await?;
            }
            jackfield_plugin_api::Result::Ok(())
        })
        .await?;

    // A connection by name: opened when it is needed, shared, and opened again when it was lost.
    let uri = format!("http://{}", web.local_addr().ok_or("no address")?);
    let site = manager.define("site", &uri).key("call_timeout", "5s").register().await?;
    println!("{}", site.get("/").await?.body.unwrap_or_default().trim_end());

    for (name, result) in manager.connect_all(&Filter::default(), AllOptions::default()).await {
        println!("{name}: {}", result?.state());
    }
    let address = echo.local_addr().ok_or("no address")?;
    manager.define("echo", &format!("tcp://{address}")).register().await?.connect(LIMIT).await?;
    // What was accepted and what was opened are of one kind, in one table.
    for connection in manager.lives() {
        println!("{} {} {}", connection.name, connection.state(), connection.is_accepted());
    }
    // A listener waits for what it has accepted, which lasts as long as its client.
    manager.close_connections(0, "done", |_| true).await;
    echo.close().await;
    manager.shutdown().await;
    Ok(())
}

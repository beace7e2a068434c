//! An HTTP server with its routes by hand: `cargo build && cargo run -p jackfield --example http_server`.
//!
//! It asks itself, so that it ends.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use jackfield::listener::ServedRequest;
use jackfield::manager::Manager;
use jackfield_plugin_api::{Body, BodyPart, Envelope, HeaderBlock, Result};
use serde_json::{Map, json};

async fn answer(mut request: ServedRequest) -> Result<()> {
    match (request.method(), request.path()) {
        ("GET", "/") => request.respond(200, "text/html", "<h1>Hello</h1>").await,
        ("GET", "/api/status") => {
            let count = request.connection().info().bytes_in;
            let status = json!({ "ok": true, "received": count }).to_string();
            request.respond(200, "application/json", status).await
        }
        ("POST", "/echo") => {
            let content = request.content(1 << 20).await?;
            request.respond(200, "application/octet-stream", content).await
        }
        ("GET", "/count") => {
            // Content that is made while it is sent.
            let parts = (1..=3).map(|number| Ok(BodyPart::Data(format!("{number}\n").into())));
            let head = HeaderBlock::new([(":status", "200"), ("content-type", "text/plain")])?;
            let body = Body::new(futures_util::stream::iter(parts));
            request.send(Envelope::new(head, body)).await
        }
        _ => request.respond(404, "text/plain", "there is no such page\n").await,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::builder().build().await?;
    let web = manager.listen("http://127.0.0.1:0", answer).await?;
    println!("listening on {:?}", web.local_addr());

    let uri = format!("http://{}", web.local_addr().ok_or("no address")?);
    for (operation, params) in [
        ("get", json!({ "path": "/" })),
        ("get", json!({ "path": "/api/status" })),
        ("get", json!({ "path": "/count" })),
        ("post", json!({ "path": "/echo", "body": "hello" })),
        ("get", json!({ "path": "/nothing" })),
    ] {
        let answer = manager.call(&uri, &Map::new(), operation, &params).await?;
        println!("{operation} {} {} {}", params["path"], answer["status"], answer["body"]);
    }
    web.close().await;
    manager.shutdown().await;
    Ok(())
}

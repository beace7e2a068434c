//! One connection from connect to close: `cargo run -p jackfield --example connection`.
//!
//! The peer is in this process and says everything back. The handler is swapped while it talks.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use jackfield::connection::{Delivery, Live, Managed, Payload, Policy, SessionHandler, Target};
use jackfield::stack::Stack;
use jackfield_plugin_api::{Error, ErrorKind, Info, Result, Session, Stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Says what it was given, under its name.
struct Says(&'static str, mpsc::Sender<String>);

impl SessionHandler for Says {
    fn received<'a>(&'a self, _: &'a Arc<Live>, payload: Payload) -> Delivery<'a> {
        Box::pin(async move {
            let text = String::from_utf8_lossy(payload.bytes()).into_owned();
            // Nobody may be listening any more.
            let _ = self.1.send(format!("{}: {text}", self.0)).await;
        })
    }
}

/// A peer that says everything back.
async fn echo() -> Result<Session> {
    let (near, far) = tokio::io::duplex(1024);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(far);
        tokio::io::copy(&mut read, &mut write).await
    });
    Ok(Session::of_stream(Info::default(), Stream::new(near)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let target = Target::new(Stack::of_source("echo:", |_| echo()), None);
    let connection = Managed::new("lab", Arc::new(target), Policy::default());
    let live = connection.connect(Duration::from_secs(1)).await?;
    live.data().set_text("room", "12")?;

    let (say, mut said) = mpsc::channel(8);
    let gone = || Error::new(ErrorKind::Closed, "no handler any more");
    live.set_handler(Arc::new(Says("first", say.clone())))?;
    live.post("hello")?.sent().await?;
    println!("{}", said.recv().await.ok_or_else(gone)?);
    live.set_handler(Arc::new(Says("second", say)))?;
    live.post("hello again")?.sent().await?;
    println!("{}", said.recv().await.ok_or_else(gone)?);

    let info = live.info();
    println!("{} bytes out, {} in, for {} ms", info.bytes_out, info.bytes_in, info.uptime_ms);
    live.close(0, "that was all").await;
    print!("{}", live.diagnose());
    // Not lost, but refused.
    if let Err(error) = live.post("too late") {
        println!("{error}");
    }
    Ok(())
}

//! What happens to a connection, told in order: `cargo run -p jackfield --example events`.
//!
//! The peer goes away once; the connection is opened again, and a hook restores what it had.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use jackfield::connection::{Managed, Policy, Reconnect, Target};
use jackfield::events::EventKind;
use jackfield::stack::Stack;
use jackfield_plugin_api::{Error, ErrorKind, Info, Result, Session, Stream};
use std::sync::Arc;
use std::time::Duration;

async fn peer() -> Result<Session> {
    let (near, _far) = tokio::io::duplex(64);
    Ok(Session::of_stream(Info::default(), Stream::new(near)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let first_delay = Duration::from_millis(20);
    let reconnect = Reconnect { attempts: Some(3), first_delay, ..Reconnect::default() };
    let target = Target::new(Stack::of_source("peer:", |_| peer()), None);
    let policy = Policy { reconnect, ..Policy::default() };
    let connection = Managed::new("lab", Arc::new(target), policy);
    connection.on_reconnected(|_session| async {
        println!("  restoring the session, before anybody else gets it");
        Ok(())
    });

    let live = connection.live();
    // A function, called at once; dropping the handle unsubscribes.
    let _handle = live.events.on_event(|event| println!("{} {:?}", event.number, event.kind));
    // A queue, read when convenient; it says what it missed.
    let mut queue = live.events.subscribe(16);
    // An asynchronous function, on a task of its own.
    let slow = live.events.on_event_async(16, |event| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if let EventKind::Closed { cause } = event.kind {
            println!("  the slow one has heard of the end too: {cause}");
        }
    });

    live.wait_ready(Duration::from_secs(1)).await?;
    live.report(live.generation(), &Error::new(ErrorKind::Closed, "the peer has gone"));
    let again =
        |event: &jackfield::events::Event| matches!(event.kind, EventKind::Reconnecting { .. });
    queue.wait_for(Duration::from_secs(1), again).await;
    live.wait_ready(Duration::from_secs(1)).await?;
    live.close(0, "that was all").await;
    slow.finished().await;
    Ok(())
}

//! Many named connections at once: `cargo run -p jackfield --example manager`.
//!
//! The targets are in this process: some take their time, one is not there.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use jackfield::connection::State;
use jackfield::driver::Registry;
use jackfield::manager::{AllOptions, Existing, Filter, Manager, Own, Removal};
use jackfield::stack::Stack;
use jackfield_plugin_api::{Error, ErrorKind, Info, Result, Session, Stream};
use std::collections::BTreeMap;
use std::time::Duration;

/// A target that answers after a while, or never.
fn target(delay: Option<u64>) -> Stack {
    Stack::of_source("peer:", move |_| async move {
        let nobody = || Error::new(ErrorKind::Unreachable, "nobody there");
        tokio::time::sleep(Duration::from_millis(delay.ok_or_else(nobody)?)).await;
        let (near, mut far) = tokio::io::duplex(64);
        tokio::spawn(async move { tokio::io::copy(&mut far, &mut tokio::io::sink()).await });
        Ok(Session::of_stream(Info::default(), Stream::new(near)))
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // With drivers in its registry, `define` takes URIs and options as the configuration does.
    let manager = Manager::empty(Registry::default(), 100, Duration::from_secs(20));
    for (name, site, delay) in
        [("core-1", "north", Some(20)), ("core-2", "north", None), ("edge-1", "south", Some(50))]
    {
        let labels = BTreeMap::from([("site".to_owned(), site.to_owned())]);
        manager.define_own(name, target(delay), Own { labels, ..Own::default() }).await?;
    }
    // A name that is taken is refused, unless it is to be replaced.
    if let Err(error) = manager.define_own("core-1", target(None), Own::default()).await {
        println!("refused: {error}");
    }

    // All in parallel, a result for each, one deadline.
    let options = AllOptions { limit: 10, within: Duration::from_secs(1) };
    for (name, result) in manager.connect_all(&Filter::default(), options).await {
        match result {
            Ok(live) => println!("{name}: connected, id {}", live.id),
            Err(error) => println!("{name}: {error}"),
        }
    }

    let label = Some(("site".to_owned(), Some("north".to_owned())));
    let north = Filter { label, state: Some(State::Connected), ..Filter::default() };
    for found in manager.find(&north) {
        println!("connected in the north: {}", found.connection.name);
    }
    manager.post("core-1", "hello")?.sent().await?;

    let replace = Own { existing: Existing::Replace, ..Own::default() };
    manager.define_own("core-2", target(Some(0)), replace).await?;
    manager.get_or_connect("core-2", Duration::from_secs(1)).await?;
    println!("{} of {} are connected", manager.count().now, manager.defined());
    manager
        .unregister("core-1", Removal::Close { code: 0, reason: "moved away".to_owned() })
        .await?;
    println!("{} of {} are connected", manager.count().now, manager.defined());
    manager.close_all(Duration::from_secs(1)).await;
    println!("{} of {} are connected", manager.count().now, manager.defined());
    Ok(())
}

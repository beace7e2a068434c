//! What happens to a named connection, told in order.

use std::{sync::Arc, time::Duration};

use jackfield::{
    config::model::ConnectionConfig,
    connection::{Delivery, Live, Payload, SessionHandler, State},
    events::EventKind,
    manager::Existing,
};
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::{
    conformance::{
        far::Behaviour,
        subject::{Subject, World, definition},
    },
    support::{host::TestHost, process::DEADLINE},
};

/// A drain's own deadline, for programs that never end by themselves.
const DRAIN: Duration = Duration::from_secs(1);

async fn begin(host: &TestHost, definition: Map<String, Value>) -> Arc<Live> {
    let config: ConnectionConfig = serde_json::from_value(definition.into()).unwrap();
    let defined = host.manager().define_connection("it", config, Existing::Refuse).await;
    defined.unwrap_or_else(|error| panic!("{error:?}")).live()
}

async fn connected(world: &World) -> Arc<Live> {
    let live = begin(&world.host, world.definition()).await;
    live.wait_ready(DEADLINE).await.unwrap_or_else(|error| panic!("{error:?}"));
    live
}

/// The names of all events, without those of the driver's own; they may come while it is connected.
async fn told(live: &Live) -> Vec<String> {
    timeout(DEADLINE, live.wait_closed()).await.expect("it does not end");
    let history = live.events.history();
    let numbers: Vec<u64> = history.iter().map(|event| event.number).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "gaps: {numbers:?}");
    let name = |kind: &EventKind| match kind {
        EventKind::Closed { cause } | EventKind::Lost { cause } if cause.text.is_empty() => {
            panic!("no cause in {kind:?}")
        }
        // Not every driver's sessions are encrypted.
        EventKind::Driver { .. } | EventKind::Secured { .. } => None,
        kind => serde_json::to_value(kind).unwrap()["event"].as_str().map(str::to_owned),
    };
    history.iter().filter_map(|event| name(&event.kind)).collect()
}

pub(super) async fn drained(subject: Subject) {
    let world = subject.echo().await;
    let live = connected(&world).await;
    timeout(DEADLINE, live.drain(DRAIN)).await.expect("in time");
    assert_eq!(told(&live).await, ["connecting", "connected", "draining", "closing", "closed"]);
    assert_eq!(live.state(), State::Closed);
}

pub(super) async fn closed_once(subject: Subject) {
    let world = subject.echo().await;
    let live = connected(&world).await;
    let both = async { tokio::join!(live.close(0, "enough"), live.close(0, "enough")) };
    timeout(DEADLINE, both).await.expect("in time");
    live.close(0, "again").await;
    assert_eq!(told(&live).await, ["connecting", "connected", "closing", "closed"]);
    let last = live.events.history().pop().unwrap();
    let EventKind::Closed { cause } = last.kind else { panic!("{last:?}") };
    assert_eq!(cause.text, "enough");
}

/// Reads, and does nothing.
struct Reader;

impl SessionHandler for Reader {
    fn received<'a>(&'a self, _: &'a Arc<Live>, _: Payload) -> Delivery<'a> {
        Box::pin(std::future::ready(()))
    }
}

pub(super) async fn lost(subject: Subject) {
    // Whoever has the first byte resets.
    let world = (subject.world)(Behaviour::Resets).await;
    let live = connected(&world).await;
    live.set_handler(Arc::new(Reader)).unwrap();
    let piece = vec![0_u8; 64 << 10];
    for _ in 0..64 {
        match live.post(piece.clone()) {
            // What is under way when the peer goes is answered with an error.
            Ok(receipt) => drop(timeout(DEADLINE, receipt.sent()).await.expect("in time")),
            Err(_) => break,
        }
    }
    assert_eq!(told(&live).await, ["connecting", "connected", "lost", "closed"]);
    assert_eq!(live.state(), State::Error);
}

pub(super) async fn refused(subject: Subject) {
    let (uri, options) = subject.nowhere.expect("somewhere that is nowhere")();
    let host = TestHost::start("").await;
    let live = begin(&host, definition(&uri, &options)).await;
    assert_eq!(told(&live).await, ["connecting", "error", "closed"]);
    assert_eq!(live.state(), State::Error);
}

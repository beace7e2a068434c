//! Connections over in-process peers, on paused time.

mod accepting;
mod carrying;
mod dispatching;
mod for_all;
mod intercepting;
mod opening;
mod peer;
mod reading;
mod supervising;

use super::{Live, Managed, Policy, Reconnect, State, Target};
use crate::events::{Event, EventKind, EventStream};
use crate::stack::Stack;
use peer::Peer;
use std::sync::Arc;
use std::time::Duration;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const SOON: Duration = Duration::from_secs(5);

/// A connection to `peer`.
fn managed(peer: &Arc<Peer>, policy: Policy) -> Managed {
    Managed::new("lab", target(peer), policy)
}

fn target(peer: &Arc<Peer>) -> Arc<Target> {
    let peer = Arc::clone(peer);
    let source = move |_| Arc::clone(&peer).open();
    Arc::new(Target::new(Stack::of_source("test:", source), None))
}

/// Tries again `attempts` times, after 1 s, 2 s, 4 s …
fn again(attempts: u32) -> Reconnect {
    Reconnect { attempts: Some(attempts), jitter: 0.0, ..Reconnect::default() }
}

/// All events up to the end.
async fn all(mut events: EventStream) -> Vec<EventKind> {
    let mut kinds = Vec::new();
    while let Some(event) = events.next().await {
        kinds.push(event.kind);
    }
    kinds
}

/// The next event of interest.
async fn until(events: &mut EventStream, wanted: impl Fn(&EventKind) -> bool) -> Event {
    loop {
        let event = events.next().await.expect("events ended");
        if wanted(&event.kind) {
            return event;
        }
    }
}

fn closed(kinds: &[EventKind]) -> usize {
    kinds.iter().filter(|kind| matches!(kind, EventKind::Closed { .. })).count()
}

async fn connected(managed: &Managed) -> Arc<Live> {
    managed.connect(SOON).await.expect("connected")
}

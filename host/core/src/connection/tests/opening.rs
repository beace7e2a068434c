//! First attempts: that fail, that hang, that are given up.

use super::*;
use crate::work::{self, OpeningStep};
use jackfield_plugin_api::{Error, ErrorKind, Session};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;

fn initial(attempts: u32) -> Policy {
    Policy { reconnect: Reconnect { initial: true, ..again(attempts) }, ..Policy::default() }
}

/// A connection whose opening does as `open` says.
fn own<F>(policy: Policy, open: impl Fn() -> F + Send + Sync + 'static) -> Managed
where
    F: Future<Output = Result<Session, Error>> + Send + 'static,
{
    let stack = Stack::of_source("test:", move |_| open());
    Managed::new("lab", Arc::new(Target::new(stack, None)), policy)
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_that_fails_is_repeated_if_the_policy_says_so() {
    let peer = Peer::new();
    peer.up.store(false, Ordering::SeqCst);
    let live = managed(&peer, initial(5)).live();
    let events = live.events.subscribe(64);
    let (begun, up) = (Instant::now(), Arc::clone(&peer));
    let _third = live.events.on_event(move |event| {
        if matches!(event.kind, EventKind::Reconnecting { attempt: 3, .. }) {
            up.up.store(true, Ordering::SeqCst);
        }
    });
    live.wait_ready(seconds(60)).await.unwrap();
    assert_eq!(begun.elapsed(), seconds(1 + 2 + 4));
    let info = live.info();
    assert_eq!((info.reconnects, peer.opened.load(Ordering::SeqCst)), (0, 4));
    live.close(0, "done").await;
    let kinds = all(events).await;
    assert!(!kinds.iter().any(|kind| matches!(kind, EventKind::Lost { .. })), "{kinds:?}");
    assert_eq!(closed(&kinds), 1);
}

#[tokio::test(start_paused = true)]
async fn the_hook_is_for_sessions_after_the_first_one() {
    let peer = Peer::new();
    peer.up.store(false, Ordering::SeqCst);
    let (managed, restored) = (managed(&peer, initial(5)), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&restored);
    managed.on_reconnected(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Ok(()) }
    });
    let live = managed.live();
    let mut events = live.events.subscribe(64);
    until(&mut events, |kind| matches!(kind, EventKind::Reconnecting { .. })).await;
    peer.up.store(true, Ordering::SeqCst);
    live.wait_ready(seconds(60)).await.unwrap();
    assert_eq!(restored.load(Ordering::SeqCst), 0);
    live.call("lose", &json!({})).await.unwrap_err();
    live.left(1).await;
    live.wait_ready(seconds(60)).await.unwrap();
    assert_eq!((restored.load(Ordering::SeqCst), live.info().reconnects), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_is_not_repeated_without_that_nor_when_it_cannot_help() {
    for (policy, kind) in [
        (Policy { reconnect: again(5), ..Policy::default() }, ErrorKind::Unreachable),
        (initial(5), ErrorKind::Denied),
    ] {
        let tries = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&tries);
        let live = own(policy, move || {
            count.fetch_add(1, Ordering::SeqCst);
            async move { Err(Error::new(kind, "no")) }
        })
        .live();
        assert_eq!(live.wait_ready(SOON).await.unwrap_err().kind(), kind);
        assert_eq!((live.state(), tries.load(Ordering::SeqCst)), (State::Error, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_ends_at_its_timeout() {
    let policy = Policy { connect_timeout: Some(seconds(20)), ..Policy::default() };
    let live = own(policy, std::future::pending).live();
    let begun = Instant::now();
    let early = live.wait_ready(SOON).await.unwrap_err();
    assert_eq!((early.kind(), begun.elapsed()), (ErrorKind::TimedOut, SOON));
    assert_eq!(live.state(), State::Connecting, "one caller's patience is not the connection's");
    let error = live.wait_ready(seconds(60)).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::TimedOut, seconds(20)));
    assert_eq!(live.state(), State::Error);
}

#[tokio::test(start_paused = true)]
async fn close_does_not_wait_for_an_attempt_that_hangs() {
    for first in [true, false] {
        let (peer, hangs) = (Peer::new(), Arc::new(AtomicUsize::new(usize::from(first))));
        let policy = Policy { reconnect: again(9), ..Policy::default() };
        let (to, hanging) = (Arc::clone(&peer), Arc::clone(&hangs));
        let managed = own(policy, move || {
            let (peer, hangs) = (Arc::clone(&to), hanging.load(Ordering::SeqCst) > 0);
            async move { if hangs { std::future::pending().await } else { peer.open().await } }
        });
        let live = managed.live();
        let events = live.events.subscribe(64);
        if !first {
            live.wait_ready(SOON).await.unwrap();
            hangs.store(1, Ordering::SeqCst);
            live.call("lose", &json!({})).await.unwrap_err();
            live.left(1).await;
            // The attempt itself is under way.
            tokio::time::sleep(seconds(2)).await;
        }
        let begun = Instant::now();
        live.close(0, "enough").await;
        assert_eq!((live.state(), begun.elapsed()), (State::Closed, Duration::ZERO));
        assert_eq!(peer.living.load(Ordering::SeqCst), 0);
        assert_eq!(closed(&all(events).await), 1);
    }
}

/// Panics are a bug of the program that embeds us: they must not leave others waiting for ever.
#[tokio::test(start_paused = true)]
async fn a_target_or_a_hook_that_panics_ends_its_connection_and_nothing_else() {
    let live = own(Policy::default(), || async { panic!("in the target") }).live();
    let error = live.wait_ready(SOON).await.unwrap_err();
    assert_eq!((error.kind(), live.state()), (ErrorKind::Panicked, State::Error));
    let peer = Peer::new();
    let managed = managed(&peer, Policy { reconnect: again(9), ..Policy::default() });
    managed.on_reconnected(|_| async { panic!("in the hook") });
    let live = connected(&managed).await;
    let events = live.events.subscribe(64);
    live.call("lose", &json!({})).await.unwrap_err();
    live.wait_closed().await;
    assert_eq!((live.state(), closed(&all(events).await)), (State::Error, 1));
    assert!(live.info().last_error.is_some_and(|error| error.contains("panicked")));
    connected(&managed).await;
}

#[tokio::test(start_paused = true)]
async fn its_flags_tell_resolving_connecting_and_handshaking_apart() {
    let lives = crate::connection::Lives::new(10);
    let (step, steps) = tokio::sync::watch::channel(OpeningStep::Connecting);
    let source = move |_| {
        let mut steps = steps.clone();
        async move {
            loop {
                work::opening(*steps.borrow_and_update());
                if steps.changed().await.is_err() {
                    return Err(Error::new(ErrorKind::Unreachable, "nobody there"));
                }
            }
        }
    };
    let target = Arc::new(Target::new(Stack::of_source("test:", source), None));
    let policy = Policy { connect_timeout: Some(seconds(60)), ..Policy::default() };
    let live = Managed::counted("lab", target, policy, [].into(), lives).live();
    for at in [OpeningStep::Resolving, OpeningStep::Handshaking, OpeningStep::Connecting] {
        step.send_replace(at);
        // Paused time goes on when everything else has run.
        tokio::time::sleep(seconds(1)).await;
        let flags = live.info().flags;
        let expected = (at == OpeningStep::Resolving, at == OpeningStep::Handshaking);
        assert_eq!((flags.is_resolving, flags.is_handshaking), expected, "{at:?}");
        assert!(flags.is_connecting, "{at:?}");
    }
    step.send_replace(OpeningStep::Handshaking);
    tokio::time::sleep(seconds(1)).await;
    drop(step);
    live.wait_closed().await;
    assert!(!live.flags().is_handshaking, "it has ended");
}

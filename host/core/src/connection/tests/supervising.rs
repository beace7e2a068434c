use super::*;
use crate::connection::Lives;
use jackfield_plugin_api::{Control, Error, ErrorKind, Event, Facets, Info, Result, Session};
use serde_json::json;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_dead_target_is_never_reported_connected() {
    let peer = Peer::new();
    peer.up.store(false, Ordering::SeqCst);
    let live = managed(&peer, Policy::default()).live();
    let events = live.events.subscribe(16);
    let error = live.wait_ready(SOON).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(live.state(), State::Error);
    let kinds = all(events).await;
    assert!(!kinds.iter().any(|kind| matches!(kind, EventKind::Connected { .. })), "{kinds:?}");
    assert_eq!(closed(&kinds), 1);
    assert!(!live.info().flags.is_connected && live.info().established_at.is_none());
}

#[tokio::test(start_paused = true)]
async fn missed_keepalives_lose_the_session_and_it_is_opened_again_with_growing_waits() {
    let peer = Peer::new();
    let policy = Policy { reconnect: again(4), ..Policy::default() };
    let managed = managed(&peer, policy);
    let live = connected(&managed).await;
    let mut events = live.events.subscribe(64);
    peer.answers.store(false, Ordering::SeqCst);
    peer.up.store(false, Ordering::SeqCst);
    let begun = Instant::now();
    let lost = until(&mut events, |kind| matches!(kind, EventKind::Lost { .. })).await;
    let EventKind::Lost { cause } = lost.kind else { panic!("{lost:?}") };
    assert_eq!(cause.text, "3 keepalives without an answer");
    assert!(cause.is(ErrorKind::TimedOut) && cause.origin.is_some(), "{cause:?}");
    // Three times 30 s until the question and 5 s for the answer.
    assert_eq!(begun.elapsed().as_secs(), 105);
    let mut waits = Vec::new();
    for _ in 0..3 {
        let next = until(&mut events, |kind| matches!(kind, EventKind::Reconnecting { .. })).await;
        let EventKind::Reconnecting { attempt, delay_ms } = next.kind else { unreachable!() };
        waits.push((attempt, delay_ms));
        if attempt == 3 {
            peer.up.store(true, Ordering::SeqCst);
            peer.answers.store(true, Ordering::SeqCst);
        }
    }
    assert_eq!(waits, [(1, 1000), (2, 2000), (3, 4000)]);
    until(&mut events, |kind| matches!(kind, EventKind::Connected { .. })).await;
    assert_eq!((live.state(), live.info().reconnects), (State::Connected, 1));
    live.close(0, "done").await;
    assert_eq!(closed(&all(events).await), 1);
}

#[tokio::test(start_paused = true)]
async fn the_budget_of_attempts_ends_the_life_with_one_closed() {
    let peer = Peer::new();
    let live = managed(&peer, Policy { reconnect: again(3), ..Policy::default() }).live();
    let events = live.events.subscribe(64);
    live.wait_ready(SOON).await.unwrap();
    peer.up.store(false, Ordering::SeqCst);
    live.call("lose", &json!({})).await.unwrap_err();
    live.wait_closed().await;
    assert_eq!(live.state(), State::Error);
    assert_eq!(peer.opened.load(Ordering::SeqCst), 4, "one and three attempts");
    let kinds = all(events).await;
    assert_eq!(closed(&kinds), 1);
    assert!(
        matches!(kinds.last(), Some(EventKind::Closed { .. })),
        "closed is the last: {kinds:?}"
    );
    let decided = live.diagnose().decided.unwrap();
    assert_eq!(decided.by, crate::connection::Decider::Reconnect);
    assert!(live.diagnose().to_string().contains("3 attempts"), "{}", live.diagnose());
}

#[tokio::test(start_paused = true)]
async fn idle_is_told_first_then_closes_unless_somebody_objects() {
    let peer = Peer::new();
    let policy = Policy { idle_timeout: seconds(60), ..Policy::default() };
    let live = managed(&peer, policy).live();
    let vetoes = Arc::new(Mutex::new(2));
    let (weak, left) = (Arc::downgrade(&live), Arc::clone(&vetoes));
    // The veto comes at the very moment of the event.
    let _veto = live.events.on_event(move |event| {
        let mut left = left.lock().unwrap();
        if matches!(event.kind, EventKind::Idle { .. }) && *left > 0 {
            *left -= 1;
            weak.upgrade().expect("alive").record_activity();
        }
    });
    let events = live.events.subscribe(64);
    let begun = Instant::now();
    live.wait_closed().await;
    // Two vetoed, one not, and as long again before the close.
    assert_eq!(begun.elapsed().as_secs(), 60 * 4);
    let kinds = all(events).await;
    let idle = kinds.iter().filter(|kind| matches!(kind, EventKind::Idle { .. })).count();
    assert_eq!((idle, closed(&kinds), live.info().idle_notices), (3, 1, 3));
    assert_eq!(live.diagnose().decided.unwrap().by, crate::connection::Decider::IdleTimeout);
    assert_eq!(peer.closes.lock().unwrap().len(), 1, "closed politely");
}

#[tokio::test(start_paused = true)]
async fn a_drain_refuses_the_new_finishes_the_old_and_cuts_off_at_its_deadline() {
    for in_time in [true, false] {
        let peer = Peer::new();
        let managed = managed(&peer, Policy::default());
        let live = connected(&managed).await;
        peer.gate.send_replace(false);
        let running = tokio::spawn({
            let live = Arc::clone(&live);
            async move { live.call("echo", &json!({"a": 1})).await }
        });
        while live.info().calls_running == 0 {
            tokio::task::yield_now().await;
        }
        let draining = tokio::spawn({
            let live = Arc::clone(&live);
            async move { live.drain(seconds(10)).await }
        });
        while live.state() != State::Draining {
            tokio::task::yield_now().await;
        }
        let refused = live.call("echo", &json!({})).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Closed);
        assert_eq!(live.post("x").unwrap_err().kind(), ErrorKind::Closed);
        let begun = Instant::now();
        if in_time {
            peer.gate.send_replace(true);
        }
        draining.await.unwrap();
        let answer = running.await.unwrap();
        if in_time {
            assert_eq!(answer.unwrap(), json!({"a": 1}));
            assert_eq!(begun.elapsed().as_secs(), 0);
        } else {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Closed);
            assert_eq!(begun.elapsed().as_secs(), 10);
        }
        assert_eq!(live.state(), State::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn the_hook_restores_a_session_before_anybody_gets_it() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy { reconnect: again(3), ..Policy::default() });
    let order = Arc::new(Mutex::new(Vec::new()));
    let (hook_order, failures) = (Arc::clone(&order), Arc::new(Mutex::new(1)));
    managed.on_reconnected(move |session| {
        let (order, failures) = (Arc::clone(&hook_order), Arc::clone(&failures));
        async move {
            session.call("join", &json!({})).await?;
            let fails = std::mem::take(&mut *failures.lock().unwrap()) > 0;
            order.lock().unwrap().push(if fails { "failed" } else { "restored" });
            if fails { Err(Error::new(ErrorKind::Refused, "no such room")) } else { Ok(()) }
        }
    });
    let live = connected(&managed).await;
    assert!(order.lock().unwrap().is_empty(), "not on the first connect");
    live.call("lose", &json!({})).await.unwrap_err();
    live.left(1).await;
    live.wait_ready(seconds(60)).await.unwrap();
    order.lock().unwrap().push("ready");
    assert_eq!(*order.lock().unwrap(), ["failed", "restored", "ready"]);
    assert_eq!(peer.opened.load(Ordering::SeqCst), 3, "a failed restore is a failed attempt");
}

#[tokio::test(start_paused = true)]
async fn close_does_not_wait_for_a_ping_and_leaves_nothing_behind() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy { keepalive_timeout: seconds(3600), ..Policy::default() });
    let live = connected(&managed).await;
    peer.answers.store(false, Ordering::SeqCst);
    // A question is under way now, and is never answered.
    tokio::time::sleep(seconds(31)).await;
    let begun = Instant::now();
    live.close(7, "enough").await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(*peer.closes.lock().unwrap(), [(7, "enough".to_owned())]);
    assert_eq!(peer.living.load(Ordering::SeqCst), 0, "nothing open when close returns");
    live.close(8, "again").await;
    assert_eq!(peer.closes.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_deadline_bounds_waiting_and_calling_together() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy { call_timeout: seconds(10), ..Policy::default() });
    let live = connected(&managed).await;
    peer.gate.send_replace(false);
    let begun = Instant::now();
    let error = managed.call("echo", &json!({})).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed().as_secs()), (ErrorKind::TimedOut, 10));
    assert_eq!(live.info().errors, 1);
}

#[tokio::test(start_paused = true)]
async fn closed_connections_are_not_counted_from_the_moment_close_returns() {
    let peer = Peer::new();
    let lives = Lives::new(2);
    let of = |name: &str| {
        let labels = std::collections::BTreeMap::new();
        Managed::counted(name, target(&peer), Policy::default(), labels, Arc::clone(&lives))
    };
    let (a, b, c) = (of("a"), of("b"), of("c"));
    let first = connected(&a).await;
    connected(&b).await;
    let refused = c.connect(SOON).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Limit);
    assert_eq!(lives.count().now, 2);
    first.close(0, "").await;
    assert_eq!(lives.count().now, 1);
    connected(&c).await;
    let count = lives.count();
    assert_eq!((count.now, count.most, count.total), (2, 2, 3));
    // Abandoned ones do not count for ever either.
    drop((a, b, c, first));
    while lives.count().now > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_it_may_wait_for_room_it_is_let_in_or_refused_in_time() {
    let peer = Peer::new();
    let lives = Lives::waiting(1, seconds(5), None);
    let of = |name: &str| {
        let labels = std::collections::BTreeMap::new();
        Managed::counted(name, target(&peer), Policy::default(), labels, Arc::clone(&lives))
    };
    let (a, b, c) = (of("a"), of("b"), of("c"));
    let first = connected(&a).await;
    let begun = Instant::now();
    let refused = b.connect(seconds(60)).await.unwrap_err();
    assert_eq!((refused.kind(), begun.elapsed()), (ErrorKind::Limit, seconds(5)));

    let (second, third) = (b.live(), c.live());
    tokio::time::sleep(seconds(1)).await;
    assert_eq!((second.state(), lives.count().now), (State::Disconnected, 1));
    second.close(0, "not needed any more").await;
    assert_eq!(second.state(), State::Closed, "a wait ends when it is told to");
    first.close(0, "").await;
    third.wait_ready(SOON).await.unwrap();
    assert_eq!((lives.count().now, lives.count().most), (1, 1));

    // Nor does one wait that nobody holds.
    let abandoned = of("d").live();
    drop(abandoned);
    third.close(0, "").await;
    connected(&a).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_holds_tells_of_its_end_too() {
    let peer = Peer::new();
    let managed = managed(&peer, Policy::default());
    let events = connected(&managed).await.events.subscribe(16);
    drop(managed);
    assert_eq!(closed(&all(events).await), 1);
    while peer.living.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_stalls_is_bounded_and_cut_by_an_abort() {
    for aborts in [true, false] {
        let peer = Peer::new();
        peer.stalls.store(true, Ordering::SeqCst);
        let managed = managed(&peer, Policy { call_timeout: seconds(9), ..Policy::default() });
        let live = connected(&managed).await;
        let begun = Instant::now();
        let closing = tokio::spawn({
            let live = Arc::clone(&live);
            async move { live.close(0, "done").await }
        });
        while peer.closes.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        if aborts {
            live.abort("at once");
        }
        closing.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), if aborts { 0 } else { 9 });
        assert_eq!(live.state(), State::Closed);
    }
}

/// A session whose peer has gone, which it says by the end of its events and to who asks.
struct Over(Arc<Peer>);

impl Control for Over {
    fn info(&self) -> Info {
        Info::new()
    }
    async fn ping(&self) -> Result<Duration> {
        match self.0.answers.load(Ordering::SeqCst) {
            true => Ok(Duration::ZERO),
            false => Err(Error::new(ErrorKind::Closed, "the line is cut")),
        }
    }
    async fn next_event(&self) -> Result<Option<Event>> {
        let _ = self.0.gate.subscribe().wait_for(|open| *open).await;
        Ok(None)
    }
}

/// Opens sessions of [`Over`] whose messages nobody takes, without keepalives.
fn unread(peer: &Arc<Peer>) -> Managed {
    let (facets, peer) = (Facets::PING | Facets::EVENTS, Arc::clone(peer));
    let source = move |_| {
        let peer = Arc::clone(&peer);
        async move {
            peer.opened.fetch_add(1, Ordering::SeqCst);
            Ok(Session::builder(Over(peer)).facets(facets).build())
        }
    };
    let target = Arc::new(Target::new(Stack::of_source("test:", source), None));
    let policy = Policy { keepalive: Duration::ZERO, reconnect: again(1), ..Policy::default() };
    Managed::new("lab", target, policy)
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_reads_is_asked_when_its_events_end_and_lost_if_it_is_gone() {
    let peer = Peer::new();
    peer.gate.send_replace(false);
    peer.answers.store(false, Ordering::SeqCst);
    let managed = unread(&peer);
    let live = connected(&managed).await;
    let mut events = live.events.subscribe(16);
    peer.gate.send_replace(true);
    let lost = until(&mut events, |kind| matches!(kind, EventKind::Lost { .. })).await;
    let EventKind::Lost { cause } = lost.kind else { panic!("{lost:?}") };
    assert_eq!(cause.text, "the line is cut");
    // One that is there, and has nothing more to tell, stays.
    peer.answers.store(true, Ordering::SeqCst);
    let live = connected(&managed).await;
    tokio::time::sleep(seconds(3600)).await;
    assert_eq!((live.state(), peer.opened.load(Ordering::SeqCst)), (State::Connected, 2));
}

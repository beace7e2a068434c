use super::*;
use std::sync::atomic::{AtomicU64, Ordering};

fn health(healthy: bool) -> EventKind {
    EventKind::Health { healthy, round_trip_ms: None }
}

#[tokio::test]
async fn every_subscriber_gets_every_event_in_order_and_closed_once_and_last() {
    let bus = Bus::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    let _sync = bus.on_event(move |event| into.lock().unwrap().push(event.number));
    let mut stream = bus.subscribe(8);
    for healthy in [true, false] {
        assert!(bus.emit(health(healthy)));
    }
    assert!(bus.emit(EventKind::Closed { cause: "done".to_owned() }));
    assert!(!bus.emit(EventKind::Connecting), "nothing follows closed");
    assert!(!bus.emit(EventKind::Closed { cause: "again".to_owned() }));
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3]);
    let mut numbers = Vec::new();
    while let Some(event) = stream.next().await {
        numbers.push(event.number);
    }
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(bus.history().len(), 3);
    assert_eq!(bus.subscribe(1).next().await, None, "a late subscriber does not wait for ever");
}

#[tokio::test]
async fn a_slow_reader_is_told_what_it_missed() {
    let bus = Bus::default();
    let mut stream = bus.subscribe(2);
    for _ in 0..5 {
        bus.emit(EventKind::Connecting);
    }
    let first = stream.next().await.unwrap();
    assert_eq!(first.kind, EventKind::Missed { count: 3 });
    assert_eq!(stream.next().await.unwrap().number, 4);
    assert_eq!(stream.next().await.unwrap().number, 5);
}

#[test]
fn dropping_the_subscription_ends_it() {
    let bus = Bus::default();
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    let subscription = bus.on_event(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    bus.emit(EventKind::Connecting);
    drop(subscription);
    bus.emit(EventKind::Connecting);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn a_panic_in_one_subscriber_leaves_the_others() {
    let bus = Bus::default();
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    let _bad = bus.on_event(|_| panic!("a subscriber's own mistake"));
    let _good = bus.on_event(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    bus.emit(EventKind::Connecting);
    bus.emit(EventKind::Connecting);
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[test]
fn what_a_subscriber_emits_comes_after_the_event_it_answers() {
    let bus = Bus::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let again = bus.clone();
    let _first = bus.on_event(move |event| {
        if event.kind == EventKind::Connecting {
            again.emit(EventKind::Draining);
        }
    });
    let into = Arc::clone(&seen);
    let _second = bus.on_event(move |event| into.lock().unwrap().push(event.kind.clone()));
    bus.emit(EventKind::Connecting);
    assert_eq!(*seen.lock().unwrap(), [EventKind::Connecting, EventKind::Draining]);
}

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
    assert!(bus.emit(EventKind::Closed { cause: Cause::of("done") }));
    assert!(!bus.emit(EventKind::Connecting), "nothing follows closed");
    assert!(!bus.emit(EventKind::Closed { cause: Cause::of("again") }));
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

#[tokio::test]
async fn threads_that_emit_at_once_give_one_order_and_one_closed() {
    let bus = Bus::default();
    let (mut one, mut two) = (bus.subscribe(5000), bus.subscribe(5000));
    let told: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for healthy in [true, false].repeat(100) {
                        bus.emit(health(healthy));
                    }
                    bus.emit(EventKind::Closed { cause: Cause::of("mine") })
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(told.iter().filter(|told| **told).count(), 1, "one closed is the first");
    let mut last = 0;
    while let Some(event) = one.next().await {
        assert_eq!(event.number, last + 1);
        assert_eq!(two.next().await, Some(event.clone()), "all see one order");
        last = event.number;
        let closed = matches!(event.kind, EventKind::Closed { .. });
        assert!(!closed || one.next().await.is_none());
        if closed {
            break;
        }
    }
    assert!(last >= 201);
}

#[tokio::test]
async fn a_slow_reader_still_gets_closed() {
    let bus = Bus::default();
    let mut stream = bus.subscribe(1);
    bus.emit(EventKind::Connecting);
    bus.emit(EventKind::Closed { cause: Cause::of("done") });
    assert_eq!(stream.next().await.unwrap().kind, EventKind::Missed { count: 1 });
    assert!(matches!(stream.next().await.unwrap().kind, EventKind::Closed { .. }));
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn an_asynchronous_subscriber_takes_its_time_and_misses_nothing_silently() {
    let bus = Bus::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    let subscription = bus.on_event_async(2, move |event| {
        let into = Arc::clone(&into);
        async move {
            tokio::task::yield_now().await;
            into.lock().unwrap().push(event.kind);
        }
    });
    for _ in 0..5 {
        bus.emit(EventKind::Connecting);
    }
    let closed = EventKind::Closed { cause: Cause::of("done") };
    bus.emit(closed.clone());
    subscription.finished().await;
    let expected = [EventKind::Missed { count: 4 }, EventKind::Connecting, closed];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn an_asynchronous_subscriber_ends_by_drop_or_by_its_own_panic() {
    let bus = Bus::default();
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    let bad = bus.on_event_async(8, |_| async { panic!("a subscriber's own mistake") });
    let good = bus.on_event_async(8, move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        std::future::ready(())
    });
    bus.emit(EventKind::Connecting);
    bad.finished().await;
    while count.load(Ordering::Relaxed) < 1 {
        tokio::task::yield_now().await;
    }
    drop(good);
    while !bus.lock().subscribers.is_empty() {
        tokio::task::yield_now().await;
    }
    bus.emit(EventKind::Connecting);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_event_passes_over_others_and_ends() {
    let bus = Bus::default();
    let mut stream = bus.subscribe(8);
    bus.emit(EventKind::Connecting);
    bus.emit(EventKind::Draining);
    let limit = Duration::from_secs(1);
    let found = stream.wait_for(limit, |event| event.kind == EventKind::Draining).await;
    assert_eq!(found.map(|event| event.number), Some(2));
    assert_eq!(stream.wait_for(limit, |_| true).await, None, "not in time");
    drop(bus);
    assert_eq!(stream.next().await, None, "nobody can emit any more");
}

fn source(name: &str, listener: Option<&str>) -> Arc<Source> {
    let labels = [("site".to_owned(), "north".to_owned())].into();
    let (name, listener) = (name.to_owned(), listener.map(str::to_owned));
    Arc::new(Source { name, listener, driver: "ws+tls+tcp".to_owned(), labels })
}

#[tokio::test]
async fn a_lasting_bus_goes_on_over_the_ends_of_connections_and_ends_with_its_own() {
    let bus = Bus::lasting();
    let mut stream = bus.subscribe(8);
    let closed = EventKind::Closed { cause: Cause::of("done") };
    assert!(bus.emit_of(1, &source("a", None), closed.clone()));
    assert!(bus.emit_of(2, &source("a", None), EventKind::Connecting));
    assert!(bus.emit(closed.clone()));
    assert!(!bus.emit_of(2, &source("a", None), closed));
    let mut ids = Vec::new();
    while let Some(event) = stream.next().await {
        ids.push((event.number, event.id));
    }
    assert_eq!(ids, [(1, Some(1)), (2, Some(2)), (3, None)]);
}

#[test]
fn a_filter_takes_what_meets_everything_it_says() {
    let bus = Bus::lasting();
    let counter = |filter: EventFilter| {
        let count = Arc::new(AtomicU64::new(0));
        let into = Arc::clone(&count);
        let counts = move |_: &Event| {
            into.fetch_add(1, Ordering::Relaxed);
        };
        (count, bus.on(filter, counts))
    };
    let all = || EventFilter::new();
    let counters = [
        (all(), 5),
        (all().kinds(["connecting"]), 2),
        (all().connection("a"), 2),
        (all().listener("tcp://:1"), 2),
        (all().driver("tls").label("site", Some("north")), 3),
        (all().driver("tl"), 0),
        (all().label("site", Some("south")), 0),
        (all().label("site", None).id(2), 1),
    ]
    .map(|(filter, expected)| (counter(filter), expected));
    let listener = "tcp://:1".to_owned();
    bus.emit(EventKind::ListenerUp { listener, local: None, to: "u".to_owned() });
    bus.emit_of(1, &source("a", None), EventKind::Connecting);
    bus.emit_of(1, &source("a", None), EventKind::Draining);
    bus.emit_of(2, &source("b", Some("tcp://:1")), EventKind::Connecting);
    bus.emit(EventKind::Upgraded);
    for (index, ((count, _subscription), expected)) in counters.iter().enumerate() {
        assert_eq!(count.load(Ordering::Relaxed), *expected, "filter {index}");
    }
}

#[test]
fn a_subscriber_pauses_goes_on_and_may_be_for_one_event() {
    let bus = Bus::default();
    let count = Arc::new(AtomicU64::new(0));
    let (one, two) = (Arc::clone(&count), Arc::clone(&count));
    let paused = bus.on_event(move |_| {
        one.fetch_add(1, Ordering::Relaxed);
    });
    let once = bus.once(EventFilter::new().kinds(["draining"]), move |_| {
        two.fetch_add(100, Ordering::Relaxed);
    });
    paused.pause();
    bus.emit(EventKind::Connecting);
    paused.resume();
    bus.emit(EventKind::Draining);
    assert!(paused.is_active() && !once.is_active());
    bus.emit(EventKind::Draining);
    assert_eq!(count.load(Ordering::Relaxed), 102);
}

#[tokio::test]
async fn subscribers_are_bounded() {
    let bus = Bus::default();
    bus.set_limits(BusLimits { subscribers: 20, ..bus.limits() });
    let all: Vec<_> = (0..20).map(|_| bus.on_event(|_| ())).collect();
    assert!(all.iter().all(Subscription::is_active));
    assert!(!bus.on_event(|_| ()).is_active());
    assert_eq!(bus.subscribe(1).next().await, None, "one too many does not wait for ever");
    drop(all);
    assert!(bus.on_event(|_| ()).is_active());
}

#[test]
fn a_cause_says_what_kind_of_error_whose_fault_and_with_which_code() {
    let error = jackfield_plugin_api::Error::new(jackfield_plugin_api::ErrorKind::TimedOut, "late");
    let bus = Bus::default();
    bus.emit_of(
        7,
        &source("a", None),
        EventKind::Error { cause: Cause::from(&error.with_code("sftp", 4_u32)) },
    );
    let event = serde_json::to_value(bus.history()).unwrap();
    assert_eq!(event[0]["cause"]["kind"], "timed_out");
    assert_eq!(event[0]["cause"]["origin"], "upstream");
    assert_eq!(event[0]["cause"]["code"], 4);
    assert_eq!(event[0]["cause"]["code_space"], "sftp");
    assert_eq!((&event[0]["id"], &event[0]["source"]["name"]), (&7.into(), &"a".into()));
}

#[test]
fn a_history_is_as_long_as_it_is_set_to() {
    let bus = Bus::lasting();
    let numbers = |bus: &Bus| bus.history().iter().map(|event| event.number).collect::<Vec<_>>();
    bus.set_limits(BusLimits { history: 3, ..bus.limits() });
    (0..5).for_each(|_| assert!(bus.emit(EventKind::Draining)));
    assert_eq!(numbers(&bus), [3, 4, 5]);
    bus.set_limits(BusLimits { history: 1, ..bus.limits() });
    assert_eq!(numbers(&bus), [5]);
    bus.set_limits(BusLimits { history: 0, ..bus.limits() });
    bus.emit(EventKind::Draining);
    assert_eq!(numbers(&bus), [0; 0]);
}

#[test]
fn a_filter_takes_what_happens_to_one_upstream_or_device() {
    let (upstream, target) = ("u".to_owned(), "tcp://h:1".to_owned());
    let up = EventKind::TargetUp { upstream, target };
    let path = "devices.core1.console".to_owned();
    let taken = EventKind::LeaseTaken { path, caller: "ann".to_owned() };
    let bus = Bus::lasting();
    bus.emit(up);
    bus.emit(taken);
    let history = bus.history();
    let takes = |filter: EventFilter| {
        let taken = history.iter().filter(|event| filter.takes(event));
        taken.map(|event| event.kind.name()).collect::<Vec<_>>()
    };
    let none: Vec<&str> = Vec::new();
    let filter = EventFilter::new;
    assert_eq!(takes(filter()), ["target_up", "lease_taken"]);
    assert_eq!(takes(filter().upstream("u")), ["target_up"]);
    assert_eq!(takes(filter().upstream("v")), none);
    for device in ["core1", "core1.console"] {
        assert_eq!(takes(filter().device(device)), ["lease_taken"]);
    }
    assert_eq!(takes(filter().device("core")), none, "another device");
    assert_eq!(takes(filter().upstream("u").device("core1")), none, "both hold of no event");
    assert_eq!(takes(filter().connection("u")), none);
    assert_eq!(takes(filter().upstream("u").kinds(["target_down"])), none);
}

#[test]
fn what_is_put_down_under_a_lock_is_delivered_after_it_in_order() {
    let bus = Bus::lasting();
    let lock = Arc::new(Mutex::new(()));
    let (inside, seen) = (Arc::clone(&lock), Arc::new(Mutex::new(Vec::new())));
    let into = Arc::clone(&seen);
    let _heard = bus.on_event(move |event| {
        // A subscriber may ask for what the lock protects.
        drop(inside.try_lock().expect("it is free"));
        into.lock().unwrap().push(event.kind.name());
    });
    let removed = || EventKind::Removed { what: "upstreams.u".to_owned() };
    {
        let _held = lock.lock().unwrap();
        assert!(bus.announce_later(EventKind::Defined {
            what: "upstreams.u".to_owned(),
            replaced: false
        }));
        assert!(bus.announce_later(removed()));
        assert!(seen.lock().unwrap().is_empty());
    }
    bus.deliver();
    assert_eq!(*seen.lock().unwrap(), ["defined", "removed"]);
}

//! What happens to upstreams, pools, leases and names is told on the host's one bus of events, in order.

use std::time::Duration;

use jackfield::{
    config::model::{ConnectionConfig, UpstreamConfig},
    connection::Caller,
    events::{Event, EventFilter, EventKind, EventStream},
    manager::Existing,
    upstream::Upstream,
};
use serde_json::{Value, json};

use crate::support::{
    host::TestHost,
    peers::echo::{Refusing, TcpPeer},
    process::DEADLINE,
};

/// The events that are told up to the first of that kind.
async fn until(events: &mut EventStream, kind: &str) -> Vec<Event> {
    let mut told = Vec::new();
    loop {
        let next = events.wait_for(DEADLINE, |_| true).await;
        told.push(next.unwrap_or_else(|| panic!("no {kind} after {told:?}")));
        if told.last().is_some_and(|event| event.kind.name() == kind) {
            return told;
        }
    }
}

fn names(told: &[Event]) -> Vec<&'static str> {
    told.iter().map(|event| event.kind.name()).collect()
}

fn upstream(value: Value) -> UpstreamConfig {
    serde_json::from_value(value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_tells_of_its_failures_its_recovery_and_of_every_change() {
    let (dead, good) = (Refusing::new(), TcpPeer::echo().await);
    let host = TestHost::start("").await;
    let manager = host.manager();
    let ejection = json!({ "consecutive_failures": 1, "base_ejection": "200ms" });
    let bad = format!("tcp://{}", dead.address());
    let config = json!({
        "targets": [{ "uri": bad, "priority": 0 }, { "uri": good.uri(), "priority": 1 }],
        "outlier": ejection,
    });
    let mut events = manager.events().subscribe_to(EventFilter::new().upstream("u"), 64);
    let defined = manager.define_upstream("u", upstream(config), Existing::Refuse).await.unwrap();
    let open = async |upstream: &Upstream| drop(upstream.open(None).await.unwrap());
    open(&defined).await;
    let told = until(&mut events, "target_ejected").await;
    let Some(EventKind::TargetEjected { target, for_ms, cause, .. }) =
        told.last().map(|event| event.kind.clone())
    else {
        panic!("{told:?}")
    };
    assert_eq!((&*target, for_ms / 10), (&*bad, 200 / 10 - 1), "a moment of it has passed");
    assert!(cause.text.contains("refused"), "{cause}");

    // The next attempt after its time tries it, and as nobody is there it rests again.
    tokio::time::sleep(Duration::from_millis(250)).await;
    open(&defined).await;
    let told = until(&mut events, "target_ejected").await;
    assert_eq!(names(&told), ["target_half_open", "target_ejected"]);
    let _revived = dead.listen();
    tokio::time::sleep(Duration::from_millis(450)).await;
    open(&defined).await;
    let told = until(&mut events, "target_recovered").await;
    assert_eq!(names(&told), ["target_half_open", "target_recovered"]);

    let extra = manager.add_target("u", serde_json::from_value(json!("tcp://h:1")).unwrap()).await;
    manager.weigh_target("u", "tcp://h:1", 3).unwrap();
    manager.drain_target("u", "tcp://h:1", DEADLINE).await.unwrap();
    manager.remove_target("u", &extra.unwrap()).unwrap();
    let told = until(&mut events, "target_removed").await;
    let wanted =
        ["target_added", "target_weight", "target_draining", "target_drained", "target_removed"];
    assert_eq!(names(&told), wanted);
    assert!(told.iter().all(|event| event.id.is_none()), "of no connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn active_checks_tell_when_they_find_a_target_dead_and_alive() {
    let dead = Refusing::new();
    let host = TestHost::start("").await;
    let checks = json!({ "interval": "20ms", "timeout": "5s", "rise": 1, "fall": 2 });
    let config = json!({ "targets": [format!("tcp://{}", dead.address())], "health": checks });
    let mut events = host.manager().events().subscribe_to(EventFilter::new().upstream("u"), 64);
    host.manager().define_upstream("u", upstream(config), Existing::Refuse).await.unwrap();
    let told = until(&mut events, "target_down").await;
    let Some(EventKind::TargetDown { cause, .. }) = told.last().map(|event| &event.kind) else {
        panic!("{told:?}")
    };
    assert!(cause.text.contains("refused"), "{cause}");
    let _revived = dead.listen();
    assert_eq!(names(&until(&mut events, "target_up").await), ["target_up"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_tells_that_it_cannot_open_that_it_can_again_and_that_all_is_in_use() {
    let dead = Refusing::new();
    let host = TestHost::start("").await;
    let manager = host.manager();
    let config = json!({
        "targets": [format!("tcp://{}", dead.address())],
        "pool": { "max_size": 1, "acquire_timeout": "300ms" },
    });
    let mut events = manager.events().subscribe_to(EventFilter::new().upstream("u"), 64);
    let pooled = manager.define_upstream("u", upstream(config), Existing::Refuse).await.unwrap();
    pooled.open(None).await.unwrap_err();
    let told = until(&mut events, "pool_open_failed").await;
    assert!(format!("{told:?}").contains("refused"), "{told:?}");
    let address = dead.address();
    let _revived = dead.listen();
    let _used = pooled.open(None).await.unwrap();
    assert_eq!(names(&until(&mut events, "pool_recovered").await), ["pool_recovered"]);
    pooled.open(None).await.unwrap_err();
    let told = until(&mut events, "pool_exhausted").await;
    let full = EventKind::PoolExhausted {
        upstream: "u".to_owned(),
        target: format!("tcp://{address}"),
        max_size: 1,
        waiting: 1,
    };
    assert_eq!(told.last().map(|event| &event.kind), Some(&full));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_tells_who_waits_has_it_and_lets_go_and_why() {
    let peer = TcpPeer::echo().await;
    let console = format!("console = {{ uri = \"{}\", exclusive = true }}", peer.uri());
    let host = TestHost::start(&format!("[devices.core1.paths]\n{console}\n")).await;
    let path = host.manager().device("core1").unwrap().path(None).unwrap();
    let lease = path.lease().unwrap().clone();
    let mut events = host.manager().events().subscribe_to(EventFilter::new().device("core1"), 64);
    let ann = lease.acquire(Caller::new("ann", "upgrade")).await.unwrap();
    let waiting = tokio::spawn({
        let lease = lease.clone();
        async move { lease.acquire(Caller::new("bob", "")).await }
    });
    let told = until(&mut events, "lease_waiting").await;
    let taken = EventKind::LeaseTaken {
        path: "devices.core1.console".to_owned(),
        caller: "ann (upgrade)".to_owned(),
    };
    let waits = EventKind::LeaseWaiting {
        path: "devices.core1.console".to_owned(),
        caller: "bob".to_owned(),
        holder: "ann (upgrade)".to_owned(),
    };
    assert_eq!(told.into_iter().map(|event| event.kind).collect::<Vec<_>>(), [taken, waits]);
    drop(ann);
    let bob = waiting.await.unwrap().unwrap();
    assert_eq!(names(&until(&mut events, "lease_taken").await), ["lease_released", "lease_taken"]);
    lease.break_off("maintenance");
    let told = until(&mut events, "lease_broken").await;
    let Some(EventKind::LeaseBroken { caller, cause, .. }) = told.last().map(|it| &it.kind) else {
        panic!("{told:?}")
    };
    assert_eq!((&**caller, &*cause.text), ("bob", "maintenance"));
    drop(bob);
    drop(lease.acquire(Caller::new("cy", "")).await.unwrap());
    let told = until(&mut events, "lease_released").await;
    assert_eq!(names(&told), ["lease_taken", "lease_released"], "bob had been told before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_looked_up_is_told_to_the_connection_that_goes_there() {
    let peer = TcpPeer::echo().await;
    let host = TestHost::start("").await;
    let manager = host.manager();
    for (name, port) in [("localhost", peer.port()), ("127.0.0.1", peer.port())] {
        let lab = manager.define("lab", &format!("tcp://{name}:{port}"));
        let lab = lab.existing(Existing::Replace).register().await.unwrap();
        let mut events = lab.events().subscribe(16);
        lab.connect(DEADLINE).await.unwrap();
        let told = until(&mut events, "connected").await;
        let resolved = told.iter().find_map(|event| match &event.kind {
            EventKind::Resolved { host, addresses } => Some((host.clone(), addresses.clone())),
            _ => None,
        });
        match (name, resolved) {
            ("localhost", Some((host, addresses))) => {
                assert_eq!(host, "localhost");
                assert!(addresses.iter().all(|address| address.ip().is_loopback()));
                assert!(addresses.contains(&peer.address()), "{addresses:?}");
                let wanted = ["created", "connecting", "resolved", "connected"];
                assert_eq!(names(&told), wanted);
            }
            ("127.0.0.1", None) => {}
            (name, resolved) => panic!("{name}: {resolved:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_are_as_long_and_subscribers_as_many_as_the_configuration_says() {
    let peer = TcpPeer::echo().await;
    let limits = "[host.limits]\nevent_history = 2\nsubscribers = 1\n";
    let host = TestHost::start(limits).await;
    let config: ConnectionConfig = serde_json::from_value(json!({ "uri": peer.uri() })).unwrap();
    let defining = host.manager().define_connection("lab", config, Existing::Refuse);
    let lab = defining.await.unwrap();
    let live = lab.connect(DEADLINE).await.unwrap();
    live.close(0, "").await;
    for bus in [&lab.events(), &live.events, host.manager().events()] {
        assert_eq!(bus.history().len().min(2), bus.history().len(), "{:?}", bus.history());
        let _one = bus.on_event(|_| ());
        assert!(!bus.on_event(|_| ()).is_active(), "one too many");
    }
    assert_eq!(lab.events().history().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_to_an_upstream_goes_to_a_target_that_takes_it() {
    let (dead, one, two) = (Refusing::new(), TcpPeer::silent().await, TcpPeer::silent().await);
    let host = TestHost::start("").await;
    let manager = host.manager();
    let config = json!({ "targets": [one.uri(), two.uri()] });
    manager.define_upstream("u", upstream(config), Existing::Refuse).await.unwrap();
    for _ in 0..4 {
        manager.post("upstreams.u", "12345").unwrap().sent().await.unwrap();
    }
    one.has_received(10).await;
    two.has_received(10).await;
    assert_eq!((one.accepted(), two.accepted()), (1, 1), "one session for all posts to a target");

    // Who cannot be reached fails those that were queued there, and is then passed over.
    let bad = format!("tcp://{}", dead.address());
    let outlier = json!({ "consecutive_failures": 1, "base_ejection": "1h" });
    let config = json!({ "targets": [bad, one.uri()], "outlier": outlier });
    let posts = manager.define_upstream("v", upstream(config), Existing::Refuse).await.unwrap();
    let mut events = manager.events().subscribe_to(EventFilter::new().upstream("v"), 16);
    let mut failed = 0;
    for _ in 0..6 {
        failed += u64::from(posts.post(None, "12345").unwrap().sent().await.is_err());
    }
    assert!(failed <= 1, "{failed}: the one that was queued before its session had failed");
    until(&mut events, "target_ejected").await;
    one.has_received(10 + 5 * (6 - failed)).await;
    let unknown = manager.post("upstreams.w", "x").unwrap_err();
    assert_eq!(unknown.kind(), jackfield_plugin_api::ErrorKind::NotFound);
}

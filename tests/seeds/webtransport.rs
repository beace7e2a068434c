//! pywebtransport: what its connections, manager, pools, balancer and helpers do, under the names of here.

use std::{sync::Arc, time::Duration};

use jackfield::{
    connection::{Live, Reconnect, connect_many, connect_with_retry, ensure_connection},
    events::EventKind,
    manager::{Existing, ListenOptions, Manager, Removal, RunningListener},
    probe::probe_many,
};
use jackfield_plugin_api::ErrorKind;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout};

use crate::support::{certs::Certs, host::TestHost, process::DEADLINE};

/// A server of sessions by code, which says everything back, and its URI.
async fn server(manager: &Manager, certs: &Certs) -> (RunningListener, String) {
    let keys =
        json!({ "certificate_file": certs.server.certificate, "key_file": certs.server.key });
    let options = ListenOptions {
        options: serde_json::from_value(keys).unwrap(),
        ..ListenOptions::default()
    };
    let listening =
        manager.listen_with("webtransport://127.0.0.1:0/wt", options, |me: Arc<Live>| async move {
            while let Some(received) = me.receive().await? {
                me.post(received)?.sent().await?;
            }
            jackfield_plugin_api::Result::Ok(())
        });
    let listener = listening.await.unwrap();
    let uri = format!("webtransport://localhost:{}/wt", listener.local_addr().unwrap().port());
    (listener, uri)
}

fn trust(certs: &Certs) -> Map<String, Value> {
    Map::from_iter([("ca_file".to_owned(), json!(certs.ca))])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_and_property_of_a_connection_and_its_manager() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let manager = host.manager();
    let (listener, uri) = server(manager, &certs).await;
    let wt = manager.define("wt", &uri).option("ca_file", certs.ca.to_str().unwrap());
    let wt = wt.register().await.unwrap();
    let live = wt.connect(DEADLINE).await.unwrap();

    // wait_ready, protocol_handler; config; state and what it is.
    let session = live.wait_ready(DEADLINE).await.unwrap();
    assert!(wt.policy().call_timeout > Duration::ZERO && wt.target().stack().top().is_some());
    let flags = live.flags();
    assert_eq!(live.state().as_str(), "connected");
    assert!(flags.is_connected && !flags.is_closing && !flags.is_closed && !live.is_closing());
    live.post("hello").unwrap().sent().await.unwrap();
    let back = timeout(DEADLINE, live.receive()).await.expect("in time").unwrap();
    assert_eq!(back.expect("an answer").bytes()[..], *b"hello");
    // info, get_summary: times, addresses, counts; datagrams would be packets.
    let info = live.info();
    assert_eq!((info.id, info.bytes_out, info.bytes_in, info.errors), (live.id, 5, 5, 0));
    assert_eq!(info.peer.and_then(|it| it.socket()), listener.local_addr());
    assert!(info.local.is_some() && info.established_at.is_some() && info.closed_at.is_none());
    // record_activity, diagnose_issues, monitor_health.
    live.record_activity();
    assert!(live.info().idle_ms <= info.age_ms);
    assert!(live.diagnose().to_string().contains("wt"), "{}", live.diagnose());
    let mut health = live.monitor_health(Duration::from_millis(1), DEADLINE);
    let first = health.next().await.expect("a check");
    assert!(first.healthy && first.round_trip_ms.is_some(), "{first:?}");

    // The manager: get_connection, get_all_connections, get_connection_count, get_stats.
    let known = manager.connection("wt").await.unwrap();
    assert!(Arc::ptr_eq(&known, &wt) && manager.live(live.id).is_ok());
    assert_eq!((manager.lives().len(), manager.count().now), (2, 2), "both ends");
    assert_eq!(manager.states()["connected"], 2);
    // close(code, reason) and wait_closed, at both ends.
    let accepted = manager.lives().into_iter().find(|live| live.is_accepted()).unwrap();
    let mut told = accepted.events.subscribe(16);
    live.close(4, "done").await;
    live.wait_closed().await;
    assert!(health.next().await.is_none() && live.info().closed_at.is_some());
    drop(session);
    let closed = told.wait_for(DEADLINE, |event| event.kind.name() == "closed").await.unwrap();
    // What is accepted is the session's stream; the session's code is tried in `ends::codes`.
    let EventKind::Closed { cause } = closed.kind else { unreachable!("it was looked for") };
    assert!(cause.is(ErrorKind::Closed), "{cause:?}");
    // ensure_connection; cleanup_closed_connections has nothing to do; remove_connection.
    ensure_connection(&wt, DEADLINE).await.unwrap();
    accepted.wait_closed().await;
    assert_eq!(manager.defined(), 1);
    let end = Removal::Close { code: 0, reason: "removed".to_owned() };
    manager.unregister("wt", end).await.unwrap();
    assert_eq!(manager.defined(), 0);
    // close_all_connections, shutdown.
    manager.close_connections(0, "all", |_| true).await;
    listener.close().await;
    assert_eq!((manager.count().now, host.shutdown().await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_balancers_and_helpers() {
    let (host, certs) = (TestHost::start("").await, Certs::new());
    let manager = host.manager();
    let (_first, one) = server(manager, &certs).await;
    let (_second, two) = server(manager, &certs).await;
    let targets = async |uri: &str| {
        let to = manager.destination(&uri.parse().unwrap(), &trust(&certs)).await.unwrap();
        to.targets(uri)
    };
    // connect_with_retry, create_multiple_connections, test_multiple_connections.
    let both = [targets(&one).await, targets(&two).await].concat();
    let session = connect_with_retry(&both[0].1, DEADLINE, &Reconnect::default()).await.unwrap();
    session.close(0, "").await.unwrap();
    let deadline = Instant::now() + DEADLINE;
    let connected = connect_many(both.clone(), 10, DEADLINE, deadline).await;
    assert!(connected.len() == 2 && connected.iter().all(|it| it.result.is_ok()));
    drop(connected);
    let probed = probe_many(both, 2, DEADLINE).await;
    assert!(probed.iter().all(|it| it.ok && it.ping_ms.is_some()), "{probed:?}");

    // The pool and the balancer: targets, get_connection, return, stats, weights, shutdown.
    let target = |uri: &str| json!({ "uri": uri, "options": trust(&certs) });
    let config = json!({
        "targets": [target(&one), target(&two)], "balance": "round_robin",
        "pool": { "max_size": 2 }, "health": { "interval": "1h" },
    });
    let config = serde_json::from_value(config).unwrap();
    let upstream = manager.define_upstream("wt", config, Existing::Refuse).await.unwrap();
    let (a, b) = (upstream.borrow(None).await.unwrap(), upstream.borrow(None).await.unwrap());
    assert_ne!(a.target(), b.target());
    drop((a, b));
    manager.weigh_target("wt", &two, 0).unwrap();
    for _ in 0..3 {
        assert_eq!(upstream.borrow(None).await.unwrap().target(), one);
    }
    let snapshot = upstream.snapshot();
    let of = |name: &str| snapshot.targets.iter().find(|it| it.name == name).unwrap();
    assert_eq!((of(&one).weight, of(&two).state), (1, "draining"));
    let pool = of(&one).pool.as_ref().unwrap();
    assert!(pool.opened >= 1 && pool.max_size == 2 && pool.open_failed == 0);
    let ahead = upstream.warm_up(2, DEADLINE).await;
    assert!(ahead[&one].iter().all(Result::is_ok), "{ahead:?}");
    assert_eq!(upstream.drain_pools(Instant::now() + DEADLINE).await, 0);
}

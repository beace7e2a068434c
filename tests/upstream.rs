//! Upstreams over real connections: targets that die, come back, drain, and change under load.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jackfield::{
    manager::Existing,
    upstream::{TargetSnapshot, Upstream},
};
use jackfield_plugin_api::{Error, ErrorKind};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::support::{
    host::{TestHost, exchange},
    peers::echo::{Refusing, TcpPeer},
    process::DEADLINE,
};

/// A host with one route to `[upstreams.u]`.
async fn host(upstream: &str) -> TestHost {
    let route = "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"upstreams.u\"\n";
    TestHost::start(&format!("{route}[upstreams.u]\n{upstream}\n")).await
}

fn upstream(host: &TestHost) -> Arc<Upstream> {
    host.manager().upstream("u").unwrap()
}

fn target(host: &TestHost, address: SocketAddr) -> TargetSnapshot {
    let snapshot = host.manager().snapshot();
    let upstream = snapshot.upstreams.into_iter().find(|upstream| upstream.name == "u").unwrap();
    let name = format!("tcp://{address}");
    upstream.it.targets.into_iter().find(|target| target.name == name).unwrap()
}

/// Waits for a state that a task of the host brings about.
async fn reaches(host: &TestHost, address: SocketAddr, state: &str) {
    let wait = async {
        while target(host, address).state != state {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let reached = timeout(DEADLINE, wait).await;
    reached.unwrap_or_else(|_| panic!("not {state}: {:?}", target(host, address)));
}

async fn echoes(host: &TestHost, times: usize) {
    for _ in 0..times {
        assert_eq!(exchange(host.address(0), b"over").await.unwrap(), b"over");
    }
}

/// One connection that stays.
struct Lasting(TcpStream);

impl Lasting {
    async fn open(host: &TestHost) -> Self {
        let mut lasting = Lasting(TcpStream::connect(host.address(0)).await.unwrap());
        lasting.works().await;
        lasting
    }

    async fn works(&mut self) {
        self.0.write_all(b"still").await.unwrap();
        let mut back = [0; 5];
        self.0.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"still");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_fails_and_a_dead_target_is_not_served_after_its_ejection() {
    let (dead, good) = (Refusing::new(), TcpPeer::echo().await);
    let host = host(&format!("targets = [\"tcp://{}\", \"{}\"]", dead.address(), good.uri())).await;
    echoes(&host, 20).await;
    let seen = target(&host, dead.address());
    assert_eq!((seen.state, seen.failures, seen.successes), ("ejected", 5, 0));
    assert!(seen.status.last_error.is_some_and(|error| error.contains("refused")));
    assert_eq!(good.accepted(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_target_leaves_time_for_the_next() {
    // Its port is open, but the handshake of the layer above never ends.
    let (silent, certs) = (TcpPeer::black_hole().await, crate::support::certs::Certs::new());
    let good = crate::support::peers::tls_openssl::TlsEcho::start(&certs.server).await;
    let options = format!("options = {{ ca_file = {:?} }}", certs.ca.display().to_string());
    let host = host(&format!(
        "balance = \"failover\"\nconnect_timeout = \"4s\"\ntargets = [\
         {{ uri = \"tls+tcp://localhost:{}\", {options} }}, \
         {{ uri = \"tls+tcp://localhost:{}\", {options} }}]",
        silent.port(),
        good.port()
    ))
    .await;
    echoes(&host, 1).await;
    assert_eq!(silent.accepted(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_fail_the_error_tells_each_reason() {
    let (first, second) = (Refusing::new(), Refusing::new());
    let uris = (first.address().to_string(), second.address().to_string());
    let host = host(&format!("targets = [\"tcp://{}\", \"tcp://{}\"]", uris.0, uris.1)).await;
    let error = host.open("upstreams.u", json!({})).await.unwrap_err().to_string();
    assert!(error.contains(&format!("before=tcp://{}: ", uris.0)), "{error}");
    assert!(error.contains(&format!("target=tcp://{}, tried=2", uris.1)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_take_a_target_out_and_bring_it_back() {
    let (dead, good) = (Refusing::new(), TcpPeer::echo().await);
    let host = host(&format!(
        "targets = [\"tcp://{}\", \"{}\"]\n\
         health = {{ interval = \"20ms\", timeout = \"1s\", rise = 2, fall = 2 }}",
        dead.address(),
        good.uri()
    ))
    .await;
    reaches(&host, dead.address(), "down").await;
    let failures = target(&host, dead.address()).failures;
    echoes(&host, 10).await;
    assert_eq!(target(&host, dead.address()).failures, failures, "it was not tried");
    let revived = dead.listen();
    reaches(&host, revived.address(), "up").await;
    let checked = revived.accepted();
    echoes(&host, 10).await;
    assert!(target(&host, revived.address()).successes == 5, "half of the sessions");
    assert!(revived.accepted() >= checked + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_target_keeps_what_runs_and_gets_nothing_new() {
    let (first, second) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let host = host(&format!("targets = [\"{}\", \"{}\"]", first.uri(), second.uri())).await;
    let mut lasting = Lasting::open(&host).await;
    assert_eq!(target(&host, first.address()).in_flight, 1);
    let now = tokio::time::Instant::now();
    upstream(&host).balancer().set_weight(&first.uri(), 0, now).unwrap();
    echoes(&host, 6).await;
    assert_eq!((first.accepted(), second.accepted()), (1, 6));
    assert_eq!(target(&host, first.address()).state, "draining");
    lasting.works().await;
    // Even when it is gone altogether.
    upstream(&host).balancer().remove(&first.uri(), now).unwrap();
    lasting.works().await;
    echoes(&host, 2).await;
    assert_eq!((first.accepted(), second.accepted()), (1, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_count_at_their_target_for_as_long_as_they_live() {
    let (first, second) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let host = host(&format!(
        "targets = [\"{}\", \"{}\"]\nbalance = \"least_connections\"",
        first.uri(),
        second.uri()
    ))
    .await;
    let mut lasting = Vec::new();
    for _ in 0..6 {
        lasting.push(Lasting::open(&host).await);
    }
    assert_eq!((first.accepted(), second.accepted()), (3, 3));
    drop(lasting);
    let idle = async {
        while target(&host, first.address()).in_flight + target(&host, second.address()).in_flight
            > 0
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, idle).await.expect("closed sessions are not counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_target_is_passed_over() {
    let (small, large) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let host = host(&format!(
        "balance = \"failover\"\ntargets = [{{ uri = \"{}\", max_connections = 1 }}, \"{}\"]",
        small.uri(),
        large.uri()
    ))
    .await;
    let _lasting = Lasting::open(&host).await;
    echoes(&host, 3).await;
    assert_eq!((small.accepted(), large.accepted()), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worse_priority_serves_only_when_the_better_is_out() {
    let (dead, spare) = (Refusing::new(), TcpPeer::echo().await);
    let host = host(&format!(
        "targets = [{{ uri = \"{}\", priority = 1 }}, \"tcp://{}\"]",
        spare.uri(),
        dead.address()
    ))
    .await;
    echoes(&host, 8).await;
    assert_eq!((spare.accepted(), target(&host, dead.address()).failures), (8, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_peer_meets_one_target() {
    let peers = [TcpPeer::echo().await, TcpPeer::echo().await, TcpPeer::echo().await];
    let uris = peers.each_ref().map(|peer| format!("\"{}\"", peer.uri())).join(", ");
    let host = host(&format!("targets = [{uris}]\nbalance = \"consistent_hash\"")).await;
    echoes(&host, 9).await;
    let mut accepted = peers.each_ref().map(TcpPeer::accepted);
    accepted.sort_unstable();
    assert_eq!(accepted, [0, 0, 9], "one address, whatever the port");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_accepts_and_resets_is_ejected() {
    let (bad, good) = (TcpPeer::resetting(1).await, TcpPeer::echo().await);
    let host =
        host(&format!("targets = [\"{}\", \"{}\"]\nbalance = \"failover\"", bad.uri(), good.uri()))
            .await;
    for _ in 0..5 {
        // What becomes of such a session is the peer's; only the count matters.
        let _ = exchange(host.address(0), b"over").await;
    }
    reaches(&host, bad.address(), "ejected").await;
    echoes(&host, 3).await;
}

/// Targets come and go while clients make connections: none of them may notice.
#[tokio::test(flavor = "multi_thread")]
async fn changes_under_load_disturb_nobody() {
    let (stays, moves) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let host =
        Arc::new(host(&format!("targets = [\"{}\", \"{}\"]", stays.uri(), moves.uri())).await);
    let mut lasting = Lasting::open(&host).await;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let host = Arc::clone(&host);
            tokio::spawn(async move { echoes(&host, 100).await })
        })
        .collect();
    let upstream = upstream(&host);
    let balancer = upstream.balancer();
    let mut weight = 0;
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        weight = (weight + 1) % 4;
        balancer.set_weight(&moves.uri(), weight, tokio::time::Instant::now()).unwrap();
        tokio::task::yield_now().await;
    }
    for client in clients {
        client.await.unwrap();
    }
    lasting.works().await;
    assert_eq!(stays.accepted() + moves.accepted(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_come_and_go_by_uri_while_the_upstream_serves() {
    let (first, second) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let host = host(&format!(
        "targets = [\"{}\"]\n[connections.way]\nuri = \"{}\"",
        first.uri(),
        first.uri()
    ))
    .await;
    let manager = host.manager();
    let mut lasting = Lasting::open(&host).await;
    let added = |text: &str| serde_json::from_value(json!({ "uri": text, "weight": 3 })).unwrap();
    let name = manager.add_target("u", added(&second.uri())).await.unwrap();
    assert_eq!(name, second.uri());
    echoes(&host, 4).await;
    assert_eq!((first.accepted(), second.accepted()), (2, 3));
    // What cannot be, changes nothing.
    for (target, kind) in [
        (json!({ "uri": second.uri() }), ErrorKind::Config),
        (json!({ "uri": "tcp://127.0.0.1:9", "weight": 1001 }), ErrorKind::Config),
        (json!({ "uri": "tcpp://127.0.0.1:9" }), ErrorKind::NotFound),
        (json!({ "uri": "tcp://127.0.0.1:9", "options": { "nodely": true } }), ErrorKind::Config),
        (json!({ "uri": "tcp://127.0.0.1:9", "via": "connections.wy" }), ErrorKind::NotFound),
    ] {
        let refused =
            manager.add_target("u", serde_json::from_value(target.clone()).unwrap()).await;
        assert_eq!(refused.as_ref().map_err(Error::kind), Err(kind), "{target}: {refused:?}");
    }
    assert_eq!(manager.remove_target("u", "tcp://h:1").unwrap_err().kind(), ErrorKind::NotFound);
    // The first one drains; its session runs on, and is told of.
    let left = manager.drain_target("u", &first.uri(), Duration::from_millis(1)).await.unwrap();
    assert_eq!(left, 1);
    echoes(&host, 4).await;
    assert_eq!((first.accepted(), second.accepted()), (2, 7));
    lasting.works().await;
    let name = first.uri();
    let draining = manager.drain_target("u", &name, DEADLINE);
    let (left, ()) = tokio::join!(draining, async { drop(lasting) });
    assert_eq!(left.unwrap(), 0);
    manager.weigh_target("u", &first.uri(), 1).unwrap();
    manager.remove_target("u", &second.uri()).unwrap();
    echoes(&host, 4).await;
    assert_eq!((first.accepted(), second.accepted()), (6, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_carries_a_target_stays_as_long_as_that_does() {
    let peer = TcpPeer::echo().await;
    let host = host(&format!("targets = [\"{}\"]", peer.uri())).await;
    let manager = host.manager();
    // Nobody is connected to it: it only has to be one that can dial.
    let way = serde_json::from_value(json!({ "uri": "ssh://nobody@127.0.0.1:1" })).unwrap();
    manager.define_connection("way", way, Existing::Refuse).await.unwrap();
    let target = json!({ "uri": "tcp://far:1", "via": "connections.way" });
    let name = manager.add_target("u", serde_json::from_value(target).unwrap()).await.unwrap();
    assert_eq!(name, "tcp://far:1 via connections.way");
    assert_eq!(manager.destroy("way").await.unwrap_err().kind(), ErrorKind::InUse);
    manager.remove_target("u", &name).unwrap();
    manager.destroy("way").await.unwrap();
}

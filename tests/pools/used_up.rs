//! Targets whose sessions carry one conversation: relaying uses them up.

use std::net::Ipv4Addr;

use jackfield_plugin_api::ErrorKind;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::support::{
    host::exchange,
    peers::{
        echo::{Refusing, TcpPeer},
        socat::Line,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn callers_beyond_max_size_wait_in_the_order_they_came() {
    let peer = TcpPeer::echo().await;
    let host = host(&format!("targets = [\"{}\"]\npool = {{ max_size = 2 }}", peer.uri())).await;
    let (first, second) = (Lasting::open(&host).await, Lasting::open(&host).await);
    let mut waiting = Vec::new();
    for count in 1..=3 {
        waiting.push(Lasting::connect(&host).await);
        until(&host, "waiting", |pool| pool.waiting == count).await;
    }
    assert_eq!((peer.accepted(), pool(&host).in_use), (2, 2));
    drop(first);
    waiting.remove(0).works().await;
    // The first of those that waited is gone again by now; the next is the second.
    drop(second);
    let mut next = waiting.remove(0);
    next.works().await;
    let mut last = waiting.remove(0);
    drop(next);
    last.works().await;
    until(&host, "served", |pool| pool.served_after_wait >= 3 && pool.waiting == 0).await;
    assert!(pool(&host).in_use <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_session_is_not_used_again() {
    let peer = TcpPeer::echo().await;
    let host = host(&format!("targets = [\"{}\"]\npool = {{}}", peer.uri())).await;
    for _ in 0..5 {
        assert_eq!(exchange(host.address(0), b"over").await.unwrap(), b"over");
    }
    peer.has_ended(5).await;
    until(&host, "idle", |pool| pool.in_use == 0).await;
    let pool = pool(&host);
    assert_eq!((peer.accepted(), pool.opened, pool.idle), (5, 5, 0));
    assert_eq!(pool.closed["discarded"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_open_in_advance_and_replaced_when_used() {
    let peer = TcpPeer::echo().await;
    let host = host(&format!("targets = [\"{}\"]\npool = {{ min_idle = 2 }}", peer.uri())).await;
    peer.has_accepted(2).await;
    until(&host, "open", |pool| pool.idle == 2).await;
    let mut lasting = Lasting::open(&host).await;
    assert_eq!(pool(&host).served_at_once, 1);
    peer.has_accepted(3).await;
    until(&host, "open again", |pool| pool.idle == 2 && pool.in_use == 1).await;
    lasting.works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_unused_is_replaced_before_a_caller_has_it() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let uri = format!("tcp://{}", listener.local_addr().unwrap());
    let host =
        host(&format!("targets = [\"{uri}\"]\npool = {{ min_idle = 1, max_size = 1 }}")).await;
    let (idle, _) = listener.accept().await.unwrap();
    until(&host, "open", |pool| pool.idle == 1).await;
    // A reset, which over loopback has arrived when this returns.
    idle.set_zero_linger().unwrap();
    drop(idle);
    let caller = Lasting::open(&host);
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    };
    tokio::select! {
        _ = caller => {}
        () = serving => panic!("the peer ended first"),
    }
    assert_eq!(pool(&host).closed["dead"], 1);
    assert_eq!(target(&host, 0).failures, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_peer_said_before_anybody_came_is_delivered() {
    let peer = TcpPeer::sending(*b"220 ready\r\n").await;
    let host = host(&format!("targets = [\"{}\"]\npool = {{ min_idle = 1 }}", peer.uri())).await;
    until(&host, "open", |pool| pool.idle == 1).await;
    for _ in 0..3 {
        assert_eq!(exchange(host.address(0), b"").await.unwrap(), b"220 ready\r\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_sends_callers_to_the_next_target_and_blames_nobody() {
    let (small, large) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let host = host(&format!(
        "balance = \"failover\"\npool = {{ max_size = 1 }}\ntargets = [\"{}\", \"{}\"]",
        small.uri(),
        large.uri()
    ))
    .await;
    let _lasting = Lasting::open(&host).await;
    for _ in 0..10 {
        assert_eq!(exchange(host.address(0), b"over").await.unwrap(), b"over");
        // The next must not come before the place is free again.
        let wait = async {
            while target(&host, 1).in_flight > 0 {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(DEADLINE, wait).await.expect("a free place");
    }
    assert_eq!((small.accepted(), large.accepted()), (1, 10));
    let full = target(&host, 0);
    assert_eq!((full.failures, full.state, full.in_flight), (0, "up", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_with_the_acquire_timeout_and_blames_nobody() {
    let peer = TcpPeer::echo().await;
    let host = host(&format!(
        "targets = [\"{}\"]\npool = {{ max_size = 1, acquire_timeout = \"50ms\" }}",
        peer.uri()
    ))
    .await;
    let mut lasting = Lasting::open(&host).await;
    Lasting::connect(&host).await.ends().await;
    let error = host.open("upstreams.u", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("1 of 1 in use"), "{error}");
    assert_eq!(pool(&host).timed_out, 2);
    let target = target(&host, 0);
    assert_eq!((target.failures, target.state), (0, "up"));
    lasting.works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_max_waiters_are_refused_at_once() {
    let peer = TcpPeer::echo().await;
    let host = host(&format!(
        "targets = [\"{}\"]\npool = {{ max_size = 1, max_waiters = 0 }}",
        peer.uri()
    ))
    .await;
    let _lasting = Lasting::open(&host).await;
    let error = host.open("upstreams.u", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert_eq!((pool(&host).refused, target(&host, 0).failures), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_counts_against_its_target() {
    let (dead, good) = (Refusing::new(), TcpPeer::echo().await);
    let host =
        host(&format!("pool = {{}}\ntargets = [\"tcp://{}\", \"{}\"]", dead.address(), good.uri()))
            .await;
    for _ in 0..20 {
        assert_eq!(exchange(host.address(0), b"over").await.unwrap(), b"over");
    }
    let dead = target(&host, 0);
    assert_eq!((dead.state, dead.failures, dead.successes), ("ejected", 5, 0));
    assert_eq!(good.accepted(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_target_keeps_what_runs_and_closes_what_is_unused() {
    let (first, second) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let host = host(&format!(
        "balance = \"failover\"\npool = {{ min_idle = 2 }}\ntargets = [\"{}\", \"{}\"]",
        first.uri(),
        second.uri()
    ))
    .await;
    let mut lasting = Lasting::open(&host).await;
    first.has_accepted(3).await;
    until(&host, "open", |pool| pool.idle == 2).await;
    let now = tokio::time::Instant::now();
    upstream(&host).balancer().set_weight(&first.uri(), 0, now).unwrap();
    first.has_ended(2).await;
    lasting.works().await;
    assert_eq!(target(&host, 0).pool, None);
    // The other goes altogether; it serves nobody.
    second.has_accepted(2).await;
    upstream(&host).balancer().remove(&second.uri(), now).unwrap();
    second.has_ended(2).await;
    // Serving again it has a new pool.
    upstream(&host).balancer().set_weight(&first.uri(), 1, now).unwrap();
    assert_eq!(exchange(host.address(0), b"over").await.unwrap(), b"over");
    until(&host, "open", |pool| pool.idle == 2).await;
    lasting.works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_host_closes_what_is_unused() {
    let peer = TcpPeer::echo().await;
    let host = host(&format!("targets = [\"{}\"]\npool = {{ min_idle = 3 }}", peer.uri())).await;
    peer.has_accepted(3).await;
    until(&host, "open", |pool| pool.idle == 3).await;
    assert_eq!(host.shutdown().await, 0);
    peer.has_ended(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_the_graph_counts_for_as_long_as_it_is_kept() {
    let peer = TcpPeer::echo().await;
    for pooled in ["", "pool = {}"] {
        let host = host(&format!("targets = [\"{}\"]\n{pooled}", peer.uri())).await;
        let session = host.open("upstreams.u", json!({})).await.unwrap();
        assert_eq!(target(&host, 0).in_flight, 1);
        let mut stream = session.take_stream().expect("a stream");
        stream.write_all(b"over").await.unwrap();
        let mut back = [0; 4];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!((&back, target(&host, 0).in_flight), (b"over", 1));
        drop((stream, session));
        assert_eq!(target(&host, 0).in_flight, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_one_conversation_cannot_be_shared() {
    let error = TestHost::try_start(
        "[upstreams.u]\ntargets = [\"tcp://127.0.0.1:1\"]\npool = { share = 2 }\n",
    )
    .await
    .err()
    .expect("a refusal")
    .to_string();
    let expected = "jackfield.toml:3:18: upstreams.u.pool.share: expected 1, not 2: sessions of tcp \
                    (tcp://127.0.0.1:1) carry one conversation each";
    assert!(error.contains(expected), "{error}");
}

/// A serial line has one user: its driver says so, and the second caller waits instead of failing.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_no_larger_than_what_its_driver_bears() {
    let line = Line::new().await;
    let uri = format!("serial://{}", line.end("a").display());
    let host = host(&format!("targets = [\"{uri}\"]\npool = {{}}")).await;
    let _first = Lasting::connect(&host).await;
    until(&host, "in use", |pool| pool.in_use == 1).await;
    let _second = Lasting::connect(&host).await;
    until(&host, "waiting", |pool| pool.waiting == 1).await;
    assert_eq!((pool(&host).max_size, pool(&host).in_use), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pools_together_have_a_limit_which_speaks_against_no_target() {
    let peer = TcpPeer::echo().await;
    let uri = peer.uri();
    let host = TestHost::start(&format!(
        "[host.limits]\npooled = 1\n\
         [upstreams.u]\ntargets = [\"{uri}\"]\npool = {{}}\n\
         [upstreams.v]\ntargets = [\"{uri}\"]\npool = {{ acquire_timeout = \"5s\" }}\n"
    ))
    .await;
    let first = host.open("upstreams.u", json!({})).await.unwrap();
    let error = host.open("upstreams.v", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error:?}");
    assert!(error.to_string().contains("host.limits.pooled"), "{error}");
    let snapshot = host.manager().snapshot();
    let of_v = snapshot.upstreams.iter().find(|upstream| upstream.name == "v").unwrap();
    assert_eq!((of_v.targets[0].failures, of_v.targets[0].in_flight), (0, 0));
    drop(first);
    until(&host, "discarded", |pool| pool.in_use + pool.idle == 0).await;
    host.open("upstreams.v", json!({})).await.unwrap();
    assert_eq!(peer.accepted(), 2);
}

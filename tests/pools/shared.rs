//! Targets whose sessions open streams: many callers on one connection.

use super::*;
use crate::support::peers::sshd::{Sshd, USER};

/// What `[upstreams.u]` has, for streams that run `cat`.
fn keys(sshd: &Sshd, pool: &str, more: &str) -> String {
    format!(
        "targets = [{{ uri = \"ssh://{USER}@127.0.0.1:{}\", options = {{ key_file = {:?}, \
         known_hosts = {:?}{more} }} }}]\npool = {{ {pool} }}",
        sshd.port(),
        sshd.key(),
        sshd.known_hosts()
    )
}

/// Connections that have reached the server, by its own account.
fn connections(sshd: &Sshd) -> usize {
    sshd.log().matches("Connection from 127.0.0.1").count()
}

/// Connections to the server before any of ours: its start is probed by none.
const CAT: &str = ", exec = \"cat\"";

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_share_one_connection() {
    let sshd = Sshd::start().await;
    let host = host(&keys(&sshd, "max_size = 4, share = 8", CAT)).await;
    let before = connections(&sshd);
    let mut lasting = Vec::new();
    for _ in 0..8 {
        lasting.push(Lasting::open(&host).await);
    }
    let seen = pool(&host);
    assert_eq!((seen.opened, seen.in_use, seen.users), (1, 1, 8));
    assert_eq!(connections(&sshd) - before, 1);
    assert_eq!(target(&host, 0).in_flight, 8);
    // One more than share is one more connection.
    let ninth = Lasting::open(&host).await;
    assert_eq!((connections(&sshd) - before, pool(&host).in_use), (2, 2));
    for lasting in &mut lasting {
        lasting.works().await;
    }
    drop((lasting, ninth));
    until(&host, "given back", |pool| pool.users == 0 && pool.idle == 2).await;
    assert_eq!(target(&host, 0).in_flight, 0);
    // What was given back serves again.
    let _again = Lasting::open(&host).await;
    assert_eq!(connections(&sshd) - before, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_share_one_connection_too() {
    let sshd = Sshd::start().await;
    let host = host(&keys(&sshd, "max_size = 1, share = 4", ", pty = false")).await;
    let before = connections(&sshd);
    let mut shells = Vec::new();
    for number in 0..4 {
        let mut shell = Lasting::connect(&host).await.0;
        shell.write_all(format!("echo $((40 + {number}))\n").as_bytes()).await.unwrap();
        shells.push(shell);
    }
    for (number, shell) in shells.iter_mut().enumerate() {
        let mut answer = [0; 3];
        shell.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *format!("{}\n", 40 + number).as_bytes());
    }
    assert_eq!((connections(&sshd) - before, pool(&host).users), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_sharing_a_connection_is_used_by_one_after_the_other() {
    let sshd = Sshd::start().await;
    let host = host(&keys(&sshd, "max_size = 2, share = 1", CAT)).await;
    let before = connections(&sshd);
    let (first, _second) = (Lasting::open(&host).await, Lasting::open(&host).await);
    assert_eq!(connections(&sshd) - before, 2);
    let mut third = Lasting::connect(&host).await;
    until(&host, "waiting", |pool| pool.waiting == 1).await;
    drop(first);
    third.works().await;
    assert_eq!((connections(&sshd) - before, pool(&host).opened), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_counts_ended_streams_a_little_longer_fails_no_caller() {
    for (sessions, share) in [(1, 1), (3, 3), (2, 4)] {
        let sshd = Sshd::start_with(&format!("MaxSessions {sessions}\n")).await;
        // What runs goes on for a moment after its stream has ended, and sshd counts it until then.
        let slow = ", exec = \"trap '' HUP; cat; sleep 0.02\"";
        let pool = format!("max_size = 1, share = {share}, acquire_timeout = \"30s\"");
        let host = Arc::new(host(&keys(&sshd, &pool, slow)).await);
        let callers = (0..6).map(|_| {
            let host = Arc::clone(&host);
            tokio::spawn(async move {
                for _ in 0..8 {
                    drop(Lasting::open(&host).await);
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.expect("every caller is served");
        }
        assert_eq!((target(&host, 0).failures, connections(&sshd)), (0, 1), "{sessions}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_died_unused_are_replaced() {
    let sshd = Sshd::start().await;
    let host = host(&keys(&sshd, "share = 4", CAT)).await;
    drop(Lasting::open(&host).await);
    until(&host, "given back", |pool| pool.idle == 1 && pool.users == 0).await;
    assert!(sshd.kill_sessions() > 0);
    // Whether or not the end has been heard of by then, the caller has a session that works.
    let _lasting = Lasting::open(&host).await;
    assert_eq!(pool(&host).opened, 2);
    assert_eq!(target(&host, 0).failures, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_died_in_use_are_not_used_again() {
    let sshd = Sshd::start().await;
    let host = host(&keys(&sshd, "share = 4", CAT)).await;
    let (first, second) = (Lasting::open(&host).await, Lasting::open(&host).await);
    assert!(sshd.kill_sessions() > 0);
    first.ends().await;
    second.ends().await;
    let _lasting = Lasting::open(&host).await;
    until(&host, "replaced", |pool| (pool.in_use, pool.users) == (1, 1)).await;
}

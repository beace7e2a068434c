//! A console that one uses at a time: turns, refusals, breaking off, watching.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jackfield::device::{Exclusive, Path};
use jackfield_plugin_api::ErrorKind;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::support::{host::TestHost, peers::echo::TcpPeer, process::DEADLINE};

/// An exclusive console with two listeners that use it and one that watches.
async fn host(peer: &TcpPeer, more: &str) -> TestHost {
    let route = |observe: &str| {
        format!(
            "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"devices.core1.console\"\n\
             tell_busy = false\n{observe}\n"
        )
    };
    TestHost::start(&format!(
        "{}{}{}[devices.core1.paths]\nconsole = {{ uri = \"{}\", exclusive = true, {more} }}\n",
        route(""),
        route(""),
        route("observe = true"),
        peer.uri(),
    ))
    .await
}

fn console(host: &TestHost) -> Path {
    host.manager().device("core1").unwrap().path(None).unwrap()
}

fn lease(host: &TestHost) -> Arc<Exclusive> {
    Arc::clone(console(host).lease().unwrap())
}

/// Waits for what tasks of the host bring about.
async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(DEADLINE, wait).await.expect("it never came to that");
}

struct User(TcpStream);

impl User {
    async fn come(address: SocketAddr) -> Self {
        User(TcpStream::connect(address).await.unwrap())
    }

    async fn types(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.reads(text).await;
    }

    async fn reads(&mut self, text: &str) {
        let mut back = vec![0; text.len()];
        timeout(DEADLINE, self.0.read_exact(&mut back)).await.expect("in time").expect("bytes");
        assert_eq!(String::from_utf8_lossy(&back), text);
    }

    async fn reads_line(&mut self) -> String {
        let mut line = String::new();
        while !line.ends_with('\n') {
            let byte = timeout(DEADLINE, self.0.read_u8()).await.expect("in time").expect("a byte");
            line.push(char::from(byte));
        }
        line
    }

    /// What comes until the end, which may be a reset.
    async fn is_sent_away(&mut self) {
        let mut rest = Vec::new();
        let end = timeout(DEADLINE, self.0.read_to_end(&mut rest)).await.expect("in time");
        assert!(end.is_err() || rest.is_empty(), "{rest:?}");
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_never_type_into_one_console() {
    let peer = TcpPeer::echo().await;
    let host = host(&peer, "").await;
    let lease = lease(&host);
    let mut ann = User::come(host.address(0)).await;
    ann.types("ann").await;
    let mut bob = User::come(host.address(1)).await;
    until(|| lease.snapshot().waiters.len() == 1).await;
    bob.0.write_all(b"bob").await.unwrap();
    let mut cy = User::come(host.address(0)).await;
    until(|| lease.snapshot().waiters.len() == 2).await;
    ann.types("ann again").await;
    assert_eq!(peer.accepted(), 1, "the others have not even reached the console");
    let holder = lease.snapshot().holder.unwrap().caller;
    assert_eq!((holder.owner, holder.purpose.as_str()), (ann.address(), "tcp://127.0.0.1:0"));
    drop(ann);
    bob.reads("bob").await;
    until(|| lease.snapshot().holder.is_some_and(|held| held.caller.owner == bob.address())).await;
    assert_eq!(peer.accepted(), 2);
    drop(bob);
    cy.types("cy").await;
    assert_eq!(peer.accepted(), 3);
    drop(cy);
    until(|| lease.snapshot().holder.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_wait_any_longer_is_refused_with_who_has_it() {
    let peer = TcpPeer::echo().await;
    let host = host(&peer, "lease = { timeout = \"50ms\", max_waiters = 1 }").await;
    let mut ann = User::come(host.address(0)).await;
    ann.types("ann").await;
    User::come(host.address(1)).await.is_sent_away().await;
    let error = host.open("devices.core1", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let held = format!("devices.core1.console is held by {} (tcp://127.0.0.1:0)", ann.address());
    assert!(error.message().starts_with(&held), "{error}");
    assert!(error.message().ends_with("waited 50ms"), "{error}");
    ann.types("still ann").await;
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn breaking_a_lease_closes_its_session_and_keeps_the_reason() {
    let peer = TcpPeer::echo().await;
    let host = host(&peer, "").await;
    let lease = lease(&host);
    let mut ann = User::come(host.address(0)).await;
    ann.types("ann").await;
    let mut bob = User::come(host.address(1)).await;
    until(|| lease.snapshot().waiters.len() == 1).await;
    assert_eq!(lease.break_off("maintenance").unwrap().owner, ann.address());
    ann.is_sent_away().await;
    bob.types("bob").await;
    peer.has_ended(1).await;
    let last = lease.snapshot().last_ended.unwrap();
    assert_eq!(last.caller.owner, ann.address());
    assert_eq!(last.ended.to_string(), "the lease was broken: maintenance");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_the_library_is_under_the_lease_too() {
    let peer = TcpPeer::echo().await;
    let host = host(&peer, "lease = { timeout = \"0s\" }").await;
    let lease = lease(&host);
    let session = host.open("devices.core1.console", json!({})).await.unwrap();
    let mut stream = session.take_stream().unwrap();
    let refused = host.open("devices.core1.console", json!({})).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse, "{refused}");
    drop(session);
    assert!(lease.snapshot().holder.is_some(), "its stream still lives");
    lease.break_off("enough").unwrap();
    let error = stream.write_all(b"late").await.unwrap_err();
    assert!(error.to_string().contains("the lease was broken: enough"), "{error}");
    let error = stream.read_u8().await.unwrap_err();
    assert!(error.to_string().contains("the lease was broken: enough"), "{error}");
    drop(stream);
    // A connected device holds the lease as well, until it is disconnected.
    let device = host.manager().device("core1").unwrap();
    device.connect(None, DEADLINE).await.unwrap();
    let refused = host.open("devices.core1.console", json!({})).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse, "{refused}");
    device.disconnect(None, "done").await.unwrap();
    host.open("devices.core1.console", json!({})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_holder_sends_renews_a_lease_and_silence_ends_it() {
    let peer = TcpPeer::echo().await;
    let host = host(&peer, "lease = { expiry = \"300ms\" }").await;
    let mut ann = User::come(host.address(0)).await;
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(900) {
        ann.types("key").await;
        sleep(Duration::from_millis(20)).await;
    }
    ann.is_sent_away().await;
    let last = lease(&host).snapshot().last_ended.unwrap();
    assert_eq!(last.ended.to_string(), "the lease has expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_sees_the_console_through_all_its_users_and_types_in_vain() {
    let peer = TcpPeer::echo().await;
    let host = host(&peer, "").await;
    let path = console(&host);
    let observers = path.observers().unwrap();
    let mut watcher = User::come(host.address(2)).await;
    until(|| observers.len() == 1).await;
    watcher.0.write_all(b"in vain").await.unwrap();
    let mut ann = User::come(host.address(0)).await;
    ann.types("from ann, ").await;
    watcher.reads("from ann, ").await;
    drop(ann);
    let mut bob = User::come(host.address(1)).await;
    bob.types("from bob").await;
    watcher.reads("from bob").await;
    assert_eq!(peer.accepted(), 2, "watching is no session");
    assert_eq!(host.manager().snapshot().devices[0].paths[0].observers, 1);
    drop(watcher);
    until(|| observers.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_that_takes_nothing_does_not_hold_up_the_console() {
    const MIB: usize = 1024 * 1024;
    let peer = TcpPeer::echo().await;
    let host = host(&peer, "observers = { max = 1, buffer = \"4KiB\" }").await;
    let path = console(&host);
    let mut slow = path.observers().unwrap().observe().unwrap();
    let mut ann = User::come(host.address(0)).await;
    let sent = vec![b'x'; 64 * 1024];
    let mut back = vec![0; sent.len()];
    for _ in 0..(4 * MIB / sent.len()) {
        ann.0.write_all(&sent).await.unwrap();
        timeout(DEADLINE, ann.0.read_exact(&mut back)).await.expect("in time").unwrap();
    }
    // What it may still have is bounded by the buffer; all the rest it is told of.
    let (mut had, mut missed) = (0, 0);
    while had + missed < 4 * MIB {
        match timeout(DEADLINE, slow.next()).await.expect("in time").expect("more") {
            jackfield::device::Seen::Bytes(bytes) => had += bytes.len(),
            jackfield::device::Seen::Missed(count) => missed += usize::try_from(count).unwrap(),
        }
    }
    assert_eq!(had + missed, 4 * MIB);
    assert!(had <= 4096, "{had} bytes were kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_or_is_refused_is_told_in_words_who_has_the_console() {
    let peer = TcpPeer::echo().await;
    let route = "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"devices.core1.console\"\n";
    let host = TestHost::start(&format!(
        "{route}[devices.core1.paths]\nconsole = {{ uri = \"{}\", exclusive = true, \
         lease = {{ max_waiters = 1 }} }}\n",
        peer.uri()
    ))
    .await;
    let lease = lease(&host);
    let mut ann = User::come(host.address(0)).await;
    ann.types("ann").await;
    let mut bob = User::come(host.address(0)).await;
    let held = format!("\r\nin use by {} since 2", ann.address());
    bob.reads(&held).await;
    assert!(bob.reads_line().await.ends_with("Z; you are next\r\n"));
    until(|| lease.snapshot().waiters.len() == 1).await;
    let mut cy = User::come(host.address(0)).await;
    cy.reads(&held).await;
    assert!(cy.reads_line().await.ends_with("; 1 user waits before you\r\n"));
    cy.reads(&held).await;
    cy.reads_line().await;
    cy.is_sent_away().await;
    drop(ann);
    bob.types("bob").await;
}

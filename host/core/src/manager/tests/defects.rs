//! What other systems of this kind got wrong, each by name.

use super::*;
use crate::connection::{Live, Policy, Reconnect, State};
use jackfield_plugin_api::Control;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};

/// Opens real sockets to `address`.
fn socket(address: SocketAddr) -> Stack {
    Stack::of_source("test:", move |_| async move {
        let stream = TcpStream::connect(address).await?;
        let peer = Some(address.to_string());
        let mut info = Info::new();
        info.peer = peer;
        Ok(Session::of_stream(info, Stream::new(stream)))
    })
}

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn a_dead_target_is_not_reported_connected() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let manager = manager(10);
    let managed = manager.define_own("dead", socket(address), Own::default()).await.unwrap();
    managed.connect(SOON).await.unwrap_err();
    assert_eq!(managed.state(), State::Error);
    assert!(
        manager.find(&Filter { state: Some(State::Connected), ..Filter::default() }).is_empty()
    );
}

#[tokio::test]
async fn closing_leaks_no_descriptor() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let manager = manager(100);
    for round in 0..40 {
        let name = format!("c{round}");
        let live = manager.define_own(&name, socket(address), Own::default()).await.unwrap().live();
        live.wait_ready(SOON).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        // Taken by a post, as well as untaken.
        if round % 2 == 0 {
            live.post("hello").unwrap().sent().await.unwrap();
        }
        live.close(0, "").await;
        // Other tests open descriptors at the same time: the peer's view is this connection's own.
        let mut rest = Vec::new();
        let mut accepted = accepted;
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut accepted, &mut rest);
        tokio::time::timeout(SOON, reading).await.expect("closed for the peer too").unwrap();
    }
    assert_eq!(manager.count().now, 0);
}

/// In a process of its own, where nobody else opens descriptors or starts threads.
#[test]
fn forty_lives_and_reconnects_leave_descriptors_and_threads_as_they_were() {
    restart::alone("manager::tests::defects::counts_of_a_process_alone");
}

#[tokio::test]
#[ignore = "run alone, by the test above"]
async fn counts_of_a_process_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let manager = manager(100);
    let reconnect = Reconnect {
        attempts: None,
        first_delay: Duration::from_millis(1),
        max_delay: Duration::from_millis(1),
        ..Reconnect::default()
    };
    let policy = Policy { reconnect, ..Policy::default() };
    let own = || Own { policy: policy.clone(), ..Own::default() };
    let round = async |name: &str| {
        let live = manager.define_own(name, socket(address), own()).await.unwrap().live();
        for generation in 1..=3 {
            live.wait_ready(SOON).await.unwrap();
            drop(listener.accept().await.unwrap());
            let lost = Error::new(ErrorKind::Closed, "the peer has gone");
            live.report(generation, &lost);
            live.left(generation).await;
        }
        live.wait_ready(SOON).await.unwrap();
        drop(listener.accept().await.unwrap());
        live.close(0, "").await;
        drop(live);
        manager.destroy(name).await.unwrap();
    };
    round("warm-up").await;
    let before = (entries("/proc/self/fd"), entries("/proc/self/task"));
    for number in 0..40 {
        round(&format!("c{number}")).await;
    }
    assert_eq!((entries("/proc/self/fd"), entries("/proc/self/task")), before);
}

#[tokio::test]
async fn peers_that_share_one_address_are_all_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let manager = manager(10);
    for name in ["a", "b", "c"] {
        manager.define_own(name, socket(address), Own::default()).await.unwrap();
    }
    let outcomes = manager.connect_all(&Filter::default(), AllOptions::default()).await;
    let lives: Vec<_> = outcomes.into_values().map(Result::unwrap).collect();
    assert!(lives.windows(2).all(|pair| pair[0].id != pair[1].id));
    assert!(
        lives.iter().all(|live| live.info().peer.and_then(|peer| peer.socket()) == Some(address))
    );
    assert_eq!(manager.count().now, 3);
}

#[tokio::test(start_paused = true)]
async fn connect_all_is_parallel_up_to_its_limit() {
    let manager = manager(100);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for number in 0..40 {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        let stack = Stack::of_source("test:", move |_| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(100)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(session())
            }
        });
        manager.define_own(&format!("c{number}"), stack, Own::default()).await.unwrap();
    }
    let begun = tokio::time::Instant::now();
    let options = AllOptions { limit: 10, ..AllOptions::default() };
    let outcomes = manager.connect_all(&Filter::default(), options).await;
    assert!(outcomes.values().all(Result::is_ok));
    assert_eq!(begun.elapsed(), Duration::from_millis(400));
    assert_eq!(most.load(Ordering::SeqCst), 10);
}

/// A session that takes `delay` to say goodbye.
struct Parting(Duration);

impl Control for Parting {
    async fn close(&self, _: u64, _: String) -> Result<()> {
        tokio::time::sleep(self.0).await;
        Ok(())
    }
}

async fn parting(manager: &Manager, name: &str, delay: Duration) -> Arc<Live> {
    let stack =
        Stack::of_source(
            "test:",
            move |_| async move { Ok(Session::builder(Parting(delay)).build()) },
        );
    let live = manager.define_own(name, stack, Own::default()).await.unwrap().live();
    live.wait_ready(SOON).await.unwrap();
    live
}

#[tokio::test(start_paused = true)]
async fn disconnect_all_is_parallel_and_cuts_off_at_its_deadline() {
    let (manager, second) = (manager(100), Duration::from_secs(1));
    for number in 0..10 {
        parting(&manager, &format!("c{number}"), second).await;
    }
    manager.define_own("never", own(None), Own::default()).await.unwrap();
    let begun = tokio::time::Instant::now();
    let all = Filter::default();
    let options = AllOptions { within: 5 * second, ..AllOptions::default() };
    let outcomes = manager.disconnect_all(&all, 0, "done", options).await;
    assert_eq!((begun.elapsed(), outcomes.len()), (second, 11));
    assert!(outcomes.values().all(Result::is_ok), "{outcomes:?}");
    assert_eq!((manager.count().now, manager.defined()), (0, 11));
    let late = parting(&manager, "late", 60 * second).await;
    let begun = tokio::time::Instant::now();
    let outcomes = manager.disconnect_all(&all, 0, "done", options).await;
    assert_eq!(begun.elapsed(), 5 * second);
    let failed: Vec<_> = outcomes.iter().filter(|(_, result)| result.is_err()).collect();
    let (name, error) = (failed[0].0.as_str(), failed[0].1.as_ref().unwrap_err());
    assert_eq!((failed.len(), name, error.kind()), (1, "late", ErrorKind::TimedOut));
    late.wait_closed().await;
    assert_eq!((late.state(), manager.count().now), (State::Closed, 0), "cut off");
}

#[tokio::test]
async fn a_post_to_nobody_is_refused_with_its_reason() {
    let manager = manager(10);
    assert_eq!(manager.post("nobody", "x").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(manager.post_to(u64::MAX, "x").unwrap_err().kind(), ErrorKind::NotFound);
    manager.define_connection("lab", null(), Existing::Refuse).await.unwrap();
    assert_eq!(manager.post("lab", "x").unwrap_err().kind(), ErrorKind::Closed);
    let live = manager.get_or_connect("lab", SOON).await.unwrap();
    manager.post("lab", "x").unwrap().sent().await.unwrap();
    manager.post_to(live.id, "y").unwrap().sent().await.unwrap();
    assert_eq!(live.info().bytes_out, 2);
    live.close(0, "").await;
    assert_eq!(manager.post_to(live.id, "z").unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn errors_are_errors_with_a_kind_and_never_ordinary_texts() {
    let manager = manager(10);
    let managed = manager.define_connection("lab", null(), Existing::Refuse).await.unwrap();
    let called = managed.call("exec", &serde_json::json!({"command": "date"})).await;
    assert_eq!(called.unwrap_err().kind(), ErrorKind::Unsupported);
    let info = managed.last().unwrap().info();
    assert_eq!((info.errors, info.last_error.is_some()), (1, true));
}

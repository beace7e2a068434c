use super::super::{OutlierOptions, Spec, Upstream, UpstreamOptions};
use crate::connection::Target;
use crate::pool::PoolOptions;
use crate::stack::Stack;
use crate::units::Timespan;
use jackfield_plugin_api::{Control, ErrorKind, Facets, Result, Session};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::timeout;

/// A peer that can go away without a word.
#[derive(Debug, Default)]
struct Peer {
    gone: AtomicBool,
    opened: AtomicUsize,
    pings: AtomicUsize,
}

impl Peer {
    async fn answer<T>(&self, answer: T) -> T {
        if self.gone.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        answer
    }
}

struct Calls(Arc<Peer>);

impl Control for Calls {
    async fn call(&self, operation: String, _: Value) -> Result<Value> {
        if operation == "wait" {
            std::future::pending::<()>().await;
        }
        self.0.answer(Ok(json!({}))).await
    }
    async fn ping(&self) -> Result<Duration> {
        self.0.pings.fetch_add(1, SeqCst);
        self.0.answer(Ok(Duration::ZERO)).await
    }
}

fn target(peer: &Arc<Peer>) -> Target {
    let peer = Arc::clone(peer);
    let stack = Stack::of_source("test:", move |_| {
        let peer = Arc::clone(&peer);
        async move {
            peer.answer(()).await;
            peer.opened.fetch_add(1, SeqCst);
            Ok(Session::builder(Calls(peer)).facets(Facets::CALL | Facets::PING).build())
        }
    });
    Target::new(stack, None)
}

fn upstream(peers: &[Arc<Peer>], pool: PoolOptions) -> Upstream {
    let specs = peers.iter().enumerate().map(|(at, peer)| Spec::new(at.to_string(), target(peer)));
    let options = UpstreamOptions {
        pool: Some(pool),
        connect_timeout: Some(Duration::from_secs(2)),
        outlier: OutlierOptions { consecutive_failures: 3, ..OutlierOptions::default() },
        ..UpstreamOptions::default()
    };
    Upstream::new("u", specs.collect(), options).unwrap()
}

/// An operation whose caller waits for a second.
async fn call(upstream: &Upstream, operation: &str) -> bool {
    let call = upstream.call(None, operation, &Value::Null);
    timeout(Duration::from_secs(1), call).await.is_ok_and(|result| result.is_ok())
}

async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_waits_for_leaves_a_session_that_answers_to_the_next() {
    let peer = Arc::<Peer>::default();
    let upstream = upstream(&[Arc::clone(&peer)], PoolOptions::default());
    assert!(!call(&upstream, "wait").await);
    settle().await;
    assert_eq!(peer.pings.load(SeqCst), 1);
    assert!(call(&upstream, "echo").await);
    assert_eq!(peer.opened.load(SeqCst), 1);
    let snapshot = upstream.snapshot();
    assert_eq!((snapshot.targets[0].failures, snapshot.targets[0].in_flight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn few_calls_fail_when_one_of_two_targets_goes_away_without_a_word() {
    let peers = [Arc::<Peer>::default(), Arc::default()];
    for rounds in [1, 4] {
        let test_timeout = Timespan(Duration::from_millis(500));
        let pool = PoolOptions { test_timeout, ..PoolOptions::default() };
        let upstream = upstream(&peers, pool);
        peers[0].gone.store(false, SeqCst);
        // Each target has several sessions, all unused.
        for _ in 0..rounds {
            let calls = (0..8).map(|_| call(&upstream, "echo"));
            assert!(futures_util::future::join_all(calls).await.into_iter().all(|done| done));
        }
        peers[0].gone.store(true, SeqCst);
        let mut failed = 0;
        for _ in 0..60 {
            failed += usize::from(!call_patiently(&upstream).await);
            settle().await;
        }
        assert!(failed <= 2, "{failed} calls failed");
        let snapshot = upstream.snapshot();
        let first = &snapshot.targets[0];
        assert_eq!(first.state, "ejected", "{first:?}");
        assert!(first.last_error.is_some());
    }
}

/// An operation whose caller waits for as long as opening a session takes, at all targets.
async fn call_patiently(upstream: &Upstream) -> bool {
    let call = upstream.call(None, "echo", &Value::Null);
    timeout(Duration::from_secs(5), call).await.is_ok_and(|result| result.is_ok())
}

#[tokio::test(start_paused = true)]
async fn a_session_that_closes_in_use_counts_against_its_target_and_is_used_no_more() {
    struct Closes;
    impl Control for Closes {
        async fn call(&self, _: String, _: Value) -> Result<Value> {
            Err(jackfield_plugin_api::Error::new(ErrorKind::Closed, "the peer has left"))
        }
    }
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let stack = Stack::of_source("test:", move |_| {
        count.fetch_add(1, SeqCst);
        async { Ok(Session::builder(Closes).facets(Facets::CALL).build()) }
    });
    let options = UpstreamOptions { pool: Some(PoolOptions::default()), ..Default::default() };
    let specs = vec![Spec::new("one", Target::new(stack, None))];
    let upstream = Upstream::new("u", specs, options).unwrap();
    for calls in 1..=3 {
        assert!(!call(&upstream, "echo").await);
        assert_eq!(opened.load(SeqCst), calls);
        assert_eq!(upstream.snapshot().targets[0].failures, calls as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_that_are_opened_ahead_have_their_results_one_by_one() {
    let peers = [Arc::<Peer>::default(), Arc::default()];
    peers[1].gone.store(true, SeqCst);
    let pool = PoolOptions { max_size: 4, ..PoolOptions::default() };
    let upstream = upstream(&peers, pool);
    let results = upstream.warm_up(3, Duration::from_secs(1)).await;
    assert_eq!(results.len(), 2);
    assert!(results["0"].len() == 3 && results["0"].iter().all(Result::is_ok), "{results:?}");
    let kinds: Vec<_> = results["1"].iter().map(|it| it.as_ref().unwrap_err().kind()).collect();
    assert_eq!(kinds, [ErrorKind::TimedOut; 3]);
    settle().await;
    // They are there for who comes next.
    assert_eq!((peers[0].opened.load(SeqCst), peers[1].opened.load(SeqCst)), (3, 0));
    let stats = upstream.snapshot();
    let first = stats.targets.iter().find(|it| it.name == "0").unwrap().pool.as_ref().unwrap();
    assert_eq!((first.idle, first.in_use), (3, 0));
}

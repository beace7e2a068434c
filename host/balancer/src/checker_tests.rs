use super::*;
use crate::strategy::find;
use crate::{HealthOptions, Spec};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::time::sleep;

/// A target that lives or is silent, and counts those that ask.
#[derive(Debug, Default)]
struct Peer {
    silent: AtomicBool,
    panics: AtomicBool,
    asked: AtomicUsize,
    asking: AtomicUsize,
    most: AtomicUsize,
}

impl Probe for Arc<Peer> {
    async fn probe(&self, _: Duration) -> Result<Duration> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let asking = self.asking.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(asking, Ordering::Relaxed);
        let leave = Leave(self);
        assert!(!self.panics.load(Ordering::Relaxed), "told to");
        let silent = self.silent.load(Ordering::Relaxed);
        // Silent is silent: it does not keep to the limit.
        sleep(if silent { Duration::from_secs(86_400) } else { Duration::from_millis(1) }).await;
        drop(leave);
        Ok(Duration::from_millis(1))
    }
}

struct Leave<'a>(&'a Peer);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.asking.fetch_sub(1, Ordering::Relaxed);
    }
}

fn balancer(targets: Vec<Spec<Arc<Peer>>>) -> Arc<Balancer<Arc<Peer>>> {
    let strategy = find("round_robin").unwrap();
    Arc::new(Balancer::new(targets, strategy, HealthOptions::default()).unwrap())
}

fn state(balancer: &Balancer<Arc<Peer>>, at: usize) -> &'static str {
    balancer.snapshot(Instant::now())[at].state
}

#[tokio::test(start_paused = true)]
async fn a_silent_target_goes_down_and_comes_back() {
    let (good, bad) = (Arc::<Peer>::default(), Arc::<Peer>::default());
    let targets = vec![Spec::new("good", Arc::clone(&good)), Spec::new("bad", Arc::clone(&bad))];
    let balancer = balancer(targets);
    let options = CheckOptions::default();
    let checks = tokio::spawn(check(Arc::downgrade(&balancer), options));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(good.asked.load(Ordering::Relaxed), 1, "at once");
    bad.silent.store(true, Ordering::Relaxed);
    // Three checks, and 5 s for the last to fail.
    sleep(Duration::from_secs(3 * 30 + 5)).await;
    assert_eq!((state(&balancer, 0), state(&balancer, 1)), ("up", "down"));
    let error = balancer.snapshot(Instant::now())[1].last_error.clone();
    assert_eq!(error.as_deref(), Some("no answer to a check within 5s"));
    bad.silent.store(false, Ordering::Relaxed);
    // Twice in a row, and the time of the answer.
    sleep(Duration::from_secs(2 * 30) + Duration::from_millis(1)).await;
    assert_eq!(state(&balancer, 1), "up", "within rise times the interval");
    // About every 30 s, not more often.
    assert!(good.asked.load(Ordering::Relaxed) <= 8);
    drop(balancer);
    sleep(Duration::from_millis(1)).await;
    assert!(checks.is_finished(), "checks end with what they check");
}

#[tokio::test(start_paused = true)]
async fn thousands_are_checked_with_few_at_a_time() {
    let peer = Arc::<Peer>::default();
    let spec = |at: usize| Spec::new(at.to_string(), Arc::clone(&peer));
    let balancer = balancer((0..1_000).map(spec).collect());
    let checks = tokio::spawn(check(Arc::downgrade(&balancer), CheckOptions::default()));
    sleep(Duration::from_secs(20)).await;
    assert_eq!(peer.asked.load(Ordering::Relaxed), 1_000);
    assert!(peer.most.load(Ordering::Relaxed) <= AT_ONCE);
    balancer.replace(vec![spec(0)], Instant::now()).unwrap();
    balancer.add(Spec::new("new", Arc::clone(&peer)), Instant::now()).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(peer.asked.load(Ordering::Relaxed), 1_001, "the new one at once");
    sleep(Duration::from_secs(30)).await;
    let asked = peer.asked.load(Ordering::Relaxed) - 1_001;
    assert!((2..=3).contains(&asked), "{asked}: removed targets are not asked any more");
    checks.abort();
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_has_failed_and_the_others_go_on() {
    let (good, bad) = (Arc::<Peer>::default(), Arc::<Peer>::default());
    bad.panics.store(true, Ordering::Relaxed);
    let targets = vec![Spec::new("good", Arc::clone(&good)), Spec::new("bad", Arc::clone(&bad))];
    let balancer = balancer(targets);
    let checks = tokio::spawn(check(Arc::downgrade(&balancer), CheckOptions::default()));
    sleep(Duration::from_secs(3 * 30)).await;
    assert_eq!((state(&balancer, 0), state(&balancer, 1)), ("up", "down"));
    assert_eq!(
        balancer.snapshot(Instant::now())[1].last_error.as_deref(),
        Some("the check panicked")
    );
    assert!(good.asked.load(Ordering::Relaxed) >= 3);
    bad.panics.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(2 * 30) + Duration::from_millis(1)).await;
    assert_eq!(state(&balancer, 1), "up");
    checks.abort();
}

use super::*;
use crate::strategy::find;
use crate::{HealthOptions, OutlierOptions, Spec};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::{sleep, timeout};

/// A target of a script.
#[derive(Clone, Debug)]
enum Does {
    Answer(Duration),
    Refuse,
    Hang,
    Misconfigured,
    /// Every place is taken; one becomes free after so long.
    Full(Duration),
}

#[derive(Clone, Debug)]
struct Scripted(Does, Arc<AtomicUsize>);

impl Opens for Scripted {
    type Session = Duration;
    type Purpose = ();

    async fn open(&self, need: Need, limit: Duration) -> Result<Duration, OpenError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        match self.0 {
            Does::Answer(after) if after <= limit => {
                sleep(after).await;
                Ok(limit)
            }
            Does::Refuse => Err(Error::new(ErrorKind::Unreachable, "refused").into()),
            Does::Misconfigured => Err(Error::new(ErrorKind::Config, "no such file").into()),
            Does::Full(_) if !need.waits => {
                Err(OpenError::Busy(Error::new(ErrorKind::Limit, "full")))
            }
            Does::Full(after) => {
                sleep(after.min(limit)).await;
                let busy = || OpenError::Busy(Error::new(ErrorKind::TimedOut, "full for long"));
                if after <= limit { Ok(limit) } else { Err(busy()) }
            }
            Does::Answer(_) | Does::Hang => {
                sleep(limit).await;
                Err(Error::new(ErrorKind::TimedOut, "no answer").into())
            }
        }
    }
}

struct Scene {
    balancer: Arc<Balancer<Scripted>>,
    attempts: Attempts,
    calls: Vec<Arc<AtomicUsize>>,
}

impl Scene {
    /// Targets 0, 1, … in this order, each attempt beginning at the first.
    fn new(does: &[Does], retry: RetryOptions) -> Self {
        let calls: Vec<_> = does.iter().map(|_| Arc::<AtomicUsize>::default()).collect();
        let spec = |(at, does): (usize, &Does)| {
            Spec::new(at.to_string(), Scripted(does.clone(), Arc::clone(&calls[at])))
        };
        let specs = does.iter().enumerate().map(spec).collect();
        let strategy = find("failover").unwrap();
        let balancer = Balancer::new(specs, strategy, HealthOptions::default()).unwrap();
        Scene { balancer: Arc::new(balancer), attempts: Attempts::new(retry), calls }
    }

    async fn open(&self, seconds: u64) -> Result<String> {
        let limit = Duration::from_secs(seconds);
        let opened = self.attempts.open(&self.balancer, None, Need::default(), limit).await;
        opened.map(|(_, guard)| guard.target().to_owned())
    }

    fn calls(&self) -> Vec<usize> {
        self.calls.iter().map(|calls| calls.load(Ordering::Relaxed)).collect()
    }
}

const QUICK: Does = Does::Answer(Duration::from_millis(1));

#[tokio::test(start_paused = true)]
async fn the_first_failure_is_not_the_callers() {
    let scene = Scene::new(&[Does::Refuse, QUICK], RetryOptions::default());
    for _ in 0..10 {
        assert_eq!(scene.open(1).await.unwrap(), "1");
    }
    assert_eq!(scene.calls(), [5, 10], "after five failures in a row it is not asked any more");
}

#[tokio::test(start_paused = true)]
async fn a_silent_target_leaves_time_for_the_others() {
    let scene = Scene::new(&[Does::Hang, Does::Hang, QUICK], RetryOptions::default());
    let begin = Instant::now();
    assert_eq!(scene.open(9).await.unwrap(), "2");
    assert!(begin.elapsed() <= Duration::from_secs(9));
    // Without others it has the whole time.
    let alone = Scene::new(&[Does::Answer(Duration::from_secs(8))], RetryOptions::default());
    assert_eq!(alone.open(9).await.unwrap(), "0");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_holds_over_all_attempts() {
    let scene = Scene::new(&[Does::Hang, Does::Hang, Does::Hang], RetryOptions::default());
    let begin = Instant::now();
    assert_eq!(scene.open(9).await.unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(begin.elapsed().as_secs(), 9);
    assert_eq!(scene.calls(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_error_tells_each_targets_reason() {
    let scene = Scene::new(&[Does::Refuse, Does::Hang], RetryOptions::default());
    let error = scene.open(1).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer [target=1, tried=2, before=0: refused]");
}

#[tokio::test(start_paused = true)]
async fn attempts_and_the_budget_bound_the_retries() {
    let two = RetryOptions { attempts: 2, ..RetryOptions::default() };
    let scene = Scene::new(&[Does::Refuse, Does::Refuse, QUICK], two);
    assert!(scene.open(1).await.is_err());
    assert_eq!(scene.calls(), [1, 1, 0]);

    // 100 are free at once; ejection is off, so that every session fails first.
    let scene = Scene::new(&[Does::Refuse, QUICK], RetryOptions { budget_percent: 0, attempts: 3 });
    let options = HealthOptions {
        outlier: OutlierOptions { max_ejected_percent: 0, ..OutlierOptions::default() },
        ..HealthOptions::default()
    };
    let handles = scene.balancer.handles();
    let specs = handles.iter().map(|m| Spec::new(m.name.clone(), m.target.clone())).collect();
    let strategy = find("failover").unwrap();
    let balancer = Arc::new(Balancer::new(specs, strategy, options).unwrap());
    let scene = Scene { balancer, ..scene };
    // The clock stands while nobody sleeps; each success sleeps a millisecond.
    let mut good = 0;
    for _ in 0..300 {
        good += usize::from(scene.open(1).await.is_ok());
    }
    assert!((100..=103).contains(&good), "{good}");
    assert_eq!(scene.attempts.refused(), 300 - good as u64);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.open(1).await.unwrap(), "1");
}

#[tokio::test(start_paused = true)]
async fn our_own_mistake_is_told_at_once_and_blames_no_target() {
    let scene = Scene::new(&[Does::Misconfigured, QUICK], RetryOptions::default());
    for _ in 0..10 {
        assert_eq!(scene.open(1).await.unwrap_err().kind(), ErrorKind::Config);
    }
    assert_eq!(scene.calls(), [10, 0]);
    assert_eq!(scene.balancer.snapshot(Instant::now())[0].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_given_up_leaves_nothing_behind() {
    let scene = Scene::new(&[Does::Hang], RetryOptions::default());
    let limit = Duration::from_secs(1);
    assert!(timeout(limit, scene.open(60)).await.is_err());
    let target = &scene.balancer.snapshot(Instant::now())[0];
    assert_eq!((target.in_flight, target.failures, target.state), (0, 0, "up"));
}

#[tokio::test(start_paused = true)]
async fn full_and_drained_are_told_apart() {
    let scene = Scene::new(&[QUICK], RetryOptions::default());
    let target = scene.balancer.handles()[0].target.clone();
    let now = Instant::now();
    let full = Spec { max_connections: Some(1), ..Spec::new("0", target) };
    scene.balancer.replace(vec![full], now).unwrap();
    let limit = Duration::from_secs(1);
    let held = scene.attempts.open(&scene.balancer, None, Need::default(), limit).await.unwrap();
    assert_eq!(scene.open(1).await.unwrap_err().kind(), ErrorKind::Limit);
    drop(held);
    scene.open(1).await.unwrap();
    scene.balancer.set_weight("0", 0, now).unwrap();
    assert_eq!(scene.open(1).await.unwrap_err().message(), "every target is drained");
}

const FULL: Does = Does::Full(Duration::from_secs(2));
const FULL_FOR_LONG: Does = Does::Full(Duration::from_secs(99));

#[tokio::test(start_paused = true)]
async fn a_target_without_a_free_place_is_passed_over_at_no_cost() {
    let none_free = RetryOptions { attempts: 2, budget_percent: 0 };
    let scene = Scene::new(&[FULL, FULL, FULL, QUICK], none_free);
    let begin = Instant::now();
    for _ in 0..200 {
        assert_eq!(scene.open(9).await.unwrap(), "3");
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "nothing was waited for");
    let full = &scene.balancer.snapshot(Instant::now())[0];
    assert_eq!((full.failures, full.state, full.in_flight), (0, "up", 0));
    assert_eq!(scene.attempts.refused(), 0);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_full_a_place_is_waited_for_within_the_deadline() {
    let scene = Scene::new(&[FULL_FOR_LONG, FULL], RetryOptions::default());
    let begin = Instant::now();
    assert_eq!(scene.open(9).await.unwrap(), "1");
    assert!(begin.elapsed() < Duration::from_secs(9));
    // The first of them had its part of the time; one that fails is not asked twice.
    let scene = Scene::new(&[Does::Refuse, FULL_FOR_LONG], RetryOptions::default());
    let begin = Instant::now();
    let error = scene.open(9).await.unwrap_err();
    assert_eq!(error.message(), "full for long");
    assert_eq!((scene.calls(), begin.elapsed().as_secs()), (vec![1, 2], 9));
    assert_eq!(scene.balancer.snapshot(Instant::now())[1].failures, 0, "full is not broken");
}

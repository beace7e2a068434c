//! What holds whatever the strategy.

use super::*;
use crate::strategy::find;
use crate::{OutlierOptions, STRATEGIES};
use jackfield_plugin_api::ErrorKind;
use proptest::prelude::*;
use std::collections::HashMap;

type Numbers = Arc<Balancer<()>>;

fn spec(name: &str) -> Spec<()> {
    Spec::new(name, ())
}

fn balancer(strategy: &str, specs: Vec<Spec<()>>) -> Numbers {
    let options = HealthOptions::default();
    Arc::new(Balancer::with_seed(specs, find(strategy).unwrap(), options, 1).unwrap())
}

fn abc(strategy: &str) -> Numbers {
    balancer(strategy, ["a", "b", "c"].map(spec).into())
}

fn refused() -> Error {
    Error::new(ErrorKind::Unreachable, "refused")
}

/// Opens a session at whose turn it is, and answers with its guard.
fn open(balancer: &Numbers, now: Instant) -> InFlight<()> {
    let ticket = balancer.take(None, now, &Tried::default()).expect("a target");
    ticket.succeeded(balancer, now)
}

fn served(balancer: &Numbers, now: Instant, times: usize) -> Vec<String> {
    (0..times).map(|_| open(balancer, now).target().to_owned()).collect()
}

/// Fails the target of that name `times` times.
fn fail(balancer: &Numbers, name: &str, times: usize, now: Instant) {
    for _ in 0..times {
        let mut tried = Tried::default();
        let ticket = loop {
            let ticket = balancer.take(None, now, &tried).expect("the target to fail");
            if ticket.name() == name {
                break ticket;
            }
            ticket.note(&mut tried);
        };
        ticket.failed(&refused(), Duration::from_secs(1), now);
    }
}

fn state(balancer: &Numbers, name: &str, now: Instant) -> TargetStatus {
    let snapshot = balancer.snapshot(now);
    snapshot.into_iter().find(|target| target.name == name).expect("a target of that name")
}

#[test]
fn the_first_target_serves_first() {
    let balancer = abc("round_robin");
    assert_eq!(served(&balancer, Instant::now(), 6), ["a", "b", "c", "a", "b", "c"]);
}

#[test]
fn a_dead_target_is_not_reported_as_up_and_gets_nothing() {
    let (balancer, now) = (abc("round_robin"), Instant::now());
    fail(&balancer, "b", 5, now);
    let dead = state(&balancer, "b", now);
    assert_eq!((dead.state, dead.failures, dead.successes), ("ejected", 5, 0));
    assert_eq!(dead.ejected_for_ms, Some(30_000));
    assert_eq!(dead.last_error.as_deref(), Some("refused"));
    assert!(served(&balancer, now, 100).iter().all(|name| name != "b"));
}

#[test]
fn after_its_ejection_one_session_at_a_time_tries_a_target() {
    let (balancer, now) = (abc("failover"), Instant::now());
    fail(&balancer, "a", 5, now);
    let later = now + Duration::from_secs(30);
    let trial = balancer.take(None, later, &Tried::default()).unwrap();
    assert_eq!(trial.name(), "a");
    assert_eq!(served(&balancer, later, 3), ["b", "b", "b"]);
    // Given up without an answer: somebody else tries.
    drop(trial);
    let trial = balancer.take(None, later, &Tried::default()).unwrap();
    assert_eq!(trial.name(), "a");
    trial.failed(&refused(), Duration::from_secs(1), later);
    assert_eq!(state(&balancer, "a", later).ejected_for_ms, Some(60_000));
    let later = later + Duration::from_secs(60);
    let recovered = open(&balancer, later);
    assert_eq!(served(&balancer, later, 3), ["a", "a", "a"]);
    assert_eq!(state(&balancer, "a", later).state, "up");
    // The session that showed it has no part in a later trial.
    fail(&balancer, "a", 5, later);
    let later = later + Duration::from_secs(90);
    let trial = balancer.take(None, later, &Tried::default()).unwrap();
    drop(recovered);
    assert_eq!((trial.name(), &*served(&balancer, later, 1)), ("a", &["b".to_owned()][..]));
}

#[test]
fn closed_sessions_are_not_counted_any_more() {
    let (balancer, now) = (abc("least_connections"), Instant::now());
    let mut open: Vec<_> = (0..6).map(|_| open(&balancer, now)).collect();
    let in_flight =
        || balancer.snapshot(now).iter().map(|target| target.in_flight).collect::<Vec<_>>();
    assert_eq!(in_flight(), [2, 2, 2]);
    open.retain(|guard| guard.target() == "b");
    assert_eq!(in_flight(), [0, 2, 0]);
    drop(open);
    drop(balancer.take(None, now, &Tried::default()));
    assert_eq!(in_flight(), [0, 0, 0]);
}

#[test]
fn weight_zero_drains_and_leaves_what_runs() {
    let (balancer, now) = (abc("round_robin"), Instant::now());
    let running = open(&balancer, now);
    assert_eq!(running.target(), "a");
    balancer.set_weight("a", 0, now).unwrap();
    assert!(served(&balancer, now, 20).iter().all(|name| name != "a"));
    let drained = state(&balancer, "a", now);
    assert_eq!((drained.state, drained.in_flight), ("draining", 1));
    drop(running);
    assert_eq!(state(&balancer, "a", now).in_flight, 0);
    for name in ["b", "c"] {
        balancer.set_weight(name, 0, now).unwrap();
    }
    assert!(balancer.is_drained());
    assert!(balancer.take(None, now, &Tried::default()).is_none(), "all zero is not uniform");
}

#[test]
fn a_change_of_an_unknown_target_is_an_error_with_the_nearest_name() {
    let (balancer, now) = (balancer("random", vec![spec("tcp://core:1")]), Instant::now());
    let error = balancer.set_weight("tcp://core:2", 5, now).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = r#"there is no target "tcp://core:2" (did you mean "tcp://core:1"?)"#;
    assert_eq!(error.message(), text);
    assert!(balancer.remove("x", now).is_err());
    assert_eq!(balancer.add(spec("tcp://core:1"), now).unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn targets_that_share_an_address_are_kept_apart() {
    let (balancer, now) =
        (balancer("round_robin", ["ip:1", "ip:2"].map(spec).into()), Instant::now());
    fail(&balancer, "ip:1", 5, now);
    assert_eq!(state(&balancer, "ip:1", now).state, "ejected");
    assert_eq!(state(&balancer, "ip:2", now).state, "up");
    assert_eq!(served(&balancer, now, 3), ["ip:2", "ip:2", "ip:2"]);
}

#[test]
fn the_next_priority_serves_when_none_of_the_better_is_healthy_or_has_room() {
    let spare = Spec { priority: 7, ..spec("spare") };
    let small = Spec { max_connections: Some(1), ..spec("small") };
    let (balancer, now) =
        (balancer("round_robin", vec![spare, spec("main"), small]), Instant::now());
    assert!(served(&balancer, now, 10).iter().all(|name| name != "spare"));
    fail(&balancer, "main", 5, now);
    let full = open(&balancer, now);
    assert_eq!(full.target(), "small");
    assert_eq!(served(&balancer, now, 3), ["spare", "spare", "spare"]);
    drop(full);
    assert_eq!(served(&balancer, now, 3), ["small", "small", "small"]);
    assert_eq!(
        served(&balancer, now + Duration::from_secs(31), 4).iter().filter(|n| *n == "main").count(),
        2
    );
}

#[test]
fn when_no_target_is_healthy_all_serve() {
    let options = HealthOptions {
        outlier: OutlierOptions { max_ejected_percent: 100, ..OutlierOptions::default() },
        ..HealthOptions::default()
    };
    let specs = vec![spec("a"), spec("b"), Spec { weight: 0, ..spec("drained") }];
    let strategy = find("round_robin").unwrap();
    let balancer = Arc::new(Balancer::new(specs, strategy, options).unwrap());
    let now = Instant::now();
    fail(&balancer, "a", 5, now);
    assert!(!balancer.is_panic());
    fail(&balancer, "b", 5, now);
    assert!(balancer.is_panic());
    let mut names = served(&balancer, now, 1);
    assert!(!balancer.is_panic(), "one that answers is healthy");
    assert_ne!(names.pop().as_deref(), Some("drained"));
}

#[test]
fn a_change_carries_the_state_of_what_stays_and_disturbs_nothing() {
    let (balancer, now) = (abc("round_robin"), Instant::now());
    let running: Vec<_> = (0..3).map(|_| open(&balancer, now)).collect();
    fail(&balancer, "b", 5, now);
    balancer.replace(vec![spec("d"), spec("b"), spec("a")], now).unwrap();
    let snapshot = balancer.snapshot(now);
    let seen: Vec<_> =
        snapshot.iter().map(|t| (t.name.as_str(), t.state, t.in_flight, t.successes)).collect();
    assert_eq!(seen, [("d", "up", 0, 0), ("b", "ejected", 1, 1), ("a", "up", 1, 1)]);
    assert_eq!(served(&balancer, now, 4).iter().filter(|name| *name == "d").count(), 2);
    // The session of one that is gone ends as if nothing had happened, even badly.
    running[2].failed(&refused(), now);
    drop(running);
    assert!(balancer.snapshot(now).iter().all(|target| target.in_flight == 0));
    let twice = balancer.replace(vec![spec("a"), spec("a")], now).unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Config);
    assert_eq!(balancer.len(), 3, "a bad change changes nothing");
}

#[test]
fn a_target_that_accepts_and_never_serves_is_ejected() {
    let (balancer, now) = (abc("failover"), Instant::now());
    for _ in 0..5 {
        let guard = open(&balancer, now);
        assert_eq!(guard.target(), "a");
        guard.failed(&refused(), now);
    }
    assert_eq!(served(&balancer, now, 2), ["b", "b"]);
}

#[test]
fn one_key_stays_at_its_target_and_moves_only_when_that_fails() {
    let (balancer, now) = (abc("consistent_hash"), Instant::now());
    let target = |key| {
        let ticket = balancer.take(Some(key), now, &Tried::default()).unwrap();
        ticket.name().to_owned()
    };
    let before: Vec<_> = (0..200).map(target).collect();
    assert_eq!(before, (0..200).map(target).collect::<Vec<_>>());
    fail(&balancer, "b", 5, now);
    let after: Vec<_> = (0..200).map(target).collect();
    assert!(after.iter().all(|name| name != "b"));
    let moved = before.iter().zip(&after).filter(|(old, new)| *old != "b" && old != new).count();
    assert!(moved < 40, "{moved} of 200 moved for nothing");
}

#[derive(Clone, Debug)]
enum Step {
    Open,
    OpenAndFail,
    Close(usize),
    FailLater(usize),
    Weight(usize, u32),
    Wait(u64),
    Check(usize, bool),
    Replace(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Open),
        4 => Just(Step::OpenAndFail),
        3 => (0_usize..50).prop_map(Step::Close),
        1 => (0_usize..50).prop_map(Step::FailLater),
        1 => (0_usize..6, 0_u32..4).prop_map(|(at, weight)| Step::Weight(at, weight)),
        1 => (1_u64..40).prop_map(Step::Wait),
        1 => (0_usize..6, any::<bool>()).prop_map(|(at, passed)| Step::Check(at, passed)),
        1 => any::<u8>().prop_map(Step::Replace),
    ];
    prop::collection::vec(step, 1..200)
}

fn six(present: u8) -> Vec<Spec<()>> {
    (0_u32..6)
        .filter(|at| present >> at & 1 == 1)
        .map(|at| Spec {
            priority: at / 3,
            max_connections: (at == 1).then_some(3),
            ..spec(&at.to_string())
        })
        .collect()
}

/// Whatever happens: no target that is unhealthy, drained or full is taken while one is not; nobody
/// is taken twice in one attempt; and what is in flight is exactly what lives.
fn hold_invariants(strategy: &str, steps: Vec<Step>) {
    let balancer = balancer(strategy, six(0xff));
    let mut now = Instant::now();
    let mut living: Vec<InFlight<()>> = Vec::new();
    for step in steps {
        match step {
            Step::Open | Step::OpenAndFail => {
                let mut tried = Tried::default();
                loop {
                    let before = balancer.snapshot(now);
                    let Some(ticket) = balancer.take(None, now, &tried) else { break };
                    let taken = before.iter().find(|target| target.name == ticket.name()).unwrap();
                    let serves = |state: &str| ["up", "starting", "half_open"].contains(&state);
                    let any = before.iter().any(|target| serves(target.state));
                    assert!(serves(taken.state) || !any, "{strategy}: {taken:?} of {before:?}");
                    assert!(taken.weight > 0);
                    assert!(taken.name != "1" || taken.in_flight < 3);
                    assert!(!tried.0.iter().any(|other| other.name == ticket.name()), "twice");
                    ticket.note(&mut tried);
                    if matches!(step, Step::Open) {
                        living.push(ticket.succeeded(&balancer, now));
                        break;
                    }
                    ticket.failed(&refused(), Duration::from_secs(1), now);
                    if tried.len() == 3 {
                        break;
                    }
                }
            }
            Step::Close(at) if at < living.len() => drop(living.swap_remove(at)),
            Step::FailLater(at) if at < living.len() => living[at].failed(&refused(), now),
            Step::Weight(at, weight) => drop(balancer.set_weight(&at.to_string(), weight, now)),
            Step::Wait(seconds) => now += Duration::from_secs(seconds),
            Step::Check(at, passed) => {
                if let Some(handle) = balancer.handles().get(at) {
                    let error = refused();
                    balancer.checked(&handle.load, (!passed).then_some(&error), now);
                }
            }
            Step::Replace(present) => balancer.replace(six(present), now).unwrap(),
            Step::Close(_) | Step::FailLater(_) => {}
        }
        let mut counts: HashMap<*const Load, u32> = HashMap::new();
        for guard in &living {
            *counts.entry(Arc::as_ptr(&guard.place.handle.load)).or_default() += 1;
        }
        for handle in balancer.handles() {
            let expected = counts.get(&Arc::as_ptr(&handle.load)).copied().unwrap_or(0);
            assert_eq!(handle.load.in_flight(), expected, "{}", handle.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn invariants_hold_for_every_strategy(steps in steps()) {
        for info in STRATEGIES {
            hold_invariants(info.name, steps.clone());
        }
    }
}

/// Many threads at once: places are neither lost nor doubled, and a limit holds.
#[test]
fn places_are_exact_under_contention() {
    let small = Spec { max_connections: Some(2), ..spec("small") };
    let balancer = balancer("power_of_two", vec![small, spec("large")]);
    let now = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let balancer = &balancer;
            scope.spawn(move || {
                for round in 0..500_u32 {
                    let guard = open(balancer, now);
                    assert!(state(balancer, "small", now).in_flight <= 2);
                    if thread == 0 && round % 25 == 0 {
                        balancer.set_weight("large", round / 25 % 3 + 1, now).unwrap();
                    }
                    drop(guard);
                }
            });
        }
    });
    let snapshot = balancer.snapshot(now);
    assert!(snapshot.iter().all(|target| target.in_flight == 0));
    assert_eq!(snapshot.iter().map(|target| target.successes).sum::<u64>(), 2_000);
}

/// Data waits for nobody where a target is picked and its session ends well.
#[cfg(debug_assertions)]
#[test]
fn a_pick_that_goes_well_takes_no_lock_whatever_the_strategy() {
    for strategy in STRATEGIES {
        let (balancer, now) = (abc(strategy.name), Instant::now());
        drop(open(&balancer, now));
        let before = jackfield_lock::taken();
        for _ in 0..100 {
            drop(open(&balancer, now));
        }
        assert_eq!(jackfield_lock::taken(), before, "{}", strategy.name);
        fail(&balancer, "a", 1, now);
        assert!(jackfield_lock::taken() > before, "{}: locks are not counted", strategy.name);
    }
}

//! What holds for every strategy, and what each promises by itself.

use super::{Strategy, *};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};

/// Loads that a test sets, and that count how often they are looked at.
struct Fixed {
    in_flight: RefCell<Vec<u32>>,
    latency: Vec<f32>,
    looks: Cell<usize>,
}

impl Fixed {
    fn idle(count: usize) -> Self {
        Fixed {
            in_flight: RefCell::new(vec![0; count]),
            latency: vec![1e6; count],
            looks: Cell::default(),
        }
    }
}

impl Loads for Fixed {
    fn in_flight(&self, at: usize) -> u32 {
        self.looks.set(self.looks.get() + 1);
        self.in_flight.borrow()[at]
    }

    fn latency(&self, at: usize, _: u32) -> f32 {
        self.looks.set(self.looks.get() + 1);
        self.latency[at]
    }
}

fn ask(turn: u64) -> PickContext {
    PickContext { turn, chance: mix(turn), key: mix(!turn), millis: 0 }
}

fn shares(weights: &[u32]) -> Vec<Share> {
    let numbered = (0_u64..).zip(weights);
    numbered.map(|(at, weight)| Share { weight: *weight, identity: mix(at) }).collect()
}

fn build(name: &str, weights: &[u32]) -> Box<dyn Strategy> {
    (find(name).unwrap().build)(&shares(weights))
}

/// How often each target is picked in so many turns.
fn counts(strategy: &dyn Strategy, loads: &Fixed, turns: u64) -> Vec<u64> {
    let mut counts = vec![0; loads.latency.len()];
    (0..turns).for_each(|turn| counts[strategy.pick(&ask(turn), loads)] += 1);
    counts
}

#[test]
fn names_are_unique_and_explained() {
    for (at, info) in STRATEGIES.iter().enumerate() {
        assert!(STRATEGIES[..at].iter().all(|other| other.name != info.name), "{}", info.name);
        assert!(!info.summary.is_empty() && !info.summary.contains('\n'));
        assert_eq!(find(info.name), Some(info));
    }
    assert_eq!(find("least_latency"), None);
}

#[test]
fn the_cost_of_a_pick_does_not_grow_with_the_targets() {
    for info in STRATEGIES.iter().filter(|info| info.name != "least_connections") {
        let looks = |count: usize| {
            let weights: Vec<u32> = (0_u32..).take(count).map(|at| at % 3 + 1).collect();
            let (strategy, loads) = ((info.build)(&shares(&weights)), Fixed::idle(count));
            counts(&*strategy, &loads, 1_000);
            loads.looks.get()
        };
        assert_eq!(looks(8), looks(10_000), "{}", info.name);
        assert!(looks(8) <= 4_000, "{}", info.name);
    }
}

#[test]
fn least_connections_fills_targets_evenly_by_weight() {
    let (strategy, loads) = (build("least_connections", &[1, 1, 2]), Fixed::idle(3));
    for turn in 0..400 {
        let at = strategy.pick(&ask(turn), &loads);
        loads.in_flight.borrow_mut()[at] += 1;
    }
    assert_eq!(*loads.in_flight.borrow(), [100, 100, 200]);
    // One that lost its sessions gets the next.
    loads.in_flight.borrow_mut()[1] = 10;
    assert!((0..10).all(|turn| strategy.pick(&ask(turn), &loads) == 1));
}

#[test]
fn power_of_two_never_takes_the_fullest_and_keeps_loads_close() {
    let count = 50;
    let (strategy, loads) = (build("power_of_two", &vec![1; count]), Fixed::idle(count));
    loads.in_flight.borrow_mut()[7] = 1_000;
    for turn in 0..5_000 {
        let at = strategy.pick(&ask(turn), &loads);
        assert_ne!(at, 7);
        loads.in_flight.borrow_mut()[at] += 1;
    }
    let in_flight = loads.in_flight.borrow();
    let others = || in_flight.iter().filter(|count| **count < 1_000);
    let spread = others().max().unwrap() - others().min().unwrap();
    assert!(spread <= 8, "{spread}");
}

#[test]
fn peak_ewma_prefers_the_faster_until_it_is_busy() {
    let strategy = build("peak_ewma", &[1, 1]);
    let mut loads = Fixed::idle(2);
    loads.latency = vec![10e6, 1e6];
    assert_eq!(counts(&*strategy, &loads, 100), [0, 100]);
    loads.in_flight.borrow_mut()[1] = 20;
    assert_eq!(counts(&*strategy, &loads, 100), [100, 0]);
}

/// A target whose latency is not known must not draw all sessions to itself.
#[test]
fn an_unmeasured_target_gets_one_session_until_it_is_measured() {
    let strategy = build("peak_ewma", &[1, 1]);
    let mut loads = Fixed::idle(2);
    loads.latency = vec![1e6, 0.0];
    assert_eq!(counts(&*strategy, &loads, 10), [0, 10]);
    loads.in_flight.borrow_mut()[1] = 1;
    loads.in_flight.borrow_mut()[0] = 500;
    assert_eq!(counts(&*strategy, &loads, 10), [10, 0]);
}

#[test]
fn one_key_meets_one_target_and_failover_the_first() {
    let loads = Fixed::idle(10);
    let hash = build("consistent_hash", &[1; 10]);
    let with_key = |key, turn| PickContext { key, ..ask(turn) };
    for key in 0..100 {
        let first = hash.pick(&with_key(key, 0), &loads);
        assert!((1..50).all(|turn| hash.pick(&with_key(key, turn), &loads) == first));
    }
    let first = build("failover", &[1, 5, 9]);
    assert!((0..50).all(|turn| first.pick(&ask(turn), &loads) == 0));
}

/// Few keys change their target when another target comes or goes.
#[test]
fn keys_of_other_targets_stay_when_one_leaves() {
    let all = shares(&[1; 10]);
    let info = find("consistent_hash").unwrap();
    let (before, after) = ((info.build)(&all), (info.build)(&all[..9]));
    let loads = Fixed::idle(10);
    let turns = 0..10_000_u64;
    let moved = turns.filter(|turn| {
        let (old, new) = (before.pick(&ask(*turn), &loads), after.pick(&ask(*turn), &loads));
        old != 9 && old != new
    });
    let moved = moved.count();
    assert!(moved < 1_000, "{moved} of 10000");
}

/// Five standard deviations of a count that chance decides.
fn chance(due: f64, part: f64) -> f64 {
    5.0 * (due * (1.0 - part)).sqrt()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    /// Each target gets its part within a percent of that part, over whole rounds. Where chance or a
    /// key decides, what chance alone does is allowed on top: five standard deviations.
    #[test]
    fn weights_are_respected(weights in prop::collection::vec(1_u32..=100, 1..12)) {
        let total: u32 = weights.iter().sum();
        for info in STRATEGIES.iter().filter(|info| info.name != "failover") {
            let strategy = (info.build)(&shares(&weights));
            let loads = Fixed::idle(weights.len());
            let turns = total * 40_000_u32.div_ceil(total);
            let mut counts = vec![0_u32; weights.len()];
            for turn in 0..turns {
                let at = strategy.pick(&ask(turn.into()), &loads);
                counts[at] += 1;
                if info.name == "least_connections" {
                    // It knows weights by the sessions that live.
                    loads.in_flight.borrow_mut()[at] += 1;
                }
            }
            for (count, weight) in counts.iter().zip(&weights) {
                let part = f64::from(*weight) / f64::from(total);
                let due = f64::from(turns) * part;
                let allowed = due * 0.01 + match info.name {
                    "round_robin" | "least_connections" => 0.0,
                    // Of its table each target has whole entries.
                    "consistent_hash" => chance(due, part) + f64::from(turns) / 4_099.0,
                    _ => chance(due, part),
                };
                let off = (f64::from(*count) - due).abs();
                prop_assert!(off <= allowed, "{}: {count} for {due} of {weights:?}", info.name);
            }
        }
    }

    #[test]
    fn no_strategy_answers_with_a_target_that_is_not_there(
        weights in prop::collection::vec(1_u32..=u32::MAX / 100, 1..40),
        turn: u64, chance: u64, key: u64, full: bool,
    ) {
        let loads = Fixed::idle(weights.len());
        if full {
            loads.in_flight.borrow_mut().fill(u32::MAX);
        }
        for info in STRATEGIES {
            let strategy = (info.build)(&shares(&weights));
            let at = strategy.pick(&PickContext { turn, chance, key, millis: 0 }, &loads);
            prop_assert!(at < weights.len(), "{}", info.name);
        }
    }

    /// In every stretch of a round, not only over the whole of it.
    #[test]
    fn round_robin_is_exact_in_each_round(weights in prop::collection::vec(1_u32..=50, 1..20)) {
        let strategy = build("round_robin", &weights);
        let loads = Fixed::idle(weights.len());
        let total = u64::from(weights.iter().sum::<u32>());
        let counted = counts(&*strategy, &loads, total * 3);
        // A common factor makes the round shorter, never its shares wrong.
        for (count, weight) in counted.iter().zip(&weights) {
            prop_assert_eq!(*count, u64::from(*weight) * 3);
        }
    }
}

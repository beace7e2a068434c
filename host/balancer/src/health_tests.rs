use super::*;
use crate::OutlierOptions;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Fails a target until it is ejected.
fn eject(health: &mut Health, now: Instant, options: &HealthOptions) {
    for _ in 0..options.outlier.consecutive_failures {
        assert!(!health.is_ejected());
        health.failed(false, true, now, options);
    }
    assert!(matches!(health.standing(now, options), Standing::Ejected(_)));
}

fn ejected_for(health: &Health, now: Instant, options: &HealthOptions) -> Duration {
    match health.standing(now, options) {
        Standing::Ejected(until) => until - now,
        other => panic!("{other:?}"),
    }
}

#[test]
fn checks_take_a_target_down_after_fall_and_up_after_rise() {
    let (options, now) = (HealthOptions::default(), Instant::now());
    let mut health = Health::default();
    for changes in [false, false, true, false] {
        assert_eq!(health.check_failed(&options), changes);
    }
    assert_eq!(health.standing(now, &options), Standing::Down);
    assert!(!health.check_passed(now, &options));
    // Not in a row.
    assert!(!health.check_failed(&options));
    assert!(!health.check_passed(now, &options));
    assert_eq!(health.standing(now, &options), Standing::Down);
    assert!(health.check_passed(now, &options));
    assert_eq!(health.standing(now, &options), Standing::Up);
}

#[test]
fn only_failures_in_a_row_eject() {
    let (options, now) = (HealthOptions::default(), Instant::now());
    let mut health = Health::default();
    for _ in 0..20 {
        for _ in 0..4 {
            assert!(!health.failed(false, true, now, &options));
        }
        assert!(!health.succeeded(now, &options));
    }
    eject(&mut health, now, &options);
    assert_eq!(ejected_for(&health, now, &options), seconds(30));
}

#[test]
fn sessions_that_open_and_fail_are_failures_in_a_row_too() {
    let (options, now) = (HealthOptions::default(), Instant::now());
    let mut health = Health::default();
    for round in 0..5 {
        // Each opening seems to end the row; the failure that follows takes it up again.
        health.succeeded(now, &options);
        assert_eq!(health.failed(true, true, now, &options), round == 4);
    }
}

#[test]
fn openings_and_failures_that_overlap_are_one_row() {
    let (options, now) = (HealthOptions::default(), Instant::now());
    let mut health = Health::default();
    health.succeeded(now, &options);
    // The next one always opens before the one before has failed.
    for round in 0..5 {
        health.succeeded(now, &options);
        assert_eq!(health.failed(true, true, now, &options), round == 4);
    }
}

#[test]
fn a_session_that_ends_well_ends_the_row_for_good() {
    let (options, now) = (HealthOptions::default(), Instant::now());
    let mut health = Health::default();
    for _ in 0..20 {
        for _ in 0..4 {
            health.succeeded(now, &options);
            assert!(!health.failed(true, true, now, &options));
        }
        health.succeeded(now, &options);
        assert!(health.is_troubled(), "nothing is shown yet");
        health.ended_well();
        assert!(!health.is_troubled());
    }
}

#[test]
fn an_ejection_ends_in_one_trial() {
    let options = HealthOptions::default();
    let mut now = Instant::now();
    let mut health = Health::default();
    eject(&mut health, now, &options);
    assert_eq!(health.due(now, &options), Some(now + seconds(30)));
    now += seconds(29);
    assert!(!health.tick(now, &options));
    now += seconds(1);
    assert!(health.tick(now, &options));
    assert_eq!(health.standing(now, &options), Standing::HalfOpen);
    // It fails: out again at once, for longer, whatever share of targets is ejected.
    assert!(health.failed(false, false, now, &options));
    assert_eq!(ejected_for(&health, now, &options), seconds(60));
    now += seconds(60);
    health.tick(now, &options);
    assert!(health.succeeded(now, &options));
    assert_eq!(health.standing(now, &options), Standing::Up);
}

#[test]
fn ejections_grow_to_ten_times_and_good_behaviour_ends_that() {
    let options = HealthOptions::default();
    let mut now = Instant::now();
    let mut health = Health::default();
    for expected in [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300] {
        eject(&mut health, now, &options);
        assert_eq!(ejected_for(&health, now, &options), seconds(expected));
        now += seconds(expected);
        health.tick(now, &options);
        health.succeeded(now, &options);
    }
    // As long as its last ejection.
    now += seconds(300);
    eject(&mut health, now, &options);
    assert_eq!(ejected_for(&health, now, &options), seconds(30));
}

#[test]
fn checks_end_an_ejection_early() {
    let (options, now) = (HealthOptions::default(), Instant::now());
    let mut health = Health::default();
    eject(&mut health, now, &options);
    assert!(!health.check_passed(now, &options));
    assert!(health.check_passed(now, &options));
    assert_eq!(health.standing(now, &options), Standing::Up);
}

#[test]
fn the_share_of_ejected_targets_is_bounded() {
    let options = HealthOptions::default();
    let allowed = |percent, targets| {
        OutlierOptions { max_ejected_percent: percent, ..options.outlier.clone() }
            .max_ejected(targets)
    };
    assert_eq!([1, 2, 3, 4, 10].map(|targets| allowed(50, targets)), [0, 1, 1, 2, 5]);
    assert_eq!([1, 2, 3].map(|targets| allowed(100, targets)), [0, 2, 3]);
    assert_eq!([1, 2, 9].map(|targets| allowed(10, targets)), [0, 1, 1]);
    assert_eq!(allowed(0, 10), 0);
    let (mut health, now) = (Health::default(), Instant::now());
    for _ in 0..100 {
        assert!(!health.failed(false, false, now, &options));
    }
    assert!(health.failed(false, true, now, &options), "as soon as it may");
}

#[test]
fn a_recovered_target_starts_slowly() {
    let options = HealthOptions { slow_start: seconds(100), ..HealthOptions::default() };
    let start = Instant::now();
    let mut health = Health::default();
    assert_eq!(health.standing(start, &options), Standing::Up, "not at the very start");
    eject(&mut health, start, &options);
    let start = start + seconds(30);
    health.tick(start, &options);
    health.succeeded(start, &options);
    let percent =
        |health: &Health, after| health.standing(start + seconds(after), &options).percent();
    let seen = [0, 9, 10, 55, 89, 90, 100].map(|after| percent(&health, after));
    assert_eq!(seen, [10, 10, 20, 60, 90, 100, 100]);
    // It asks to be looked at for each step, and then no more.
    let mut now = start;
    let mut steps = 0;
    while let Some(due) = health.due(now, &options) {
        assert!(due > now || due == start + seconds(100));
        now = due;
        health.tick(now, &options);
        steps += 1;
    }
    assert_eq!((steps, now), (10, start + seconds(100)));
}

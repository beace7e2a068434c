//! The state machine by itself, with times made up.

mod model;

use std::task::Waker;
use std::time::{Duration, Instant};

use jackfield_plugin_api::{Error, ErrorKind};

use super::{Bounds, Checkout, Requested, Slots, Verdict};
use crate::PoolOptions;
use crate::effects::Effects;
use crate::error::AcquireError;
use crate::stats::CloseCause;
use jackfield_text::units::Timespan;

type Member = u32;

fn options(max_size: u32, min_idle: u32, share: u32, max_waiters: u32) -> PoolOptions {
    let millis = |millis| Timespan(Duration::from_millis(millis));
    PoolOptions {
        max_size,
        min_idle,
        share,
        max_waiters,
        max_idle_time: millis(700),
        max_lifetime: millis(5000),
        acquire_timeout: millis(1000),
        test_idle: millis(300),
        ..PoolOptions::default()
    }
}

fn asked(slots: &mut Slots<Member>, now: Instant, fx: &mut Effects<Member>) -> Requested<Member> {
    slots.request(now, None, Waker::noop(), fx)
}

fn held(request: Requested<Member>) -> (Checkout, Member) {
    match request {
        Requested::Done(Ok(served)) => served,
        other => panic!("not served: {other:?}"),
    }
}

#[test]
fn the_least_used_member_is_shared_first() {
    let now = Instant::now();
    let mut fx = Effects::none();
    let mut slots = Slots::new(Bounds::from(&options(2, 2, 3, 8)));
    slots.tick(now, &mut fx);
    for member in [1, 2] {
        let approval = fx.approvals.pop().unwrap();
        slots.opened(approval, member, 0.0, now, &mut fx);
    }
    let all: Vec<_> = (0..6).map(|_| held(asked(&mut slots, now, &mut fx))).collect();
    let order: Vec<Member> = all.iter().map(|(_, member)| *member).collect();
    assert_eq!(order, [2, 1, 1, 2, 2, 1], "never two more users on one than on the other");
    assert!(matches!(asked(&mut slots, now, &mut fx), Requested::Waits(_)), "all are full");
}

#[test]
fn unused_members_are_taken_last_returned_first_and_closed_longest_unused_first() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut fx = Effects::none();
    let mut slots = Slots::new(Bounds::from(&options(3, 0, 1, 8)));
    let tickets: Vec<_> = (0..3).map(|_| asked(&mut slots, start, &mut fx)).collect();
    let mut checkouts = Vec::new();
    for (member, ticket) in (1..).zip(tickets) {
        let approval = fx.approvals.pop().unwrap();
        slots.opened(approval, member, 0.0, start, &mut fx);
        let Requested::Waits(ticket) = ticket else { panic!("nothing was open") };
        checkouts.push(ticket.poll(Waker::noop()).unwrap().unwrap());
    }
    for ((checkout, _), millis) in checkouts.into_iter().zip([10, 20, 30]) {
        slots.give_back(checkout, Verdict::Keep, at(millis), &mut fx);
    }
    let (checkout, member) = held(asked(&mut slots, at(40), &mut fx));
    assert_eq!(member, 3);
    slots.give_back(checkout, Verdict::Keep, at(50), &mut fx);
    assert!(fx.closes.is_empty());
    slots.tick(at(715), &mut fx);
    assert_eq!(fx.closes, [(1, CloseCause::Idle)]);
    slots.tick(at(730), &mut fx);
    assert_eq!(fx.closes, [(1, CloseCause::Idle), (2, CloseCause::Idle)]);
    let next = slots.tick(at(740), &mut fx).unwrap();
    assert!(next >= at(750), "member 3 came back later");
}

#[test]
fn lifetimes_are_jittered_and_end_when_nobody_uses_the_member() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut fx = Effects::none();
    let mut slots = Slots::new(Bounds::from(&options(2, 2, 1, 8)));
    slots.tick(start, &mut fx);
    for (member, jitter) in [(1, 1.0), (2, 0.0)] {
        let approval = fx.approvals.pop().unwrap();
        slots.opened(approval, member, jitter, start, &mut fx);
    }
    let (checkout, member) = held(asked(&mut slots, at(1), &mut fx));
    assert_eq!(member, 2);
    slots.tick(at(4499), &mut fx);
    assert!(fx.closes.is_empty(), "min_idle keeps it from being closed as idle");
    slots.tick(at(4500), &mut fx);
    assert_eq!(fx.closes, [(1, CloseCause::Lifetime)], "a tenth earlier");
    slots.tick(at(5000), &mut fx);
    assert_eq!(fx.closes.len(), 1, "the other is in use");
    slots.give_back(checkout, Verdict::Keep, at(5001), &mut fx);
    assert_eq!(fx.closes[1], (2, CloseCause::Lifetime));
}

#[test]
fn opening_for_min_idle_pauses_longer_after_each_failure() {
    let start = Instant::now();
    let mut fx = Effects::none();
    let mut slots = Slots::<Member>::new(Bounds::from(&options(2, 1, 1, 8)));
    let mut now = start;
    for pause in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
        let _ = slots.tick(now, &mut fx);
        let approval = fx.approvals.pop().unwrap();
        assert!(fx.approvals.is_empty());
        slots.open_failed(approval, Error::new(ErrorKind::Unreachable, "no"), now, &mut fx);
        let next = slots.tick(now, &mut fx);
        assert_eq!(next, Some(now + Duration::from_millis(pause)));
        assert!(fx.approvals.is_empty(), "tried again at once");
        now = next.unwrap();
    }
}

#[test]
fn a_full_line_refuses_and_counts_only_those_nothing_is_opened_for() {
    let now = Instant::now();
    let mut fx = Effects::none();
    let mut slots = Slots::<Member>::new(Bounds::from(&options(2, 0, 1, 1)));
    for _ in 0..3 {
        assert!(matches!(asked(&mut slots, now, &mut fx), Requested::Waits(_)));
    }
    match asked(&mut slots, now, &mut fx) {
        Requested::Done(Err(AcquireError::TooManyWaiters {
            waiting: 3,
            in_use: 0,
            max_size: 2,
        })) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(fx.approvals.len(), 2);
    assert_eq!(slots.stats().totals.refused, 1);
}

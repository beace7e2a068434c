use super::exclusive::Exclusive;
use super::lease::{Ended, Id, LeaseOptions, LeaseReply, Leases, News};
use crate::connection::Caller;
use futures_util::FutureExt;
use jackfield_plugin_api::ErrorKind;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

fn who(name: &str) -> Caller {
    Caller::new(name, "a test")
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[derive(Clone, Debug)]
enum Step {
    Ask,
    Leave(prop::sample::Index),
    Renew(prop::sample::Index),
    Break,
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any = || any::<prop::sample::Index>();
    let step = prop_oneof![
        4 => Just(Step::Ask),
        3 => any().prop_map(Step::Leave),
        1 => any().prop_map(Step::Renew),
        1 => Just(Step::Break),
        3 => (1..80_u64).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 1..120)
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Known {
    Waits,
    Holds,
    LettingGo,
    Gone,
}

/// What everybody was told, and no more.
struct Told {
    of: BTreeMap<Id, Known>,
    granted: Vec<Id>,
}

impl Told {
    fn hear(&mut self, news: Vec<News>) {
        for news in news {
            let (id, from, to) = match news {
                News::Granted(id) => {
                    self.granted.push(id);
                    (id, Known::Waits, Known::Holds)
                }
                News::Ended(id, _) => (id, Known::Holds, Known::LettingGo),
                News::TimedOut(id) => (id, Known::Waits, Known::Gone),
            };
            assert_eq!(self.of.insert(id, to), Some(from), "{id} was told {to:?}");
        }
    }

    fn are(&self, state: Known) -> Vec<Id> {
        self.of.iter().filter(|(_, known)| **known == state).map(|(id, _)| *id).collect()
    }

    fn pick(&self, index: &prop::sample::Index) -> Option<Id> {
        let all: Vec<Id> = self.of.keys().copied().collect();
        (!all.is_empty()).then(|| all[index.index(all.len())])
    }
}

proptest! {
    #[test]
    fn one_holder_turns_in_order_and_nobody_forgotten(
        steps in steps(), expires in any::<bool>(), max_waiters in 0..4_usize,
    ) {
        let options = LeaseOptions {
            timeout: ms(100),
            max_waiters,
            expiry: expires.then_some(ms(50)),
            grace: ms(20),
        };
        let mut leases = Leases::new(options);
        let mut now = Instant::now();
        let mut told = Told { of: BTreeMap::new(), granted: Vec::new() };
        for step in steps {
            match step {
                Step::Ask => {
                    let (asked, news) = leases.ask(who("a"), now);
                    told.hear(news);
                    match asked {
                        LeaseReply::Granted(id) => {
                            told.granted.push(id);
                            prop_assert!(told.of.insert(id, Known::Holds).is_none());
                        }
                        LeaseReply::Waits(id) => {
                            prop_assert!(told.of.insert(id, Known::Waits).is_none());
                        }
                        LeaseReply::Full => {
                            prop_assert_eq!(told.are(Known::Waits).len(), max_waiters);
                        }
                        LeaseReply::Busy => prop_assert!(false, "waiting is allowed"),
                    }
                }
                Step::Leave(index) => if let Some(id) = told.pick(&index) {
                    told.of.insert(id, Known::Gone);
                    told.hear(leases.leave(id, now));
                },
                Step::Renew(index) => if let Some(id) = told.pick(&index) {
                    let (renewed, news) = leases.renew(id, now);
                    told.hear(news);
                    prop_assert_eq!(renewed, told.of[&id] == Known::Holds);
                },
                Step::Break => {
                    let (caller, news) = leases.break_off("a reason", now);
                    prop_assert_eq!(caller.is_some(), news.iter().any(|news| {
                        matches!(news, News::Ended(_, Ended::Broken(_)))
                    }));
                    told.hear(news);
                }
                Step::Advance(time) => {
                    now += ms(time);
                    told.hear(leases.tick(now));
                }
            }
            let snapshot = leases.snapshot(now);
            prop_assert!(told.are(Known::Holds).len() <= 1, "two holders");
            prop_assert!(told.granted.is_sorted(), "out of turn: {:?}", told.granted);
            prop_assert_eq!(snapshot.waiters.len(), told.are(Known::Waits).len());
            prop_assert!(snapshot.waiters.len() <= max_waiters);
            prop_assert!(snapshot.holder.is_some() || snapshot.waiters.is_empty(), "a lost waiter");
            prop_assert!(leases.next_moment().is_none_or(|at| at > now), "time stands still");
        }
        // Nobody waits for ever, whatever the holder does.
        told.hear(leases.tick(now + ms(101)));
        prop_assert_eq!(told.are(Known::Waits), Vec::<Id>::new());
    }
}

#[test]
fn a_broken_lease_goes_on_when_it_is_let_go_or_grace_is_over() {
    let now = Instant::now();
    let mut leases = Leases::new(LeaseOptions::default());
    let (first, _) = leases.ask(who("ann"), now);
    let (second, _) = leases.ask(who("bob"), now);
    let (third, _) = leases.ask(who("cy"), now);
    assert_eq!(
        (first, second, third),
        (LeaseReply::Granted(1), LeaseReply::Waits(2), LeaseReply::Waits(3))
    );
    let (caller, news) = leases.break_off("maintenance", now + ms(10));
    assert_eq!(caller, Some(who("ann")));
    assert_eq!(news, [News::Ended(1, Ended::Broken("maintenance".to_owned()))]);
    assert_eq!(leases.tick(now + ms(20)), [], "ann has not let go");
    assert_eq!(leases.break_off("again", now + ms(20)).0, None);
    assert_eq!(leases.leave(1, now + ms(30)), [News::Granted(2)]);
    leases.break_off("again", now + ms(40));
    assert_eq!(leases.tick(now + ms(5039)), []);
    assert_eq!(leases.tick(now + ms(5040)), [News::Granted(3)], "bob's grace is over");
    assert_eq!(leases.leave(2, now + ms(5050)), [], "too late to matter");
    let snapshot = leases.snapshot(now + ms(5540));
    let held = snapshot.holder.unwrap();
    assert_eq!((held.caller, held.held_ms), (who("cy"), 500));
    let last = snapshot.last_ended.unwrap();
    assert_eq!((last.caller, last.ended), (who("bob"), Ended::Broken("again".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn the_next_waits_for_its_turn_and_no_longer_than_it_may() {
    let options = LeaseOptions { timeout: ms(1000), max_waiters: 1, ..LeaseOptions::default() };
    let console = Exclusive::new("devices.a.console", options);
    let first = console.acquire(who("ann")).await.unwrap();
    let waiting = tokio::spawn({
        let console = console.clone();
        async move { console.acquire(who("bob")).await }
    });
    while console.snapshot().waiters.is_empty() {
        tokio::task::yield_now().await;
    }
    let full = console.acquire(who("cy")).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::InUse);
    let text = "devices.a.console is held by ann (a test) since 0ns, and too many wait";
    assert_eq!(full.message(), text);
    drop(first);
    let second = waiting.await.unwrap().unwrap();
    assert_eq!(console.snapshot().holder.unwrap().caller, who("bob"));
    let late = console.acquire(who("cy")).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    let text = "devices.a.console is held by bob (a test) since 1s; waited 1s";
    assert_eq!(late.message(), text);
    second.release();
    assert_eq!(second.check().unwrap_err().kind(), ErrorKind::Closed);
    assert!(console.snapshot().holder.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_goes_away_leaves_nothing_behind() {
    let console = Exclusive::new("devices.a.console", LeaseOptions::default());
    let first = console.acquire(who("ann")).await.unwrap();
    {
        let mut waiting = std::pin::pin!(console.acquire(who("bob")));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(console.snapshot().waiters.len(), 1);
        drop(first);
        assert_eq!(console.snapshot().holder.unwrap().caller, who("bob"));
    }
    assert!(console.snapshot().holder.is_none(), "given, and dropped unseen");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_renewed_expires_and_its_holder_is_told() {
    let options = LeaseOptions { expiry: Some(ms(100)), ..LeaseOptions::default() };
    let console = Exclusive::new("devices.a.console", options);
    let lease = console.acquire(who("ann")).await.unwrap();
    tokio::time::sleep(ms(90)).await;
    lease.renew().unwrap();
    tokio::time::sleep(ms(90)).await;
    lease.check().unwrap();
    let error = lease.ended().await;
    assert_eq!(error.message(), "devices.a.console: the lease has expired");
    assert_eq!(lease.renew().unwrap_err(), error);
    // A holder that does not let go is passed over after its grace.
    let begun = tokio::time::Instant::now();
    drop(console.acquire(who("bob")).await.unwrap());
    assert_eq!(begun.elapsed(), LeaseOptions::default().grace);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_tells_why_and_a_late_watcher_hears_it_too() {
    let console = Exclusive::new("devices.a.console", LeaseOptions::default());
    assert_eq!(console.break_off("nobody there"), None);
    let lease = console.acquire(who("ann")).await.unwrap();
    let ended = lease.ended();
    assert_eq!(console.break_off("maintenance"), Some(who("ann")));
    let text = "devices.a.console: the lease was broken: maintenance";
    assert_eq!(lease.check().unwrap_err().message(), text);
    assert_eq!(ended.await.message(), text);
    drop(lease);
    let last = console.snapshot().last_ended.unwrap();
    assert_eq!(last.ended, Ended::Broken("maintenance".to_owned()));
}

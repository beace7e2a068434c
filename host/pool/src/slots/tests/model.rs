//! Random steps against a model that knows only the rules.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use jackfield_plugin_api::{Error, ErrorKind};
use proptest::prelude::*;

use super::{Bounds, Member, Requested, Slots, options};
use crate::PoolOptions;
use crate::effects::{Approval, Effects};
use crate::error::AcquireError;
use crate::queue::{Ticket, WaitResult};
use crate::slots::{Checkout, Verdict};
use crate::stats::CloseCause;

/// Notes the caller it wakes.
struct Bell(usize, Arc<Mutex<Vec<usize>>>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Ask { millis: u64 },
    AskNow,
    Look { which: usize },
    GiveUp { which: usize },
    Return { which: usize, keep: bool },
    Detach { which: usize },
    Replace { which: usize },
    Doubt { which: usize },
    Opened,
    OpenFails,
    Pass { millis: u64 },
    Set { max_size: u32, min_idle: u32, max_idle: u32, share: u32, max_waiters: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..64_usize;
    prop_oneof![
        8 => (1..2000_u64).prop_map(|millis| Step::Ask { millis }),
        1 => Just(Step::AskNow),
        4 => which.clone().prop_map(|which| Step::Look { which }),
        2 => which.clone().prop_map(|which| Step::GiveUp { which }),
        6 => (which.clone(), prop::bool::weighted(0.8))
            .prop_map(|(which, keep)| Step::Return { which, keep }),
        1 => which.clone().prop_map(|which| Step::Detach { which }),
        1 => which.clone().prop_map(|which| Step::Replace { which }),
        2 => which.prop_map(|which| Step::Doubt { which }),
        5 => Just(Step::Opened),
        1 => Just(Step::OpenFails),
        2 => (0..1500_u64).prop_map(|millis| Step::Pass { millis }),
        1 => (1..6_u32, 0..3_u32, 0..4_u32, 1..4_u32, 0..8_u32).prop_map(
            |(max_size, min_idle, spare, share, max_waiters)| Step::Set {
                max_size,
                min_idle: min_idle.min(max_size),
                max_idle: min_idle.min(max_size) + spare,
                share,
                max_waiters,
            }
        ),
    ]
}

struct Waiting {
    caller: usize,
    ticket: Ticket<Member>,
    deadline: Instant,
    served: bool,
}

/// The pool, and what is known about it from outside.
struct Model {
    slots: Slots<Member>,
    options: PoolOptions,
    now: Instant,
    bells: Arc<Mutex<Vec<usize>>>,
    callers: usize,
    waiting: Vec<Waiting>,
    held: Vec<(usize, Checkout, Member)>,
    approvals: Vec<Approval>,
    opened: Member,
    closed: HashMap<Member, CloseCause>,
    detached: HashSet<Member>,
    /// Members that users have tested, and how many of them.
    doubted: HashMap<Member, u32>,
    size: usize,
}

impl Model {
    fn new(options: PoolOptions) -> Self {
        Self {
            slots: Slots::new(Bounds::from(&options)),
            options,
            now: Instant::now(),
            bells: Arc::default(),
            callers: 0,
            waiting: Vec::new(),
            held: Vec::new(),
            approvals: Vec::new(),
            opened: 0,
            closed: HashMap::new(),
            detached: HashSet::new(),
            doubted: HashMap::new(),
            size: 0,
        }
    }

    fn waker(&self, caller: usize) -> Waker {
        Arc::new(Bell(caller, Arc::clone(&self.bells))).into()
    }

    fn run(&mut self, step: &Step) {
        let mut fx = Effects::none();
        let ticking = matches!(step, Step::Pass { .. });
        match *step {
            Step::Ask { millis } => self.ask(Duration::from_millis(millis), &mut fx),
            Step::AskNow => {
                if let Some((checkout, member)) = self.slots.request_now(self.now, &mut fx) {
                    assert!(!checkout.test);
                    assert!(self.line().is_empty(), "overtook somebody who waits");
                    self.callers += 1;
                    self.hold(self.callers, checkout, member);
                }
            }
            Step::Look { which } => self.look(which),
            Step::GiveUp { which } if !self.waiting.is_empty() => {
                let waiting = self.waiting.remove(which % self.waiting.len());
                drop(self.slots.leave(waiting.ticket, self.now, &mut fx));
            }
            Step::Return { which, keep } => {
                let verdict = if keep { Verdict::Keep } else { self.unfit(which) };
                self.give_back(which, verdict, &mut fx);
            }
            Step::Detach { which } => {
                let cause = Verdict::Close(CloseCause::Detached);
                if let Some(member) = self.give_back(which, cause, &mut fx) {
                    self.detached.insert(member);
                }
            }
            Step::Replace { which } => self.replace(which, &mut fx),
            Step::Doubt { which } => self.doubt(which),
            Step::Opened => {
                if let Some(approval) = self.approvals.pop() {
                    self.opened += 1;
                    self.slots.opened(approval, self.opened, 0.5, self.now, &mut fx);
                }
            }
            Step::OpenFails => {
                if let Some(approval) = self.approvals.pop() {
                    let error = Error::new(ErrorKind::Unreachable, "nobody there");
                    self.slots.open_failed(approval, error, self.now, &mut fx);
                }
            }
            Step::Pass { millis } => {
                self.now += Duration::from_millis(millis);
                let next = self.slots.tick(self.now, &mut fx);
                assert!(next.is_none_or(|next| next > self.now), "the clock would spin");
            }
            Step::Set { max_size, min_idle, max_idle, share, max_waiters } => {
                let options = options(max_size, min_idle, share, max_waiters);
                self.options = PoolOptions { max_idle, ..options };
                self.slots.set_limits(Bounds::from(&self.options), self.now, &mut fx);
            }
            Step::GiveUp { .. } => {}
        }
        self.take_in(fx, ticking);
        self.check();
    }

    /// Callers that wait, by the order in which they came.
    fn line(&self) -> Vec<usize> {
        let mut line: Vec<usize> =
            self.waiting.iter().filter(|waiting| !waiting.served).map(|w| w.caller).collect();
        line.sort_unstable();
        line
    }

    fn ask(&mut self, span: Duration, fx: &mut Effects<Member>) {
        self.callers += 1;
        let (caller, deadline) = (self.callers, self.now + span);
        let waker = self.waker(caller);
        let line = self.line().len();
        match self.slots.request(self.now, Some(deadline), &waker, fx) {
            Requested::Done(Ok((checkout, member))) => {
                assert_eq!(line, 0, "overtook somebody who waits");
                self.hold(caller, checkout, member);
            }
            Requested::Done(Err(error)) => {
                assert!(matches!(error, AcquireError::TooManyWaiters { .. }), "{error}");
                assert!(line >= self.options.max_waiters as usize);
            }
            Requested::Waits(ticket) => {
                self.waiting.push(Waiting { caller, ticket, deadline, served: false });
            }
        }
    }

    fn replace(&mut self, which: usize, fx: &mut Effects<Member>) {
        if self.held.is_empty() {
            return;
        }
        let (caller, checkout, member) = self.held.remove(which % self.held.len());
        self.tested(&checkout, member);
        let deadline = self.now + Duration::from_secs(1);
        let waker = self.waker(caller);
        let dead = CloseCause::Dead;
        let ahead = self.line().iter().any(|other| *other < caller);
        match self.slots.replace(checkout, dead, self.now, Some(deadline), &waker, fx) {
            Requested::Done(Ok((checkout, member))) => {
                assert!(!ahead, "overtook somebody who came before");
                self.hold(caller, checkout, member);
            }
            Requested::Done(Err(error)) => {
                assert!(matches!(error, AcquireError::TooManyWaiters { .. }), "{error}");
            }
            Requested::Waits(ticket) => {
                self.waiting.push(Waiting { caller, ticket, deadline, served: false });
            }
        }
    }

    /// A user has its member tested.
    fn doubt(&mut self, which: usize) {
        if self.held.is_empty() {
            return;
        }
        let at = which % self.held.len();
        let (_, checkout, member) = &mut self.held[at];
        if !checkout.is_doubted() {
            *self.doubted.entry(*member).or_default() += 1;
        }
        self.slots.doubt(checkout, self.now);
    }

    /// A user that had its member tested gives it back.
    fn tested(&mut self, checkout: &Checkout, member: Member) {
        if checkout.is_doubted() {
            *self.doubted.entry(member).or_default() -= 1;
        }
    }

    /// What becomes of a member that is not kept.
    fn unfit(&self, which: usize) -> Verdict {
        let checkout = which.checked_rem(self.held.len()).map(|at| &self.held[at].1);
        let failed = checkout.is_some_and(Checkout::is_doubted);
        Verdict::Close(if failed { CloseCause::Invalid } else { CloseCause::Discarded })
    }

    fn look(&mut self, which: usize) {
        if self.waiting.is_empty() {
            return;
        }
        let waiting = self.waiting.remove(which % self.waiting.len());
        let waker = self.waker(waiting.caller);
        match waiting.ticket.poll(&waker) {
            Ok(outcome) => self.take_outcome(waiting.caller, waiting.served, outcome),
            Err(ticket) => {
                assert!(!waiting.served, "was woken for nothing");
                self.waiting.push(Waiting { ticket, ..waiting });
            }
        }
    }

    fn take_outcome(&mut self, caller: usize, woken: bool, outcome: WaitResult<Member>) {
        assert!(woken, "served without being woken");
        if let Ok((checkout, member)) = outcome {
            // Another user may have taken it out of the pool since it was handed over.
            assert!(!self.closed.contains_key(&member), "handed over a closed member");
            self.held.push((caller, checkout, member));
        }
    }

    fn hold(&mut self, caller: usize, checkout: Checkout, member: Member) {
        assert!(!self.closed.contains_key(&member), "handed out a closed member");
        assert!(!self.detached.contains(&member), "handed out what somebody keeps");
        let doubts = self.doubted.get(&member).copied().unwrap_or_default();
        assert_eq!(doubts, 0, "handed out what somebody doubts");
        self.held.push((caller, checkout, member));
    }

    fn give_back(
        &mut self,
        which: usize,
        verdict: Verdict,
        fx: &mut Effects<Member>,
    ) -> Option<Member> {
        if self.held.is_empty() {
            return None;
        }
        let (_, checkout, member) = self.held.remove(which % self.held.len());
        self.tested(&checkout, member);
        // Both ways back keep the rules; a guard of the pool takes the first.
        if verdict == Verdict::Keep && which.is_multiple_of(2) {
            let left = self.slots.pass_on(checkout, member, self.now, fx);
            assert!(left.is_none_or(|left| left == member));
        } else {
            self.slots.give_back(checkout, verdict, self.now, fx);
        }
        Some(member)
    }

    fn take_in(&mut self, mut fx: Effects<Member>, ticking: bool) {
        fx.wake_all();
        self.approvals.append(&mut fx.approvals);
        for (member, cause) in fx.closes {
            assert!(self.closed.insert(member, cause).is_none(), "closed twice");
            assert!(!self.detached.contains(&member), "closed what somebody keeps");
        }
        let woken = std::mem::take(&mut *self.bells.lock().unwrap());
        for caller in woken {
            let first = self.line().first().copied();
            let now = self.now;
            let waiting = self.waiting.iter_mut().find(|waiting| waiting.caller == caller).unwrap();
            assert!(!waiting.served, "woken twice");
            waiting.served = true;
            let late = ticking && waiting.deadline <= now;
            assert!(late || first == Some(caller), "{caller} was served before {first:?}");
        }
    }

    fn check(&mut self) {
        let stats = self.slots.stats();
        let (max_size, share) = (self.options.max_size as usize, self.options.share as usize);
        let size = stats.idle + stats.in_use + stats.opening;
        assert!(size <= max_size.max(self.size), "{size} of {max_size}");
        self.size = size;
        assert!(stats.idle <= self.options.max_idle as usize, "more unused than may be");
        assert_eq!(stats.opening, self.approvals.len(), "approvals are accounted for");
        assert_eq!(stats.waiting, self.line().len());
        let served = self.waiting.iter().filter(|waiting| waiting.served).count();
        assert!((self.held.len()..=self.held.len() + served).contains(&stats.users));
        let gone = stats.totals.closed_total();
        assert_eq!(u64::from(self.opened), gone + (stats.idle + stats.in_use) as u64);
        if stats.waiting > 0 {
            assert_eq!(stats.idle, 0, "somebody waits beside an unused member");
            let room = max_size.saturating_sub(stats.in_use);
            let wanted = stats.waiting.div_ceil(share).min(room);
            assert!(stats.opening >= wanted, "nobody opens for those who wait");
        }
    }

    /// How often each member is held; only meaningful while `share` has not been lowered.
    fn check_share(&self) {
        let mut users = HashMap::<Member, u32>::new();
        for (_, _, member) in &self.held {
            *users.entry(*member).or_default() += 1;
        }
        assert!(users.values().all(|users| *users <= self.options.share), "{users:?}");
    }

    /// Ends everything; nothing may be left.
    fn finish(mut self) {
        let mut fx = Effects::none();
        self.slots.close(self.now, &mut fx);
        while let Some((_, checkout, _)) = self.held.pop() {
            self.slots.give_back(checkout, Verdict::Keep, self.now, &mut fx);
        }
        for waiting in std::mem::take(&mut self.waiting) {
            drop(self.slots.leave(waiting.ticket, self.now, &mut fx));
        }
        while let Some(approval) = self.approvals.pop() {
            self.opened += 1;
            self.slots.opened(approval, self.opened, 0.0, self.now, &mut fx);
        }
        for (member, cause) in fx.closes.drain(..) {
            assert!(self.closed.insert(member, cause).is_none(), "closed twice");
        }
        assert!(fx.drained && self.slots.is_drained());
        let stats = self.slots.stats();
        assert_eq!((stats.idle, stats.in_use, stats.users, stats.opening), (0, 0, 0, 0));
        for member in 1..=self.opened {
            let closed = self.closed.contains_key(&member);
            assert!(closed != self.detached.contains(&member), "member {member} was lost");
        }
        fx.wake_all();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_hold_whatever_happens(
        max_size in 1..5_u32,
        share in 1..4_u32,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut model = Model::new(options(max_size, 0, share, 6));
        let mut lowered = false;
        for step in &steps {
            lowered |= matches!(step, Step::Set { .. });
            model.run(step);
            if !lowered {
                model.check_share();
            }
        }
        model.finish();
    }
}

//! [`Pooled`]: a member in use.

use jackfield_timers::timeout;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connect::Connect;
use super::shared::{PoolCore, now};
use super::slots::{Checkout, Verdict};
use super::stats::CloseCause;

/// A member and its pool, which it keeps alive until it has left it. All that hand the member on count
/// here, and not at the pool, where every core would.
pub(super) struct PoolEntry<C: Connect> {
    pub(super) pool: Arc<PoolCore<C>>,
    pub(super) member: Arc<C::Member>,
}

/// A member with the right to use it. Lost, it stays in use for ever; [`Pooled`] sees that it is not.
pub(super) struct Hand<C: Connect> {
    pub(super) entry: Arc<PoolEntry<C>>,
    pub(super) checkout: Checkout,
}

/// A member of a pool in use. Dropped, it goes back to the slot it came from, once: to the caller
/// who has waited longest, or to the unused ones. A member that is closed by then, or whose user
/// panics, is not used again.
#[must_use = "a dropped guard goes straight back to the pool"]
pub struct Pooled<C: Connect> {
    /// Gone when the guard is.
    hand: Option<Hand<C>>,
    /// In the middle of a test or reset: if that is cancelled, the member's state is not known.
    suspect: bool,
}

impl<C: Connect> Pooled<C> {
    pub(super) fn new(hand: Hand<C>) -> Self {
        Self { hand: Some(hand), suspect: false }
    }

    /// Gives the member back as unfit: it is closed, once its other users are done.
    pub fn discard(mut self) {
        self.give_back(Verdict::Close(CloseCause::Discarded));
    }

    /// Takes the member out of the pool for good; the pool opens another when it needs one. Where
    /// it is shared, its other users go on, but no new caller gets it.
    pub fn detach(mut self) -> Arc<C::Member> {
        let member = Arc::clone(self.member());
        self.give_back(Verdict::Close(CloseCause::Detached));
        member
    }

    /// The member itself, for what outlives this use of it. It does not keep the member from being
    /// handed to others.
    pub fn member(&self) -> &Arc<C::Member> {
        &self.hand().entry.member
    }

    fn hand(&self) -> &Hand<C> {
        match &self.hand {
            Some(hand) => hand,
            None => unreachable!("only what ends the guard takes its hand"),
        }
    }

    /// What makes the member unfit for its next user, if anything.
    pub(super) async fn fault(&mut self) -> Option<CloseCause> {
        let Some(hand) = &mut self.hand else { return None };
        let PoolEntry { pool, member } = &*hand.entry;
        if !pool.connect.is_open(member) {
            return Some(CloseCause::Dead);
        }
        if !hand.checkout.test {
            return None;
        }
        let limit = pool.lock().limits().test_timeout;
        self.suspect = true;
        let valid = in_time(limit, pool.connect.validate(member)).await;
        self.suspect = false;
        hand.checkout.test = false;
        (!valid).then_some(CloseCause::Invalid)
    }

    /// Whether the member was opened for this checkout, and was not used before.
    pub fn is_fresh(&self) -> bool {
        self.hand().checkout.fresh
    }

    /// Asks the peer whether the member still works, as a user may do that got no answer in time, and
    /// gives it back; whether it does. Nobody new gets the member meanwhile, for at most `test_timeout`. If
    /// it does not work it is closed, and with it members that were not used since. Cancelled, the member is
    /// closed.
    pub async fn test(mut self) -> bool {
        if let Some(hand) = &mut self.hand {
            hand.entry.pool.doubt(&mut hand.checkout);
            hand.checkout.test = true;
        }
        match self.fault().await {
            None => true,
            Some(cause) => {
                self.give_back(Verdict::Close(cause));
                false
            }
        }
    }

    /// Asks the peer whether the member still works, for at most `test_timeout`, while its user goes on
    /// using it; whether it does. No new caller gets the member meanwhile, and none at all if it does not
    /// work. Cancelled, nothing is known.
    pub async fn check(&self) -> bool {
        let Hand { entry, checkout } = self.hand();
        let mut checking = Checking { pool: &entry.pool, checkout, since: now(), fit: true };
        entry.pool.run(|slots, _| slots.check(checkout));
        entry.pool.empty_pockets();
        let limit = entry.pool.lock().limits().test_timeout;
        let connect = &entry.pool.connect;
        checking.fit =
            connect.is_open(&entry.member) && in_time(limit, connect.validate(&entry.member)).await;
        checking.fit
    }

    /// The checkout, to be given back by other means.
    pub(super) fn into_lease(mut self) -> Option<Checkout> {
        self.hand.take().map(|hand| hand.checkout)
    }

    fn give_back(&mut self, verdict: Verdict) {
        if let Some(hand) = self.hand.take() {
            hand.give_back(verdict);
        }
    }
}

impl<C: Connect> Hand<C> {
    fn give_back(self, verdict: Verdict) {
        self.entry.pool.give_back(self.checkout, verdict);
    }

    /// To the next caller on this core, if no other one needs it.
    fn put_back(self) {
        let entry = Arc::clone(&self.entry);
        entry.pool.put_back(self);
    }

    #[cold]
    fn spawn_reset(self) {
        let mut pooled = Pooled::new(self);
        pooled.suspect = true;
        let pool = &pooled.hand().entry.pool;
        let (limit, runtime) = (pool.lock().limits().test_timeout, pool.runtime.clone());
        // The handle is not needed: a task that ends early drops `pooled`, which discards it.
        drop(runtime.spawn(async move {
            let fit = {
                let PoolEntry { pool, member } = &*pooled.hand().entry;
                let reset = in_time(limit, pool.connect.reset(member)).await;
                reset && pool.connect.is_open(member)
            };
            pooled.give_back(if fit {
                Verdict::Keep
            } else {
                Verdict::Close(CloseCause::ResetFailed)
            });
        }));
    }
}

/// A test of a member in use.
struct Checking<'a, C: Connect> {
    pool: &'a Arc<PoolCore<C>>,
    checkout: &'a Checkout,
    since: Instant,
    fit: bool,
}

impl<C: Connect> Drop for Checking<'_, C> {
    fn drop(&mut self) {
        let (times, fit) = ((self.since, now()), self.fit);
        self.pool.run(|slots, fx| slots.checked(self.checkout, fit, times, fx));
    }
}

async fn in_time(limit: Duration, check: impl Future<Output = bool>) -> bool {
    timeout(limit, check).await.unwrap_or(false)
}

impl<C: Connect> Drop for Pooled<C> {
    fn drop(&mut self) {
        let Some(hand) = self.hand.take() else { return };
        if self.suspect || std::thread::panicking() {
            return hand.give_back(Verdict::Close(CloseCause::Discarded));
        }
        let PoolEntry { pool, member } = &*hand.entry;
        if !pool.connect.is_open(member) {
            return hand.give_back(Verdict::Close(CloseCause::Dead));
        }
        if pool.connect.needs_reset(member) {
            return hand.spawn_reset();
        }
        hand.put_back();
    }
}

impl<C: Connect> Deref for Pooled<C> {
    type Target = C::Member;

    fn deref(&self) -> &C::Member {
        self.member()
    }
}

impl<C: Connect> fmt::Debug for Pooled<C>
where
    C::Member: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(self.member()).finish()
    }
}

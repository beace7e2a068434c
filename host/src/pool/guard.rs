//! [`Pooled`]: a member in use.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::connect::Connect;
use super::shared::Shared;
use super::slots::{Lease, Verdict};
use super::stats::CloseCause;

/// A member of a pool in use. Dropped, it goes back to the slot it came from, once: to the caller
/// who has waited longest, or to the unused ones. A member that is closed by then, or whose user
/// panics, is not used again.
#[must_use = "a dropped guard goes straight back to the pool"]
pub struct Pooled<C: Connect> {
    pool: Arc<Shared<C>>,
    member: Arc<C::Member>,
    /// Gone when the member has been given back.
    lease: Option<Lease>,
    /// In the middle of a test or reset: if that is cancelled, the member's state is not known.
    suspect: bool,
}

impl<C: Connect> Pooled<C> {
    pub(super) fn new(pool: Arc<Shared<C>>, lease: Lease, member: Arc<C::Member>) -> Self {
        Self { pool, member, lease: Some(lease), suspect: false }
    }

    /// Gives the member back as unfit: it is closed, once its other users are done.
    pub fn discard(mut self) {
        self.give_back(Verdict::Close(CloseCause::Discarded));
    }

    /// Takes the member out of the pool for good; the pool opens another when it needs one. Where
    /// it is shared, its other users go on, but nobody new gets it.
    pub fn detach(mut self) -> Arc<C::Member> {
        self.give_back(Verdict::Close(CloseCause::Detached));
        Arc::clone(&self.member)
    }

    /// The member itself, for what outlives this use of it. It does not keep the member from being
    /// handed to others.
    pub fn member(&self) -> &Arc<C::Member> {
        &self.member
    }

    /// What makes the member unfit for its next user, if anything.
    pub(super) async fn fault(&mut self) -> Option<CloseCause> {
        if !self.pool.connect.is_open(&self.member) {
            return Some(CloseCause::Dead);
        }
        if !self.lease.as_ref().is_some_and(|lease| lease.test) {
            return None;
        }
        let limit = self.pool.lock().limits().test_timeout;
        self.suspect = true;
        let valid = in_time(limit, self.pool.connect.validate(&self.member)).await;
        self.suspect = false;
        if let Some(lease) = &mut self.lease {
            lease.test = false;
        }
        (!valid).then_some(CloseCause::Invalid)
    }

    /// Whether the member has been opened this moment, and nobody has used it before.
    pub fn is_fresh(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.fresh)
    }

    /// The lease, to be given back by other means.
    pub(super) fn into_lease(mut self) -> Option<Lease> {
        self.lease.take()
    }

    fn give_back(&mut self, verdict: Verdict) {
        if let Some(lease) = self.lease.take() {
            self.pool.give_back(lease, verdict);
        }
    }

    #[cold]
    fn spawn_reset(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        let mut pooled = Self::new(Arc::clone(&self.pool), lease, Arc::clone(&self.member));
        pooled.suspect = true;
        let limit = self.pool.lock().limits().test_timeout;
        // The handle is not needed: a task that ends early drops `pooled`, which discards it.
        drop(self.pool.runtime.spawn(async move {
            let reset = in_time(limit, pooled.pool.connect.reset(&pooled.member)).await;
            let fit = reset && pooled.pool.connect.is_open(&pooled.member);
            pooled.give_back(if fit {
                Verdict::Keep
            } else {
                Verdict::Close(CloseCause::ResetFailed)
            });
        }));
    }
}

async fn in_time(limit: Duration, check: impl Future<Output = bool>) -> bool {
    timeout(limit, check).await.unwrap_or(false)
}

impl<C: Connect> Drop for Pooled<C> {
    fn drop(&mut self) {
        if self.lease.is_none() {
            return;
        }
        if self.suspect || std::thread::panicking() {
            return self.give_back(Verdict::Close(CloseCause::Discarded));
        }
        if !self.pool.connect.is_open(&self.member) {
            return self.give_back(Verdict::Close(CloseCause::Dead));
        }
        if self.pool.connect.needs_reset(&self.member) {
            return self.spawn_reset();
        }
        self.give_back(Verdict::Keep);
    }
}

impl<C: Connect> Deref for Pooled<C> {
    type Target = C::Member;

    fn deref(&self) -> &C::Member {
        &self.member
    }
}

impl<C: Connect> fmt::Debug for Pooled<C>
where
    C::Member: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&self.member).finish()
    }
}

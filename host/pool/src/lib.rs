//! Pools: reusable members, such as sessions to one target, for callers that come and go.
//!
//! ```text
//!   get ──▶ waiter ──▶ slots (under one lock, no I/O) ──▶ guard ──▶ the caller
//!                        │    ▲                            │
//!              approvals ▼    │ opened, failed             │ dropped: back to its slot, or
//!                      maintain ──▶ Connect::open          ▼ to the caller waiting longest
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `slots` | the state machine: synchronous, without I/O, the time an argument |
//! | `queue`, `chain` | waiting callers, in order; the linked lists both are made of |
//! | `effects` | what a step asks to be done after the lock is released; permissions to open |
//! | `pockets` | members that have just come back, for the next caller on the same core |
//! | `guard` | [`Pooled`]: goes back when dropped, exactly once |
//! | `waiter` | a caller on its way: cancelled, it leaves nothing |
//! | `maintain` | the tasks: the clock, and members being opened |
//! | `config`, `stats`, `error` | options, counters, refusals |
//!
//! # What holds
//!
//! - Open members and those being opened are never more than `max_size` together.
//! - Callers are served strictly in the order they came; a returned member is handed to the first
//!   of them directly, and no caller can overtake.
//! - A member is handed out only if it is open, and tested first if it has been unused for long. A
//!   dead one is replaced without its caller losing its place.
//! - A member is opened on a task of the pool. If the caller it is for gives up, the next one
//!   uses it; if it fails, the caller who has waited longest is told, and the others get a try of
//!   their own within their own time.
//! - Every wait ends: at the caller's deadline, or `acquire_timeout`.
//! - While no caller waits, a get and return on the same core take no lock that another core takes, and
//!   allocate nothing.
//!
//! # Example
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! use jackfield_pool::{Connect, Pool, PoolOptions};
//!
//! struct Numbers(AtomicU32);
//!
//! impl Connect for Numbers {
//!     type Member = u32;
//!     async fn open(&self, _: tokio::time::Instant) -> jackfield_plugin_api::Result<u32> {
//!         Ok(self.0.fetch_add(1, Relaxed))
//!     }
//!     fn is_open(&self, _: &u32) -> bool {
//!         true
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new(Numbers(AtomicU32::new(7)), &PoolOptions::default())?;
//! let first = pool.get().await?;
//! assert_eq!(*first, 7);
//! drop(first);
//! assert_eq!(*pool.get().await?, 7, "used again");
//! # Ok(())
//! # }
//! ```

mod chain;
mod config;
mod connect;
mod effects;
mod error;
mod guard;
mod maintain;
mod pockets;
mod queue;
mod recent;
mod shared;
mod slots;
mod stats;
mod waiter;

#[cfg(test)]
mod tests;

use jackfield_timers::timeout_at;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jackfield_plugin_api::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::time::Instant;

pub use config::PoolOptions;
pub use connect::Connect;
pub use error::AcquireError;
pub use guard::Pooled;
pub use stats::{CloseCause, PoolTotals, Stats, Waits};

use config::Bounds;
use shared::{PoolCore, now};
use slots::Slots;
use waiter::Acquire;

/// Reusable members for callers that come and go. Cheap to clone; the clones are one pool. When
/// the last one is dropped, the pool is closed: unused members at once, the others as they come back.
pub struct Pool<C: Connect> {
    owner: Arc<Owner<C>>,
}

/// Closes the pool when it is dropped. Members hold the pool they belong to, and would keep it for ever.
struct Owner<C: Connect>(Arc<PoolCore<C>>);

impl<C: Connect> Drop for Owner<C> {
    fn drop(&mut self) {
        maintain::close_pool(&self.0);
    }
}

impl<C: Connect> Pool<C> {
    /// A pool whose members `connect` opens, on the runtime of the caller. `min_idle` of them are
    /// opened at once, in the background.
    ///
    /// # Errors
    /// An option is out of range ([`PoolOptions::check`]), or there is no runtime
    /// ([`ErrorKind::Unsupported`]).
    pub fn new(connect: C, options: &PoolOptions) -> Result<Self> {
        options.check()?;
        let runtime = Handle::try_current()
            .map_err(|_| Error::unsupported("making a pool outside a runtime"))?;
        let slots = Slots::new(Bounds::from(options));
        let shared = Arc::new(PoolCore::new(connect, slots, runtime));
        let clock = maintain::watch_clock(Arc::downgrade(&shared), Arc::clone(&shared.alarm));
        drop(shared.runtime.spawn(clock));
        Ok(Self { owner: Arc::new(Owner(shared)) })
    }

    /// A member, for the caller alone or, with `share` above 1, together with others. Waits for
    /// `acquire_timeout` at most. Cancel safe.
    ///
    /// # Errors
    /// See [`AcquireError`].
    pub async fn get(&self) -> Result<Pooled<C>, AcquireError> {
        self.acquire(None, |_| true).await
    }

    /// As [`get`](Self::get), but waits until `deadline` at most.
    ///
    /// # Errors
    /// See [`AcquireError`].
    pub async fn get_by(&self, deadline: Instant) -> Result<Pooled<C>, AcquireError> {
        self.get_where(deadline, |_| true).await
    }

    /// As [`get_by`](Self::get_by), but only a member that was opened this moment or that `fits` the
    /// caller. One that does not is closed, and another opened in its place.
    ///
    /// # Errors
    /// See [`AcquireError`].
    pub async fn get_where(
        &self,
        deadline: Instant,
        fits: impl Fn(&C::Member) -> bool,
    ) -> Result<Pooled<C>, AcquireError> {
        self.acquire(Some(deadline.into_std()), fits).await
    }

    /// A member that is there, open, and not due for a test; `None` rather than wait. Nothing is
    /// opened for the caller.
    pub fn try_get(&self) -> Option<Pooled<C>> {
        loop {
            let pooled = self.shared().request_now()?;
            if self.shared().connect.is_open(&pooled) {
                return Some(pooled);
            }
            // Its drop sees that it is closed, and it is not seen again.
        }
    }

    fn shared(&self) -> &Arc<PoolCore<C>> {
        &self.owner.0
    }

    async fn acquire(
        &self,
        deadline: Option<std::time::Instant>,
        fits: impl Fn(&C::Member) -> bool,
    ) -> Result<Pooled<C>, AcquireError> {
        let mut acquire = Acquire::new(self.shared(), deadline);
        loop {
            let mut pooled = (&mut acquire).await?;
            let Some(cause) = pooled.fault().await else {
                if pooled.is_fresh() || fits(&pooled) {
                    return Ok(pooled);
                }
                acquire.replace(pooled, CloseCause::Idle);
                continue;
            };
            if pooled.is_fresh() {
                // Opening another at once would do so in a circle.
                return Err(AcquireError::Open(Error::new(
                    ErrorKind::Closed,
                    "the connection was closed as soon as it had been opened",
                )));
            }
            acquire.replace(pooled, cause);
        }
    }

    /// Whether a caller that comes now need not wait for another: a member has room, or one may be
    /// opened.
    pub fn has_room(&self) -> bool {
        self.shared().has_room()
    }

    /// Closes the pool without waiting: callers are refused from now on, those who wait too; unused
    /// members are closed, used ones when they come back.
    pub fn close(&self) {
        maintain::close_pool(self.shared());
    }

    /// The pool at this moment.
    pub fn stats(&self) -> Stats {
        self.shared().stats()
    }

    /// Puts other options in force at once. What is now too many is closed as it becomes free;
    /// who waits already keeps its deadline.
    ///
    /// # Errors
    /// As [`PoolOptions::check`]; nothing has changed then.
    pub fn set_options(&self, options: &PoolOptions) -> Result<()> {
        options.check()?;
        let (limits, now) = (Bounds::from(options), now());
        self.shared().run(|slots, fx| slots.set_limits(limits, now, fx));
        // What is too many now may be there.
        self.shared().empty_pockets();
        Ok(())
    }

    /// Closes the pool: callers are refused from now on, those who wait too, and unused members
    /// are closed. Waits until `deadline` for those in use to come back, then closes them under
    /// their users. Cancelled, it leaves the pool closed and waits no longer.
    pub async fn drain(&self, deadline: Instant) -> Drained {
        maintain::close_pool(self.shared());
        let waits = async {
            loop {
                let mut drained = std::pin::pin!(self.shared().drained.notified());
                drained.as_mut().enable();
                if self.shared().lock().is_drained() {
                    return;
                }
                drained.await;
            }
        };
        if timeout_at(deadline, waits).await.is_ok() {
            return Drained { abandoned: 0 };
        }
        let abandoned = self.shared().run(|slots, fx| slots.abandon(fx));
        Drained { abandoned }
    }

    /// [`drain`](Self::drain) within `span` from now.
    pub async fn drain_within(&self, span: Duration) -> Drained {
        self.drain(Instant::now() + span).await
    }

    /// What opens the members.
    pub fn connect(&self) -> &C {
        &self.shared().connect
    }
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Drained {
    /// Members that were closed while they were in use.
    pub abandoned: usize,
}

impl<C: Connect> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner) }
    }
}

impl<C: Connect> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.stats()).finish()
    }
}

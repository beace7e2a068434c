//! The tasks of a pool: one that watches the clock, and one for each member being opened. None
//! keeps the pool alive; all end by themselves when it is gone or closed.

use jackfield_timers::{sleep, sleep_until, timeout_at};
use std::sync::{Arc, Weak};

use jackfield_plugin_api::{Error, ErrorKind, Result};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connect::Connect;
use super::effects::Approval;
use super::guard::PoolEntry;
use super::recent::GRAIN;
use super::shared::{PoolCore, close, now};
use super::stats::CloseCause;

/// Watches the clock: callers' deadlines, members' ages, and `min_idle`.
pub(super) async fn watch_clock<C: Connect>(pool: Weak<PoolCore<C>>, alarm: Arc<Notify>) {
    let _closer = Closer(pool.clone());
    while let Some(next) = tick(&pool) {
        tokio::select! {
            () = sleep_till(next) => {}
            () = renew_time(&pool) => {}
            () = alarm.notified() => {}
        }
    }
}

async fn sleep_till(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Keeps the time that the pool goes by from growing old while the pool is in use. Ends when the pool
/// is gone.
async fn renew_time<C: Connect>(pool: &Weak<PoolCore<C>>) {
    let mut awake = pool.upgrade().is_some_and(|pool| pool.recent.is_awake());
    while awake {
        sleep(GRAIN).await;
        let Some(pool) = pool.upgrade() else { return };
        awake = pool.recent.renew(now());
        pool.empty_pockets();
    }
    // Whoever uses the pool again sets the alarm.
    std::future::pending::<()>().await;
}

/// `None` when the pool is gone or closed; else when to look again.
fn tick<C: Connect>(pool: &Weak<PoolCore<C>>) -> Option<Option<Instant>> {
    let pool = pool.upgrade()?;
    let now = now();
    // Alarms may come so often that the reading never gets old enough to be renewed on its own.
    pool.recent.refresh(now);
    pool.empty_pockets();
    let (next, closed) = pool.run(|slots, fx| (slots.tick(now, fx), slots.is_closed()));
    (!closed).then(|| next.map(Instant::from_std))
}

/// Without its clock a pool would wait for ever; it is closed when the runtime ends before it.
struct Closer<C: Connect>(Weak<PoolCore<C>>);

impl<C: Connect> Drop for Closer<C> {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            close_pool(&pool);
        }
    }
}

/// Refuses callers, closes what is unused, stops what is being opened.
pub(super) fn close_pool<C: Connect>(pool: &Arc<PoolCore<C>>) {
    let now = now();
    let ((), after) = pool.step(|slots, fx| slots.close(now, fx));
    pool.closed.send_replace(true);
    pool.alarm.notify_one();
    pool.finish(after);
}

/// Opens one member and puts it into the pool, or says why not. It goes on when the caller that it
/// was begun for gives up, as the next can use the member.
pub(super) fn open<C: Connect>(
    pool: &Arc<PoolCore<C>>,
    approval: Approval,
) -> impl Future<Output = ()> + Send + use<C> {
    let opening = OpenAttempt {
        pool: Arc::downgrade(pool),
        connect: Arc::clone(&pool.connect),
        approval: Some(approval),
    };
    let mut closed = pool.closed.subscribe();
    let span = pool.lock().limits().acquire_timeout;
    async move {
        let deadline = Instant::now() + span;
        let connect = Arc::clone(&opening.connect);
        let opened = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => Err(cancelled()),
            opened = timeout_at(deadline, connect.open(deadline)) => opened.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::TimedOut, format!("not connected within {span:?}")))
            }),
        };
        opening.finish(opened);
    }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the pool was closed while a connection was being opened")
}

/// An opening under way. Its approval goes back whatever happens: success, failure, a panic, or a
/// runtime that ends.
struct OpenAttempt<C: Connect> {
    pool: Weak<PoolCore<C>>,
    connect: Arc<C>,
    approval: Option<Approval>,
}

impl<C: Connect> OpenAttempt<C> {
    fn finish(mut self, opened: Result<C::Member>) {
        self.give_back(opened);
    }

    fn give_back(&mut self, opened: Result<C::Member>) {
        let Some(approval) = self.approval.take() else { return };
        let Some(pool) = self.pool.upgrade() else {
            if let Ok(member) = opened {
                close(&*self.connect, Arc::new(member), CloseCause::Drained);
            }
            return;
        };
        let now = now();
        match opened {
            Ok(member) => {
                let entry = PoolEntry { pool: Arc::clone(&pool), member: Arc::new(member) };
                let (entry, jitter) = (Arc::new(entry), fastrand::f64());
                pool.run(|slots, fx| slots.opened(approval, entry, jitter, now, fx));
            }
            Err(error) => pool.run(|slots, fx| slots.open_failed(approval, error, now, fx)),
        }
    }
}

impl<C: Connect> Drop for OpenAttempt<C> {
    fn drop(&mut self) {
        if self.approval.is_some() {
            let panicked = std::thread::panicking();
            self.give_back(Err(if panicked {
                Error::new(ErrorKind::Panicked, "opening a connection panicked")
            } else {
                Error::new(ErrorKind::Cancelled, "the runtime ended while a connection was opened")
            }));
        }
    }
}

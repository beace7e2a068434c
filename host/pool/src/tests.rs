//! Pools with callers, tasks and a paused clock: no test waits for real time.

mod callers;
mod defects;
mod doubts;
mod members;
mod random;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use jackfield_plugin_api::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{AcquireError, CloseCause, Connect, Pool, PoolOptions, Pooled};

/// A target that does as it is told.
#[derive(Default)]
struct Target {
    /// Openings begun.
    begun: AtomicUsize,
    /// Members alive: opened and not yet dropped.
    alive: AtomicUsize,
    most_alive: AtomicUsize,
    down: AtomicBool,
    panics: AtomicBool,
    /// Openings wait for a permit each.
    gate: Option<Semaphore>,
    /// Members are closed from the start.
    stillborn: AtomicBool,
    invalid: AtomicBool,
    validated: AtomicUsize,
    validation_hangs: AtomicBool,
    resets: AtomicBool,
    reset_fails: AtomicBool,
    reset_done: AtomicUsize,
    closes: std::sync::Mutex<Vec<(usize, CloseCause)>>,
}

#[derive(Debug)]
struct Member {
    id: usize,
    open: AtomicBool,
    target: Arc<Target>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Target")
    }
}

impl Member {
    fn die(&self) {
        self.open.store(false, SeqCst);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.target.alive.fetch_sub(1, SeqCst);
    }
}

/// Connects to a target that the test keeps hold of.
struct Dial(Arc<Target>);

impl Connect for Dial {
    type Member = Member;

    async fn open(&self, _: Instant) -> Result<Member> {
        let id = self.0.begun.fetch_add(1, SeqCst);
        if let Some(gate) = &self.0.gate {
            gate.acquire().await.unwrap().forget();
        }
        assert!(!self.0.panics.load(SeqCst), "told to panic");
        if self.0.down.load(SeqCst) {
            return Err(Error::new(ErrorKind::Unreachable, "nobody listens there"));
        }
        let alive = self.0.alive.fetch_add(1, SeqCst) + 1;
        self.0.most_alive.fetch_max(alive, SeqCst);
        let open = AtomicBool::new(!self.0.stillborn.load(SeqCst));
        Ok(Member { id, open, target: Arc::clone(&self.0) })
    }

    fn is_open(&self, member: &Member) -> bool {
        member.open.load(SeqCst)
    }

    async fn validate(&self, _: &Member) -> bool {
        self.0.validated.fetch_add(1, SeqCst);
        if self.0.validation_hangs.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        !self.0.invalid.load(SeqCst)
    }

    fn needs_reset(&self, _: &Member) -> bool {
        self.0.resets.load(SeqCst)
    }

    async fn reset(&self, _: &Member) -> bool {
        tokio::task::yield_now().await;
        self.0.reset_done.fetch_add(1, SeqCst);
        !self.0.reset_fails.load(SeqCst)
    }

    fn close(&self, member: Arc<Member>, cause: CloseCause) {
        member.die();
        self.0.closes.lock().unwrap().push((member.id, cause));
    }
}

impl Target {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Openings wait until the test lets them through.
    fn gated() -> Arc<Self> {
        Arc::new(Self { gate: Some(Semaphore::new(0)), ..Self::default() })
    }

    fn let_through(&self, count: usize) {
        self.gate.as_ref().unwrap().add_permits(count);
    }

    #[expect(clippy::needless_pass_by_value, reason = "shorter calls")]
    fn pool(self: &Arc<Self>, options: PoolOptions) -> Pool<Dial> {
        Pool::new(Dial(Arc::clone(self)), &options).unwrap()
    }

    fn alive(&self) -> usize {
        self.alive.load(SeqCst)
    }

    fn begun(&self) -> usize {
        self.begun.load(SeqCst)
    }

    fn closes(&self) -> Vec<(usize, CloseCause)> {
        self.closes.lock().unwrap().clone()
    }
}

fn size(max_size: u32) -> PoolOptions {
    PoolOptions { max_size, ..PoolOptions::default() }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets every other task run until none can go on.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// A caller on a task of its own.
fn caller(pool: &Pool<Dial>) -> tokio::task::JoinHandle<Result<Pooled<Dial>, AcquireError>> {
    let pool = pool.clone();
    tokio::spawn(async move { pool.get().await })
}

//! Timers on a thread of their own.
//!
//! A runtime that waits for its sockets waits no longer than for its next timer. The kernel then sets a timer for each
//! such wait and takes it back, which is a seventh of what a short message through a relay costs. So the timers of a
//! host are not those of the runtime that has its sockets: once [`start`] was called they are on a thread that does
//! nothing else, and wake their tasks from there. Until then, as in tests whose clock stands still, they are those of
//! the runtime that they are made in.
//!
//! The functions are those of [`tokio::time`] by the same names, cancel safe as they are.

use std::convert::Infallible;
use std::io;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::time::{self, Instant, Interval, Sleep, Timeout};

static TIMERS: OnceLock<Handle> = OnceLock::new();

/// From now on timers are on a thread of their own, for as long as the process lives. A second call changes nothing.
///
/// # Errors
/// The system gives no thread.
pub fn start() -> io::Result<()> {
    if TIMERS.get().is_some() {
        return Ok(());
    }
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let handle = runtime.handle().clone();
    let run = move || match runtime.block_on(keep_one_near()) {};
    thread::Builder::new().name("jackfield-timer".to_owned()).spawn(run)?;
    // Another that was started at the same time has its place.
    let _ = TIMERS.set(handle);
    Ok(())
}

/// Keeps a timer that is due within a second. The thread sleeps until its next timer; one that is due before that wakes
/// it, which takes a system call for each connection that is opened with a time limit.
async fn keep_one_near() -> Infallible {
    loop {
        time::sleep(Duration::from_secs(1)).await;
    }
}

/// While the answer lives, timers are made on the thread for them.
fn enter() -> Option<EnterGuard<'static>> {
    TIMERS.get().map(Handle::enter)
}

/// As [`tokio::time::sleep`].
pub fn sleep(duration: Duration) -> Sleep {
    let _entered = enter();
    time::sleep(duration)
}

/// As [`tokio::time::sleep_until`].
pub fn sleep_until(deadline: Instant) -> Sleep {
    let _entered = enter();
    time::sleep_until(deadline)
}

/// As [`tokio::time::timeout`].
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    let _entered = enter();
    time::timeout(duration, future)
}

/// As [`tokio::time::timeout_at`].
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    let _entered = enter();
    time::timeout_at(deadline, future)
}

/// As [`tokio::time::interval`].
///
/// # Panics
/// A period of zero.
pub fn interval(period: Duration) -> Interval {
    let _entered = enter();
    time::interval(period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_wake_tasks_of_a_runtime_that_has_none() {
        start().expect("a thread");
        start().expect("the same");
        let runtime = Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let soon = Duration::from_millis(1);
        let done = runtime.spawn(async move {
            sleep(soon).await;
            sleep_until(Instant::now() + soon).await;
            let mut ticks = interval(soon);
            ticks.tick().await;
            ticks.tick().await;
            let never = std::future::pending::<()>();
            timeout(soon, never).await.is_err()
                && timeout_at(Instant::now() + soon, std::future::pending::<()>()).await.is_err()
                && timeout(Duration::MAX, std::future::ready(())).await.is_ok()
        });
        assert!(runtime.block_on(done).expect("no panic"));
    }
}

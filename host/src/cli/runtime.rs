//! What every command stands on: logs, a runtime, signals.

pub(super) use super::log::{level, start_client_log, start_log};
pub(super) use super::signals::{HostSignal, SignalInfo, Signals};

use super::failure::{Failure, Outcome};
use crate::config::Config;
use crate::driver::still_running;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// How long threads of plugins that block may hold up the end of the process.
const GRACE: Duration = Duration::from_millis(200);

/// As [`block_on`], for what serves connections: with [timers](crate::timers) on a thread of their own.
pub(super) fn serve_on<T>(config: &Config, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    crate::timers::start().map_err(|error| no_threads(&error))?;
    block_on(config, work)
}

fn no_threads(error: &std::io::Error) -> Failure {
    Failure::run(format!("no threads: {error}"))
}

/// Runs `work` on a runtime of its own, as the configuration wants it, to its end. Threads that
/// block, in plugins or on standard input, do not hold up the end.
pub(super) fn block_on<T>(config: &Config, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime =
        build(usize::from(config.host.worker_threads)).map_err(|error| no_threads(&error))?;
    let outcome = runtime.block_on(work);
    match blocked() {
        None => runtime.shutdown_timeout(GRACE),
        Some(running) => {
            tracing::error!(
                running,
                "code of a plugin did not stop in time: the process ends without it"
            );
            // A thread that blocks in a plugin ends with the process, and no sooner.
            runtime.shutdown_background();
        }
    }
    outcome
}

/// Does `work` as a task of the runtime: the thread that hears of what it waits for goes on with it, while the thread of
/// the command would have to be woken each time. Cancel safe as `work` is, which is dropped soon after this.
pub(super) async fn as_task<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let mut tasks = JoinSet::new();
    tasks.spawn(work);
    match tasks.join_next().await {
        Some(Ok(done)) => done,
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends, and this with it.
        _ => std::future::pending().await,
    }
}

/// The calls into plugins that do not return, by names. A call that returns soon blocks nothing.
fn blocked() -> Option<String> {
    let end = Instant::now() + GRACE;
    loop {
        let running = still_running();
        if running.is_empty() {
            return None;
        }
        if Instant::now() >= end {
            return Some(running.join("; "));
        }
        // Not a timer of the runtime, whose threads may all be blocked.
        std::thread::park_timeout(GRACE / 20);
    }
}

fn build(threads: usize) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.thread_name("jackfield").enable_all().build()
}

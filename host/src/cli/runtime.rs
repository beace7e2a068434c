//! What every command stands on: logs, a runtime, signals.

pub(super) use super::log::{level, start_client_log, start_log};
pub(super) use super::signals::{HostSignal, SignalInfo, Signals};

use super::failure::{Failure, Outcome};
use crate::config::Config;
use crate::driver::still_running;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How long threads of plugins that block may hold up the end of the process.
const GRACE: Duration = Duration::from_millis(200);

/// Runs `work` on a runtime of its own, as the configuration wants it, to its end. Threads that
/// block, in plugins or on standard input, do not hold up the end.
pub(super) fn block_on<T>(config: &Config, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = build(usize::from(config.host.worker_threads))
        .map_err(|error| Failure::run(format!("no threads: {error}")))?;
    let outcome = runtime.block_on(work);
    if still_running().is_empty() {
        runtime.shutdown_timeout(GRACE);
    } else {
        // A thread that blocks in a plugin ends with the process, and no sooner.
        runtime.shutdown_background();
    }
    outcome
}

fn build(threads: usize) -> std::io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.thread_name("jackfield").enable_all().build()
}

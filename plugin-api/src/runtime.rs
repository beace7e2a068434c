//! The runtime of a plugin whose protocol crate needs tokio's own: made by this crate on first use,
//! one per plugin, entered on every poll and drop that crosses the boundary. Authors never see it.

#[cfg(feature = "private-runtime")]
mod private {
    use crate::error::{Error, ErrorKind, Result};
    use crate::raw::{caught, quietly};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::OnceLock;
    use tokio::runtime::{Builder, EnterGuard, Runtime};

    static RUNTIME: OnceLock<Runtime> = OnceLock::new();

    /// Starts the runtime if there is none yet; threads are named after `plugin`.
    pub(crate) fn start(plugin: &str, threads: usize) -> Result<()> {
        if RUNTIME.get().is_some() {
            return Ok(());
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name(plugin)
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Io, error.to_string()).with("runtime", plugin)
            })?;
        // A runtime made by a racing thread stays; ours ends without having run anything.
        if let Err(spare) = RUNTIME.set(runtime) {
            spare.shutdown_background();
        }
        Ok(())
    }

    /// Nothing where there is no runtime, and on a thread that ends, whose context is gone: what runs
    /// there then runs without it.
    #[inline(always)]
    pub(crate) fn enter() -> Option<EnterGuard<'static>> {
        enter_runtime(RUNTIME.get()?)
    }

    fn enter_runtime(runtime: &'static Runtime) -> Option<EnterGuard<'static>> {
        quietly(|| runtime.enter())
    }

    /// Leaves what [`enter`] has entered. A call that has left a guard of its own behind, of this runtime
    /// or another, has entered that: the next call enters this one again.
    #[inline(always)]
    pub(crate) fn leave(entered: Option<EnterGuard<'static>>) {
        if let Some(entered) = entered {
            leave_runtime(entered);
        }
    }

    fn leave_runtime(entered: EnterGuard<'static>) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(entered))) {
            caught(payload);
        }
    }
}

#[cfg(feature = "private-runtime")]
pub(crate) use private::{enter, leave, start};

/// There is no runtime to enter.
#[cfg(not(feature = "private-runtime"))]
pub(crate) struct NoRuntime;

#[cfg(not(feature = "private-runtime"))]
pub(crate) fn enter() -> NoRuntime {
    NoRuntime
}

#[cfg(not(feature = "private-runtime"))]
pub(crate) fn leave(_: NoRuntime) {}

/// Without the feature there is nothing to start: a driver that needs it says so at `init`.
#[cfg(not(feature = "private-runtime"))]
pub(crate) fn start(plugin: &str, _threads: usize) -> crate::error::Result<()> {
    Err(crate::error::Error::unsupported("a private runtime without the feature private-runtime")
        .with("plugin", plugin))
}

//! Blocking work of plugins: a bounded number runs, a bounded number waits.

use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{Error, ErrorKind};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// The most pieces of work of one plugin that run or wait.
const LIMIT: usize = 64;

pub(super) struct Blocking(Arc<Semaphore>);

impl Default for Blocking {
    fn default() -> Self {
        Blocking(Arc::new(Semaphore::new(LIMIT)))
    }
}

impl Blocking {
    pub(super) fn run(&self, runtime: &Handle, work: Box<dyn FnOnce() + Send>) -> Op<()> {
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else {
            return Op::ready(Err(Error::new(
                ErrorKind::Limit,
                format!("{LIMIT} pieces of blocking work of this plugin are already waiting"),
            )));
        };
        let task = runtime.spawn_blocking(move || {
            work();
            drop(permit);
        });
        Op::new(async move {
            task.await.map_err(|_| Error::new(ErrorKind::Panicked, "blocking work panicked"))
        })
    }
}

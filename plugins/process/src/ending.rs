//! [`Running`]: a child for as long as its session lives, and [`Endings`]: what ends it after that.

use crate::kid::{Exit, Kid};
use jackfield_plugin_api::Op;
use jackfield_plugin_api::{Host, Result};
use rustix::process::Signal;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Children that were asked to end and have some time left to do so.
#[derive(Default)]
pub(crate) struct Endings(Mutex<State>);

#[derive(Default)]
struct State {
    tasks: HashMap<u64, Op<()>>,
    next: u64,
}

impl Endings {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a child `grace` to end, then kills it and what is left of its group.
    fn add(self: &Arc<Self>, host: Host, kid: Arc<Kid>, grace: Duration) {
        // Held until the task is in the table, from which it takes itself.
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        let endings = Arc::clone(self);
        let task = host.spawn(async move {
            // Either way its time is over.
            let _ = host.timeout(grace, "ending", kid.exited(&host)).await;
            drop(kid);
            let task = endings.state().tasks.remove(&number);
            drop(task);
        });
        state.tasks.insert(number, task);
    }
}

/// A child with a session. Dropping it asks the group to end.
pub(crate) struct Running {
    pub(crate) kid: Arc<Kid>,
    pub(crate) host: Host,
    /// The terminal, for its size.
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) grace: Duration,
    pub(crate) endings: Arc<Endings>,
}

impl Running {
    fn ask(&self) {
        // A shell ignores TERM, and takes the loss of its terminal for its end.
        let signal = if self.terminal.is_some() { Signal::HUP } else { Signal::TERM };
        // Nobody may be left to ask.
        let _ = self.kid.signal(signal);
        // Who is stopped hears nothing.
        let _ = self.kid.signal(Signal::CONT);
    }

    /// Asks the child to end, kills its group after `grace`, and answers how it has ended.
    ///
    /// # Errors
    /// The host cannot watch it.
    pub(crate) async fn end(&self) -> Result<Exit> {
        if let Some(exit) = self.kid.exit() {
            return Ok(exit);
        }
        self.ask();
        let ended = self.host.timeout(self.grace, "ending", self.kid.exited(&self.host)).await;
        if ended.is_err() {
            // It may just have ended.
            let _ = self.kid.signal(Signal::KILL);
        }
        self.kid.exited(&self.host).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ask();
        if self.kid.exit().is_none() && !self.grace.is_zero() {
            self.endings.add(self.host, Arc::clone(&self.kid), self.grace);
        }
    }
}

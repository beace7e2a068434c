//! [`Kid`]: a child and its process group.

use crate::signals;
use jackfield_plugin_api::Interest;
use jackfield_plugin_api::{Host, Result};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;

/// How a child has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Exit {
    /// Its exit status, unless a signal has ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_status: Option<i32>,
    /// The signal that has ended it, without `SIG`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_signal: Option<String>,
}

/// A child, the leader of a process group. What is left of the group is killed on drop.
///
/// The child is taken off the system's list only then: as long as it is there, no other process can get
/// the number by which the group is signalled.
#[derive(Debug)]
pub(crate) struct Kid {
    child: Option<Child>,
    pid: Pid,
    watch: OwnedFd,
}

impl Kid {
    /// Takes over a child that leads its group.
    pub(crate) fn new(child: Child) -> io::Result<Kid> {
        let pid = Pid::from_child(&child);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(watch) => Ok(Kid { child: Some(child), pid, watch }),
            Err(error) => {
                end(pid, child);
                Err(error.into())
            }
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// How it has ended; `None` while it runs.
    pub(crate) fn exit(&self) -> Option<Exit> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::PidFd(self.watch.as_fd()), look).ok()??;
        let exit_signal = status.terminating_signal().map(signals::name_of);
        Some(Exit { exit_status: status.exit_status(), exit_signal })
    }

    /// Waits for its end. Cancel safe.
    ///
    /// # Errors
    /// The host cannot watch it.
    pub(crate) async fn exited(&self, host: &Host) -> Result<Exit> {
        let mut ready = host.watch(&self.watch)?;
        loop {
            if let Some(exit) = self.exit() {
                return Ok(exit);
            }
            Host::ready(&mut ready, Interest::Read).await?;
            if self.exit().is_none() {
                ready.clear_ready(Interest::Read);
            }
        }
    }

    /// Signals the whole group.
    ///
    /// # Errors
    /// None of it is left.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process_group(self.pid, signal)?)
    }
}

impl Drop for Kid {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            end(self.pid, child);
        }
    }
}

fn end(pid: Pid, mut child: Child) {
    // Nobody may be left to kill.
    let _ = kill_process_group(pid, Signal::KILL);
    if !matches!(child.try_wait(), Ok(Some(_))) {
        // A killed child ends as soon as the kernel lets it; nothing here may wait for that.
        std::thread::spawn(move || child.wait());
    }
}

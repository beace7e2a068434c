//! Readiness of descriptors that stay a plugin's own.

use crate::handover::{Handover, ReadGate};
use jackfield_plugin_api::services::{FdIo, Interest};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;

/// A second descriptor of the same open file, so that the plugin may close its own at any time.
struct WatchedSocket {
    fd: AsyncFd<OwnedFd>,
    /// Whether this process may read it, where only one may.
    gate: Option<Arc<ReadGate>>,
    /// Waits until it may.
    opened: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

pub(super) fn watch(fd: BorrowedFd<'_>, handover: &Handover) -> Result<Box<dyn FdIo>> {
    let gate = handover.gate(fd);
    let copy = fd.try_clone_to_owned()?;
    #[allow(deprecated, reason = "sound for an OwnedFd, which cannot change its descriptor")]
    let fd = AsyncFd::new(copy)
        .map_err(|error| Error::new(ErrorKind::Io, error.to_string()).with("call", "watch"))?;
    Ok(Box::new(WatchedSocket { fd, gate, opened: None }))
}

fn ready_now(fd: &OwnedFd, interest: Interest) -> bool {
    let wanted = match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    };
    let at_once = Timespec::default();
    let mut fds = [PollFd::new(fd, wanted)];
    matches!(poll(&mut fds, Some(&at_once)), Ok(1..))
}

impl WatchedSocket {
    /// Ready while this process may read.
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(gate) = self.gate.as_ref().filter(|gate| !gate.is_open()) else {
            self.opened = None;
            return Poll::Ready(());
        };
        let opened = self.opened.get_or_insert_with(|| Box::pin(Arc::clone(gate).opened()));
        opened.as_mut().poll(cx).map(|()| self.opened = None)
    }
}

impl FdIo for WatchedSocket {
    fn poll_ready(&mut self, interest: Interest, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if interest == Interest::Read {
            ready!(self.poll_gate(cx));
        }
        let ready = match interest {
            Interest::Read => self.fd.poll_read_ready(cx),
            Interest::Write => self.fd.poll_write_ready(cx),
        };
        // Readiness stays until the plugin says that the system would block.
        ready.map(|guard| guard.map(|mut guard| guard.retain_ready()).map_err(Error::from))
    }

    fn clear_ready(&mut self, interest: Interest) {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let ready = match interest {
            Interest::Read => self.fd.poll_read_ready(&mut context),
            Interest::Write => self.fd.poll_write_ready(&mut context),
        };
        if let Poll::Ready(Ok(mut guard)) = ready {
            // What became ready after the plugin's call must not be forgotten: it would not be told
            // again. What does so after this look has a readiness of its own.
            if ready_now(guard.get_inner(), interest) {
                guard.retain_ready();
            } else {
                guard.clear_ready();
            }
        }
    }
}

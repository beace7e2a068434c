//! [`Pipes`]: a bounded pool of the kernel pipes that `splice` moves bytes through.

use crossbeam_queue::ArrayQueue;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// The size asked for each pipe, in bytes: the most that an unprivileged process may ask for by
/// default. The more moves at once, the fewer wake-ups: 64 KiB costs a third more CPU time. The
/// kernel may refuse; then the pipe stays as it was made.
const PIPE_SIZE: usize = 1024 * 1024;

/// The pipes of [`Pipes::shared`].
const SHARED_LIMIT: usize = 256;

/// A pool of kernel pipes. A relay takes one per direction while bytes flow and gives it back when
/// it is empty; a relay that finds none left copies instead.
#[derive(Debug)]
pub struct Pipes {
    /// Without a lock: every relay takes pipes from here, and gives them back, with each burst of bytes.
    idle: ArrayQueue<Ends>,
    /// Pipes that exist: idle or taken.
    open: AtomicUsize,
    limit: usize,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipes {
    /// A pool of at most `limit` pipes (two descriptors each), made as they are needed.
    pub fn new(limit: usize) -> Self {
        Pipes { idle: ArrayQueue::new(limit.max(1)), open: AtomicUsize::new(0), limit }
    }

    /// The pool of the process: 256 pipes of at most 1 MiB.
    pub fn shared() -> Arc<Self> {
        static SHARED: LazyLock<Arc<Pipes>> = LazyLock::new(|| Arc::new(Pipes::new(SHARED_LIMIT)));
        Arc::clone(&SHARED)
    }

    /// Pipes that exist.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Pipes that wait for use.
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// An empty pipe; `None` when the pool or the process has none left.
    pub(super) fn take(self: &Arc<Self>) -> Option<Pipe> {
        let ends = match self.idle.pop() {
            Some(ends) => ends,
            None => self.make()?,
        };
        Some(Pipe { ends: Some(ends), held: 0, pool: Arc::clone(self) })
    }

    fn make(&self) -> Option<Ends> {
        let more = |open| (open < self.limit).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        let Ok((read, write)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) else {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        };
        // A process over its share of pipe memory keeps the smaller pipe.
        let _ = fcntl_setpipe_size(&write, PIPE_SIZE);
        Some(Ends { read, write })
    }
}

/// A pipe taken from the pool. Dropped empty it goes back, dropped with bytes in it it is closed:
/// they must not come out in another connection.
#[derive(Debug)]
pub(super) struct Pipe {
    /// There until it is dropped.
    ends: Option<Ends>,
    /// Bytes in it.
    pub(super) held: usize,
    pool: Arc<Pipes>,
}

impl Pipe {
    pub(super) const SIZE: usize = PIPE_SIZE;

    /// The end that gives bytes out.
    pub(super) fn reader(&self) -> Result<&OwnedFd, Errno> {
        self.ends.as_ref().map(|ends| &ends.read).ok_or(Errno::BADF)
    }

    /// The end that takes bytes in.
    pub(super) fn writer(&self) -> Result<&OwnedFd, Errno> {
        self.ends.as_ref().map(|ends| &ends.write).ok_or(Errno::BADF)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take() else { return };
        // There is room for all that exist.
        if self.held > 0 || self.pool.idle.push(ends).is_err() {
            self.pool.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

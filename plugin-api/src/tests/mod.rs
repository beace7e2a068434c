//! Every object of the data plane, made and used in one binary: what is polled goes through the same
//! tables as between a host and a plugin.

#[cfg(feature = "testing")]
mod around;
#[cfg(feature = "testing")]
mod authoring;
#[cfg(feature = "private-runtime")]
mod contexts;
mod datagrams;
mod exchange;
mod faults;
#[cfg(feature = "testing")]
#[expect(unreachable_pub, reason = "the macros write for the root of a crate")]
mod kit;
mod lies;
mod messages;
mod op;
mod services;
mod session;
mod stream;
mod values;
mod waker;
#[cfg(feature = "host")]
mod watch;

use crate::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

/// How often something happened.
#[derive(Clone, Default, Debug)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Counts when it is dropped, and panics if it is told to.
struct OnDrop {
    dropped: Count,
    panics: bool,
}

impl OnDrop {
    fn count(dropped: &Count) -> Self {
        OnDrop { dropped: dropped.clone(), panics: false }
    }
    fn panic(dropped: &Count) -> Self {
        OnDrop { dropped: dropped.clone(), panics: true }
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.dropped.add();
        assert!(!self.panics, "told to panic when dropped");
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.add();
    }
}

/// A waker that counts what is done with it.
#[derive(Clone, Default, Debug)]
struct Task {
    clones: Count,
    drops: Count,
    wakes: Count,
}

static TASK: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: the data is the `Task` behind `Task::waker`, which outlives its wakers in a test.
        let task = unsafe { &*data.cast::<Task>() };
        task.clones.add();
        RawWaker::new(data, &TASK)
    },
    // SAFETY: as above.
    |data| unsafe { &*data.cast::<Task>() }.woken_by_value(),
    // SAFETY: as above.
    |data| unsafe { &*data.cast::<Task>() }.wakes.add(),
    // SAFETY: as above.
    |data| unsafe { &*data.cast::<Task>() }.drops.add(),
);

impl Task {
    /// A task for the rest of the process.
    fn new() -> &'static Task {
        Box::leak(Box::default())
    }

    fn woken_by_value(&self) {
        self.wakes.add();
        self.drops.add();
    }

    /// Its waker; not counted as a clone.
    fn waker(&'static self) -> Waker {
        // SAFETY: the table treats the data as the `Task` it is, which lives for ever.
        unsafe { Waker::from_raw(RawWaker::new(std::ptr::from_ref(self).cast(), &TASK)) }
    }
}

/// Polls once as a task that nobody wakes.
fn once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
fn panicked<T: std::fmt::Debug>(result: Result<T, impl Into<Error>>) {
    let error: Error = result.expect_err("a panic").into();
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    assert!(error.message().contains("told to"), "{error}");
}

//! Wakers across the boundary.

use super::Task;
use crate::raw::{WakerCell, with_raw_waker};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

/// One poll by the task of `waker`, as the other side sees it.
fn poll<R>(
    cell: &mut WakerCell,
    waker: &Waker,
    inner: impl FnOnce(&mut Context<'_>) -> Poll<R>,
) -> Poll<R> {
    // SAFETY: the waker is lent for the call.
    with_raw_waker(&Context::from_waker(waker), |raw| unsafe { cell.poll(raw, inner) })
}

fn pending(cell: &mut WakerCell, waker: &Waker) {
    assert!(poll::<()>(cell, waker, |_| Poll::Pending).is_pending());
}

#[test]
fn a_task_that_polls_again_is_not_cloned_again() {
    let task = Task::new();
    let waker = task.waker();
    let mut cell = WakerCell::default();
    for _ in 0..5 {
        pending(&mut cell, &waker);
    }
    assert_eq!(task.clones.get(), 1);
    drop(cell);
    assert_eq!(task.drops.get(), 1);
}

#[test]
fn a_poll_that_is_ready_clones_nothing() {
    let task = Task::new();
    let mut cell = WakerCell::default();
    assert_eq!(poll(&mut cell, &task.waker(), |_| Poll::Ready(7)), Poll::Ready(7));
    assert_eq!(task.clones.get(), 0);
}

#[test]
fn a_poll_that_keeps_the_waker_clones_it_once_and_the_next_poll_knows_it() {
    let task = Task::new();
    let waker = task.waker();
    let mut cell = WakerCell::default();
    let mut kept = Vec::new();
    for _ in 0..2 {
        let ready = poll(&mut cell, &waker, |cx| {
            kept.extend([cx.waker().clone(), cx.waker().clone()]);
            Poll::Ready(())
        });
        assert!(ready.is_ready());
    }
    assert_eq!(task.clones.get(), 1);
    assert!(kept.windows(2).all(|pair| pair[0].will_wake(&pair[1])));
    kept.into_iter().for_each(Waker::wake);
    assert_eq!(task.wakes.get(), 4);
}

#[test]
fn another_task_takes_the_place_of_the_first() {
    let (first, second) = (Task::new(), Task::new());
    let mut cell = WakerCell::default();
    let mut kept = None;
    for task in [first, second] {
        let _ = poll::<()>(&mut cell, &task.waker(), |cx| {
            kept = Some(cx.waker().clone());
            Poll::Pending
        });
    }
    kept.take().unwrap().wake();
    assert_eq!((first.wakes.get(), second.wakes.get()), (0, 1));
    // What the first task left is given back: its own clone and the one that was kept inside.
    assert_eq!(first.drops.get(), first.clones.get() + 1);
    drop(cell);
    assert_eq!(second.drops.get(), second.clones.get() + 1);
}

#[test]
fn inside_the_other_side_the_same_task_is_recognised() {
    let waker = Task::new().waker();
    let mut cell = WakerCell::default();
    pending(&mut cell, &waker);
    let mut kept: Option<Waker> = None;
    for _ in 0..3 {
        let _ = poll::<()>(&mut cell, &waker, |cx| {
            if let Some(kept) = &kept {
                assert!(kept.will_wake(cx.waker()));
            }
            kept = Some(cx.waker().clone());
            Poll::Pending
        });
    }
}

#[test]
fn a_wake_after_everything_was_dropped_is_harmless() {
    let task = Task::new();
    let mut cell = WakerCell::default();
    let mut kept = None;
    let _ = poll::<()>(&mut cell, &task.waker(), |cx| {
        kept = Some(cx.waker().clone());
        Poll::Pending
    });
    drop(cell);
    let kept = kept.unwrap();
    kept.wake_by_ref();
    kept.wake_by_ref();
    kept.wake();
    assert_eq!(task.wakes.get(), 3);
    // `Task::waker` is dropped beside the clone.
    assert_eq!((task.clones.get(), task.drops.get()), (1, 2));
}

/// A session of the host under a layer of a plugin: the second crossing lends what was lent to it.
fn crossed_twice(outer: &mut WakerCell, inner: &mut WakerCell, waker: &Waker) -> Option<Waker> {
    let mut kept = None;
    let _ = poll::<()>(outer, waker, |cx| {
        // SAFETY: the waker is lent for the call.
        with_raw_waker(cx, |raw| unsafe {
            inner.poll(raw, |cx| {
                kept = Some(cx.waker().clone());
                Poll::Pending
            })
        })
    });
    kept
}

#[test]
fn two_tasks_whose_lent_wakers_lie_at_one_address_are_told_apart() {
    let (first, second) = (Task::new(), Task::new());
    let (one, other) = (first.waker(), second.waker());
    let (mut outer, mut inner) = (WakerCell::default(), WakerCell::default());
    // Both crossings are made from the same place of the same stack.
    for (round, waker) in [&one, &other, &one, &other].into_iter().enumerate() {
        let (a, b) = (first.wakes.get(), second.wakes.get());
        crossed_twice(&mut outer, &mut inner, waker).unwrap().wake();
        let woken = (first.wakes.get() - a, second.wakes.get() - b);
        assert_eq!(woken, if round % 2 == 0 { (1, 0) } else { (0, 1) }, "round {round}");
    }
}

#[test]
fn two_crossings_settle_to_no_clones() {
    let task = Task::new();
    let waker = task.waker();
    let (mut outer, mut inner) = (WakerCell::default(), WakerCell::default());
    for _ in 0..3 {
        crossed_twice(&mut outer, &mut inner, &waker);
    }
    let settled = task.clones.get();
    for _ in 0..10 {
        crossed_twice(&mut outer, &mut inner, &waker);
    }
    assert_eq!(task.clones.get(), settled);
}

struct Unwakeable;

impl Wake for Unwakeable {
    fn wake(self: Arc<Self>) {
        panic!("told to panic when woken");
    }
}

impl Drop for Unwakeable {
    fn drop(&mut self) {
        panic!("told to panic when dropped");
    }
}

#[test]
fn a_waker_that_panics_does_not_unwind_into_the_other_side() {
    let waker = Waker::from(Arc::new(Unwakeable));
    let mut cell = WakerCell::default();
    let _ = poll::<()>(&mut cell, &waker, |cx| {
        cx.waker().wake_by_ref();
        let kept = cx.waker().clone();
        kept.wake();
        Poll::Pending
    });
    // The last of them is dropped by the other side.
    assert!(catch_unwind(AssertUnwindSafe(|| drop(waker))).is_ok());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(cell))).is_ok());
}

#[test]
fn a_waker_that_cannot_be_cloned_wakes_nobody() {
    static TABLE: RawWakerVTable =
        RawWakerVTable::new(|_| panic!("told to panic when cloned"), |_| {}, |_| {}, |_| {});
    // SAFETY: the table uses no data.
    let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) };
    let mut cell = WakerCell::default();
    let mut kept = None;
    let _ = poll::<()>(&mut cell, &waker, |cx| {
        kept = Some(cx.waker().clone());
        Poll::Pending
    });
    kept.unwrap().wake();
}

/// Wakes, clones and drops from other threads all the time, while polls go on and long after.
#[test]
fn wakers_may_be_used_from_any_thread_at_any_time() {
    #[derive(Default)]
    struct Woken(std::sync::atomic::AtomicUsize);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    const POLLS: usize = 200;
    const THREADS: usize = 4;
    let tasks: Vec<Arc<Woken>> = (0..3).map(|_| Arc::default()).collect();
    let mut senders = Vec::new();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (send, receive) = std::sync::mpsc::channel::<Waker>();
            senders.push(send);
            std::thread::spawn(move || {
                let mut kept = Vec::new();
                for waker in receive {
                    let storm: Vec<Waker> = (0..8).map(|_| waker.clone()).collect();
                    waker.wake_by_ref();
                    storm.into_iter().for_each(Waker::wake);
                    kept.push(waker);
                }
                // The object and its tasks' polls are gone.
                kept.into_iter().for_each(Waker::wake);
            })
        })
        .collect();
    let mut cell = WakerCell::default();
    for round in 0..POLLS {
        let waker = Waker::from(Arc::clone(&tasks[round % tasks.len()]));
        let _ = poll::<()>(&mut cell, &waker, |cx| {
            // Also while the lent waker is only lent.
            let lent = cx.waker();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let own = lent.clone();
                    own.wake_by_ref();
                });
                lent.wake_by_ref();
            });
            for send in &senders {
                send.send(cx.waker().clone()).expect("a thread");
            }
            if round % 2 == 0 { Poll::Pending } else { Poll::Ready(()) }
        });
    }
    drop((cell, senders));
    threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
    let woken: usize =
        tasks.iter().map(|task| task.0.load(std::sync::atomic::Ordering::Relaxed)).sum();
    assert_eq!(woken, POLLS * (2 + THREADS * 10));
    assert!(tasks.into_iter().all(|task| Arc::into_inner(task).is_some()), "no clone is left");
}

/// A waker of the plugin's own that wakes another from inside, as combinators do.
#[test]
fn a_waker_may_be_cloned_and_dropped_while_it_wakes() {
    struct Chain(std::sync::Mutex<Option<Waker>>);
    impl Wake for Chain {
        fn wake(self: Arc<Self>) {
            let next = self.0.lock().unwrap().take().expect("woken once");
            let copies = (next.clone(), next.clone());
            next.wake();
            drop(copies);
        }
    }
    let task = Task::new();
    let mut cell = WakerCell::default();
    let mut kept = None;
    let _ = poll::<()>(&mut cell, &task.waker(), |cx| {
        kept = Some(Waker::from(Arc::new(Chain(std::sync::Mutex::new(Some(cx.waker().clone()))))));
        Poll::Pending
    });
    let waker = kept.expect("a waker");
    drop(cell);
    waker.wake();
    assert_eq!(task.wakes.get(), 1);
    assert_eq!(task.drops.get(), task.clones.get() + 1);
}

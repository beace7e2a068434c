//! What code can do beside failing: some of it no host in the same process can bear.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::waker_clone_wake,
    reason = "it does what must not be done"
)]

use schemars::JsonSchema;
use serde::Deserialize;
use std::hint::black_box;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

/// Threads that are started.
const THREADS: usize = 50;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Panics with a megabyte of text that has line ends and colours in it.
    PanicLong,
    /// Panics in a thread of its own.
    PanicInThread,
    /// Panics in a drop while another panic unwinds.
    PanicUnwinding,
    /// Does not return for ten seconds.
    BlockAWhile,
    /// Computes without end.
    Loop,
    /// Wakes itself without end.
    Storm,
    /// Wakes from many threads, also when it is long gone.
    WakesFromThreads,
    /// Leaves threads behind that do not end.
    Threads,
    /// Leaves a guard of its runtime behind.
    KeepGuard,
    /// Needs its own runtime: a timer and a task of it.
    OwnRuntime,
    /// Raises the signal of a broken pipe.
    SigPipe,
    /// Aborts.
    Abort,
    /// Raises the signal of a fault of memory.
    SegFault,
    /// Ends the process.
    Exit,
    /// Asks for more memory than there is.
    Allocate,
    /// Calls itself without end.
    Recurse,
}

struct Again;

impl Drop for Again {
    fn drop(&mut self) {
        panic!("told to panic while a panic unwinds");
    }
}

fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + room[0] }
}

fn raise(signal: rustix::process::Signal) {
    let this = rustix::process::getpid();
    rustix::process::kill_process(this, signal).expect("a process may signal itself");
}

impl Deed {
    /// What needs no waiting.
    pub(crate) fn done(self) {
        match self {
            Deed::PanicLong => panic!("told\n\x1b[31mto\r\nWARN panic {}", "x".repeat(1 << 20)),
            Deed::PanicInThread => {
                thread::spawn(|| panic!("told to panic in a thread")).join().expect_err("a panic");
            }
            Deed::PanicUnwinding => {
                let _again = Again;
                panic!("told to panic");
            }
            Deed::BlockAWhile => thread::sleep(Duration::from_secs(10)),
            Deed::Loop => loop {
                black_box(());
            },
            Deed::Threads => {
                for _ in 0..THREADS {
                    thread::spawn(|| crate::fault::block());
                }
            }
            Deed::KeepGuard => {
                let runtime = Box::leak(Box::new(tokio::runtime::Handle::current()));
                std::mem::forget(runtime.enter());
            }
            Deed::SigPipe => raise(rustix::process::Signal::PIPE),
            // The standard library's handler takes the first one for a stack overflow, sees that it is none,
            // puts the default action back and returns: a real fault happens again, one that was sent
            // must be sent until it ends the process.
            Deed::SegFault => loop {
                raise(rustix::process::Signal::SEGV);
            },
            Deed::Abort => std::process::abort(),
            Deed::Exit => std::process::exit(3),
            Deed::Allocate => drop(black_box(Vec::<u8>::with_capacity(64 << 40))),
            Deed::Recurse => drop(black_box(recurse(0))),
            Deed::Storm | Deed::WakesFromThreads | Deed::OwnRuntime => {}
        }
    }

    /// What does.
    pub(crate) async fn awaited(self) {
        match self {
            Deed::Storm => {
                std::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    Poll::<()>::Pending
                })
                .await;
            }
            Deed::WakesFromThreads => {
                let mut polls = 0;
                std::future::poll_fn(|cx| {
                    wake_from_threads(cx.waker());
                    polls += 1;
                    if polls > 3 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            Deed::OwnRuntime => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                tokio::spawn(tokio::time::sleep(Duration::from_millis(1))).await.expect("a task");
            }
            _ => {}
        }
    }
}

fn wake_from_threads(waker: &Waker) {
    for _ in 0..4 {
        let waker = waker.clone();
        thread::spawn(move || {
            for _ in 0..1_000 {
                waker.clone().wake();
            }
            thread::sleep(Duration::from_millis(300));
            waker.wake();
        });
    }
}

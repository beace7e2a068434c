//! What a call leaves behind on its thread: guards of runtimes, and threads that end.

use super::{Count, OnDrop, panicked};
use crate::op::{Op, Transfer};
use crate::{Result, Stream, Task};
use std::cell::RefCell;
use tokio::runtime::{Builder, Handle, Runtime};

fn crossed<T: Transfer>(value: T) -> T {
    // SAFETY: used once.
    unsafe { T::from_raw(value.into_raw()) }
}

/// Runs one call to its end on this thread, without a runtime around it, as a plain thread of a host.
fn call<T: Transfer>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    futures_util::FutureExt::now_or_never(crossed(Op::new(async { call() }))).expect("at once")
}

/// The plugin's private runtime is there, and a timer can be made in it.
fn works() {
    let named = call(|| {
        drop(tokio::time::sleep(std::time::Duration::ZERO));
        Ok(())
    });
    assert_eq!(named, Ok(()));
}

fn another() -> &'static Runtime {
    Box::leak(Box::new(Builder::new_current_thread().build().expect("a runtime")))
}

#[test]
fn guards_of_runtimes_that_are_left_behind_cost_at_most_their_call() {
    crate::runtime::start("test", 1).expect("a runtime");
    works();
    type Leave = fn() -> Result<()>;
    let left: [(&str, Leave); 4] = [
        ("of the private runtime", || {
            std::mem::forget(Box::leak(Box::new(Handle::current())).enter());
            Ok(())
        }),
        ("of another runtime", || {
            std::mem::forget(another().enter());
            Ok(())
        }),
        ("two, dropped out of order", || {
            let first = another().enter();
            let second = another().enter();
            drop(first);
            drop(second);
            Ok(())
        }),
        ("one, and a panic", || {
            std::mem::forget(another().enter());
            panic!("told to panic")
        }),
    ];
    for (case, left) in left {
        for _ in 0..3 {
            // Its own panic, or nothing: what it had done was done.
            if let Err(error) = call(left) {
                assert_eq!(error.kind(), crate::ErrorKind::Panicked, "{case}: {error}");
            }
            works();
        }
    }
    panicked(call(left[3].1));
    works();
}

#[test]
fn a_task_ends_with_its_owner_and_says_what_became_of_it() {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        assert_eq!(Task::spawn(async { 7 }).await, Ok(7));
        let panics = Task::<()>::spawn(async { panic!("told to panic") });
        assert_eq!(panics.await.expect_err("a panic").kind(), crate::ErrorKind::Panicked);
        let dropped = Count::default();
        let guard = OnDrop::count(&dropped);
        let task = Task::spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        drop(task);
        while dropped.get() == 0 {
            tokio::task::yield_now().await;
        }
    });
}

thread_local! {
    static KEPT: RefCell<Vec<Stream>> = const { RefCell::new(Vec::new()) };
}

struct Io(tokio::io::DuplexStream, #[expect(dead_code, reason = "for its drop")] OnDrop);

mod io {
    use super::Io;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    impl AsyncRead for Io {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Io {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }
        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }
        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }
}

#[test]
fn an_object_that_is_dropped_while_its_thread_ends_is_only_dropped() {
    crate::runtime::start("test", 1).expect("a runtime");
    let dropped = Count::default();
    for panics in [false, true] {
        let dropped = dropped.clone();
        std::thread::spawn(move || {
            // Registered first, so dropped last: after the runtime's own words of this thread.
            KEPT.with_borrow_mut(Vec::clear);
            works();
            let on_drop = if panics { OnDrop::panic(&dropped) } else { OnDrop::count(&dropped) };
            let io = Io(tokio::io::duplex(8).0, on_drop);
            KEPT.with_borrow_mut(|kept| kept.push(crossed(Stream::new(io))));
        })
        .join()
        .expect("the thread ends");
    }
    assert_eq!(dropped.get(), 2);
}

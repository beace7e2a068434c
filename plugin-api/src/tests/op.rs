//! Operations: what is awaited across the boundary.

use super::{Count, OnDrop, Task, once, panicked};
use crate::op::{Op, Transfer};
use crate::{Error, ErrorKind, Result};
use bytes::Bytes;
use std::future::{pending, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// An operation on the other side of the boundary.
fn crossed<T: Transfer>(future: impl Future<Output = Result<T>> + Send + 'static) -> Op<T> {
    // SAFETY: used once.
    unsafe { Op::from_raw(Op::new(future).into_raw()) }
}

#[tokio::test]
async fn each_kind_of_result_arrives() {
    crossed(ready(Ok(()))).await.unwrap();
    assert_eq!(crossed(ready(Ok(Bytes::from_static(b"x")))).await.unwrap(), "x");
    assert_eq!(crossed(ready(Ok(Bytes::new()))).await.unwrap(), "");
    let long = Duration::new(1_000_000, 999_999_999);
    assert_eq!(crossed(ready(Ok(long))).await.unwrap(), long);
    assert_eq!(crossed(ready(Ok(Some(long)))).await.unwrap(), Some(long));
    assert_eq!(crossed(ready(Ok(None::<Bytes>))).await.unwrap(), None);
    assert_eq!(crossed(ready(Ok(Some(Some(()))))).await.unwrap(), Some(Some(())));
    let error = Error::new(ErrorKind::Denied, "no").with("user", "x");
    assert_eq!(crossed(ready(Err::<(), _>(error.clone()))).await, Err(error));
    // An operation can be the result of one.
    crossed(ready(Ok(Op::ready(Ok(()))))).await.unwrap().await.unwrap();
}

#[tokio::test]
async fn a_panic_becomes_an_error_and_polling_on_is_harmless() {
    let mut op = crossed(async {
        assert!(Bytes::new().len() == 1, "told to panic");
        Ok(())
    });
    panicked((&mut op).await);
    // It was dropped with the panic: an async block that has panicked would panic again.
    assert_eq!((&mut op).await.expect_err("no result").kind(), ErrorKind::Unsupported);
    drop(op);
}

#[tokio::test]
async fn a_finished_operation_says_so_when_polled_again() {
    let mut op = crossed(ready(Ok(())));
    (&mut op).await.unwrap();
    assert_eq!((&mut op).await.expect_err("finished").kind(), ErrorKind::Unsupported);
}

#[test]
fn dropping_it_cancels_and_gives_the_waker_back() {
    let (dropped, task) = (Count::default(), Task::new());
    let guard = OnDrop::count(&dropped);
    let mut op = crossed(async move {
        let _guard = guard;
        pending::<Result<()>>().await
    });
    for _ in 0..3 {
        let waker = task.waker();
        assert!(Pin::new(&mut op).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!((dropped.get(), task.clones.get()), (0, 1));
    drop(op);
    assert_eq!((dropped.get(), task.drops.get()), (1, 4), "three wakers of ours, one clone");
}

#[test]
fn what_a_future_holds_is_dropped_when_it_has_finished() {
    let dropped = Count::default();
    let guard = OnDrop::count(&dropped);
    let mut op = crossed(async move {
        drop(guard);
        Ok(())
    });
    assert_eq!(once(|cx| Pin::new(&mut op).poll(cx)), Poll::Ready(Ok(())));
    assert_eq!(dropped.get(), 1);
    drop(op);
    assert_eq!(dropped.get(), 1);
}

#[tokio::test]
async fn a_panic_in_a_drop_costs_the_result_and_nothing_else() {
    let dropped = Count::default();
    // Never polled, dropped as it is.
    let guard = OnDrop::panic(&dropped);
    drop(crossed(async move {
        let _guard = guard;
        Ok(())
    }));
    assert_eq!(dropped.get(), 1);
    // Dropped when it is finished, after its value was made.
    let guard = OnDrop::panic(&dropped);
    panicked(
        crossed(std::future::poll_fn(move |_| {
            let _ = &guard;
            Poll::Ready(Ok(Bytes::from_static(b"value")))
        }))
        .await,
    );
    assert_eq!(dropped.get(), 2);
}

//! What callers meet: order, deadlines, refusals, cancellation.

use std::task::Poll;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_timeout_says_how_the_pool_stood() {
    let pool = Target::new().pool(size(1));
    let _held = pool.get().await.unwrap();
    let start = Instant::now();
    let error = pool.get().await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 30, "the default of acquire_timeout");
    let AcquireError::TimedOut { in_use: 1, opening: 0, max_size: 1, .. } = error else {
        panic!("{error:?}");
    };
    let error = Error::from(error);
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.message().contains("1 of 1 in use"), "{error}");
    assert_eq!(pool.stats().totals.timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn each_caller_keeps_its_own_deadline() {
    let pool = Target::new().pool(size(1));
    let held = pool.get().await.unwrap();
    let start = Instant::now();
    let get = |span| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let got = pool.get_by(start + seconds(span)).await;
            (start.elapsed().as_secs(), got.is_ok())
        })
    };
    let (long, short, middle) = (get(20), get(1), get(5));
    assert_eq!(short.await.unwrap(), (1, false));
    assert_eq!(middle.await.unwrap(), (5, false));
    drop(held);
    assert_eq!(long.await.unwrap(), (5, true));
    let late = pool.get_by(start).await;
    assert!(late.is_ok(), "a free member is handed out even when the time is up");
    assert!(matches!(pool.get_by(start).await, Err(AcquireError::TimedOut { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_caller_beyond_max_waiters_is_refused_at_once() {
    let pool = Target::new().pool(PoolOptions { max_waiters: 2, ..size(1) });
    let held = pool.get().await.unwrap();
    let waiting = [caller(&pool), caller(&pool)];
    settle().await;
    let error = pool.get().await.unwrap_err();
    let expected = AcquireError::TooManyWaiters { waiting: 2, in_use: 1, max_size: 1 };
    assert_eq!(error, expected);
    assert_eq!(Error::from(error).kind(), ErrorKind::Limit);
    drop(held);
    for waiting in waiting {
        waiting.await.unwrap().unwrap().discard();
    }
}

#[tokio::test(start_paused = true)]
async fn no_callers_may_wait_yet_members_are_opened_for_them() {
    let pool = Target::new().pool(PoolOptions { max_waiters: 0, ..size(2) });
    let _one = pool.get().await.unwrap();
    let _two = pool.get().await.unwrap();
    assert!(matches!(pool.get().await, Err(AcquireError::TooManyWaiters { .. })));
}

#[tokio::test(start_paused = true)]
async fn when_the_target_is_down_every_caller_gets_a_try_of_its_own() {
    let target = Target::new();
    target.down.store(true, SeqCst);
    let pool = target.pool(size(2));
    let start = Instant::now();
    let callers: Vec<_> = (0..20).map(|_| caller(&pool)).collect();
    for caller in callers {
        let AcquireError::Open(error) = caller.await.unwrap().unwrap_err() else { panic!() };
        assert_eq!(error.kind(), ErrorKind::Unreachable);
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "nobody waited for a timeout");
    assert!(target.begun() >= 20);
    let stats = pool.stats();
    assert_eq!((stats.opening, stats.waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn when_opening_hangs_every_caller_times_out() {
    let target = Target::gated();
    let pool = target.pool(size(2));
    let start = Instant::now();
    let callers: Vec<_> = (0..20).map(|_| caller(&pool)).collect();
    for caller in callers {
        assert!(caller.await.unwrap().is_err());
    }
    assert!(start.elapsed() <= seconds(31), "{:?}", start.elapsed());
    settle().await;
    assert!(target.begun() <= 4, "at most one more for each that hung");
}

#[tokio::test(start_paused = true)]
async fn a_member_opened_for_a_caller_that_gave_up_serves_the_next() {
    let target = Target::gated();
    let pool = target.pool(size(4));
    let first = caller(&pool);
    settle().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let second = caller(&pool);
    settle().await;
    target.let_through(1);
    assert_eq!(second.await.unwrap().unwrap().id, 0);
    assert_eq!(target.begun(), 1, "the opening under way was enough");
}

#[tokio::test(start_paused = true)]
async fn a_member_handed_to_a_cancelled_caller_goes_to_the_next() {
    let pool = Target::new().pool(size(1));
    let held = pool.get().await.unwrap();
    let (first, second) = (caller(&pool), caller(&pool));
    settle().await;
    // Handed to the first, who is cancelled before it can look.
    drop(held);
    first.abort();
    assert_eq!(second.await.unwrap().unwrap().id, 0);
    assert!(first.await.unwrap_err().is_cancelled());
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.in_use, stats.waiting), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn cancelled_callers_leave_nothing() {
    let pool = Target::new().pool(size(1));
    let held = pool.get().await.unwrap();
    for _ in 0..100 {
        let waits = tokio::time::timeout(Duration::from_millis(1), pool.get()).await;
        assert!(waits.is_err());
    }
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.totals.cancelled), (0, 100));
    drop(held);
    assert_eq!(pool.get().await.unwrap().id, 0);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_member_does_not_cost_its_caller_its_place() {
    let target = Target::gated();
    target.let_through(1);
    let pool = target.pool(size(1));
    pool.get().await.unwrap().die();
    let first = pool.get();
    tokio::pin!(first);
    // It is served the dead one, and waits for another to be opened.
    let pending = std::future::poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending()));
    assert!(pending.await);
    let second = caller(&pool);
    settle().await;
    target.let_through(1);
    let first = first.await.unwrap();
    assert!(!second.is_finished());
    drop(first);
    second.await.unwrap().unwrap().discard();
}

#[tokio::test(start_paused = true)]
async fn try_get_neither_waits_nor_opens_nor_tests() {
    let target = Target::new();
    let pool = target.pool(size(1));
    assert!(pool.try_get().is_none());
    assert_eq!(target.begun(), 0);
    drop(pool.get().await.unwrap());
    let held = pool.try_get().unwrap();
    assert!(pool.try_get().is_none());
    drop(held);
    tokio::time::sleep(seconds(11)).await;
    assert!(pool.try_get().is_none(), "it is due for a test");
    drop(pool.get().await.unwrap());
    assert_eq!(target.validated.load(SeqCst), 1, "and still was after try_get");
    pool.try_get().unwrap().die();
    assert!(pool.try_get().is_none());
}

#[tokio::test(start_paused = true)]
async fn sharing_fills_members_before_it_opens_more() {
    let target = Target::new();
    let pool = target.pool(PoolOptions { share: 4, ..size(2) });
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(pool.get().await.unwrap());
    }
    assert_eq!(target.begun(), 1);
    for _ in 0..4 {
        held.push(pool.get().await.unwrap());
    }
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.users, target.begun()), (2, 8, 2));
    let ninth = caller(&pool);
    settle().await;
    assert!(!ninth.is_finished());
    let freed = held.remove(0).id;
    assert_eq!(ninth.await.unwrap().unwrap().id, freed);
}

#[tokio::test(start_paused = true)]
async fn one_opening_serves_as_many_callers_as_may_share_it() {
    let target = Target::gated();
    let pool = target.pool(PoolOptions { share: 4, ..size(3) });
    let callers: Vec<_> = (0..4).map(|_| caller(&pool)).collect();
    settle().await;
    assert_eq!(target.begun(), 1);
    target.let_through(1);
    let mut guards = Vec::new();
    for caller in callers {
        guards.push(caller.await.unwrap().unwrap());
    }
    assert!(guards.iter().all(|guard| guard.id == 0));
}

/// Threads that really run at the same time: a hand-over that is lost between two of them is a caller that
/// waits until its time is up.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_back_on_one_core_serves_who_waits_on_another() {
    const TASKS: u64 = 12;
    const TIMES: u64 = 2_000;
    let target = Target::new();
    let pool = target.pool(size(3));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let pool = pool.clone();
        tasks.spawn(async move {
            for time in 0..TIMES {
                let held = pool.get().await.unwrap();
                if (time + task).is_multiple_of(3) {
                    tokio::task::yield_now().await;
                }
                drop(held);
                // Now and then nobody waits, and what comes back is kept where it came back.
                if time.is_multiple_of(7) {
                    tokio::time::sleep(Duration::from_micros(50)).await;
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.users, stats.waiting), (0, 0, 0));
    assert_eq!(stats.totals.direct + stats.totals.handed_over, TASKS * TIMES);
    assert_eq!(stats.idle, target.alive());
    assert!(target.most_alive.load(SeqCst) <= 3);
    drop(pool);
    assert_eq!(target.alive(), 0, "members outlive their pool");
}

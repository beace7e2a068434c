//! What becomes of members: tests, resets, ages, limits, the end.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_member_unused_for_long_is_tested_and_replaced_if_it_fails() {
    let target = Target::new();
    let pool = target.pool(size(2));
    drop(pool.get().await.unwrap());
    tokio::time::advance(seconds(9)).await;
    drop(pool.get().await.unwrap());
    assert_eq!(target.validated.load(SeqCst), 0, "not unused for long");
    tokio::time::sleep(seconds(11)).await;
    assert_eq!(pool.get().await.unwrap().id, 0);
    assert_eq!(target.validated.load(SeqCst), 1);
    tokio::time::sleep(seconds(11)).await;
    target.invalid.store(true, SeqCst);
    assert_eq!(pool.get().await.unwrap().id, 1, "a new one needs no test");
    assert_eq!(target.closes(), [(0, CloseCause::Invalid)]);
}

#[tokio::test(start_paused = true)]
async fn a_test_that_hangs_counts_as_failed() {
    let target = Target::new();
    let pool = target.pool(size(1));
    drop(pool.get().await.unwrap());
    tokio::time::sleep(seconds(11)).await;
    target.validation_hangs.store(true, SeqCst);
    let start = Instant::now();
    assert_eq!(pool.get().await.unwrap().id, 1);
    assert_eq!(start.elapsed().as_secs(), 5, "the default of test_timeout");
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_test_was_cancelled_is_not_used_again() {
    let target = Target::new();
    let pool = target.pool(size(1));
    drop(pool.get().await.unwrap());
    tokio::time::sleep(seconds(11)).await;
    target.validation_hangs.store(true, SeqCst);
    let cancelled = tokio::time::timeout(seconds(1), pool.get()).await;
    assert!(cancelled.is_err());
    assert_eq!(target.closes(), [(0, CloseCause::Discarded)]);
    assert_eq!(pool.get().await.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn a_used_member_is_reset_before_the_next_has_it() {
    let target = Target::new();
    target.resets.store(true, SeqCst);
    let pool = target.pool(size(1));
    drop(pool.get().await.unwrap());
    assert_eq!(pool.stats().in_use, 1, "in use until it is reset");
    let again = pool.get().await.unwrap();
    assert_eq!((again.id, target.reset_done.load(SeqCst)), (0, 1));
    target.reset_fails.store(true, SeqCst);
    drop(again);
    assert_eq!(pool.get().await.unwrap().id, 1);
    assert_eq!(target.closes(), [(0, CloseCause::ResetFailed)]);
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_user_panics_is_not_used_again() {
    let target = Target::new();
    let pool = target.pool(size(1));
    let held = pool.get().await.unwrap();
    let user = tokio::spawn(async move {
        let _held = held;
        panic!("as the test wants");
    });
    assert!(user.await.unwrap_err().is_panic());
    assert_eq!(target.closes(), [(0, CloseCause::Discarded)]);
    assert_eq!(pool.get().await.unwrap().id, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_opening_reaches_the_caller_as_an_error() {
    let target = Target::new();
    target.panics.store(true, SeqCst);
    let pool = target.pool(size(1));
    let AcquireError::Open(error) = pool.get().await.unwrap_err() else { panic!() };
    assert_eq!(error.kind(), ErrorKind::Panicked);
    target.panics.store(false, SeqCst);
    assert_eq!(pool.get().await.unwrap().id, 1, "the approval came back");
}

#[tokio::test(start_paused = true)]
async fn a_member_closed_as_soon_as_it_is_open_is_an_error_not_a_loop() {
    let target = Target::new();
    target.stillborn.store(true, SeqCst);
    let pool = target.pool(size(1));
    let AcquireError::Open(error) = pool.get().await.unwrap_err() else { panic!() };
    assert_eq!((error.kind(), target.begun()), (ErrorKind::Closed, 1));
    assert_eq!(target.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn unused_and_old_members_are_closed_and_min_idle_is_kept() {
    let target = Target::new();
    let pool = target.pool(PoolOptions { min_idle: 2, ..size(5) });
    settle().await;
    assert_eq!((pool.stats().idle, target.begun()), (2, 2), "opened at once");
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(pool.get().await.unwrap());
    }
    drop(held);
    tokio::time::sleep(seconds(331)).await;
    assert_eq!(pool.stats().idle, 2);
    assert_eq!(pool.stats().totals.closed_by(CloseCause::Idle), 3);
    tokio::time::sleep(seconds(1800)).await;
    settle().await;
    assert_eq!(pool.stats().idle, 2, "opened again");
    assert_eq!(pool.stats().totals.closed_by(CloseCause::Lifetime), 2);
    assert_eq!(target.alive(), 2);
}

#[tokio::test(start_paused = true)]
async fn min_idle_is_reached_when_the_target_comes_back() {
    let target = Target::new();
    target.down.store(true, SeqCst);
    let pool = target.pool(PoolOptions { min_idle: 3, ..size(5) });
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(pool.stats().idle, 0);
    assert!(target.begun() < 40, "{} tries in a minute", target.begun());
    target.down.store(false, SeqCst);
    tokio::time::sleep(seconds(31)).await;
    assert_eq!(pool.stats().idle, 3);
}

#[tokio::test(start_paused = true)]
async fn options_change_while_the_pool_works() {
    let target = Target::new();
    let pool = target.pool(size(3));
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(pool.get().await.unwrap());
    }
    let waiting = caller(&pool);
    settle().await;
    assert!(pool.set_options(&size(0)).is_err());
    pool.set_options(&size(4)).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().id, 3, "room for one more");
    pool.set_options(&size(1)).unwrap();
    assert_eq!(pool.stats().idle, 0, "closed at once");
    drop(held);
    let stats = pool.stats();
    assert_eq!((stats.idle, target.alive()), (1, 1));
    assert_eq!(stats.totals.closed_by(CloseCause::Surplus), 3);
}

#[tokio::test(start_paused = true)]
async fn discard_and_detach_end_a_membership() {
    let target = Target::new();
    let pool = target.pool(size(1));
    pool.get().await.unwrap().discard();
    let kept = pool.get().await.unwrap().detach();
    let third = pool.get().await.unwrap();
    assert_eq!((kept.id, third.id), (1, 2));
    drop((pool, third));
    assert!(kept.open.load(SeqCst), "what was taken out is not closed");
    assert_eq!(target.closes(), [(0, CloseCause::Discarded), (2, CloseCause::Drained)]);
}

#[tokio::test(start_paused = true)]
async fn a_discarded_member_is_closed_when_its_other_users_are_done() {
    let target = Target::new();
    let pool = target.pool(PoolOptions { share: 2, ..size(1) });
    let (one, two) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    one.discard();
    assert!(pool.try_get().is_none(), "nobody new gets it");
    assert!(two.open.load(SeqCst));
    drop(two);
    assert_eq!(target.closes(), [(0, CloseCause::Discarded)]);
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_borrowed_members_then_closes_them() {
    let target = Target::new();
    let pool = target.pool(size(3));
    let (quick, slow) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    drop(pool.get().await.unwrap());
    let user = tokio::spawn(async move {
        tokio::time::sleep(seconds(2)).await;
        drop(quick);
    });
    let start = Instant::now();
    let drained = pool.drain_within(seconds(5)).await;
    assert_eq!((drained.abandoned, start.elapsed().as_secs()), (1, 5));
    user.await.unwrap();
    assert!(!slow.open.load(SeqCst), "closed under its user");
    drop(slow);
    let causes: Vec<_> = target.closes().into_iter().map(|(_, cause)| cause).collect();
    assert_eq!(causes, [CloseCause::Drained, CloseCause::Drained, CloseCause::Abandoned]);
    assert_eq!(target.alive(), 0);
    assert!(matches!(pool.get().await, Err(AcquireError::Closed)));
    assert_eq!(pool.drain_within(seconds(5)).await.abandoned, 0);
}

#[tokio::test(start_paused = true)]
async fn drain_ends_as_soon_as_the_last_member_is_back() {
    let pool = Target::new().pool(size(1));
    let held = pool.get().await.unwrap();
    let waiting = caller(&pool);
    settle().await;
    let user = tokio::spawn(async move {
        tokio::time::sleep(seconds(2)).await;
        drop(held);
    });
    let start = Instant::now();
    assert_eq!(pool.drain_within(seconds(60)).await.abandoned, 0);
    assert_eq!(start.elapsed().as_secs(), 2);
    user.await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(AcquireError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn drain_stops_what_is_being_opened() {
    let target = Target::gated();
    let pool = target.pool(size(1));
    let waiting = caller(&pool);
    settle().await;
    let start = Instant::now();
    assert_eq!(pool.drain_within(seconds(60)).await.abandoned, 0);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(matches!(waiting.await.unwrap(), Err(AcquireError::Closed)));
}

#[test]
fn a_pool_is_closed_when_its_runtime_ends() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let target = Target::new();
    let pool = runtime.block_on(async {
        let pool = target.pool(size(2));
        drop(pool.get().await.unwrap());
        pool
    });
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(matches!(other.block_on(pool.get()), Err(AcquireError::Closed)));
    assert_eq!(target.alive(), 0);
}

#[test]
fn a_pool_needs_a_runtime_and_says_so() {
    let error = Pool::new(Dial(Target::new()), &size(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

//! What pools of others got wrong, each as a test that fails where the defect is present.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_dead_target_is_never_reported_connected() {
    let target = Target::new();
    target.down.store(true, SeqCst);
    let pool = target.pool(PoolOptions { min_idle: 2, ..size(2) });
    assert!(matches!(pool.get().await, Err(AcquireError::Open(_))));
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.in_use, stats.totals.opened), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dead_member_is_never_handed_out() {
    let target = Target::new();
    let pool = target.pool(size(3));
    let held = [pool.get().await.unwrap(), pool.get().await.unwrap(), pool.get().await.unwrap()];
    let members: Vec<Arc<Member>> = held.iter().map(|held| Arc::clone(held.member())).collect();
    drop(held);
    // All die unused, as when the target restarts.
    members.iter().for_each(|member| member.die());
    drop(members);
    let fresh = pool.get().await.unwrap();
    assert_eq!((fresh.id, target.alive()), (3, 1), "the dead are gone, not only passed over");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_dies_in_use_is_replaced_for_who_waits() {
    let pool = Target::new().pool(size(1));
    let held = pool.get().await.unwrap();
    let waiting = caller(&pool);
    settle().await;
    held.die();
    drop(held);
    assert_eq!(waiting.await.unwrap().unwrap().id, 1);
}

/// Members are returned to the slot they were taken from, whatever they are called: `max_size`
/// rounds by one name and as many by another never block.
#[tokio::test(start_paused = true)]
async fn borrowing_and_returning_never_exhausts_the_pool() {
    let target = Target::new();
    let pool = target.pool(size(2));
    for _ in 0..50 {
        drop(pool.get().await.unwrap());
    }
    let stats = pool.stats();
    assert_eq!((target.begun(), stats.idle, stats.in_use), (1, 1, 0));
}

/// Returning takes the guard by value, so that a second return does not compile; and the ways to
/// return do not add up.
#[tokio::test(start_paused = true)]
async fn a_member_is_returned_once_and_never_held_twice() {
    let pool = Target::new().pool(size(2));
    let held = pool.get().await.unwrap();
    held.discard();
    let (one, two) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    assert_ne!(one.id, two.id);
    assert_eq!(pool.stats().in_use, 2);
}

#[tokio::test(start_paused = true)]
async fn closed_members_are_not_counted() {
    let target = Target::new();
    let pool = target.pool(size(4));
    let held = [pool.get().await.unwrap(), pool.get().await.unwrap()];
    held.iter().for_each(|member| member.die());
    drop(held);
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.in_use, target.alive()), (0, 0, 0));
    assert_eq!(stats.totals.closed_by(CloseCause::Dead), 2);
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_order_and_without_polling() {
    let pool = Target::new().pool(size(1));
    let held = pool.get().await.unwrap();
    let served = Arc::new(std::sync::Mutex::new(Vec::new()));
    let start = Instant::now();
    let callers: Vec<_> = (0..8)
        .map(|number| {
            let (pool, served) = (pool.clone(), Arc::clone(&served));
            tokio::spawn(async move {
                let _held = pool.get().await.unwrap();
                served.lock().unwrap().push(number);
                tokio::task::yield_now().await;
            })
        })
        .collect();
    settle().await;
    drop(held);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(*served.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(start.elapsed(), Duration::ZERO, "no timer was needed to notice a return");
}

#[tokio::test(start_paused = true)]
async fn who_comes_later_never_overtakes() {
    let pool = Target::new().pool(size(1));
    let held = pool.get().await.unwrap();
    let waiting = caller(&pool);
    settle().await;
    drop(held);
    // The member is handed over, though the one it is for has not run yet.
    assert!(pool.try_get().is_none());
    let later = caller(&pool);
    settle().await;
    assert!(waiting.is_finished() && !later.is_finished());
    drop(waiting);
    later.await.unwrap().unwrap().discard();
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_opened_in_part_says_so_and_leaves_nothing_behind() {
    let target = Target::gated();
    let pool = target.pool(PoolOptions { min_idle: 3, ..size(3) });
    target.let_through(2);
    settle().await;
    target.down.store(true, SeqCst);
    target.let_through(1);
    settle().await;
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.totals.open_failed), (2, 1));
    assert_eq!(pool.drain_within(seconds(1)).await.abandoned, 0);
    assert_eq!(target.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_wait_is_without_end_by_default() {
    let target = Target::gated();
    let pool = target.pool(PoolOptions::default());
    let got = tokio::time::timeout(seconds(3600), pool.get()).await;
    assert!(got.expect("ends by itself").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_pool_closes_its_members_and_ends_its_tasks() {
    let tasks = tokio::runtime::Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    let target = Target::new();
    for _ in 0..10 {
        let pool = target.pool(PoolOptions { min_idle: 2, ..size(4) });
        let held = pool.get().await.unwrap();
        drop(pool);
        assert!(held.open.load(SeqCst), "a guard outlives its pool");
        drop(held);
    }
    settle().await;
    assert_eq!(target.alive(), 0);
    assert_eq!(tasks.num_alive_tasks(), before, "no task is left per pool");
}

#[tokio::test(start_paused = true)]
async fn never_more_members_than_max_size_under_a_rush() {
    let target = Target::new();
    let pool = target.pool(size(4));
    let callers: Vec<_> = (0..200).map(|_| caller(&pool)).collect();
    for caller in callers {
        drop(caller.await.unwrap().unwrap());
    }
    assert_eq!(target.most_alive.load(SeqCst), 4);
    assert_eq!(target.begun(), 4);
}

//! Members whose users doubt them, and those that do not fit their next user.

use super::*;
use futures_util::FutureExt;

#[tokio::test(start_paused = true)]
async fn a_doubted_member_that_answers_is_used_again_and_by_nobody_before() {
    let target = Target::gated();
    target.let_through(1);
    let pool = target.pool(size(2));
    let doubted = pool.get().await.unwrap();
    target.validation_hangs.store(true, SeqCst);
    let testing = tokio::spawn(doubted.test());
    settle().await;
    assert!(pool.try_get().is_none(), "it is being tested");
    // Whoever asks now has another opened.
    let other = caller(&pool);
    settle().await;
    assert_eq!(target.begun(), 2);
    target.let_through(1);
    let other = other.await.unwrap().unwrap();
    assert_eq!(other.id, 1);
    // It does not answer in its time.
    assert!(!testing.await.unwrap());
    assert_eq!(target.closes(), [(0, CloseCause::Invalid)]);

    target.validation_hangs.store(false, SeqCst);
    assert!(other.test().await);
    assert_eq!(pool.try_get().unwrap().id, 1);
    assert_eq!(target.closes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_unused_for_as_long_goes_with_a_member_that_does_not_answer() {
    let target = Target::new();
    let pool = target.pool(size(4));
    let mut members = Vec::new();
    for _ in 0..4 {
        members.push(pool.get().await.unwrap());
    }
    let used_later = members.pop().unwrap();
    let doubted = members.pop().unwrap();
    drop(members);
    tokio::time::advance(seconds(1)).await;
    target.validation_hangs.store(true, SeqCst);
    let testing = tokio::spawn(doubted.test());
    settle().await;
    tokio::time::advance(seconds(1)).await;
    // The pool reads its clock.
    settle().await;
    drop(used_later);
    assert!(!testing.await.unwrap());
    let closed: Vec<usize> = target.closes().iter().map(|(id, _)| *id).collect();
    assert_eq!((closed.len(), closed.contains(&3)), (3, false), "{closed:?}");
    assert_eq!(pool.try_get().unwrap().id, 3, "it was used since");
}

#[tokio::test(start_paused = true)]
async fn others_go_on_with_a_shared_member_that_is_doubted() {
    let target = Target::new();
    let pool = target.pool(PoolOptions { share: 3, ..size(2) });
    let (doubted, other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    assert_eq!((doubted.id, other.id), (0, 0));
    target.validation_hangs.store(true, SeqCst);
    let testing = tokio::spawn(doubted.test());
    settle().await;
    assert_eq!(pool.get().await.unwrap().id, 1, "nobody new has it");
    assert_eq!(pool.stats().users, 2);
    testing.abort();
    assert!(testing.await.unwrap_err().is_cancelled());
    // Nothing is known of it, so it is closed once its last user is done.
    assert!(target.closes().is_empty());
    drop(other);
    assert_eq!(target.closes(), [(0, CloseCause::Discarded)]);
}

#[tokio::test(start_paused = true)]
async fn more_than_max_idle_are_not_kept_and_the_oldest_goes() {
    let target = Target::new();
    let pool = target.pool(PoolOptions { max_idle: 1, ..size(3) });
    let (first, second) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    let (older, newer) = (first.id, second.id);
    drop(first);
    tokio::time::advance(seconds(1)).await;
    settle().await;
    drop(second);
    tokio::time::advance(seconds(1)).await;
    settle().await;
    assert_eq!(target.closes(), [(older, CloseCause::Surplus)]);
    assert_eq!(pool.get().await.unwrap().id, newer);

    let none = target.pool(PoolOptions { max_idle: 0, ..size(3) });
    drop(none.get().await.unwrap());
    assert_eq!((none.stats().idle, target.closes().len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_fit_its_next_user_is_replaced() {
    let target = Target::new();
    let pool = target.pool(size(1));
    drop(pool.get().await.unwrap());
    let soon = Instant::now() + seconds(5);
    assert_eq!(pool.get_where(soon, |_| true).await.unwrap().id, 0);
    // What is new fits all.
    assert_eq!(pool.get_where(soon, |_| false).await.unwrap().id, 1);
    assert_eq!(target.closes(), [(0, CloseCause::Idle)]);
}

#[tokio::test(start_paused = true)]
async fn a_member_is_checked_while_its_users_go_on() {
    let target = Target::new();
    let pool = target.pool(PoolOptions { share: 3, ..size(2) });
    let user = pool.get().await.unwrap();
    assert!(user.check().await);
    assert_eq!(pool.get().await.unwrap().id, 0, "it is well, and for others again");

    target.validation_hangs.store(true, SeqCst);
    {
        let mut checking = std::pin::pin!(user.check());
        assert!(checking.as_mut().now_or_never().is_none());
        assert_eq!(pool.get().await.unwrap().id, 1, "nobody new has it meanwhile");
    }
    assert_eq!(pool.stats().in_use, 1, "given up, the check has changed nothing");
    tokio::time::advance(seconds(1)).await;
    assert!(!user.check().await);
    // What was unused since then has gone at once, and this one goes with its user.
    assert_eq!(target.closes(), [(1, CloseCause::Invalid)]);
    assert_eq!(pool.get().await.unwrap().id, 2);
    drop(user);
    assert_eq!(target.closes().len(), 2);
}

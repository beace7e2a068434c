//! Many callers that come, wait, give up and fail at random, under a paused clock.

use super::*;

use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Caller {
    comes: u64,
    gives_up_after: u64,
    holds: u64,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Return,
    Discard,
    Die,
    Detach,
}

fn callers() -> impl Strategy<Value = Vec<Caller>> {
    let end = prop_oneof![
        6 => Just(End::Return),
        1 => Just(End::Discard),
        1 => Just(End::Die),
        1 => Just(End::Detach),
    ];
    let caller =
        (0..50_u64, 0..40_u64, 0..20_u64, end).prop_map(|(comes, gives_up_after, holds, end)| {
            Caller { comes, gives_up_after, holds, end }
        });
    prop::collection::vec(caller, 1..60)
}

async fn play(pool: Pool<Dial>, users: Arc<AtomicUsize>, most: usize, caller: Caller) {
    tokio::time::sleep(Duration::from_millis(caller.comes)).await;
    let patience = Duration::from_millis(caller.gives_up_after);
    let Ok(Ok(held)) = tokio::time::timeout(patience, pool.get()).await else { return };
    assert!(held.open.load(SeqCst), "handed out dead");
    assert!(users.fetch_add(1, SeqCst) < most, "more users than the pool allows");
    tokio::time::sleep(Duration::from_millis(caller.holds)).await;
    users.fetch_sub(1, SeqCst);
    match caller.end {
        End::Return => drop(held),
        End::Discard => held.discard(),
        End::Die => held.die(),
        End::Detach => drop(held.detach()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_callers_do_the_pool_is_whole_afterwards(
        callers in callers(),
        max_size in 1..4_u32,
        share in 1..3_u32,
        resets: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let target = Target::new();
            target.resets.store(resets, SeqCst);
            let pool = target.pool(PoolOptions { share, ..size(max_size) });
            let (users, most) = (Arc::new(AtomicUsize::new(0)), (max_size * share) as usize);
            let tasks: Vec<_> = callers
                .into_iter()
                .map(|caller| tokio::spawn(play(pool.clone(), Arc::clone(&users), most, caller)))
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            settle().await;
            let stats = pool.stats();
            assert_eq!((stats.in_use, stats.users, stats.waiting, stats.opening), (0, 0, 0, 0));
            assert_eq!(stats.idle, target.alive());
            assert_eq!(stats.totals.opened, stats.totals.closed_total() + stats.idle as u64);
            // Every place can still be used.
            let mut held = Vec::new();
            for _ in 0..most {
                held.push(pool.get().await.unwrap());
            }
            assert!(pool.try_get().is_none());
            drop((held, pool));
            settle().await;
            assert_eq!(target.alive(), 0);
        });
    }
}

//! Checkout and return of the pool beside deadpool (managed) and bb8, in one run.
//!
//! `cargo run --release --manifest-path tests/benches/pool/Cargo.toml`
//!
//! Rounds alternate between the three, and medians are compared, on a runtime of two workers. A
//! member is a number in memory; a round that is not counted fills the pools. What each does
//! by itself stays on: ours has a deadline for each caller and looks whether the member is open at
//! each hand-out and return; bb8 has its 30 s deadline, without its test at each hand-out; deadpool
//! recycles at each hand-out and has no deadline, which is its default.
//!
//! Where there are more tasks than members, a task lets others run while it holds one.
//!
//! Results of 2026-11-21, two cores, release profile, the first of two runs, while the machine was slow:
//!
//! | what | goal | jackfield | deadpool 0.13.1 | bb8 0.9.1 | to the faster | a permit |
//! |---|---|---|---|---|---|---|
//! | 1 task, 1 member | ≤ 0.7 | 253 ns | 401 ns | 488 ns | 0.63 | 136 ns |
//! | 8 tasks, 16 members | ≤ 0.7 | 106 ns | 880 ns | 1115 ns | 0.12 | 321 ns |
//! | 64 tasks, 4 members | ≤ 0.7 | 1804 ns | 1459 ns | 1993 ns | **1.24, missed** | 1030 ns |
//! | fairness of 64 on 4 | ≤ 1.2 | 1.02 | 1.03 | 2.03 | – | – |
//! | wake-up, p50 | ≤ 20 µs | 5.28 µs | 4.74 µs | 5.75 µs | – | – |
//!
//! A permit of tokio's semaphore, with no member behind it, shows what waiting for a turn takes by itself: 0.71
//! of the faster pool in the third row.
//!
//! What a profile says of it stands in `tests/README.md`.

#[path = "../../measure.rs"]
#[allow(dead_code, reason = "shared by several benches")]
mod measure;
mod subjects;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subjects::{Bb8, Deadpool, Ours, Subject, Turns};
use tokio::sync::Notify;
use tokio::task::{JoinSet, yield_now};

/// Tasks, members, checkouts of each task in a round.
const SCENARIOS: [(u32, u32, u32); 3] = [(1, 1, 200_000), (8, 16, 25_000), (64, 4, 1_500)];
const ROUNDS: usize = 15;
const NAMES: [&str; 3] = ["jackfield", "deadpool 0.13.1", "bb8 0.9.1"];

fn main() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    println!("deadpool 0.13.1 (managed), bb8 0.9.1; 2 workers");
    runtime.block_on(async {
        // The bench itself is a task, so that no third thread takes part.
        tokio::spawn(run()).await.expect("a whole run");
    });
}

async fn run() {
    for (tasks, members, times) in SCENARIOS {
        throughput(tasks, members, times).await;
    }
    fairness().await;
    wakeups().await;
}

async fn throughput(tasks: u32, members: u32, times: u32) {
    println!("{tasks} tasks, {members} members: one checkout and return");
    let (ours, deadpool) = (Ours::new(members), Deadpool::new(members));
    let bb8 = Bb8::new(members).await;
    let turns = Turns::new(members);
    let mut rounds: [Vec<f64>; 4] = Default::default();
    for round in 0..=ROUNDS {
        let took = [
            nanos(&ours, tasks, members, times).await,
            nanos(&deadpool, tasks, members, times).await,
            nanos(&bb8, tasks, members, times).await,
            nanos(&turns, tasks, members, times).await,
        ];
        // The first one fills the pools.
        if round > 0 {
            rounds.iter_mut().zip(took).for_each(|(all, took)| all.push(took));
        }
    }
    let medians = rounds.map(measure::median);
    for (name, median) in NAMES.iter().zip(medians) {
        measure::line(&format!("  {name}"), median, "ns");
    }
    measure::line("  a permit of tokio's semaphore, without a member", medians[3], "ns");
    let best = medians[1].min(medians[2]);
    measure::ratio("  jackfield / the faster one", medians[0] / best, "<= 0.7");
    measure::ratio("  a permit / the faster one", medians[3] / best, "none");
}

/// Wall time over all checkouts.
async fn nanos<S: Subject>(pool: &S, tasks: u32, members: u32, times: u32) -> f64 {
    let started = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let pool = pool.clone();
        running.spawn(async move {
            for _ in 0..times {
                once(&pool, tasks > members).await;
            }
        });
    }
    while running.join_next().await.is_some() {}
    started.elapsed().as_secs_f64() * 1e9 / f64::from(tasks * times)
}

async fn once<S: Subject>(pool: &S, is_scarce: bool) {
    let guard = black_box(pool.get().await);
    if is_scarce {
        yield_now().await;
    }
    drop(guard);
}

/// Checkouts of the luckiest of 64 tasks on 4 members over those of the unluckiest.
async fn fairness() {
    println!("64 tasks, 4 members, half a second: most checkouts of a task / fewest");
    let goals = [spread(&Ours::new(4)).await, spread(&Deadpool::new(4)).await];
    let all = [goals[0], goals[1], spread(&Bb8::new(4).await).await];
    for (name, spread) in NAMES.iter().zip(all) {
        measure::ratio(&format!("  {name}"), spread, "<= 1.2");
    }
}

async fn spread<S: Subject>(pool: &S) -> f64 {
    let end = Instant::now() + Duration::from_millis(500);
    let mut running = JoinSet::new();
    for _ in 0..64 {
        let pool = pool.clone();
        running.spawn(async move {
            let mut count = 0_u32;
            while Instant::now() < end {
                once(&pool, true).await;
                count += 1;
            }
            count
        });
    }
    let counts = running.join_all().await;
    let (most, least) = (counts.iter().max(), counts.iter().min());
    f64::from(most.copied().unwrap_or(0)) / f64::from(least.copied().unwrap_or(0).max(1))
}

async fn wakeups() {
    println!("from a return to the waiting task, which runs nothing else");
    let all = [
        wakes(&Ours::new(1)).await,
        wakes(&Deadpool::new(1)).await,
        wakes(&Bb8::new(1).await).await,
    ];
    for (name, (half, most)) in NAMES.iter().zip(all) {
        measure::line(&format!("  {name}, p50 (goal <= 20)"), half, "us");
        measure::line(&format!("  {name}, p99"), most, "us");
    }
}

async fn wakes<S: Subject>(pool: &S) -> (f64, f64) {
    let mut took = Vec::new();
    for _ in 0..1_000 {
        let guard = pool.get().await;
        let asks = Arc::new(Notify::new());
        let waiter = {
            let (pool, asks) = (pool.clone(), Arc::clone(&asks));
            tokio::spawn(async move {
                asks.notify_one();
                let guard = pool.get().await;
                let woken = Instant::now();
                drop(guard);
                woken
            })
        };
        asks.notified().await;
        // By then it waits in the pool, and its worker sleeps.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let returned = Instant::now();
        drop(guard);
        let woken = waiter.await.expect("a waiter");
        took.push(woken.saturating_duration_since(returned).as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

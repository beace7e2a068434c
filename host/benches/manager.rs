//! What the manager's verbs cost: connecting many at once, and a table of many definitions.
//!
//! `cargo bench -p jackfield --bench manager`
//!
//! Measured on two shared virtual processors that were busy with other work at the time (load 6 to 9):
//!
//! | what | figure | goal |
//! |---|---|---|
//! | connect 1,000 targets of 100 ms each, 100 at a time | 1.06 s | 1.5 s |
//! | define a target of one's own, at 1,000 and at 100,000 | 1.6 µs, 2.2 µs: 1.4 × | flat |
//! | get by name, at 1,000 and at 100,000 | 180 ns, 182 ns: 1.0 × | flat |
//! | define by URI, options checked, journal written, at 1,000 and at 100,000 | 52 µs, 47 µs: 0.9 × | flat |
//! | restore 100,000 after a restart, 12 MiB | 0.56 s | 2 s |
//! | first use of a restored one, built and connected | 0.7 ms | |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench prints its figures and ends on errors"
)]

use jackfield::config::model::ConnectionConfig;
use jackfield::driver::Registry;
use jackfield::manager::{AllOptions, Existing, Filter, Manager, Own};
use jackfield::services::PluginServices;
use jackfield::stack::Stack;
use jackfield_plugin_api::load::Module;
use jackfield_plugin_api::{Info, Session, Stream};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);
const FEW: usize = 1_000;
const MANY: usize = 100_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        connect_all().await;
        own_definitions().await;
        definitions().await;
    });
}

fn registry() -> Registry {
    let services = PluginServices::new("null", Arc::default(), Box::new(|_| ()));
    let module = Module::of_static::<bench_null::Plugin>();
    let plugin = module.init(Arc::new(services), "{}").unwrap();
    let mut registry = Registry::default();
    registry.add_plugin(&plugin, module.describe().unwrap());
    registry
}

fn manager() -> Manager {
    Manager::empty(registry(), MANY, LIMIT)
}

fn target(delay: Duration) -> Stack {
    Stack::of_source("bench:", move |_| async move {
        tokio::time::sleep(delay).await;
        let (near, _far) = tokio::io::duplex(64);
        Ok(Session::of_stream(Info::default(), Stream::new(near)))
    })
}

/// 1,000 targets that take 100 ms each, 100 at a time: 1 s is what the targets take.
async fn connect_all() {
    let manager = manager();
    for number in 0..FEW {
        let stack = target(Duration::from_millis(100));
        manager.define_own(&format!("c{number}"), stack, Own::default()).await.unwrap();
    }
    let begun = Instant::now();
    let outcomes = manager.connect_all(&Filter::default(), AllOptions::default()).await;
    let took = begun.elapsed();
    assert!(outcomes.len() == FEW && outcomes.values().all(Result::is_ok));
    let ratio = took.as_secs_f64();
    println!(
        "connect_all, {FEW} × 100 ms, limit 100: {took:.2?}, {ratio:.2} × the targets' own time"
    );
    let begun = Instant::now();
    let closed = manager.disconnect_all(&Filter::default(), 0, "", AllOptions::default()).await;
    assert!(closed.values().all(Result::is_ok) && manager.count().now == 0);
    println!("disconnect_all of the same: {:.2?}\n", begun.elapsed());
}

/// Mean time of each of the `from..to` calls.
async fn each<F: Future<Output = ()>>(
    from: usize,
    to: usize,
    mut call: impl FnMut(usize) -> F,
) -> Duration {
    let begun = Instant::now();
    for number in from..to {
        call(number).await;
    }
    begun.elapsed() / u32::try_from(to - from).unwrap()
}

fn row(what: &str, few: Duration, many: Duration) {
    let ratio = many.as_secs_f64() / few.as_secs_f64();
    println!("{what}: {few:.2?} each at {FEW}, {many:.2?} at {MANY}: {ratio:.2} ×");
}

/// The table alone: targets of the program's own, nothing kept.
async fn own_definitions() {
    let manager = manager();
    let define = |number: usize| {
        let manager = manager.clone();
        async move {
            let stack = target(Duration::ZERO);
            manager.define_own(&format!("c{number}"), stack, Own::default()).await.unwrap();
        }
    };
    let few = each(0, FEW, define).await;
    let get_few = get(&manager, FEW).await;
    each(FEW, MANY - FEW, define).await;
    let many = each(MANY - FEW, MANY, define).await;
    row("define, own target", few, many);
    row("get", get_few, get(&manager, MANY).await);
    println!();
}

/// Drivers, options and the journal with it, then a restart.
async fn definitions() {
    let folder = tempfile::tempdir().unwrap();
    let config: ConnectionConfig = serde_json::from_value(serde_json::json!({
        "uri": "null://host/path", "options": {"pending": true}, "labels": {"site": "lab"},
    }))
    .unwrap();
    let manager = manager();
    manager.keep_state(folder.path()).unwrap();
    let define = |number: usize| {
        let (manager, config) = (manager.clone(), config.clone());
        async move {
            manager
                .define_connection(&format!("c{number}"), config, Existing::Refuse)
                .await
                .unwrap();
        }
    };
    let few = each(0, FEW, define).await;
    each(FEW, MANY - FEW, define).await;
    let many = each(MANY - FEW, MANY, define).await;
    row("define, options checked, written to the journal", few, many);
    manager.close_all(LIMIT).await;
    drop(manager);
    let size = std::fs::metadata(folder.path().join("connections.journal")).unwrap().len();
    let manager = self::manager();
    let begun = Instant::now();
    assert_eq!(manager.keep_state(folder.path()).unwrap(), MANY);
    println!("restore of {MANY}, {} KiB: {:.2?}", size / 1024, begun.elapsed());
    let begun = Instant::now();
    manager.get_or_connect("c77777", LIMIT).await.unwrap();
    println!("first use of one of them: {:.2?}", begun.elapsed());
}

async fn get(manager: &Manager, defined: usize) -> Duration {
    let names: Vec<String> =
        (0..FEW).map(|number| format!("c{}", number * 7919 % defined)).collect();
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let begun = Instant::now();
        for name in &names {
            black_box(manager.connection(name).await.unwrap());
        }
        best = best.min(begun.elapsed() / u32::try_from(FEW).unwrap());
    }
    best
}

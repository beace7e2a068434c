//! Files that are replaced: new content is new code, whatever its name.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, time::SystemTime};

use jackfield::{
    driver::{Refusal, Registry, Writers},
    secret::Resolver,
    stack::{Plan, Stack},
};
use jackfield_plugin_api::{ErrorKind, Role, Session};
use serde_json::{Map, Value};

use super::folder::{Folder, allow, faulty, faulty_mode, report};

const NAME: &str = "faulty.so";

async fn open(registry: &Registry) -> Session {
    let uri = "faulty://x".parse().expect("a URI");
    let plan = Plan::new(&uri, registry, Role::Client, false).expect("a plan");
    let stack = Stack::new(plan, &Map::new(), Role::Client, &Resolver::default()).await;
    let limit = std::time::Duration::from_secs(60);
    stack.expect("a stack").open(None, limit).await.expect("a session")
}

/// What a session's code has in its own bytes.
async fn mode(session: &Session) -> Value {
    session.call("mode", &Value::Null).await.expect("an answer")
}

/// The copies in the cache: their names, when they were written, and which file each is.
fn cached(folder: &Folder) -> Vec<(PathBuf, SystemTime, u64)> {
    let mut found: Vec<_> = fs::read_dir(&folder.options.cache)
        .expect("a cache")
        .map(|entry| entry.expect("an entry"))
        // What is known of files stands in folders beside them.
        .filter(|entry| entry.metadata().expect("its metadata").is_file())
        .map(|entry| {
            let metadata = entry.metadata().expect("its metadata");
            (entry.path(), metadata.modified().expect("a time"), metadata.ino())
        })
        .collect();
    found.sort();
    found
}

fn sum(registry: &Registry) -> String {
    report(registry, NAME).sha256.clone().expect("a sum")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_file_is_new_code_and_what_runs_on_the_old_goes_on() {
    let folder = Folder::empty();
    folder.put(NAME, &faulty_mode("the first"));
    let first = folder.load().await;
    let session = open(&first).await;
    assert_eq!(mode(&session).await, "the first");

    folder.put(NAME, &faulty_mode("the second"));
    let second = folder.load().await;
    assert_eq!(mode(&open(&second).await).await, "the second");
    assert_eq!(mode(&session).await, "the first");
    assert_eq!(mode(&open(&first).await).await, "the first");

    let names: Vec<_> = cached(&folder).into_iter().map(|(path, ..)| path).collect();
    let mut expected = [&first, &second]
        .map(|registry| folder.options.cache.join(format!("{}.so", sum(registry))));
    expected.sort();
    assert_eq!(names, expected, "one copy for each content, and no draft");

    drop((first, second));
    // Nothing is unloaded under a session.
    assert_eq!(mode(&session).await, "the first");
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_over_the_file_in_place_does_not_touch_what_runs() {
    let folder = Folder::empty();
    folder.put(NAME, &faulty_mode("the first"));
    let registry = folder.load().await;
    fs::write(folder.path(NAME), vec![0; faulty().len()]).expect("zeros in place");
    assert_eq!(mode(&open(&registry).await).await, "the first");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_is_copied_once_and_a_damaged_copy_is_replaced() {
    let folder = Folder::empty();
    folder.put(NAME, &faulty_mode("cached"));
    folder.load().await;
    let once = cached(&folder);
    folder.load().await;
    assert_eq!(cached(&folder), once);

    // A copy of the right length is not yet the right copy. Content of its own, because this
    // process has it loaded no earlier: the check is about what is read from the disk.
    let content = faulty_mode("checked");
    folder.put(NAME, &content);
    let path = folder.load().await;
    let place = folder.options.cache.join(format!("{}.so", sum(&path)));
    fs::remove_file(&place).expect("to replace it");
    fs::write(&place, vec![0; content.len()]).expect("a damaged copy");
    let registry = folder.load().await;
    assert_eq!(report(&registry, NAME).state(), "running");
    assert!(fs::read(&place).expect("the copy") == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_loads_at_a_time_share_a_cache() {
    let folder = Folder::empty();
    folder.put(NAME, &faulty_mode("shared"));
    let loads = (0..8).map(|_| folder.load());
    for registry in futures_util::future::join_all(loads).await {
        let report = report(&registry, NAME);
        assert_eq!(report.state(), "running", "{:?}", report.refusal);
    }
    assert_eq!(cached(&folder).len(), 1, "one copy, and no draft");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_others_may_write_is_not_used() {
    let folder = Folder::empty();
    folder.put(NAME, &faulty());
    fs::create_dir(&folder.options.cache).expect("a cache");
    let path = fs::canonicalize(&folder.options.cache).expect("a cache");
    for (mode, by) in [(0o777, Writers::Everybody), (0o770, Writers::Group)] {
        allow(&path, mode);
        let registry = folder.load().await;
        let refusal = report(&registry, NAME).refusal.clone();
        assert_eq!(refusal, Some(Refusal::Writable { path: path.clone(), by }));
        let error = registry.driver("faulty").expect_err("no driver");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

//! A host that ended without a clean stop: the next one names the plugins that were in use.

use std::fs;

use rustix::process::Signal;

use super::ECHO;
use crate::support::jackfield::{Jackfield, ran};
use crate::support::process::tempdir;

const SAYS: &str = "a host ended without a clean stop while these plugins were in use";

#[tokio::test]
async fn the_plugins_in_use_are_named_once_after_it_and_never_after_a_clean_stop() {
    let folder = tempdir();
    let cache = format!("host.cache={}", folder.path().display());
    let set = ["--set", &cache];
    let mut host = Jackfield::run_with(ECHO, &set).await;
    let mut other = Jackfield::run_with(ECHO, &set).await;
    assert!(!other.log().contains(SAYS), "the first one lives: {}", other.log());
    other.signal(Signal::TERM);
    other.ended().await;
    host.signal(Signal::KILL);
    host.ended().await;

    // Commands that only look leave it for the next host.
    ran(&[&["plugins"][..], &set].concat(), "").await.ok();
    let mut host = Jackfield::run_with(ECHO, &set).await;
    let log = host.log();
    let line = log.lines().find(|line| line.contains(SAYS)).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("WARN") && line.contains("or it was killed"), "{line}");
    assert!(line.contains("jackfield-echo") && line.contains("jackfield-tcp"), "{line}");
    assert!(!line.contains("jackfield-ssh"), "it was not in use: {line}");
    host.signal(Signal::TERM);
    host.ended().await;

    let host = Jackfield::run_with(ECHO, &set).await;
    assert!(!host.log().contains(SAYS), "{}", host.log());
}

#[tokio::test]
async fn they_are_left_out_where_that_is_configured_until_they_are_brought_back() {
    let folder = tempdir();
    let cache = format!("host.cache={}", folder.path().display());
    let set = ["--set", &cache, "--set", "host.plugins_after_crash=leave_out"];
    let mut host = Jackfield::run_with(ECHO, &set).await;
    host.signal(Signal::KILL);
    host.ended().await;

    let listed = ran(&[&["plugins"][..], &set].concat(), "").await.ok().text();
    let row = |name: &str| {
        let row = listed.lines().find(|line| line.contains(name));
        row.unwrap_or_else(|| panic!("no {name} in\n{listed}")).to_owned()
    };
    for name in ["jackfield-echo", "jackfield-tcp"] {
        let row = row(name);
        assert!(row.contains("left_out") && row.contains("plugins --forget"), "{row}");
    }
    assert!(row("jackfield-ssh").contains("running"), "{listed}");
    // Each time, until they are brought back.
    for _ in 0..2 {
        let config = crate::support::jackfield::Config::new(ECHO);
        let file = config.file();
        let refused = ran(&[&["check", "--config", &file][..], &set].concat(), "").await;
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains("there is no scheme \"tcp\""), "{}", refused.stderr);
    }
    for name in ["jackfield-echo", "jackfield-tcp"] {
        let way = row(name).split_once("--forget ").map(|(_, hash)| hash.trim().to_owned());
        let way = way.unwrap_or_default();
        ran(&[&["plugins", "--forget", &way][..], &set].concat(), "").await.ok();
    }
    let host = Jackfield::run_with(ECHO, &set).await;
    drop(host);
    assert!(fs::read_dir(folder.path().join("trials")).unwrap().count() >= 12);
}

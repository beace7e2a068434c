//! What has the real program take over a change: SIGHUP, and a change of a file in each of its ways.

use std::{fs, os::unix::fs::symlink, path::Path};

use rustix::process::Signal;
use tokio::net::TcpStream;

use super::{echoed, free, greeting, route, soon};
use crate::support::{
    jackfield::{Jackfield, jackfield, ran},
    peers::echo::TcpPeer,
    process::{Process, tempdir},
};

/// Runs the program on a file, until it is dropped.
async fn run(file: &Path) -> Process {
    let file = file.display().to_string();
    let mut process = Process::spawn("jackfield", jackfield(&["run", "--config", &file]));
    process.logged("ready").await.unwrap_or_else(|log| panic!("{log}"));
    process
}

#[tokio::test]
async fn sighup_takes_over_what_is_different_and_says_what() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let echo = TcpPeer::echo().await;
    let (address, kept) = (free(), free());
    let folder = tempdir();
    let file = folder.path().join("jackfield.toml");
    let config =
        |peer: &TcpPeer| format!("{}{}", route(address, &peer.uri()), route(kept, &echo.uri()));
    fs::write(&file, config(&one)).unwrap();
    let mut host = run(&file).await;
    let mut stream = TcpStream::connect(kept).await.unwrap();
    assert!(echoed(&mut stream).await);
    fs::write(&file, config(&two)).unwrap();
    host.signal(Signal::HUP);
    let told = host.logged(&format!("changed routes.tcp://{address}: to")).await.unwrap();
    assert!(told.contains("(new_sessions)"), "{told}");
    host.logged("configuration read again").await.unwrap();
    assert_eq!(greeting(address).await, "two");
    fs::write(&file, "nonsense\n").unwrap();
    host.signal(Signal::HUP);
    host.logged("jackfield.toml:1:9: ").await.unwrap();
    host.logged("configuration not taken over: nothing has changed").await.unwrap();
    assert_eq!(greeting(address).await, "two");
    assert!(echoed(&mut stream).await);
    host.signal(Signal::TERM);
    drop(stream);
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
}

#[tokio::test]
async fn the_admin_api_takes_over_what_is_different_says_what_and_goes_back() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let address = free();
    let folder = tempdir();
    let (file, socket) = (folder.path().join("jackfield.toml"), folder.path().join("admin.sock"));
    let admin = socket.display().to_string();
    let config = |peer: &TcpPeer| {
        format!("[admin]\nlisten = [\"unix:{admin}\"]\n{}", route(address, &peer.uri()))
    };
    fs::write(&file, config(&one)).unwrap();
    let _host = run(&file).await;
    let asked = async |arguments: &[&str]| {
        ran(&[arguments, &["--admin", admin.as_str()]].concat(), "").await
    };
    fs::write(&file, config(&two)).unwrap();
    let changed = format!("changed routes.tcp://{address}: to");
    let dry = asked(&["reload", "--dry-run"]).await.ok().text();
    assert!(
        dry.starts_with(&changed) && dry.ends_with("version 1: nothing was changed\n"),
        "{dry}"
    );
    assert_eq!(greeting(address).await, "one");
    let done = asked(&["reload"]).await.ok().text();
    assert!(done.starts_with(&changed) && done.ends_with("version 2: in force\n"), "{done}");
    assert_eq!(greeting(address).await, "two");
    assert_eq!(asked(&["reload"]).await.ok().text(), "nothing is different\nversion 2: in force\n");
    let back = asked(&["config", "rollback", "1"]).await.ok().text();
    assert!(back.ends_with("version 3: in force\n"), "{back}");
    assert_eq!(greeting(address).await, "one");
    let history = asked(&["config", "history"]).await.ok().text();
    let causes: Vec<_> = history.lines().filter_map(|line| line.split_once(" ago: ")).collect();
    let causes: Vec<_> = causes.into_iter().map(|(_, cause)| cause).collect();
    assert_eq!(causes, ["start", "call", "rollback to version 1"], "{history}");
    fs::write(&file, "nonsense\n").unwrap();
    let wrong = asked(&["reload"]).await;
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("jackfield.toml:1:9: "), "{}", wrong.stderr);
    let missing = asked(&["config", "rollback", "7"]).await;
    assert_eq!(missing.code, Some(2), "{}", missing.stderr);
    assert_eq!(greeting(address).await, "one");
}

#[tokio::test]
async fn a_file_that_changes_is_taken_over_however_it_is_written() {
    let peers = [TcpPeer::sending("0").await, TcpPeer::sending("1").await];
    let address = free();
    let folder = tempdir();
    let file = folder.path().join("jackfield.toml");
    // Nothing but what the system tells.
    let config = |round: usize| {
        let watch = "[reload]\nwatch = true\npoll = \"0s\"\n";
        format!("{watch}{}", route(address, &peers[round % 2].uri()))
    };
    fs::write(&file, config(0)).unwrap();
    let _host = run(&file).await;
    assert_eq!(greeting(address).await, "0");
    for round in 1..=4 {
        if round % 2 == 1 {
            fs::write(&file, config(round)).unwrap();
        } else {
            // As editors do.
            let next = folder.path().join(".jackfield.toml.swp");
            fs::write(&next, config(round)).unwrap();
            fs::rename(&next, &file).unwrap();
        }
        let expected = (round % 2).to_string();
        soon("the change", async || greeting(address).await == expected).await;
    }
}

#[tokio::test]
async fn a_link_that_is_swapped_is_taken_over() {
    let peers = [TcpPeer::sending("0").await, TcpPeer::sending("1").await];
    let address = free();
    let folder = tempdir();
    let at = |name: &str| folder.path().join(name);
    // As Kubernetes mounts a map: `..data` leads to a folder, and files to what is in it.
    let write = |round: usize| {
        let version = format!("..version{round}");
        fs::create_dir(at(&version)).unwrap();
        let watch = "[reload]\nwatch = true\npoll = \"0s\"\n";
        let text = format!("{watch}{}", route(address, &peers[round % 2].uri()));
        fs::write(at(&version).join("jackfield.toml"), text).unwrap();
        symlink(&version, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    write(0);
    symlink("..data/jackfield.toml", at("jackfield.toml")).unwrap();
    let _host = run(&at("jackfield.toml")).await;
    for round in 1..=3 {
        write(round);
        fs::remove_dir_all(at(&format!("..version{}", round - 1))).unwrap();
        let expected = (round % 2).to_string();
        soon("the change", async || greeting(address).await == expected).await;
    }
}

#[tokio::test]
async fn a_secret_whose_file_changes_is_taken_over_and_one_that_is_gone_changes_nothing() {
    let folder = tempdir();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("secrets")).unwrap();
    fs::write(at("secrets/lab"), "hunter1").unwrap();
    // Nothing but what the system tells.
    let toml = "[reload]\nwatch = true\npoll = \"0s\"\n[connections.lab]\nuri = \"ssh://lab@127.0.0.1:1\"\n\
                options = { password = { file = \"secrets/lab\" } }\n";
    fs::write(at("jackfield.toml"), toml).unwrap();
    let mut host = run(&at("jackfield.toml")).await;
    fs::write(at("secrets/lab"), "hunter2").unwrap();
    let line = host.logged("changed connections.lab").await.unwrap();
    assert!(line.contains("the secret is another one") && !line.contains("hunter"), "{line}");
    host.logged("cause=a file has changed").await.unwrap();
    fs::remove_file(at("secrets/lab")).unwrap();
    host.logged("configuration not taken over").await.unwrap();
    // As editors do, and secrets that are mounted.
    fs::write(at("secrets/.next"), "hunter3").unwrap();
    fs::rename(at("secrets/.next"), at("secrets/lab")).unwrap();
    host.logged("version=3").await.unwrap();
}

#[tokio::test]
async fn files_that_are_included_come_and_go() {
    let peer = TcpPeer::sending("x").await;
    let (first, second) = (free(), free());
    let folder = tempdir();
    let file = folder.path().join("jackfield.toml");
    let included = folder.path().join("conf.d");
    fs::create_dir(&included).unwrap();
    let text = "include = [\"conf.d/*.toml\"]\n[reload]\nwatch = true\npoll = \"0s\"\n";
    fs::write(&file, text).unwrap();
    fs::write(included.join("a.toml"), route(first, &peer.uri())).unwrap();
    let mut host = run(&file).await;
    assert_eq!(greeting(first).await, "x");
    fs::write(included.join("b.toml"), route(second, &peer.uri())).unwrap();
    soon("the second", async || TcpStream::connect(second).await.is_ok()).await;
    fs::remove_file(included.join("a.toml")).unwrap();
    soon("the end of the first", async || TcpStream::connect(first).await.is_err()).await;
    assert_eq!(greeting(second).await, "x");
    host.logged(&format!("removed routes.tcp://{first}")).await.unwrap();
    let checked = ran(&["check", "--config", &file.display().to_string()], "").await;
    let text = checked.ok().text();
    assert!(text.contains("conf.d/b.toml") && !text.contains("conf.d/a.toml"), "{text}");
}

#[tokio::test]
async fn half_a_file_keeps_what_runs_and_is_tried_again() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let address = free();
    let folder = tempdir();
    let file = folder.path().join("jackfield.toml");
    let watch = "[reload]\nwatch = true\npoll = \"100ms\"\n";
    let config = |peer: &TcpPeer| format!("{watch}{}", route(address, &peer.uri()));
    fs::write(&file, config(&one)).unwrap();
    let mut host = run(&file).await;
    let whole = config(&two);
    fs::write(&file, &whole[..whole.len() - 3]).unwrap();
    host.logged("configuration not taken over").await.unwrap();
    assert_eq!(greeting(address).await, "one");
    // Nothing in it is not nothing meant.
    fs::write(&file, "").unwrap();
    fs::write(&file, &whole).unwrap();
    soon("the change", async || greeting(address).await == "two").await;
    let told = host.log().matches("configuration not taken over").count();
    assert_eq!(told, 1, "{}", host.log());
    // What fails for another reason than the files is tried again, too.
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let more = taken.local_addr().unwrap();
    fs::write(&file, format!("{whole}{}", route(more, &two.uri()))).unwrap();
    host.logged("routes.1.listen: ").await.unwrap();
    drop(taken);
    soon("the address", async || TcpStream::connect(more).await.is_ok()).await;
}

#[tokio::test]
async fn a_change_that_the_system_does_not_tell_of_is_seen_by_looking() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let address = free();
    let (folder, elsewhere) = (tempdir(), tempdir());
    let (file, other) = (folder.path().join("jackfield.toml"), elsewhere.path().join("same"));
    let config = |poll: &str, peer: &TcpPeer| {
        format!("[reload]\nwatch = true\npoll = \"{poll}\"\n{}", route(address, &peer.uri()))
    };
    fs::write(&file, config("100ms", &one)).unwrap();
    // What is written by another name of the file is told to those who watch the folder of that name.
    fs::hard_link(&file, &other).unwrap();
    let _host = run(&file).await;
    assert_eq!(greeting(address).await, "one");
    fs::write(&other, config("100ms", &two)).unwrap();
    soon("the change", async || greeting(address).await == "two").await;
}

#[tokio::test]
async fn without_watch_a_file_that_changes_is_left_alone() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let (address, other) = (free(), free());
    let config = |peer: &TcpPeer| route(address, &peer.uri());
    let folder = tempdir();
    let file = folder.path().join("jackfield.toml");
    fs::write(&file, config(&one)).unwrap();
    let mut host = run(&file).await;
    fs::write(&file, format!("{}[reload]\nwatch = true\n", config(&two))).unwrap();
    assert_eq!(greeting(address).await, "one");
    // It is watched from the reload on that says so.
    host.signal(Signal::HUP);
    host.logged("configuration read again").await.unwrap();
    assert_eq!(greeting(address).await, "two");
    let more = format!("{}[reload]\nwatch = true\n{}", config(&two), route(other, &one.uri()));
    fs::write(&file, more).unwrap();
    soon("the change", async || TcpStream::connect(other).await.is_ok()).await;
}

#[tokio::test]
async fn a_relay_has_nothing_to_read_again() {
    let echo = TcpPeer::echo().await;
    let mut host = Jackfield::relay(&["tcp://127.0.0.1:0", &echo.uri(), "-v"]).await;
    host.signal(Signal::HUP);
    host.logged("SIGHUP: there is no configuration to read again").await;
    let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
    assert!(echoed(&mut stream).await);
}

//! What is of the process as a whole changes while it runs: limits, times, the log, the admin API, folders of plugins.

use std::{fs, path::Path};

use rustix::process::Signal;
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::{Changing, echoed, free, route, soon};
use crate::support::{
    jackfield::{Jackfield, jackfield, ran},
    peers::echo::TcpPeer,
    process::{Process, tempdir},
};

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_host_change_while_it_runs_and_end_no_session() {
    let echo = TcpPeer::echo().await;
    let address = free();
    let config = |host: &str| format!("[host]\n{host}\n{}", route(address, &echo.uri()));
    let host = Changing::start(&config("")).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    assert!(echoed(&mut first).await && echoed(&mut second).await);
    let report = host.reload(&config("max_connections = 1\nshutdown_timeout = \"1s\"")).await;
    let text = report.to_string();
    assert!(text.contains("max_connections default -> 1 (live)"), "{text}");
    assert_eq!(host.manager.count().max, 1);
    assert!(echoed(&mut first).await && echoed(&mut second).await);
    let refused = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        !echoed(&mut stream).await
    };
    assert!(refused().await, "two live, and one may");
    host.reload(&config("max_connections = 3\nmax_connections_per_peer = 2")).await;
    assert!(refused().await, "two are of that address");
    host.reload(&config("max_connections = 3\nmax_connections_per_peer = 3")).await;
    let mut third = TcpStream::connect(address).await.unwrap();
    assert!(echoed(&mut third).await && echoed(&mut first).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_come_later_follow_the_defaults_of_the_host_and_those_before_keep_theirs() {
    let echo = TcpPeer::echo().await;
    let address = free();
    let config = |host: &str| format!("[host.timeouts]\n{host}\n{}", route(address, &echo.uri()));
    let host = Changing::start(&config("")).await;
    let mut before = TcpStream::connect(address).await.unwrap();
    assert!(echoed(&mut before).await);
    let text = host.reload(&config("idle = \"100ms\"")).await.to_string();
    assert!(
        text.contains("idle_timeout (new_sessions, host.timeouts.idle is another one)"),
        "{text}"
    );
    let mut after = TcpStream::connect(address).await.unwrap();
    assert!(echoed(&mut after).await);
    // It is ended for want of a byte; the other one has been without one for as long.
    assert_eq!(after.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert!(echoed(&mut before).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_a_restart_stays_and_the_rest_of_its_table_is_taken_over() {
    let host = Changing::start("").await;
    for (changed, max) in [("max_connections = 7", 7), ("max_connections = 8", 8)] {
        let report = host.reload(&format!("[host]\n{changed}\ncache = \"other\"\n")).await;
        let text = report.to_string();
        assert!(text.contains("cache default -> \"other\" (restart)"), "{text}");
        assert!(
            text.ends_with("what says restart is not taken over, it takes one of the host"),
            "{text}"
        );
        assert_eq!(host.manager.count().max, max);
    }
    // Both are as they were told again and again: one is in force, the other is not.
    let again = host.reload("[host]\nmax_connections = 8\ncache = \"other\"\n").await;
    let text = again.to_string();
    assert!(text.contains("cache") && !text.contains("max_connections"), "{text}");
    assert_eq!(
        host.reload("[host]\nmax_connections = 8\n").await.to_string(),
        "nothing is different"
    );
}

/// Runs the program on a file, until it is dropped.
async fn run(file: &Path) -> Process {
    let file = file.display().to_string();
    let mut process = Process::spawn("jackfield", jackfield(&["run", "--config", &file]));
    process.logged("ready").await.unwrap_or_else(|log| panic!("{log}"));
    process
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_as_the_configuration_says_from_the_reload_on() {
    let echo = TcpPeer::echo().await;
    let address = free();
    let folder = tempdir();
    let file = folder.path().join("jackfield.toml");
    let config = |log: &str| format!("[log]\n{log}\n{}", route(address, &echo.uri()));
    let once = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(echoed(&mut stream).await);
    };
    fs::write(&file, config("sessions = false")).unwrap();
    let mut host = run(&file).await;
    fs::write(&file, config("sessions = true\nformat = \"json\"")).unwrap();
    host.signal(Signal::HUP);
    host.logged("\"message\":\"configuration read again\"").await.unwrap();
    once().await;
    host.logged("\"message\":\"session ended\"").await.unwrap();
    fs::write(&file, config("level = \"debug\"")).unwrap();
    host.signal(Signal::HUP);
    host.logged("level default -> \"debug\"").await.unwrap();
    once().await;
    host.logged("DEBUG").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn places_of_the_admin_api_come_and_go_with_the_configuration() {
    let folder = tempdir();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let file = folder.path().join("jackfield.toml");
    let config = |names: &[&str], more: &str| {
        let places: Vec<String> =
            names.iter().map(|name| format!("\"unix:{}\"", at(name))).collect();
        format!("[admin]\nlisten = [{}]\n{more}\n", places.join(", "))
    };
    fs::write(&file, config(&["a.sock"], "")).unwrap();
    let mut host = run(&file).await;
    let reload = async |through: &str| ran(&["reload", "--admin", &at(through)], "").await;
    fs::write(&file, config(&["a.sock", "b.sock"], "max_subscribers = 1")).unwrap();
    reload("a.sock").await.ok();
    ran(&["status", "--admin", &at("b.sock")], "").await.ok();
    // Through the one that goes: it is answered before it is gone.
    fs::write(&file, config(&["b.sock"], "")).unwrap();
    reload("a.sock").await.ok();
    host.logged("no admin API there any more").await.unwrap();
    soon("the end of the first", async || !Path::new(&at("a.sock")).exists()).await;
    ran(&["status", "--admin", &at("b.sock")], "").await.ok();
    // One that cannot be taken changes nothing.
    fs::write(at("c.sock"), "a text").unwrap();
    fs::write(&file, config(&["b.sock", "c.sock"], "")).unwrap();
    let refused = reload("b.sock").await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("admin.listen.1") && refused.stderr.contains("is no socket"),
        "{}",
        refused.stderr
    );
    fs::write(&file, config(&["b.sock"], "viewer = [\"no-such-user\"]")).unwrap();
    let refused = reload("b.sock").await;
    assert!(refused.stderr.contains("no-such-user"), "{}", refused.stderr);
    ran(&["status", "--admin", &at("b.sock")], "").await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_shutdown_timeout_holds_for_the_end_that_comes() {
    let echo = TcpPeer::echo().await;
    let config = |time: &str| {
        let to = echo.uri();
        format!(
            "[host]\nshutdown_timeout = \"{time}\"\n[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"{to}\"\n"
        )
    };
    let mut host = Jackfield::run(&config("10m")).await;
    let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
    assert!(echoed(&mut stream).await);
    host.write(&config("50ms"));
    host.signal(Signal::HUP);
    host.logged("configuration read again").await;
    host.signal(Signal::TERM);
    host.ended().await;
    assert!(host.log().contains("limit=50ms"), "{}", host.log());
}

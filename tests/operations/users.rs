//! `jackfield run --user`: as root starts it, and never more than it needs.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Place;
use crate::support::{
    jackfield::{Jackfield, binary, ran},
    process::run,
};

/// A user that every Debian has, and that owns nothing.
const NOBODY: &str = "nobody";

/// Whether only root could do what the test is about; says that it is left out otherwise.
#[expect(clippy::print_stderr, reason = "who reads the result must see what was left out")]
fn is_root(what: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("left out: {what} takes root, who can become another user");
    }
    is_root
}

/// A place that everybody can reach.
fn open_place(toml: &str) -> Place {
    let place = Place::new(toml);
    let open = |path: &std::path::Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    open(place.folder.path());
    for name in ["run", "cache"] {
        fs::create_dir(place.path(name)).unwrap();
        std::os::unix::fs::chown(place.path(name), Some(65534), Some(65534)).unwrap();
    }
    place
}

/// A port below 1024 that is free.
fn privileged() -> u16 {
    let free = (600..1024).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a free port below 1024")
}

#[tokio::test]
async fn all_threads_are_the_user_with_its_groups_and_ports_below_1024_can_be_listened_on() {
    if !is_root("running as another user") {
        return;
    }
    let port = privileged();
    let place = open_place(&format!(
        "[handlers.echo]\n[[routes]]\nlisten = \"tcp://127.0.0.1:{port}\"\nto = \"handlers.echo\"\n"
    ));
    let mut command = place.command(&binary(), &[]);
    command.args(["--user", NOBODY]);
    let mut host = crate::support::process::Process::spawn("jackfield", command);
    host.logged("ready listeners=1").await.unwrap_or_else(|log| panic!("{log}"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    let tasks = format!("/proc/{}/task", host.pid().as_raw_nonzero());
    let tasks: Vec<_> = fs::read_dir(tasks).unwrap().map(|task| task.unwrap().path()).collect();
    // A thread of blocking work may have ended meanwhile.
    let statuses = tasks.iter().filter_map(|task| fs::read_to_string(task.join("status")).ok());
    let statuses: Vec<String> = statuses.collect();
    assert!(statuses.len() > 2);
    for status in statuses {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(field("Uid:"), "65534 65534 65534 65534");
        assert_eq!(field("Gid:"), "65534 65534 65534 65534");
        assert!(field("Groups:").split(' ').all(|group| group == "65534"), "{status}");
        // The tenth is CAP_NET_BIND_SERVICE.
        assert_eq!([field("CapPrm:"), field("CapEff:")], ["0000000000000400"; 2]);
        assert_eq!(field("NoNewPrivs:"), "1");
    }
    let status = place.ask(&["status"]).await.ok().text();
    assert!(status.contains("ready"), "{status}");
    // The process after an upgrade is the same user, and has the same port.
    place.ask(&["upgrade"]).await.ok();
    drop(stream);
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
    let status = place.ask(&["status"]).await.ok().text();
    assert!(status.contains("ready"), "{status}");
}

#[tokio::test]
async fn what_the_user_cannot_read_stops_the_start_and_so_does_a_name_that_there_is_not() {
    if !is_root("reading as another user") {
        return;
    }
    let place = open_place("");
    fs::set_permissions(place.path("jackfield.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = place.command(&binary(), &[]);
    command.args(["--user", NOBODY]);
    let refused = run(command, "").await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("Permission denied"), "{}", refused.stderr);
    for wrong in [["--user", "no-such-user"], ["--group", "no-such-group"]] {
        let more = if wrong[0] == "--group" { &["--user", NOBODY][..] } else { &[] };
        let refused = ran(&[&["run"], &wrong[..], more].concat(), "").await;
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains(wrong[1]), "{}", refused.stderr);
    }
    let alone = Jackfield::run_with("", &["--user", "root"]).await;
    assert!(alone.log().contains("ready"));
}

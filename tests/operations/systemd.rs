//! What systemd is told, and the unit.

use std::{fs, os::unix::net::UnixDatagram, path::Path, process::Command};

use rustix::process::Signal;

use super::Place;
use crate::support::{
    jackfield::{beside, binary},
    need::need,
    process::{DEADLINE, tempdir},
};

const ROUTE: &str =
    "[handlers.echo]\n[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"handlers.echo\"\n";

/// The end of a service manager.
struct Manager {
    socket: UnixDatagram,
    place: String,
}

impl Manager {
    fn new(folder: &Path) -> Self {
        let place = folder.join("notify").display().to_string();
        let socket = UnixDatagram::bind(&place).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, place }
    }

    fn variable(&self) -> (&'static str, String) {
        ("NOTIFY_SOCKET", self.place.clone())
    }

    /// The next message with a line that begins so.
    fn told(&self, start: &str) -> String {
        loop {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).expect("a message in time");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line.starts_with(start)) {
                return text;
            }
        }
    }
}

#[tokio::test]
async fn a_service_manager_is_told_of_the_start_of_reloads_and_of_the_end() {
    let place = Place::new(ROUTE);
    let manager = Manager::new(place.folder.path());
    let mut host = place.run(&binary(), &[manager.variable()]).await;
    assert!(manager.told("READY=1").contains("\nSTATUS=ready: 1 listeners"));
    host.signal(Signal::HUP);
    let reloading = manager.told("RELOADING=1");
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    assert!(manager.told("READY=1").contains("STATUS=ready: version 1"));
    fs::write(place.path("jackfield.toml"), "nonsense\n").unwrap();
    host.signal(Signal::HUP);
    manager.told("RELOADING=1");
    let failed = manager.told("READY=1");
    assert!(failed.contains("STATUS=ready, but not reloaded: "), "{failed}");
    host.signal(Signal::TERM);
    let stopping = manager.told("STOPPING=1");
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=35000000"), "{stopping}");
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
}

#[tokio::test]
async fn a_service_manager_that_watches_is_told_again_and_again_that_workers_answer() {
    let place = Place::new(ROUTE);
    let manager = Manager::new(place.folder.path());
    let watched = ("WATCHDOG_USEC", "200000".to_owned());
    let _host = place.run(&binary(), &[manager.variable(), watched]).await;
    for _ in 0..3 {
        manager.told("WATCHDOG=1");
    }
}

#[tokio::test]
async fn folders_that_a_service_manager_has_made_are_the_defaults() {
    let place = Place::new("");
    let folder = |name: &str| {
        let made = place.path(name);
        fs::create_dir(&made).unwrap();
        made.display().to_string()
    };
    let variables = [
        ("RUNTIME_DIRECTORY", folder("made-run")),
        ("STATE_DIRECTORY", folder("made-state")),
        ("CACHE_DIRECTORY", folder("made-cache")),
    ];
    fs::write(place.path("jackfield.toml"), ROUTE).unwrap();
    let _host = place.run(&binary(), &variables).await;
    assert!(place.path("made-run/admin.sock").exists());
    assert!(place.path("made-state/connections.journal").exists());
    assert!(fs::read_dir(place.path("made-cache")).unwrap().count() > 0);
}

/// The unit, started by the binary of this build.
fn unit(folder: &Path) -> std::path::PathBuf {
    let text = super::repository("config/systemd/jackfield.service");
    let text = text.replace("/usr/bin/jackfield", &beside("jackfield").display().to_string());
    let file = folder.join("jackfield.service");
    fs::write(&file, text).unwrap();
    file
}

fn analyze(arguments: &[&str]) -> (bool, String) {
    let program = need("systemd-analyze", "systemd");
    let ran = Command::new(program).args(arguments).env("SYSTEMD_COLORS", "0").output().unwrap();
    let text = [ran.stdout, ran.stderr].concat();
    (ran.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn the_unit_is_one_that_systemd_takes_without_a_complaint() {
    let folder = tempdir();
    let file = unit(folder.path()).display().to_string();
    let (ok, told) = analyze(&["verify", "--man=no", &file]);
    // Before version 253, which the unit says; what else is told is of other units of this machine.
    let complaints: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("jackfield"))
        .filter(|line| !line.ends_with("Failed to parse service type, ignoring: notify-reload"))
        .collect();
    assert!(ok && complaints.is_empty(), "{told}");
}

#[test]
fn the_unit_exposes_little() {
    let folder = tempdir();
    let file = unit(folder.path()).display().to_string();
    // In tenths: 10 is little, 100 is all.
    let (ok, told) =
        analyze(&["security", "--offline=true", "--threshold=25", "--no-pager", &file]);
    assert!(ok, "{told}");
}

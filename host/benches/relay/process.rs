//! The relays as child processes, and what they cost.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What stands between the two ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Direct,
    Ours,
    HaProxy,
    HaProxySplice,
    Socat,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Direct => "direct",
            Kind::Ours => "jackfield",
            Kind::HaProxy => "haproxy",
            Kind::HaProxySplice => "haproxy splice",
            Kind::Socat => "socat 128k",
        }
    }
}

/// A running relay; dropped, its process is killed.
pub(super) struct Relayed {
    pub(super) kind: Kind,
    /// Where to connect to.
    pub(super) port: u16,
    child: Option<Child>,
    _config: Option<tempfile::TempDir>,
}

impl Relayed {
    /// Starts a relay to a port for at most `most` connections at once.
    pub(super) fn start(kind: Kind, target: u16, most: usize) -> Self {
        let (port, child, config) = match kind {
            Kind::Direct => (target, None, None),
            Kind::Ours => {
                let (port, child) = ours(target);
                (port, Some(child), None)
            }
            Kind::HaProxy | Kind::HaProxySplice => {
                haproxy(target, most, kind == Kind::HaProxySplice)
            }
            Kind::Socat => {
                let port = free_port();
                let child = Command::new("socat")
                    .args(["-b", "131072"])
                    .arg(format!("TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay"))
                    .arg(format!("TCP:127.0.0.1:{target},nodelay"))
                    .spawn()
                    .expect("socat starts");
                (port, Some(child), None)
            }
        };
        let relayed = Relayed { kind, port, child, _config: config };
        relayed.wait_for_port();
        relayed
    }

    fn wait_for_port(&self) {
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            std::thread::yield_now();
        }
    }

    /// CPU time of the process, its threads and its children so far.
    pub(super) fn cpu(&self) -> Duration {
        self.child.as_ref().map_or(Duration::ZERO, |child| cpu_of(child.id()))
    }

    /// Bytes of memory that the process has in use.
    pub(super) fn resident(&self) -> u64 {
        let Some(child) = &self.child else { return 0 };
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("running");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        let kib = line.split_whitespace().next().and_then(|text| text.parse::<u64>().ok());
        kib.expect("a number") * 1024
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn cpu_of(pid: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let mut total = Duration::ZERO;
    for thread in threads.flatten() {
        let text = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let first = text("schedstat").split_whitespace().next().and_then(|text| text.parse().ok());
        total += Duration::from_nanos(first.unwrap_or(0));
        total += text("children")
            .split_whitespace()
            .filter_map(|child| child.parse().ok())
            .map(cpu_of)
            .sum();
    }
    total
}

fn ours(target: u16) -> (u16, Child) {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .arg(super::under_test::ARGUMENT)
        .arg(target.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts");
    let mut line = String::new();
    let output = child.stdout.take().expect("a pipe");
    BufReader::new(output).read_line(&mut line).expect("a line");
    (line.trim().parse().expect("a port"), child)
}

fn haproxy(
    target: u16,
    most: usize,
    splice: bool,
) -> (u16, Option<Child>, Option<tempfile::TempDir>) {
    let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
    let option = if splice { "option splice-auto" } else { "" };
    let config = format!(
        "global\n  maxconn {most}\n\
         defaults\n  mode tcp\n  {option}\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         listen relay\n  bind 127.0.0.1:{port}\n  server target 127.0.0.1:{target}\n"
    );
    let file = folder.path().join("haproxy.cfg");
    fs::write(&file, config).expect("written");
    let child =
        Command::new("haproxy").arg("-db").arg("-f").arg(file).spawn().expect("haproxy starts");
    (port, Some(child), Some(folder))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// Says what is compared, and ends if a peer is missing.
pub(super) fn print_versions() {
    println!("jackfield {}", env!("CARGO_PKG_VERSION"));
    for (program, flag) in [("haproxy", "-v"), ("socat", "-V")] {
        let Ok(output) = Command::new(program).arg(flag).output() else {
            panic!("{program} is missing: apt-get install -y {program}");
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.contains("ersion")).unwrap_or(program);
        println!("{}", line.split(" - ").next().unwrap_or(line));
    }
    println!("{}", fs::read_to_string("/proc/version").unwrap_or_default().trim());
    println!("load {}", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
}

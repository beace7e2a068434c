//! The gateways as child processes, and what they cost.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What stands between the two ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Jackfield,
    Ser2net,
    /// Told not to wait for more characters.
    Ser2netAtOnce,
    Websockify,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Jackfield => "jackfield",
            Kind::Ser2net => "ser2net",
            Kind::Ser2netAtOnce => "ser2net, no chardelay",
            Kind::Websockify => "websockify",
        }
    }
}

/// A running gateway; dropped, its process is killed.
pub(super) struct Gateway {
    pub(super) kind: Kind,
    /// Where to connect to.
    pub(super) port: u16,
    child: Child,
    _folder: TempDir,
}

impl Gateway {
    /// From tcp to a serial line.
    pub(super) fn of_line(kind: Kind, device: &Path) -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
        let device = device.display();
        let command = match kind {
            Kind::Jackfield => {
                ours(&folder, &format!("tcp://127.0.0.1:{port}"), &format!("serial://{device}"))
            }
            _ => {
                let delay = kind == Kind::Ser2net;
                let config = format!(
                    "connection: &line\n  accepter: tcp(nodelay=true),127.0.0.1,{port}\n  \
                     connector: serialdev,{device},115200n81,local\n  options:\n    \
                     chardelay: {delay}\n"
                );
                let file = written(&folder, "ser2net.yaml", &config);
                let mut command = Command::new("ser2net");
                command.args(["-n", "-d", "-c"]).arg(file);
                command
            }
        };
        Self::start(kind, port, command, folder)
    }

    /// From WebSocket to a tcp port.
    pub(super) fn of_websocket(kind: Kind, target: u16) -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
        let command = match kind {
            Kind::Jackfield => ours(
                &folder,
                &format!("ws://127.0.0.1:{port}"),
                &format!("tcp://127.0.0.1:{target}"),
            ),
            _ => {
                let mut command = Command::new("websockify");
                command.args([format!("127.0.0.1:{port}"), format!("127.0.0.1:{target}")]);
                command
            }
        };
        Self::start(kind, port, command, folder)
    }

    fn start(kind: Kind, port: u16, mut command: Command, folder: TempDir) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Gateway { kind, port, child, _folder: folder }
    }

    /// CPU time of the process, its threads and its children so far.
    pub(super) fn cpu(&self) -> Duration {
        cpu_of(self.child.id())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for child in children(self.child.id()) {
            // websockify has one for each connection.
            let _ = Command::new("kill").arg(child.to_string()).stderr(Stdio::null()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

fn cpu_of(pid: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let mut total = ended_children(pid);
    for thread in threads.flatten() {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let first = text.split_whitespace().next().and_then(|text| text.parse().ok());
        total += Duration::from_nanos(first.unwrap_or(0));
    }
    total + children(pid).into_iter().map(cpu_of).sum::<Duration>()
}

/// What children that have ended took, in hundredths of a second.
fn ended_children(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(13).take(2).filter_map(|it| it.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// The whole host: its listener, its route and its loaded drivers.
fn ours(folder: &TempDir, listen: &str, to: &str) -> Command {
    let config =
        format!("[log]\nlevel = \"warn\"\n[[routes]]\nlisten = \"{listen}\"\nto = \"{to}\"\n");
    let file = written(folder, "jackfield.toml", &config);
    let mut command = Command::new(built("jackfield"));
    command.args(["run", "--plugins"]).arg(built("")).arg("--config").arg(file);
    command
}

/// A file that the same profile's build has put beside this program.
fn built(name: &str) -> PathBuf {
    let file = std::env::current_exe().expect("this program").with_file_name(name);
    assert!(file.exists(), "there is no {}: cargo build --release", file.display());
    file
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
    for driver in ["tcp", "ws", "serial"] {
        built(&format!("libjackfield_{driver}.so"));
    }
    println!("jackfield {}", env!("CARGO_PKG_VERSION"));
    for (program, flag, install) in [
        ("ser2net", "-v", "apt-get install -y ser2net"),
        ("websockify", "--help", "pip install websockify"),
    ] {
        let Ok(output) = Command::new(program).arg(flag).output() else {
            panic!("{program} is missing: {install}");
        };
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        println!("{program}: {}", text.lines().next().unwrap_or_default());
    }
    println!("{}", fs::read_to_string("/proc/version").unwrap_or_default().trim());
    println!("load {}", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
}

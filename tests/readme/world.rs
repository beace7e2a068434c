//! The network and the devices that the READMEs name.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::{TOP, blocks::Command, fieldbus};
use crate::support::{
    jackfield::beside,
    need::need,
    peers::{echo::TcpPeer, http::PythonHttp, socat::Line, sshd::Sshd},
    process::{command, run, tempdir},
};

/// Addresses of devices, all on the loopback interface of this network.
const ADDRESSES: [&str; 8] = [
    "10.0.0.2",
    "10.0.0.5",
    "10.0.0.7",
    "10.0.0.8",
    "10.0.0.9",
    "10.0.0.11",
    "10.0.0.12",
    "10.0.0.20",
];

/// A `/dev` with the nodes that programs need and nothing of the machine's, so that a device can have the
/// name that a reader knows.
const DEVICES: &str = r#"
set -e
new=$(mktemp -d)
mount -t tmpfs none "$new"
for node in null zero full random urandom tty; do
  touch "$new/$node" && mount --bind "/dev/$node" "$new/$node"
done
mkdir "$new/pts" "$new/shm"
mount -t devpts -o newinstance,ptmxmode=0666 none "$new/pts"
mount -t tmpfs none "$new/shm"
ln -s pts/ptmx "$new/ptmx"
ln -s /proc/self/fd "$new/fd"
mount --move "$new" /dev
"#;

/// Types the commands of a block, with a mark after each; ends what was started at its end.
const SHELL: &str = r#"
typed() {
  case $1 in
    *'&')
      log=$(mktemp -p "$LOGS")
      eval "${1%&} 2>$log </dev/null &"
      pid=$! && started="$started $pid"
      until grep -qE ' ready|listening|listens' "$log"; do
        kill -0 $pid 2>/dev/null || { cat "$log"; break; }
        sleep 0.02
      done ;;
    *) timeout 60 bash -c "$1" </dev/null ;;
  esac
}
started=
while IFS= read -r -d '' line; do
  typed "$line"
  printf '\0'
done
for pid in $started; do
  kill -TERM $pid && wait $pid || { echo "ended with $?"; cat "$LOGS"/*; exit 1; }
done >&2
"#;

/// All of it; what runs ends with this value.
pub(super) struct World {
    folder: TempDir,
    _peers: Vec<Box<dyn Send>>,
}

impl World {
    pub(super) async fn make() -> Self {
        set_up("ip link set lo up").await;
        for address in ADDRESSES {
            set_up(&format!("ip address add {address}/32 dev lo")).await;
        }
        set_up(DEVICES).await;
        let folder = tempdir();
        let peers = peers(&folder.path().join("home")).await;
        let world = World { folder, _peers: peers };
        world.link("config", &Path::new(TOP).join("config"));
        for folder in ["target/debug", "logs", "runtime"] {
            fs::create_dir_all(world.path(folder)).expect("a folder");
        }
        world.link("target/debug/jackfield", &beside("jackfield"));
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn link(&self, name: &str, to: &Path) {
        symlink(to, self.path(name)).expect("a link");
    }

    /// Writes a file that a README shows.
    pub(super) fn put(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a file");
    }

    /// Types the commands of a block. What each has printed, and what all have complained of.
    pub(super) async fn typed(&self, block: &[Command]) -> (Vec<String>, String) {
        let mut shell = command(need("bash", "bash"));
        shell.args(["-c", SHELL]).current_dir(self.folder.path());
        let programs = beside("jackfield");
        let programs = programs.parent().expect("a folder").display();
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{programs}:{path}")).env("LOGS", self.path("logs"));
        // A session that a recipe leaves open is not waited for.
        shell.env("JACKFIELD__HOST__SHUTDOWN_TIMEOUT", "1s");
        // Where the host of a recipe is found by the commands after it.
        shell.env("XDG_RUNTIME_DIR", self.path("runtime")).env_remove("JACKFIELD_ADMIN");
        shell.env("HOME", self.path("home")).stdin(Stdio::piped());
        let lines: String = block.iter().map(|command| format!("{}\0", command.line)).collect();
        let ran = run(shell, lines.as_str()).await;
        let printed = ran.text();
        let printed: Vec<String> = printed.split_terminator('\0').map(str::to_owned).collect();
        let all: Vec<&str> = block.iter().map(|command| command.line.as_str()).collect();
        assert_eq!(ran.code, Some(0), "{all:#?}\n{printed:#?}\n{}", ran.stderr);
        (printed, ran.stderr)
    }
}

/// Runs a script as the root of this world.
async fn set_up(script: &str) {
    let mut shell = command(need("bash", "bash"));
    shell.args(["-c", script]);
    run(shell, "").await.ok();
}

/// Everything that answers in this world.
async fn peers(home: &Path) -> Vec<Box<dyn Send>> {
    let mut peers: Vec<Box<dyn Send>> = Vec::new();
    let sshd = Sshd::start().await;
    let keys = home.join(".ssh");
    fs::create_dir_all(&keys).expect("a home");
    fs::copy(sshd.key(), keys.join("id_ed25519")).expect("a key");
    let port = sshd.port();
    let known = fs::read_to_string(sshd.known_hosts()).expect("a key of the host");
    let known = known.replace(&format!("[127.0.0.1]:{port}"), "10.0.0.7");
    fs::write(keys.join("known_hosts"), known).expect("known hosts");
    stands_for("10.0.0.7:22", port).await;
    peers.push(Box::new(sshd));
    peers.extend(fieldbus::peers(&keys.join("known_hosts")).await);

    let vnc = TcpPeer::sending("RFB 003.008\n").await;
    stands_for("10.0.0.20:5900", vnc.port()).await;
    peers.push(Box::new(vnc));
    for address in ["10.0.0.11:8000", "10.0.0.12:8000"] {
        let web = PythonHttp::start().await;
        stands_for(address, web.port).await;
        peers.push(Box::new(web));
    }

    let line = Line::new().await;
    symlink(line.end("a"), "/dev/ttyUSB0").expect("a device");
    let mut far = fs::OpenOptions::new();
    let far = far.read(true).write(true).open(line.end("b")).expect("the far end");
    std::thread::spawn(move || console(far));
    peers.push(Box::new(line));

    let terminal = TcpListener::bind("10.0.0.9:2001").await.expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = terminal.accept().await {
            tokio::spawn(switch(stream));
        }
    });
    peers
}

/// A serial console: says what it was told, after its prompt.
fn console(far: fs::File) {
    use std::io::{BufReader, Read, Write};
    let mut write = far.try_clone().expect("a second handle");
    let mut line = Vec::new();
    for byte in BufReader::new(far).bytes().map_while(Result::ok) {
        match byte {
            b'\r' | b'\n' if line.is_empty() => {}
            b'\r' | b'\n' => {
                let said = String::from_utf8_lossy(&line).into_owned();
                line.clear();
                // It goes with the line.
                let _ = write!(write, "ups> {said}\r\n");
            }
            _ => line.push(byte),
        }
    }
}

/// A switch that wants a name and a password, and knows one command.
async fn switch(mut stream: TcpStream) -> std::io::Result<()> {
    for question in ["Username: ", "Password: "] {
        stream.write_all(question.as_bytes()).await?;
        typed_line(&mut stream).await?;
    }
    loop {
        stream.write_all(b"\r\ncore1# ").await?;
        let answer = match typed_line(&mut stream).await?.as_str() {
            "show version" => "show version\r\nExample OS 4.2",
            _ => "% unknown command",
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// What is typed up to a carriage return or a line feed.
async fn typed_line(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut line = String::new();
    loop {
        match char::from(stream.read_u8().await?) {
            '\r' | '\n' if line.is_empty() => {}
            '\r' | '\n' => return Ok(line),
            typed => line.push(typed),
        }
    }
}

/// Makes an address of this world lead to a port of the loopback address, where a peer listens.
pub(super) async fn stands_for(address: &str, port: u16) {
    let listener = TcpListener::bind(address).await.expect("an address of this world");
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await {
                    // Whoever of the two is gone, the other hears it.
                    let _ = copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    });
}

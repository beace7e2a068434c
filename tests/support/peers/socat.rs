//! socat: echoes over sockets, and pairs of pseudo terminals. ser2net: a line behind a port.

use std::path::PathBuf;

use rustix::process::Pid;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    need::need,
    ports,
    process::{Process, command, tempdir},
};

/// A running socat; it ends with this value.
pub(crate) struct Socat {
    process: Process,
}

impl Socat {
    /// Starts it between two addresses and waits for `ready` in its log.
    pub(crate) async fn start(from: &str, to: &str, ready: &str) -> Self {
        Self::try_start(from, to, ready).await.unwrap_or_else(|log| panic!("{log}"))
    }

    async fn try_start(from: &str, to: &str, ready: &str) -> Result<Self, String> {
        let mut socat = command(need("socat", "socat"));
        // After one direction has ended it waits for the other, however slow that is.
        socat.args(["-d", "-d", "-t", "60", from, to]);
        let mut process = Process::spawn("socat", socat);
        process.logged(ready).await?;
        Ok(Self { process })
    }

    pub(crate) fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Answers every datagram with itself.
    pub(crate) async fn udp_echo() -> (Self, u16) {
        ports::with_free_port(async |port| {
            let from = format!("UDP4-RECVFROM:{port},bind=127.0.0.1,fork");
            Self::try_start(&from, "PIPE", "receiving on").await.map(|socat| (socat, port))
        })
        .await
    }
}

/// Two pseudo terminals, each the far end of the other. It is unplugged when dropped.
pub(crate) struct Line {
    socat: Option<Socat>,
    folder: TempDir,
}

impl Line {
    pub(crate) async fn new() -> Self {
        let mut line = Self { socat: None, folder: tempdir() };
        line.plug_in().await;
        line
    }

    /// The path of one end, `a` or `b`.
    pub(crate) fn end(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path of a name beside the ends that leads to `a`, as `/dev/serial/by-id` has them.
    pub(crate) fn by_id(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::os::unix::fs::symlink("a", &path).expect("a link");
        path
    }

    /// Both ends vanish, as does a device that is unplugged.
    pub(crate) fn unplug(&mut self) {
        self.socat = None;
        for name in ["a", "b"] {
            // It was killed: what it had in the folder is still there.
            let _ = std::fs::remove_file(self.end(name));
        }
    }

    /// Two new ends at the same paths.
    pub(crate) async fn plug_in(&mut self) {
        let end = |name: &str| format!("PTY,link={},raw,echo=0", self.end(name).display());
        let socat = Socat::start(&end("a"), &end("b"), "starting data transfer loop").await;
        self.socat = Some(socat);
    }
}

/// ser2net with one end of a line behind a port of its own.
pub(crate) struct Ser2net {
    _process: Process,
}

impl Ser2net {
    /// Starts it, and connects to it as soon as that is possible.
    pub(crate) async fn connect(device: &std::path::Path) -> (Self, TcpStream) {
        let (ser2net, _, stream) = Self::start(device, "tcp").await;
        (ser2net, stream)
    }

    /// Starts it with a line that clients may set (RFC 2217); it serves one at a time.
    pub(crate) async fn rfc2217(device: &std::path::Path) -> (Self, u16) {
        let (ser2net, port, mut stream) = Self::start(device, "telnet(rfc2217),tcp").await;
        // The line is free once it has let go of this one.
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        (ser2net, port)
    }

    /// Leads its users to a line behind a port, as a client of RFC 2217; with one of them.
    pub(crate) async fn client(to: u16) -> (Self, TcpStream) {
        let connector = format!("telnet(rfc2217),tcp,127.0.0.1,{to}");
        let (ser2net, _, stream) = Self::between("tcp", &connector).await;
        (ser2net, stream)
    }

    async fn start(device: &std::path::Path, accepter: &str) -> (Self, u16, TcpStream) {
        let connector = format!("serialdev,{},115200n81,local", device.display());
        Self::between(accepter, &connector).await
    }

    async fn between(accepter: &str, connector: &str) -> (Self, u16, TcpStream) {
        ports::with_free_port(async |port| {
            let dir = tempdir();
            let file = dir.path().join("ser2net.yaml");
            let text = format!(
                "connection: &line\n  accepter: {accepter},127.0.0.1,{port}\n  \
                 connector: {connector}\n"
            );
            std::fs::write(&file, text).expect("a configuration");
            let mut ser2net = command(need("ser2net", "ser2net"));
            ser2net.args(["-n", "-d", "-c"]).arg(&file);
            let mut process = Process::spawn_in("ser2net", dir, ser2net);
            let mut stream = None;
            process
                .ready(async |_| {
                    stream = TcpStream::connect(("127.0.0.1", port)).await.ok();
                    stream.is_some()
                })
                .await?;
            Ok((Self { _process: process }, port, stream.expect("a connection")))
        })
        .await
    }
}

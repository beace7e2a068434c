//! Time by NTP: chrony as a server and as a client, ntpsec as a server, and a server that says what a test wants.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{net::UdpSocket, task::JoinHandle};

use crate::support::{
    need::{need, unpacked},
    ports,
    process::{Process, Ran, command, run, tempdir},
};

/// Bytes of a request.
const REQUEST: usize = 48;

/// A server of stratum 8 that never touches the clock of the machine.
pub(crate) struct Chrony {
    _process: Process,
    port: u16,
}

impl Chrony {
    pub(crate) async fn start() -> Self {
        ports::with_free_port(async |port| {
            let folder = tempdir();
            let at = |name: &str| folder.path().join(name).display().to_string();
            let text = format!(
                "port {port}\nbindaddress 127.0.0.1\nlocal stratum 8\nallow 127.0.0.1\ncmdport 0\n\
                 bindcmdaddress /\npidfile {}\ndriftfile {}\nmanual\n",
                at("pid"),
                at("drift")
            );
            let file = at("chrony.conf");
            fs::write(&file, text).expect("a configuration");
            let mut server = command(need("chronyd", "chrony"));
            server.args(["-d", "-x", "-U", "-u", "root", "-f"]).arg(&file);
            let mut process = Process::spawn_in("chronyd", folder, server);
            process.ready(async |_| has_socket(port)).await?;
            Ok(Self { _process: process, port })
        })
        .await
    }

    pub(crate) fn uri(&self) -> String {
        format!("sntp://127.0.0.1:{}", self.port)
    }

    /// Measures the clock of a server once, as a client.
    pub(crate) async fn measures(server: SocketAddr) -> Ran {
        let folder = tempdir();
        let mut client = command(need("chronyd", "chrony"));
        let (ip, port) = (server.ip(), server.port());
        client.args(["-Q", "-t", "30", "-U", "-u", "root"]);
        client.arg(format!("server {ip} port {port} iburst maxsamples 2"));
        client.arg(format!("pidfile {}", folder.path().join("pid").display()));
        client.args(["cmdport 0", "bindcmdaddress /"]);
        run(client, "").await
    }
}

/// ntpsec's server at port 123 of a network of its own; it never touches the clock of the machine.
pub(crate) struct Ntpsec {
    process: Process,
}

impl Ntpsec {
    /// With further lines of configuration.
    pub(crate) async fn start(more: &str) -> Self {
        let folder = tempdir();
        let file = folder.path().join("ntp.conf");
        let text = "interface ignore wildcard\ninterface listen 127.0.0.1\ndisable ntp\n\
                    disable kernel\nrestrict default nomodify noquery\nrestrict 127.0.0.1\n";
        fs::write(&file, format!("{text}{more}")).expect("a configuration");
        let mut server = command(unpacked("ntpsec", "usr/sbin/ntpd"));
        server.args(["-n", "-N", "-g", "-c"]).arg(&file);
        let mut process = Process::spawn_in("ntpd", folder, server);
        let ready = process.ready(async |_| has_socket(123)).await;
        ready.unwrap_or_else(|log| panic!("{log}"));
        Self { process }
    }

    /// What `work` gives once it gives something.
    pub(crate) async fn once<T>(&mut self, work: impl AsyncFn() -> Option<T>) -> T {
        let mut found = None;
        let ready = self.process.ready(async |_| {
            found = work().await;
            found.is_some()
        });
        ready.await.unwrap_or_else(|log| panic!("{log}"));
        found.expect("it is there")
    }
}

/// Whether somebody has a UDP socket at this port of the machine.
pub(crate) fn has_socket(port: u16) -> bool {
    let table = fs::read_to_string("/proc/net/udp").unwrap_or_default();
    table.contains(&format!(":{port:04X} 00000000:0000"))
}

/// A server that is told what to answer: all datagrams, in order, for the number of a request and its bytes.
pub(crate) struct TimePeer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl TimePeer {
    pub(crate) async fn start(
        answers: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("its address");
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((len, client)) = socket.recv_from(&mut buffer).await {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                assert_eq!(len, REQUEST, "a request has 48 bytes");
                for answer in answers(number, &buffer[..len]) {
                    // A client that has gone is the affair of its test.
                    let _ = socket.send_to(&answer, client).await;
                }
            }
        });
        Self { address, asked, task }
    }

    pub(crate) fn uri(&self) -> String {
        format!("sntp://{}", self.address)
    }

    /// Requests that have come.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for TimePeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

//! Names by DNS: knot, BIND and unbound on one small zone, and a server that says what a test wants.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinHandle,
};

use crate::support::{
    certs::Certs,
    need::need,
    peers::time::has_socket,
    ports,
    process::{Process, command, tempdir},
};

/// The zone `test.`, with one of each.
const ZONE: &str = "$ORIGIN test.\n$TTL 60\n\
    @ SOA ns hostmaster 7 3600 600 86400 30\n@ NS ns\nns A 127.0.0.1\n\
    host A 192.0.2.1\nhost AAAA 2001:db8::1\nmany A 192.0.2.1\nmany A 192.0.2.2\n\
    alias CNAME host\n@ MX 10 mail\nmail A 192.0.2.3\n\
    _sip._tcp SRV 1 2 5060 host\ntxt TXT \"one\" \"two words\" \"\"\n\
    caa CAA 0 issue \"ca.test\"\nnaptr NAPTR 100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:i@test!\" .\n\
    svc HTTPS 1 . alpn=h2 port=8443\nodd TYPE65400 \\# 3 010203\nloop CNAME loop2\nloop2 CNAME loop\n";

/// What does not fit into a datagram.
fn zone() -> String {
    let long = |number: u32| format!("big TXT \"{number:03}{}\"\n", "x".repeat(60));
    [ZONE.to_owned(), (0..60).map(long).collect()].concat()
}

/// knot, which knows the zone.
pub(crate) struct Knot {
    _process: Process,
    port: u16,
}

impl Knot {
    pub(crate) async fn start() -> Self {
        ports::with_free_port(async |port| {
            let folder = tempdir();
            let at = |name: &str| folder.path().join(name).display().to_string();
            fs::write(at("zone"), zone()).expect("a zone");
            let text = format!(
                "server:\n    rundir: \"{0}\"\n    listen: 127.0.0.1@{port}\n    user: root:root\n\
                 log:\n  - target: stderr\n    any: info\ndatabase:\n    storage: \"{0}/db\"\n\
                 zone:\n  - domain: test\n    file: \"{0}/zone\"\n    zonefile-sync: -1\n",
                folder.path().display()
            );
            fs::write(at("knot.conf"), text).expect("a configuration");
            let mut server = command(need("knotd", "knot"));
            server.arg("-c").arg(at("knot.conf"));
            let mut process = Process::spawn_in("knotd", folder, server);
            process.logged("server started").await?;
            Ok(Self { _process: process, port })
        })
        .await
    }

    pub(crate) fn uri(&self) -> String {
        format!("dns://127.0.0.1:{}", self.port)
    }
}

/// BIND, which knows the zone, by UDP and TCP, by TLS and by HTTPS.
pub(crate) struct Bind {
    _process: Process,
    pub(crate) port: u16,
    pub(crate) tls: u16,
    pub(crate) https: u16,
}

impl Bind {
    pub(crate) async fn start(certs: &Certs) -> Self {
        ports::with_free_port(async |port| {
            let (tls, https) = (ports::free(), ports::free());
            let folder = tempdir();
            let at = |name: &str| folder.path().join(name).display().to_string();
            fs::write(at("zone"), zone()).expect("a zone");
            let text = format!(
                "tls t {{ cert-file {cert:?}; key-file {key:?}; }};\n\
                 http h {{ endpoints {{ \"/dns-query\"; }}; }};\n\
                 options {{ directory {dir:?}; pid-file none; session-keyfile none; recursion no;\n\
                 dnssec-validation no; managed-keys-directory {dir:?}; listen-on-v6 {{ none; }};\n\
                 listen-on port {port} {{ 127.0.0.1; }};\n\
                 listen-on port {tls} tls t {{ 127.0.0.1; }};\n\
                 listen-on port {https} tls t http h {{ 127.0.0.1; }}; }};\n\
                 controls {{ }};\nzone \"test\" {{ type master; check-names ignore; file {zone:?}; }};\n",
                cert = certs.server.certificate,
                key = certs.server.key,
                dir = folder.path(),
                zone = at("zone"),
            );
            fs::write(at("named.conf"), text).expect("a configuration");
            let mut server = command(need("named", "bind9"));
            server.args(["-g", "-n", "1", "-c"]).arg(at("named.conf"));
            let mut process = Process::spawn_in("named", folder, server);
            process.logged("all zones loaded").await?;
            Ok(Self { _process: process, port, tls, https })
        })
        .await
    }
}

/// unbound, which knows a few names and has rules.
pub(crate) struct Unbound {
    _process: Process,
    pub(crate) port: u16,
    pub(crate) tls: u16,
}

impl Unbound {
    pub(crate) async fn start(certs: &Certs) -> Self {
        ports::with_free_port(async |port| {
            let tls = ports::free();
            let folder = tempdir();
            let at = |name: &str| folder.path().join(name).display().to_string();
            let text = format!(
                "server:\n interface: 127.0.0.1@{port}\n interface: 127.0.0.1@{tls}\n tls-port: {tls}\n \
                 tls-service-key: {key:?}\n tls-service-pem: {cert:?}\n username: \"\"\n chroot: \"\"\n \
                 pidfile: \"\"\n use-syslog: no\n directory: {dir:?}\n do-daemonize: no\n \
                 num-threads: 1\n access-control: 127.0.0.0/8 allow\n module-config: \"iterator\"\n \
                 local-zone: test. static\n local-data: \"host.test. 60 IN A 192.0.2.1\"\n \
                 local-data-ptr: \"192.0.2.1 host.test\"\n local-zone: refuse.test. refuse\n \
                 local-zone: deny.test. deny\nremote-control:\n control-enable: no\n",
                cert = certs.server.certificate,
                key = certs.server.key,
                dir = folder.path(),
            );
            fs::write(at("unbound.conf"), text).expect("a configuration");
            let mut server = command(need("unbound", "unbound"));
            server.args(["-d", "-c"]).arg(at("unbound.conf"));
            let mut process = Process::spawn_in("unbound", folder, server);
            process.ready(async |_| has_socket(port) && is_open(tls).await).await?;
            Ok(Self { _process: process, port, tls })
        })
        .await
    }
}

async fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

/// A question as it came.
pub(crate) struct Asked<'a> {
    /// How many came before.
    pub(crate) number: usize,
    pub(crate) message: &'a [u8],
    pub(crate) over_tcp: bool,
}

impl Asked<'_> {
    /// Where the question ends: before what is added to it.
    fn end(&self) -> usize {
        let mut at = 12;
        while self.message[at] != 0 {
            at += usize::from(self.message[at]) + 1;
        }
        at + 5
    }

    /// The name in lower case, with dots.
    pub(crate) fn name(&self) -> String {
        let (mut at, mut name) = (12, String::new());
        while self.message[at] != 0 {
            let len = usize::from(self.message[at]);
            name += &String::from_utf8_lossy(&self.message[at + 1..=at + len]);
            name.push('.');
            at += len + 1;
        }
        name.to_ascii_lowercase()
    }

    /// The number of its type.
    pub(crate) fn rtype(&self) -> u16 {
        let end = self.end();
        u16::from_be_bytes([self.message[end - 4], self.message[end - 3]])
    }

    /// An answer with these flags (with the code) and records: type, TTL and data of each, of the name asked for.
    pub(crate) fn answer(&self, flags: u16, records: &[(u16, u32, Vec<u8>)]) -> Vec<u8> {
        let count = u16::try_from(records.len()).expect("not so many");
        let mut answer = self.message[..2].to_vec();
        for word in [flags, 1, count, 0, 0] {
            answer.extend(word.to_be_bytes());
        }
        answer.extend(&self.message[12..self.end()]);
        for (rtype, ttl, data) in records {
            answer.extend([0xc0, 12]);
            answer.extend(rtype.to_be_bytes());
            answer.extend([0, 1]);
            answer.extend(ttl.to_be_bytes());
            answer.extend(u16::try_from(data.len()).expect("not so long").to_be_bytes());
            answer.extend(data);
        }
        answer
    }

    /// A good answer: addresses, which hold for so long.
    pub(crate) fn addresses(&self, ttl: u32, addresses: &[[u8; 4]]) -> Vec<u8> {
        let records: Vec<_> = addresses.iter().map(|address| (1, ttl, address.to_vec())).collect();
        self.answer(0x8180, &records)
    }
}

/// A server by UDP and TCP that is told what to answer: messages, in order.
pub(crate) struct NamePeer {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    tasks: [JoinHandle<()>; 2],
}

type Answers = dyn Fn(Asked<'_>) -> Vec<Vec<u8>> + Send + Sync;

impl NamePeer {
    pub(crate) async fn start(
        answers: impl Fn(Asked<'_>) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
            // Somebody may have the same port of UDP.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("its address")).await {
                break (tcp, udp);
            }
        };
        let address = udp.local_addr().expect("its address");
        let asked = Arc::new(AtomicUsize::new(0));
        let answers: Arc<Answers> = Arc::new(answers);
        let tasks = [
            tokio::spawn(by_udp(udp, Arc::clone(&answers), Arc::clone(&asked))),
            tokio::spawn(by_tcp(tcp, answers, Arc::clone(&asked))),
        ];
        Self { address, asked, tasks }
    }

    pub(crate) fn uri(&self) -> String {
        format!("dns://{}", self.address)
    }

    /// Questions that have come.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for NamePeer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn by_udp(socket: UdpSocket, answers: Arc<Answers>, asked: Arc<AtomicUsize>) {
    let mut buffer = [0; 4096];
    while let Ok((len, client)) = socket.recv_from(&mut buffer).await {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        let message = &buffer[..len];
        for answer in answers(Asked { number, message, over_tcp: false }) {
            // A client that has gone is the affair of its test.
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

async fn by_tcp(listener: TcpListener, answers: Arc<Answers>, asked: Arc<AtomicUsize>) {
    let mut clients = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        clients.spawn(serve(stream, Arc::clone(&answers), Arc::clone(&asked)));
    }
}

/// Messages with their lengths. An empty one ends the connection.
async fn serve(mut stream: TcpStream, answers: Arc<Answers>, asked: Arc<AtomicUsize>) {
    while let Ok(len) = stream.read_u16().await {
        let mut message = vec![0; usize::from(len)];
        if stream.read_exact(&mut message).await.is_err() {
            return;
        }
        let number = asked.fetch_add(1, Ordering::SeqCst);
        for answer in answers(Asked { number, message: &message, over_tcp: true }) {
            let len = u16::try_from(answer.len()).expect("a message").to_be_bytes();
            let framed = [&len, answer.as_slice()].concat();
            if answer.is_empty() || stream.write_all(&framed).await.is_err() {
                return;
            }
        }
    }
}

//! Servers of HTTP that are not ours: nginx, Python's `http.server`, nghttp2's `nghttpd`; and its
//! clients beside curl; `wrk`; `varnishtest`; Python's `sseclient-py`.

use std::{fs, net::SocketAddr, path::Path};

use crate::support::{
    certs::Pair,
    need::{need, need_file},
    peers::python::python,
    ports,
    process::{Process, Ran, command, run, script, tempdir},
};

/// nginx with HTTP/1.1 on one port, and HTTP/1.1 and HTTP/2 over TLS on another.
pub(crate) struct Nginx {
    _process: Process,
    pub(crate) port: u16,
    pub(crate) tls: u16,
}

impl Nginx {
    /// Serves what `pair` is for: `/text` (compressed where wanted), `/moved` and `/away` as
    /// redirects, `/asked` telling what was asked, `/cookies` setting some.
    pub(crate) async fn start(pair: &Pair) -> Self {
        let program = need("nginx", "nginx-light");
        ports::with_free_port(async |port| {
            let (dir, tls) = (tempdir(), ports::free());
            let file = dir.path().join("nginx.conf");
            fs::write(&file, nginx_conf(dir.path(), pair, port, tls)).expect("a configuration");
            fs::write(dir.path().join("text"), "line of text\n".repeat(1000)).expect("a page");
            let mut server = command(&program);
            server.arg("-p").arg(dir.path()).arg("-c").arg(&file).args(["-e", "stderr"]);
            let mut process = Process::spawn_in("nginx", dir, server);
            process.ready(async |_| is_open(port).await && is_open(tls).await).await?;
            Ok(Self { _process: process, port, tls })
        })
        .await
    }
}

fn nginx_conf(folder: &Path, pair: &Pair, port: u16, tls: u16) -> String {
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = kinds
        .iter()
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
        .collect();
    format!(
        "daemon off; user root; worker_processes 1; pid {folder}/pid; events {{}}\n\
         http {{ access_log off; {temporary} default_type text/plain;\n\
         server {{ listen 127.0.0.1:{port}; listen 127.0.0.1:{tls} ssl http2; root {folder};\n\
         ssl_certificate {certificate}; ssl_certificate_key {key};\n\
         gzip on; gzip_types text/plain; gzip_min_length 1;\n\
         location = /moved {{ return 302 /asked; }}\n\
         location = /away {{ return 302 http://elsewhere.test/; }}\n\
         location = /cookies {{ add_header Set-Cookie \"a=1; HttpOnly\"; add_header Set-Cookie \
         \"b=2; Path=/; Max-Age=60\"; add_header Set-Cookie \"gone=3; Max-Age=0\"; \
         add_header Set-Cookie \"far=4; Domain=b.test\"; \
         return 200 \"got: $http_cookie\"; }}\n\
         location = /asked {{ return 200 \"$server_protocol $request_method $http_host \
         $http_authorization $http_x_probe\"; }} }} }}\n",
        folder = folder.display(),
        certificate = pair.certificate.display(),
        key = pair.key.display(),
    )
}

async fn is_open(port: u16) -> bool {
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

/// Python's `http.server`: HTTP/1.0, one request for each connection.
pub(crate) struct PythonHttp {
    _process: Process,
    pub(crate) port: u16,
}

impl PythonHttp {
    /// Serves `/page`, which says `from Python`.
    pub(crate) async fn start() -> Self {
        let dir = tempdir();
        fs::write(dir.path().join("page"), "from Python").expect("a page");
        let mut python = command(need_file("/usr/bin/python3", "python3"));
        python.args(["-I", "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "-d"]);
        python.arg(dir.path());
        let mut process = Process::spawn_in("http.server", dir, python);
        let port = process.logged_port(" port ").await;
        Self { _process: process, port }
    }
}

/// `sse_server.py`: server-sent events of Python's own `http.server`.
pub(crate) struct PythonEvents {
    _process: Process,
    pub(crate) port: u16,
}

impl PythonEvents {
    /// Serves `/events`, `/moved` as a redirect to it, and nothing else.
    pub(crate) async fn start() -> Self {
        let mut python = command(need_file("/usr/bin/python3", "python3"));
        python.args(["-I", "-u"]).arg(script("sse_server.py"));
        let mut process = Process::spawn("sse_server", python);
        let port = process.logged_port(" port ").await;
        Self { _process: process, port }
    }
}

/// `restconf_server.py`: RESTCONF by Python's own `http.server`, for `admin` with the password `secret`.
pub(crate) struct RestconfServer {
    _process: Process,
    port: u16,
}

impl RestconfServer {
    pub(crate) async fn start() -> Self {
        let mut python = command(need_file("/usr/bin/python3", "python3"));
        python.args(["-I", "-u"]).arg(script("restconf_server.py"));
        let mut process = Process::spawn("restconf_server", python);
        let port = process.logged_port(" port ").await;
        Self { _process: process, port }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its URI, with what stands before the host.
    pub(crate) fn uri(&self, user: &str) -> String {
        format!("restconf+tcp://{user}127.0.0.1:{}", self.port)
    }
}

/// `nghttpd`: HTTP/2 without TLS, and sends uploads back.
pub(crate) struct Nghttpd {
    _process: Process,
    pub(crate) port: u16,
}

impl Nghttpd {
    pub(crate) async fn start() -> Self {
        let program = need("nghttpd", "nghttp2-server");
        ports::with_free_port(async |port| {
            let dir = tempdir();
            let mut server = command(&program);
            server.args(["--no-tls", "-a", "127.0.0.1", "--echo-upload", "-d"]);
            server.arg(dir.path()).arg(port.to_string());
            let mut process = Process::spawn_in("nghttpd", dir, server);
            process.ready(async |_| is_open(port).await).await?;
            Ok(Self { _process: process, port })
        })
        .await
    }
}

/// `h2load` against `url`; `flags` say how much.
pub(crate) async fn h2load(flags: &[&str], url: &str) -> Ran {
    let mut client = command(need("h2load", "nghttp2-client"));
    client.args(flags).arg(url);
    run(client, "").await
}

/// `wrk` against `url` for a second, over ten connections.
pub(crate) async fn wrk(url: &str) -> Ran {
    let mut client = command(need("wrk", "wrk"));
    client.args(["-t1", "-c10", "-d1s", url]);
    run(client, "").await
}

/// `varnishtest` plays the clients of one of the scripts here, frame by frame, against `at`.
pub(crate) async fn varnishtest(name: &str, at: SocketAddr) -> Ran {
    let mut clients = command(need("varnishtest", "varnish"));
    clients.arg(format!("-Dat={at}")).arg(script(name));
    run(clients, "").await
}

/// Python's `sseclient-py` against `url`: the data of each event as JSON, one in a line.
pub(crate) async fn sse_client(url: &str) -> Ran {
    let mut client = python("sse_client.py");
    client.arg(url);
    run(client, "").await
}

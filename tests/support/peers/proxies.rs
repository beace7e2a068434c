//! Proxies that are not ours: HAProxy for the PROXY protocol, microsocks for SOCKS 5.

use std::{fs, net::SocketAddr, path::Path};

use tokio::net::TcpStream;

use crate::support::{
    certs::Pair,
    need::need,
    ports,
    process::{Process, command, tempdir},
};

async fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

/// HAProxy with one proxy of its configuration.
pub(crate) struct Haproxy {
    _process: Process,
    pub(crate) address: SocketAddr,
}

impl Haproxy {
    /// Leads to `to`, with a header for it: `how` is `send-proxy`, `send-proxy-v2` or the like. With a
    /// certificate its clients speak TLS, and show one that `ca` has signed if they like.
    pub(crate) async fn before(to: SocketAddr, how: &str, tls: Option<(&Pair, &Path)>) -> Self {
        Self::start(tls, |bind| format!("  mode tcp\n  bind {bind}\n  server far {to} {how}\n"))
            .await
    }

    /// Takes a header, and answers each request with `answer`, a format of HAProxy's: `%ci:%cp` is the client.
    pub(crate) async fn behind(answer: &str) -> Self {
        Self::start(None, |bind| {
            format!(
                "  mode http\n  bind {bind} accept-proxy\n  http-request return status 200 \
                 content-type text/plain lf-string \"{answer}\"\n"
            )
        })
        .await
    }

    async fn start(tls: Option<(&Pair, &Path)>, proxy: impl Fn(&str) -> String) -> Self {
        let program = need("haproxy", "haproxy");
        ports::with_free_port(async |port| {
            let dir = tempdir();
            let mut bind = format!("127.0.0.1:{port}");
            if let Some((pair, ca)) = tls {
                let whole = dir.path().join("server.pem");
                let parts = [&pair.certificate, &pair.key].map(fs::read_to_string);
                let parts = parts.map(|part| part.expect("a file"));
                fs::write(&whole, parts.concat()).expect("a certificate");
                let (whole, ca) = (whole.display(), ca.display());
                bind += &format!(" ssl crt {whole} ca-file {ca} verify optional");
            }
            let text = format!(
                "global\n  maxconn 100\ndefaults\n  timeout connect 10s\n  timeout client 60s\n  \
                 timeout server 60s\nlisten one\n{}",
                proxy(&bind)
            );
            let file = dir.path().join("haproxy.cfg");
            fs::write(&file, text).expect("a configuration");
            let mut server = command(&program);
            server.args(["-db", "-f"]).arg(&file);
            let mut process = Process::spawn_in("haproxy", dir, server);
            process.ready(async |_| is_open(port).await).await?;
            Ok(Self { _process: process, address: ([127, 0, 0, 1], port).into() })
        })
        .await
    }
}

/// microsocks: a SOCKS 5 proxy that connects to anything.
pub(crate) struct Microsocks {
    _process: Process,
    pub(crate) port: u16,
}

/// The user whom [`Microsocks::with_user`] takes.
pub(crate) const SOCKS_USER: (&str, &str) = ("lab", "hunter2");

impl Microsocks {
    /// For everybody.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Only for [`SOCKS_USER`].
    pub(crate) async fn with_user() -> Self {
        Self::with(&["-u", SOCKS_USER.0, "-P", SOCKS_USER.1]).await
    }

    async fn with(arguments: &[&str]) -> Self {
        let program = need("microsocks", "microsocks");
        ports::with_free_port(async |port| {
            let mut server = command(&program);
            server.args(["-i", "127.0.0.1", "-p", &port.to_string()]).args(arguments);
            let mut process = Process::spawn("microsocks", server);
            process.ready(async |_| is_open(port).await).await?;
            Ok(Self { _process: process, port })
        })
        .await
    }
}

//! OpenSSL as server and as client, and socat's echo over OpenSSL.

use std::path::Path;

use crate::support::{
    certs::Pair,
    need::need,
    ports,
    process::{Process, Ran, command, dialogue},
};

/// `openssl s_server`: answers each line with the same line reversed.
pub(crate) struct TlsServer {
    process: Process,
    port: u16,
}

impl TlsServer {
    /// A server on 127.0.0.1 that shows `pair`; `flags` go to `s_server` as they are, for instance
    /// `["-tls1_2"]` or `["-alpn", "h2"]`.
    pub(crate) async fn start(pair: &Pair, flags: &[&str]) -> Self {
        Self::start_as("-rev", pair, flags).await
    }

    /// A server that answers an HTTP request with a page about its TLS session, then closes.
    pub(crate) async fn start_web(pair: &Pair) -> Self {
        Self::start_as("-www", pair, &[]).await
    }

    async fn start_as(kind: &str, pair: &Pair, flags: &[&str]) -> Self {
        let mut server = command(need("openssl", "openssl"));
        server.args(["s_server", "-accept", "127.0.0.1:0", kind]).args(flags);
        server.arg("-cert").arg(&pair.certificate).arg("-key").arg(&pair.key);
        let mut process = Process::spawn("openssl s_server", server);
        let port = process.logged_port("ACCEPT 127.0.0.1:").await;
        Self { process, port }
    }

    /// A server that asks for a certificate signed by `ca` and refuses clients without one.
    pub(crate) async fn start_mutual(pair: &Pair, ca: &Path) -> Self {
        let ca = ca.to_str().expect("a path in UTF-8");
        Self::start(pair, &["-Verify", "1", "-verify_return_error", "-CAfile", ca]).await
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What the server says about its connections.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Waits for a line with `text` in the server's log.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        self.process.logged(text).await.unwrap_or_else(|log| panic!("{log}"))
    }
}

/// socat over OpenSSL: answers every byte with the same byte, and half-closes as its client does.
pub(crate) struct TlsEcho {
    _process: Process,
    port: u16,
}

impl TlsEcho {
    pub(crate) async fn start(pair: &Pair) -> Self {
        let socat = need("socat", "socat");
        ports::with_free_port(async |port| {
            let mut server = command(&socat);
            server.args(["-d", "-d"]).arg(format!(
                "OPENSSL-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,verify=0,cert={},key={}",
                pair.certificate.display(),
                pair.key.display()
            ));
            let mut process = Process::spawn("socat", {
                server.arg("PIPE");
                server
            });
            process.logged("listening on").await?;
            Ok(Self { _process: process, port })
        })
        .await
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// `openssl s_client` to `port`: trusts `ca` only, asks for and checks the name `localhost`, sends
/// `input` and leaves once `expected` came back.
pub(crate) async fn tls_client(
    port: u16,
    ca: &Path,
    input: &str,
    expected: &str,
    flags: &[&str],
) -> Ran {
    let mut client = command(need("openssl", "openssl"));
    client
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", "localhost"])
        .args(["-verify_return_error", "-verify_hostname", "localhost", "-CAfile"])
        .arg(ca)
        .args(flags);
    dialogue(client, input, expected).await
}

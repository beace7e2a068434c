//! Drivers on top of each other, end to end: what one URI, or a route between two, must carry.

use jackfield_plugin_api::Session;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    certs::Certs,
    host::{TestHost, exchange},
    peers::{
        echo::TcpPeer,
        sshd::{Sshd, USER},
        tls_openssl::TlsEcho,
        ws::{Program, WsServer},
    },
};

/// What a test sends through a stack; binary, and longer than any one buffer on the way.
fn cargo() -> Vec<u8> {
    (0..200_000_u32).map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect()
}

/// Sends the cargo through a session's stream and takes the same back.
async fn stream_echoes(session: &Session) {
    let (mut read, mut write) = tokio::io::split(session.take_stream().expect("a stream"));
    let sent = cargo();
    let mut back = vec![0; sent.len()];
    let sending = async {
        write.write_all(&sent).await.unwrap();
        write.flush().await.unwrap();
    };
    let (_, received) = tokio::join!(sending, read.read_exact(&mut back));
    received.unwrap();
    assert!(back == sent, "the bytes came back changed");
}

/// The same through the message facet.
async fn messages_echo(session: &Session) {
    use futures_util::{SinkExt, StreamExt};
    use jackfield_plugin_api::Message;
    let mut messages = session.take_messages().expect("messages");
    for message in [Message::text("grüße"), Message::binary(cargo()), Message::binary("")] {
        messages.send(message.clone()).await.unwrap();
        assert_eq!(messages.next().await.unwrap().unwrap(), message);
    }
}

fn ssh_options(sshd: &Sshd) -> Value {
    json!({ "key_file": sshd.key(), "known_hosts": sshd.known_hosts(), "host_keys": "strict" })
}

/// An inline table of the same for a configuration file.
fn ssh_toml(sshd: &Sshd, more: &str) -> String {
    format!(
        "{{ key_file = {:?}, known_hosts = {:?}{more} }}",
        sshd.key().display().to_string(),
        sshd.known_hosts().display().to_string()
    )
}

fn ssh_uri(sshd: &Sshd) -> String {
    format!("ssh://{USER}@127.0.0.1:{}", sshd.port())
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp() {
    let peer = TcpPeer::echo().await;
    let host = TestHost::start("").await;
    stream_echoes(&host.open(&peer.uri(), json!({})).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_over_tcp() {
    let certs = Certs::new();
    let peer = TlsEcho::start(&certs.server).await;
    let host = TestHost::start("").await;
    let uri = format!("tls+tcp://localhost:{}", peer.port());
    let session = host.open(&uri, json!({ "ca_file": certs.ca })).await.unwrap();
    assert!(session.info().encrypted);
    stream_echoes(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ws_over_tcp() {
    let peer = WsServer::start(Program::Python).await;
    let host = TestHost::start("").await;
    let uri = format!("ws+tcp://127.0.0.1:{}/echo", peer.port());
    messages_echo(&host.open(&uri, json!({})).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ws_over_tls_over_tcp() {
    let certs = Certs::new();
    let peer = WsServer::start_secure(Program::Node, &certs.server).await;
    let host = TestHost::start("").await;
    for scheme in ["ws+tls+tcp", "wss"] {
        let uri = format!("{scheme}://localhost:{}/echo", peer.port());
        let session = host.open(&uri, json!({ "tls": { "ca_file": certs.ca } })).await.unwrap();
        messages_echo(&session).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh() {
    let sshd = Sshd::start().await;
    let host = TestHost::start("").await;
    let mut options = ssh_options(&sshd);
    options["exec"] = json!("cat");
    stream_echoes(&host.open(&ssh_uri(&sshd), options).await.unwrap()).await;
}

/// A configuration with a bastion, and a connection via it.
fn via_bastion(bastion: &Sshd, inner: &str) -> String {
    format!(
        "[connections.bastion]\nuri = \"{}\"\noptions = {}\n\
         [connections.inner]\nvia = \"connections.bastion\"\n{inner}\n",
        ssh_uri(bastion),
        ssh_toml(bastion, "")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_via_ssh() {
    let (bastion, inner) = (Sshd::start().await, Sshd::start().await);
    let toml = via_bastion(
        &bastion,
        &format!(
            "uri = \"{}\"\noptions = {}",
            ssh_uri(&inner),
            ssh_toml(&inner, ", exec = \"cat\"")
        ),
    );
    let host = TestHost::start(&toml).await;
    stream_echoes(&host.open("connections.inner", json!({})).await.unwrap()).await;
    // The bastion's one session carries any number.
    let many = (0..5).map(|_| host.open("connections.inner", json!({})));
    for session in futures_util::future::join_all(many).await {
        stream_echoes(&session.unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ws_over_tls_via_ssh() {
    let certs = Certs::new();
    let bastion = Sshd::start().await;
    let peer = WsServer::start_secure(Program::Python, &certs.server).await;
    let inner = format!(
        "uri = \"ws+tls://localhost:{}/echo\"\noptions = {{ tls = {{ ca_file = {:?} }} }}",
        peer.port(),
        certs.ca.display().to_string()
    );
    let host = TestHost::start(&via_bastion(&bastion, &inner)).await;
    messages_echo(&host.open("connections.inner", json!({})).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_tcp_via_ssh() {
    let (bastion, peer) = (Sshd::start().await, TcpPeer::echo().await);
    let inner = format!("uri = \"{}\"", peer.uri());
    let host = TestHost::start(&via_bastion(&bastion, &inner)).await;
    stream_echoes(&host.open("connections.inner", json!({})).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_bastion_is_opened_anew() {
    let (bastion, peer) = (Sshd::start().await, TcpPeer::echo().await);
    let inner = format!("uri = \"{}\"", peer.uri());
    let host = TestHost::start(&via_bastion(&bastion, &inner)).await;
    stream_echoes(&host.open("connections.inner", json!({})).await.unwrap()).await;
    assert!(bastion.kill_sessions() > 0);
    stream_echoes(&host.open("connections.inner", json!({})).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_listener_to_an_ssh_shell() {
    let sshd = Sshd::start().await;
    let toml = format!(
        "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"connections.shell\"\n\
         [connections.shell]\nuri = \"{}\"\noptions = {}\n",
        ssh_uri(&sshd),
        ssh_toml(&sshd, ", pty = true")
    );
    let host = TestHost::start(&toml).await;
    let answer = exchange(host.address(0), b"echo $((40 + 2)); exit\n").await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    // The terminal echoes what was typed, and the shell may put escapes before an answer.
    let answered = |line: &str| line.trim().ends_with("42") && !line.contains("echo");
    assert!(answer.lines().any(answered), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ws_listener_to_an_ssh_command() {
    use futures_util::{SinkExt, StreamExt};
    use jackfield_plugin_api::Message;
    let sshd = Sshd::start().await;
    let toml = format!(
        "[[routes]]\nlisten = \"ws://127.0.0.1:0/sum\"\nto = \"connections.sum\"\n\
         [connections.sum]\nuri = \"{}\"\noptions = {}\n",
        ssh_uri(&sshd),
        ssh_toml(&sshd, ", exec = \"head -c 3 | sha256sum\"")
    );
    let host = TestHost::start(&toml).await;
    let uri = format!("ws://{}/sum", host.address(0));
    let session = host.open(&uri, json!({})).await.unwrap();
    let mut messages = session.take_messages().unwrap();
    messages.send(Message::binary("abc")).await.unwrap();
    let mut answer = Vec::new();
    while let Some(Ok(message)) = messages.next().await {
        answer.extend_from_slice(&message.payload);
    }
    // FIPS 180-2, appendix B.1.
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert!(String::from_utf8_lossy(&answer).starts_with(sum), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_inside_a_websocket_through_a_second_host() {
    let certs = Certs::new();
    let sshd = Sshd::start().await;
    let gateway = TestHost::start(&format!(
        "[[routes]]\nlisten = \"wss://localhost:0/ssh\"\nto = \"tcp://127.0.0.1:{}\"\n\
         options = {{ tls = {{ certificate_file = {:?}, key_file = {:?} }} }}\n",
        sshd.port(),
        certs.server.certificate.display().to_string(),
        certs.server.key.display().to_string()
    ))
    .await;
    let host = TestHost::start("").await;
    let uri = format!("ssh+ws+tls://{USER}@localhost:{}/ssh", gateway.address(0).port());
    let mut options = ssh_options(&sshd);
    options["tls"] = json!({ "ca_file": certs.ca });
    // The server is known by another name here: its own port is not the one in the URI.
    options["known_hosts"] = Value::Null;
    options.as_object_mut().unwrap().remove("known_hosts");
    options["fingerprint"] = json!(sshd.fingerprint().await);
    options["exec"] = json!("cat");
    stream_echoes(&host.open(&uri, options).await.unwrap()).await;
}

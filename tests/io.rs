//! The drivers unix, udp, process and serial through a host, against programs.

use std::{os::unix::fs::PermissionsExt, path::Path};

use jackfield_plugin_api::{DatagramMeta, ErrorKind};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::support::{
    host::{TestHost, exchange},
    need::need,
    peers::{
        echo::TcpPeer,
        socat::{Line, Ser2net, Socat},
    },
    process::{DEADLINE, command, run, tempdir},
};

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index.wrapping_mul(31) >> 3).to_le_bytes()[0]).collect()
}

fn route(listen: &str, to: &str) -> String {
    format!("[[routes]]\nlisten = \"{listen}\"\nto = \"{to}\"\n")
}

const TCP: &str = "tcp://127.0.0.1:0";
const UDP: &str = "udp://127.0.0.1:0";

/// A route from tcp to a connection with options, written as TOML.
fn to_connection(uri: &str, options: &str) -> String {
    let route = route(TCP, "connections.it");
    format!("{route}[connections.it]\nuri = \"{uri}\"\noptions = {{ {options} }}\n")
}

async fn reads(stream: &mut TcpStream, want: &[u8]) {
    let mut got = vec![0; want.len()];
    timeout(DEADLINE, stream.read_exact(&mut got)).await.expect("in time").unwrap();
    assert!(got == want, "the bytes came changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn socat_reaches_a_tcp_upstream_through_a_unix_socket() {
    let folder = tempdir();
    let path = folder.path().join("s");
    let peer = TcpPeer::echo().await;
    let listen = format!("unix://{}", path.display());
    let toml = format!("{}options = {{ mode = \"600\" }}\n", route(&listen, &peer.uri()));
    let host = TestHost::start(&toml).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut socat = command(need("socat", "socat"));
    socat.args(["-t", "60", "-"]).arg(format!("UNIX-CONNECT:{}", path.display()));
    let ran = run(socat, "through a socket").await;
    assert_eq!(ran.stdout, b"through a socket", "{}", ran.stderr);
    host.shutdown().await;
    assert!(!path.exists(), "the file goes with its listener");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_upstream_gets_all_and_tells_who_it_is() {
    let folder = tempdir();
    let path = folder.path().join("s");
    let listen = format!("UNIX-LISTEN:{},fork", path.display());
    let socat = Socat::start(&listen, "EXEC:cat", "listening on").await;
    let uri = format!("unix://{}", path.display());
    let host = TestHost::start(&route(TCP, &uri)).await;
    let sent = pattern(5_000_000);
    assert!(exchange(host.address(0), &sent).await.unwrap() == sent);
    let session = host.open(&uri, json!({})).await.unwrap();
    let pid = socat.pid().as_raw_nonzero().get();
    assert_eq!(session.info().facts["peer_pid"], pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_unix_socket_does_not_stop_the_start_and_a_live_one_does() {
    let folder = tempdir();
    let path = folder.path().join("s");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let peer = TcpPeer::echo().await;
    let toml = route(&format!("unix://{}", path.display()), &peer.uri());
    let _host = TestHost::start(&toml).await;
    let Err(error) = TestHost::try_start(&toml).await else { panic!("two hosts on one path") };
    assert!(error.to_string().contains("another process listens there"), "{error}");
    assert!(path.exists(), "the first host has lost its file");
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_are_relayed_one_by_one_for_each_peer() {
    let (_socat, port) = Socat::udp_echo().await;
    let host = TestHost::start(&route(UDP, &format!("udp://127.0.0.1:{port}"))).await;
    let mut buffer = [0; 9000];
    for size in [1, 1400, 8000] {
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        peer.connect(host.address(0)).await.unwrap();
        peer.send(&pattern(size)).await.unwrap();
        let count = timeout(DEADLINE, peer.recv(&mut buffer)).await.unwrap().unwrap();
        assert!(buffer[..count] == pattern(size), "{count} bytes of {size}");
    }
    assert_eq!(host.manager().snapshot().connections.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_meet_bytes() {
    let peer = TcpPeer::echo().await;
    let (_socat, port) = Socat::udp_echo().await;
    let routes = route(UDP, &peer.uri()) + &route(TCP, &format!("udp://127.0.0.1:{port}"));
    let host = TestHost::start(&routes).await;
    let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    near.connect(host.address(0)).await.unwrap();
    near.send(b"to tcp").await.unwrap();
    let mut buffer = [0; 100];
    let count = timeout(DEADLINE, near.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..count], b"to tcp");
    let mut stream = TcpStream::connect(host.address(1)).await.unwrap();
    stream.write_all(b"to udp").await.unwrap();
    reads(&mut stream, b"to udp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_datagram_reaches_socat_and_its_answer_comes_back() {
    let folder = tempdir();
    let path = folder.path().join("g");
    let from = format!("UNIX-RECVFROM:{},fork", path.display());
    let _socat = Socat::start(&from, "PIPE", "receiving on").await;
    let host = TestHost::start("").await;
    let session = host.open(&format!("unixgram://{}", path.display()), json!({})).await.unwrap();
    let mut datagrams = session.take_datagrams().unwrap();
    datagrams.send(b"question", DatagramMeta::default()).await.unwrap();
    let mut buffer = [0; 100];
    let meta = timeout(DEADLINE, datagrams.recv(&mut buffer)).await.unwrap().unwrap().unwrap();
    assert_eq!(&buffer[..meta.len], b"question");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tcp_connection_gets_a_process_of_its_own() {
    let host = TestHost::start(&to_connection("process:", "command = [\"cat\"]")).await;
    let sent = pattern(5_000_000);
    let both = tokio::join!(exchange(host.address(0), &sent), exchange(host.address(0), b"x"));
    assert!(both.0.unwrap() == sent);
    assert_eq!(both.1.unwrap(), b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_on_a_terminal_ends_with_its_connection() {
    let host = TestHost::start(&to_connection("process:", "command = [\"sh\"], pty = true")).await;
    let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
    stream.write_all(b"stty -echo; PS1=; echo pid=$$=; tty\n").await.unwrap();
    let mut text = String::new();
    while !text.contains("/dev/pts/") {
        text.push(char::from(timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap()));
    }
    // What was typed is shown too, without the number.
    let pid = text.split('=').find(|part| part.parse::<u32>().is_ok()).unwrap().to_owned();
    stream.write_all(b"exit\n").await.unwrap();
    let mut rest = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    drop(stream);
    let gone = async {
        while Path::new(&format!("/proc/{pid}")).exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, gone).await.expect("the shell is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_all_that_a_process_has_written() {
    let options = "shell = \"head -c 3000000 /dev/zero\"";
    let host = TestHost::start(&to_connection("process:", options)).await;
    let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
    let (mut buffer, mut count) = (vec![0; 10_000], 0);
    loop {
        match timeout(DEADLINE, stream.read(&mut buffer)).await.unwrap().unwrap() {
            0 => break,
            more => count += more,
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(count, 3_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_connection_reaches_the_far_end_of_a_serial_line() {
    let line = Line::new().await;
    let uri = format!("serial://{}?baud=57600", line.end("a").display());
    let host = TestHost::start(&route(TCP, &uri)).await;
    let mut far = host
        .open(&format!("serial://{}", line.end("b").display()), json!({}))
        .await
        .unwrap()
        .take_stream()
        .unwrap();
    let mut near = TcpStream::connect(host.address(0)).await.unwrap();
    let sent = pattern(100_000);
    let (mut read, mut write) = near.split();
    let mut back = vec![0; sent.len()];
    let echo = async {
        let mut all = vec![0; sent.len()];
        far.read_exact(&mut all).await.unwrap();
        far.write_all(&all).await.unwrap();
    };
    let there = async { write.write_all(&sent).await.unwrap() };
    let all = async { tokio::join!(there, echo, read.read_exact(&mut back)).2 };
    timeout(DEADLINE, all).await.expect("in time").unwrap();
    assert!(back == sent, "the bytes came changed");
    drop(line);
    // The line is unplugged: both its users hear that this is no end.
    let gone = timeout(DEADLINE, far.read(&mut back)).await.unwrap().unwrap_err();
    assert_eq!(gone.kind(), std::io::ErrorKind::ConnectionReset);
    let gone = timeout(DEADLINE, near.read(&mut back)).await.unwrap().unwrap_err();
    assert_eq!(gone.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread")]
async fn ser2net_is_at_the_other_end_of_a_line() {
    let line = Line::new().await;
    let host = TestHost::start(&route(TCP, &format!("serial://{}", line.end("a").display()))).await;
    let (_ser2net, mut far) = Ser2net::connect(&line.end("b")).await;
    let mut near = TcpStream::connect(host.address(0)).await.unwrap();
    let text: Vec<u8> = (0..=255).collect();
    near.write_all(&text).await.unwrap();
    reads(&mut far, &text).await;
    far.write_all(&text).await.unwrap();
    reads(&mut near, &text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_used_or_missing_says_so() {
    let line = Line::new().await;
    let host = TestHost::start("").await;
    let uri = format!("serial://{}", line.end("a").display());
    let first = host.open(&uri, json!({})).await.unwrap();
    let error = host.open(&uri, json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
    drop(first);
    host.open(&uri, json!({})).await.unwrap();
    let error = host.open(&format!("{uri}/x"), json!({})).await.unwrap_err();
    assert!(error.to_string().contains("device="), "{error}");
}

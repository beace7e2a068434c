//! Peers that do what no Telnet program does.

use std::{io, time::Duration};

use jackfield_plugin_api::{Error, ErrorKind};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::support::{
    host::{TestHost, exchange},
    peers::echo::TcpPeer,
    process::DEADLINE,
};

/// What a session with a server that sends `bytes`, over and over with `again`, ends with.
async fn end_with(bytes: Vec<u8>, again: bool) -> Result<Vec<u8>, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while stream.write_all(&bytes).await.is_ok() && again {}
        let _ = stream.shutdown().await;
        // What is answered is read and forgotten.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    });
    let host = TestHost::start("").await;
    let session = host.open(&format!("telnet://{address}"), json!({})).await.unwrap();
    let mut stream = session.take_stream().unwrap();
    let mut all = Vec::new();
    let end = timeout(DEADLINE, stream.read_to_end(&mut all)).await.expect("in time");
    drop((stream, session));
    timeout(DEADLINE, server).await.expect("in time").unwrap();
    end.map(|_| all).map_err(Error::from)
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_negotiation_is_ended_by_us() {
    for loops in ["\u{fb}\u{63}", "\u{fb}\u{1}\u{ff}\u{fc}\u{1}", "\u{fd}\u{6}", "\u{f6}"] {
        let bytes = loops.chars().map(|c| u32::from(c).to_le_bytes()[0]);
        let bytes = std::iter::once(255).chain(bytes).collect();
        let error = end_with(bytes, true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert!(error.to_string().contains("max_commands"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_subnegotiation_is_ended_by_us() {
    let bytes = [&b"\xff\xfa\x27"[..], &[b'x'; 100_000]].concat();
    let error = end_with(bytes, false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.to_string().contains("max_subnegotiation"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_off_is_an_end_and_no_data() {
    for cut in
        [&b"x\xff"[..], b"x\xff\xfd", b"x\xff\xfa", b"x\xff\xfa\x18\x01", b"x\xff\xfa\x18\x01\xff"]
    {
        assert_eq!(end_with(cut.to_vec(), false).await.unwrap(), b"x");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_are_data_or_an_error_and_the_listener_goes_on() {
    let peer = TcpPeer::echo().await;
    let toml = format!("[[routes]]\nlisten = \"telnet://127.0.0.1:0\"\nto = \"{}\"\n", peer.uri());
    let host = TestHost::start(&toml).await;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..40 {
        let mut bytes = Vec::new();
        for _ in 0..500 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let [a, b, ..] = seed.to_le_bytes();
            // Commands more often than by chance.
            bytes.push(if a < 64 { 255 } else { b });
        }
        let mut stream = TcpStream::connect(host.address(0)).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("an end");
    }
    let back = exchange(host.address(0), b"still here").await.unwrap();
    assert!(back.ends_with(b"still here"), "{back:?}");
}

/// As HyperTerminal and its like: wants to echo itself, answers what was not asked, asks for the same twice, ends
/// lines with CR NUL, and cuts commands in the middle.
const ODD: [&[u8]; 6] = [
    b"\xff\xfb\x01\xff\xfb\x03\xff\xfd\x03\xff\xfd\x01\xff\xfd\x01",
    b"\xff\xfe\x22\xff\xfc\x22\xff\xfc\x18\xff\xfe\x63\xff\xf1",
    b"show\r\0",
    b"ver\xff",
    b"\xf1sion\r",
    b"\0\xff\xf9bye\r\n\xff",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_negotiates_oddly_and_ends_lines_with_nul_is_served() {
    let device = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = device.local_addr().unwrap();
    let toml = format!("[[routes]]\nlisten = \"telnet://127.0.0.1:0\"\nto = \"tcp://{to}\"\n");
    let host = TestHost::start(&toml).await;
    let mut client = TcpStream::connect(host.address(0)).await.unwrap();
    let (mut device, _) = timeout(DEADLINE, device.accept()).await.expect("in time").unwrap();
    for piece in ODD {
        client.write_all(piece).await.unwrap();
    }
    // The last byte was half of this.
    client.write_all(b"\xf3.").await.unwrap();
    let wanted = b"show\rversion\rbye\r\n.";
    let mut read = vec![0; wanted.len()];
    timeout(DEADLINE, device.read_exact(&mut read)).await.expect("in time").unwrap();
    assert_eq!(read, wanted);
    device.write_all(b"one\r\ntwo\rthree").await.unwrap();
    device.shutdown().await.unwrap();
    client.shutdown().await.unwrap();
    let mut said = Vec::new();
    timeout(DEADLINE, client.read_to_end(&mut said)).await.expect("in time").unwrap();
    assert!(said.ends_with(b"one\r\ntwo\r\0three"), "{}", said.escape_ascii());
    // A bounded number of answers, and none to an answer.
    assert!(said.len() < 120, "{}", said.escape_ascii());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_behind_questions_is_no_end() {
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = TestHost::start(&format!(
        "[[routes]]\nlisten = \"telnet://127.0.0.1:0\"\nto = \"tcp://{}\"\n",
        far.local_addr().unwrap()
    ))
    .await;
    for _ in 0..10 {
        let mut client = TcpStream::connect(host.address(0)).await.unwrap();
        client.write_all(b"there\n").await.unwrap();
        let (mut near, _) = timeout(DEADLINE, far.accept()).await.expect("in time").unwrap();
        timeout(DEADLINE, near.read_exact(&mut [0; 6])).await.expect("in time").unwrap();
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        // DO an option that nobody knows, three times: what answers it may be told of the reset first.
        client.write_all(b"\xff\xfd\x63\xff\xfd\x63\xff\xfd\x63").await.unwrap();
        drop(client);
        let end = timeout(DEADLINE, near.read(&mut [0; 1])).await.expect("in time");
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}

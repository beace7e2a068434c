//! Whose fault it is that a request failed: what its client is told, and what counts against a target.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{ECHO, answering};
use crate::support::{host::TestHost, peers::echo::TcpPeer, process::DEADLINE};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// An upstream whose targets speak that HTTP, which ejects one at its first failure.
fn upstream(targets: &[&TestHost], version: &str) -> String {
    let target = |host: &&TestHost| {
        format!(
            "{{ uri = \"http://{}\", options = {{ version = \"{version}\" }} }}",
            host.address(0)
        )
    };
    let targets: Vec<String> = targets.iter().map(target).collect();
    format!(
        "[upstreams.web]\ntargets = [{}]\noutlier = {{ consecutive_failures = 1 }}\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"upstreams.web\"\n\
         options = {{ body_timeout = 1, max_request_body = 1000 }}\n",
        targets.join(", ")
    )
}

/// The first line of what comes back for `bytes`, after which the client's direction ends where that is so.
async fn first_line(host: &TestHost, bytes: &[u8], ends: bool) -> String {
    let mut client = TcpStream::connect(host.address(0)).await.unwrap();
    client.write_all(bytes).await.unwrap();
    if ends {
        client.shutdown().await.unwrap();
    }
    let mut line = Vec::new();
    let reading = async {
        while !line.ends_with(b"\r\n") {
            line.push(client.read_u8().await.unwrap());
        }
    };
    timeout(DEADLINE, reading).await.expect("an answer");
    String::from_utf8(line).unwrap()
}

/// The first answer on a stream of HTTP/2, as its frame's kind and first byte.
async fn first_frame(host: &TestHost, frames: &[u8]) -> (u8, u8) {
    let mut client = TcpStream::connect(host.address(0)).await.unwrap();
    let settings = frame(4, 0, 0, &[]);
    client.write_all(&[PREFACE, &settings, frames].concat()).await.unwrap();
    let reading = async {
        loop {
            let mut head = [0; 9];
            client.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut content = vec![0; length as usize];
            client.read_exact(&mut content).await.unwrap();
            // Settings, pings and windows are not about the request.
            if matches!(head[3], 1 | 3) {
                return (head[3], content[0]);
            }
        }
    };
    timeout(DEADLINE, reading).await.expect("an answer")
}

/// That no target has failed.
fn none_has_failed(host: &TestHost, what: &str) {
    for target in &host.manager().snapshot().upstreams[0].targets {
        let failed = (target.failures, &target.last_error);
        assert_eq!((failed, target.state), ((0, &None), "up"), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_does_is_answered_as_its_fault_and_counts_against_no_target() {
    let far = (answering("http", ECHO, "").await, answering("http", ECHO, "").await);
    let long = "x".repeat(1001);
    for version in ["1.1", "2"] {
        let host = TestHost::start(&upstream(&[&far.0, &far.1], version)).await;
        let post = "POST / HTTP/1.1\r\nHost: a\r\n";
        let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
        for (what, request, ends, status) in [
            ("an upload cut short", format!("{post}Content-Length: 9\r\n\r\nx"), true, "400"),
            ("chunks cut short", format!("{chunked}5\r\nhel"), true, "400"),
            ("a chunk size that is none", format!("{chunked}5\r\nhello\r\nZZ\r\n"), false, "400"),
            ("a bad trailer", format!("{chunked}0\r\nbad trailer\r\n\r\n"), false, "400"),
            ("too much", format!("{chunked}3e9\r\n{long}\r\n0\r\n\r\n"), false, "413"),
            ("content that stalls", format!("{post}Content-Length: 9\r\n\r\nx"), false, "408"),
            ("no host", "GET / HTTP/1.0\r\n\r\n".to_owned(), false, "200"),
            ("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n".to_owned(), false, "200"),
        ] {
            // Over sessions that are new, and over those that are left.
            for _ in 0..3 {
                let line = first_line(&host, request.as_bytes(), ends).await;
                assert_eq!(&line[9..12], status, "{what}, {version}: {line}");
                none_has_failed(&host, what);
            }
        }
        // As indexed fields of HPACK's own table: a GET without an authority; a POST, of 5 bytes.
        let get = frame(1, 5, 1, &[0x82, 0x86, 0x84]);
        assert_eq!(first_frame(&host, &get).await, (1, 0x88), "no authority");
        none_has_failed(&host, "no authority");
        let post = frame(1, 4, 1, &[&[0x83, 0x86, 0x84, 0x0f, 0x0d, 1], &b"5"[..]].concat());
        let short = [post, frame(0, 1, 1, b"abc")].concat();
        assert_eq!(first_frame(&host, &short).await.0, 3, "content that is too short");
        none_has_failed(&host, "content that is too short");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_does_counts_against_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Takes a request, and leaves without an answer.
    let peer = TcpPeer::serve_on(listener, |mut stream, _| async move {
        let _ = stream.read(&mut [0; 1000]).await;
    });
    let host = TestHost::start(&format!(
        "[upstreams.web]\ntargets = [\"http://{}\"]\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"upstreams.web\"\n",
        peer.address()
    ))
    .await;
    let line = first_line(&host, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", false).await;
    assert_eq!(&line[9..12], "502", "{line}");
    assert!(host.manager().snapshot().upstreams[0].targets[0].failures > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_switches_to_what_nobody_asked_for_is_a_bad_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpPeer::serve_on(listener, |mut stream, _| async move {
        let _ = stream.read(&mut [0; 1000]).await;
        let answer =
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n";
        let _ = stream.write_all(answer).await;
        let _ = stream.read(&mut [0; 1]).await;
    });
    let host = TestHost::start(&format!(
        "[[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"http://{}\"\n",
        peer.address()
    ))
    .await;
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for fields in ["", websocket] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let line = first_line(&host, request.as_bytes(), false).await;
        assert_eq!(&line[9..12], "502", "{fields}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_a_target_gives_before_it_has_read_all_arrives() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Refuses by the head, and closes with most of the content unread.
    let peer = TcpPeer::serve_on(listener, |mut stream, _| async move {
        let _ = stream.read(&mut [0; 1000]).await;
        let refusal =
            b"HTTP/1.1 413 Too Long\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlong";
        let _ = stream.write_all(refusal).await;
    });
    let far = answering("http", ECHO, "max_request_body = 1000").await;
    for (address, version) in
        [(peer.address(), "1.1"), (far.address(0), "1.1"), (far.address(0), "2")]
    {
        let host = TestHost::start(&format!(
            "[connections.far]\nuri = \"http://{address}\"\noptions = {{ version = \"{version}\" }}\n\
             [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"connections.far\"\n"
        ))
        .await;
        for _ in 0..10 {
            let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n";
            let request = [head.as_bytes(), &[b'x'; 2_000_000]].concat();
            let line = first_line(&host, &request, false).await;
            assert_eq!(&line[9..12], "413", "{address} {version}: {line}");
        }
    }
}

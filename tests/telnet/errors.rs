//! Errors of a line behind two servers of RFC 2217: one that is a script, and a listener in front of it.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::support::{host::TestHost, process::DEADLINE};

async fn reads_until(stream: &mut TcpStream, end: &[u8]) {
    let mut all = Vec::new();
    while !all.ends_with(end) {
        all.push(stream.read_u8().await.expect("more"));
    }
}

/// Serves one client: agrees to everything, sets 9600 baud, then tells of an overrun and of a break.
async fn serve(listener: TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("a client");
    reads_until(&mut stream, b"\xff\xfb\x2c").await;
    stream.write_all(b"\xff\xfd\x00\xff\xfb\x00\xff\xfd\x2c").await.expect("room");
    reads_until(&mut stream, b"\xff\xfa\x2c\x0a\x1e\xff\xf0").await;
    stream.write_all(b"\xff\xfa\x2c\x6e\x1e\xff\xf0").await.expect("room");
    reads_until(&mut stream, b"\xff\xfa\x2c\x01\x00\x00\x25\x80\xff\xf0").await;
    stream.write_all(b"\xff\xfa\x2c\x65\x00\x00\x25\x80\xff\xf0").await.expect("room");
    stream.write_all(b"\xff\xfa\x2c\x6a\x02\xff\xf0").await.expect("room");
    stream.write_all(b"\xff\xfa\x2c\x6a\x10\xff\xf0").await.expect("room");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_line_are_passed_on_by_a_route() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = listener.local_addr().unwrap();
    let serving = tokio::spawn(serve(listener));
    let host = TestHost::start(&format!(
        "[[upstreams.line.targets]]\nuri = \"telnet://{far}\"\noptions = {{ com_port = true }}\n\
         [[routes]]\nlisten = \"telnet://127.0.0.1:0\"\noptions = {{ com_port = true }}\n\
         to = \"upstreams.line\"\n"
    ))
    .await;
    let uri = format!("telnet://{}?baud=9600", host.address(0));
    let session = timeout(DEADLINE, host.open(&uri, json!({}))).await.expect("in time").unwrap();
    let mut stream = session.take_stream().unwrap();
    let reading = tokio::spawn(async move { stream.read(&mut [0; 10]).await.map(drop) });
    for what in ["overrun", "break"] {
        let mut wanted =
            json!({ "overrun": false, "parity": false, "framing": false, "break": false });
        wanted[what] = json!(true);
        loop {
            let event = timeout(DEADLINE, session.next_event()).await.expect("in time").unwrap();
            let event = event.expect("more events");
            if event.name == "line" {
                assert_eq!(event.data, wanted);
                break;
            }
        }
    }
    reading.abort();
    drop(serving.await.unwrap());
}

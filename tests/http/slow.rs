//! Clients that take their time on purpose, by `slowhttptest`: many at once, and each is ended in time
//! while others are served.

use tokio::{
    io::{AsyncWriteExt, Interest},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    host::TestHost,
    need::need,
    peers::curl::curl,
    process::{DEADLINE, command, run, tempdir},
};

/// Serves a file that no socket's buffers hold, and answers with what it is told.
async fn host() -> (TestHost, tempfile::TempDir) {
    let folder = tempdir();
    std::fs::write(folder.path().join("large"), vec![b'x'; 32 << 20]).unwrap();
    let limits = "options = { header_timeout = 2, body_timeout = 2, write_timeout = 2 }";
    let host = TestHost::start(&format!(
        "[handlers.files]\noptions = {{ root = {:?} }}\n\
         [handlers.echo]\nhandler = \"reply\"\noptions = {{ echo = true }}\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"handlers.files\"\n{limits}\n\
         [[routes]]\nlisten = \"http://127.0.0.1:0\"\nto = \"handlers.echo\"\n{limits}\n",
        folder.path(),
    ))
    .await;
    (host, folder)
}

/// A hundred clients of `slowhttptest` in `mode`, which would stay for 40 seconds, have all been ended
/// before, and others are served meanwhile.
async fn are_ended(mode: &[&str]) {
    let (host, _folder) = host().await;
    let url = format!("http://{}/", host.address(1));
    let mut slow = command(need("slowhttptest", "slowhttptest"));
    slow.args(mode).args(["-c", "100", "-r", "200", "-l", "40", "-p", "5", "-u", &url]);
    let working = tokio::spawn(run(slow, ""));
    while !working.is_finished() {
        let told = curl(None, &["-o", "/dev/null", "-w", "%{http_code}", &url]).await.ok();
        assert_eq!(told.text(), "200");
    }
    let text = working.await.unwrap().text();
    assert!(text.contains("No open connections left"), "{text}");
    assert!(!text.contains("service available:") || text.contains("YES"), "{text}");
    assert_eq!(host.shutdown().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_are_ended() {
    are_ended(&["-H", "-i", "1", "-x", "8"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_contents_are_ended() {
    are_ended(&["-B", "-i", "30", "-s", "8192"]).await;
}

/// `slowhttptest` has a mode for this too, and does not see that it was reset.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_is_reset() {
    let (host, _folder) = host().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = TcpStream::connect(host.address(0)).await.unwrap();
        client.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        clients.push(client);
    }
    for client in clients {
        // A mere end would wait in the kernel behind what is not read.
        let reset = timeout(DEADLINE, client.ready(Interest::ERROR)).await.expect("in time");
        assert!(reset.unwrap().is_error());
    }
    assert_eq!(host.shutdown().await, 0);
}

//! Peers that go while something is opened for them, or while they wait for a device that another has.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{reset_on_close, tcp_listener};
use crate::support::{
    host::TestHost,
    jackfield::ran,
    peers::{echo::TcpPeer, quic::soon, socat::Line},
};

async fn dial(host: &TestHost) -> TcpStream {
    TcpStream::connect(host.address(0)).await.expect("the host")
}

async fn says(stream: &mut TcpStream, word: &str) {
    stream.write_all(word.as_bytes()).await.expect("taken");
    let mut back = vec![0; word.len()];
    soon(stream.read_exact(&mut back)).await.expect("an echo");
    assert_eq!(back, word.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_ends_with_the_peer_that_it_is_made_for() {
    for (sends, resets) in [(true, true), (false, true), (false, false)] {
        let silent = tcp_listener().await;
        let host = TestHost::start(&format!(
            "[connections.d]\nuri = \"telnet://{}\"\noptions = {{ com_port = true }}\n\
             [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"connections.d\"\n",
            silent.local_addr().unwrap()
        ))
        .await;
        let mut client = dial(&host).await;
        if sends {
            client.write_all(b"half").await.unwrap();
        }
        let (mut far, _) = soon(silent.accept()).await.unwrap();
        // It waits for an answer that does not come.
        soon(far.read(&mut [0; 100])).await.unwrap();
        if resets {
            reset_on_close(&client);
        }
        drop(client);
        let mut rest = Vec::new();
        // However it ends: long before the limit of the attempt.
        let end = tokio::time::timeout(Duration::from_secs(8), far.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "sends {sends}, resets {resets}: the attempt goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_in_the_queue_loses_the_place() {
    let device = TcpPeer::echo().await;
    let host = TestHost::start(&format!(
        "[devices.d.paths.console]\nuri = \"{}\"\nexclusive = true\n\
         lease = {{ timeout = \"60s\" }}\n[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\n\
         to = \"devices.d.console\"\ntell_busy = false\n",
        device.uri()
    ))
    .await;
    let mut holder = dial(&host).await;
    says(&mut holder, "one").await;
    let waiters = async |count: usize| {
        let path = host.manager().device("d").unwrap().path(None).unwrap();
        let lease = path.lease().expect("a lease");
        soon(async {
            while lease.snapshot().waiters.len() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    };
    let ghost = dial(&host).await;
    waiters(1).await;
    drop(ghost);
    waiters(0).await;
    let ghost = dial(&host).await;
    waiters(1).await;
    reset_on_close(&ghost);
    drop(ghost);
    waiters(0).await;
    let mut patient = dial(&host).await;
    waiters(1).await;
    // A holder that ends its direction is served to the end and then lets go.
    holder.shutdown().await.unwrap();
    says(&mut patient, "two").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_to_a_line_ends_by_itself() {
    let line = Line::new().await;
    let uri = format!("serial://{}", line.end("a").display());
    let far = line.end("b");
    let answering = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut far = std::fs::OpenOptions::new().read(true).write(true).open(far).expect("a line");
        let mut word = [0; 3];
        far.read_exact(&mut word).expect("a word");
        far.write_all(b"OK").expect("taken");
        far
    });
    let ran = ran(&["connect", &uri, "--linger", "500ms"], "AT\r").await.ok();
    assert_eq!(ran.text(), "OK");
    drop(answering.await);
}

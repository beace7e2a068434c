//! Named connections at run time, over a real driver and real sockets.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use jackfield::{
    config::model::ConnectionConfig,
    connection::{Delivery, Live, Payload, SessionHandler, State, ensure_connection},
    manager::Existing,
};
use jackfield_plugin_api::{ErrorKind, Message};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    sync::mpsc,
    time::timeout,
};

use crate::support::{
    host::TestHost,
    peers::sshd::{Sshd, USER},
    process::{DEADLINE, tempdir},
};

fn definition(address: std::net::SocketAddr) -> ConnectionConfig {
    let reconnect = json!({"attempts": -1, "first_delay": "1ms", "max_delay": "1ms"});
    let value = json!({"uri": format!("tcp://{address}"), "reconnect": reconnect});
    serde_json::from_value(value).unwrap()
}

async fn host(state: &Path) -> TestHost {
    TestHost::start(&format!("[host]\nstate_dir = {state:?}\n")).await
}

/// Keeps the bytes it is given.
struct Keeper(Mutex<Vec<u8>>);

impl SessionHandler for Keeper {
    fn received<'a>(&'a self, _: &'a Arc<Live>, payload: Payload) -> Delivery<'a> {
        self.0.lock().unwrap().extend_from_slice(payload.bytes());
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn what_is_defined_at_run_time_is_there_after_a_restart() {
    let state = tempdir();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let first = host(state.path()).await;
    let manager = first.manager().clone();
    let live =
        manager.register("lab", definition(address), Existing::Refuse, DEADLINE).await.unwrap();
    assert_eq!(live.info().driver, "tcp");
    first.shutdown().await;
    assert_eq!((live.state(), manager.count().now), (State::Closed, 0));
    drop((live, manager));
    let second = host(state.path()).await;
    let snapshot = second.manager().snapshot();
    assert_eq!(snapshot.named.len(), 1);
    assert_eq!(snapshot.lives.now, 0, "defined is not connected");
    let live = second.manager().get_or_connect("lab", DEADLINE).await.unwrap();
    assert_eq!(live.info().peer.and_then(|peer| peer.socket()), Some(address));
    second.shutdown().await;
}

#[tokio::test]
async fn a_damaged_journal_stops_the_start_with_its_place() {
    let state = tempdir();
    std::fs::write(state.path().join("connections.journal"), "something else\n").unwrap();
    let toml = format!("[host]\nstate_dir = {:?}\n", state.path());
    let error = TestHost::try_start(&toml).await.err().expect("an error").to_string();
    for part in ["jackfield.toml:2:13", "host.state_dir", "connections.journal: byte 0"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_peer_that_goes_is_dialled_again_and_posts_reach_the_new_session() {
    let state = tempdir();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = host(state.path()).await;
    let manager = host.manager();
    let config = definition(listener.local_addr().unwrap());
    let live = manager.register("lab", config, Existing::Refuse, DEADLINE).await.unwrap();
    let keeper = Arc::new(Keeper(Mutex::default()));
    live.set_handler(Arc::clone(&keeper) as Arc<dyn SessionHandler>).unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    peer.write_all(b"last words").await.unwrap();
    drop(peer);
    timeout(DEADLINE, live.left(1)).await.expect("the loss is noticed");
    assert_eq!(*keeper.0.lock().unwrap(), b"last words");
    let receipt = manager.post("lab", "hello again").unwrap();
    let (mut peer, _) = timeout(DEADLINE, listener.accept()).await.expect("dialled").unwrap();
    receipt.sent().await.unwrap();
    let mut got = [0; 11];
    peer.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"hello again");
    let info = live.info();
    assert_eq!((info.bytes_in, info.bytes_out, info.reconnects), (10, 11, 1));
    let wait = Duration::from_secs(1);
    assert!(live.check(wait).await.healthy);
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_no_longer_answers_is_replaced_before_it_is_used() {
    let sshd = Sshd::start().await;
    let host = TestHost::start(&format!(
        "[connections.lab]\nuri = \"ssh://{USER}@127.0.0.1:{}\"\n\
         options = {{ key_file = {:?}, known_hosts = {:?} }}\n",
        sshd.port(),
        sshd.key(),
        sshd.known_hosts()
    ))
    .await;
    let lab = host.manager().connection("lab").await.unwrap();
    let first = ensure_connection(&lab, DEADLINE).await.unwrap();
    let same = ensure_connection(&lab, DEADLINE).await.unwrap();
    assert!(Arc::ptr_eq(&first, &same), "one that answers is kept");
    assert!(sshd.kill_sessions() > 0);
    let second = ensure_connection(&lab, DEADLINE).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    second.ping().await.unwrap();
}

/// Hands on what it is given.
struct Forwarder(mpsc::Sender<Payload>);

impl SessionHandler for Forwarder {
    fn received<'a>(&'a self, _: &'a Arc<Live>, payload: Payload) -> Delivery<'a> {
        self.0.try_send(payload).expect("the test listens");
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn each_post_to_a_session_of_datagrams_is_one_datagram() {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let host = TestHost::start("").await;
    let uri = format!("udp://{}", peer.local_addr().unwrap());
    let definition = json!({ "uri": uri, "options": { "max_size": 1000 } });
    let config = serde_json::from_value(definition).unwrap();
    let manager = host.manager();
    let live = manager.register("lab", config, Existing::Refuse, DEADLINE).await.unwrap();
    let (forward, mut got) = mpsc::channel(100);
    live.set_handler(Arc::new(Forwarder(forward))).unwrap();
    for text in ["one", "", "three"] {
        live.post(text).unwrap().sent().await.unwrap();
    }
    let error = live.post(vec![0; 1001]).unwrap().sent().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    live.post("after one that is too long").unwrap().sent().await.unwrap();
    for wanted in ["one", "", "three", "after one that is too long"] {
        let mut buffer = [0; 2000];
        let received = timeout(DEADLINE, peer.recv_from(&mut buffer)).await.expect("in time");
        let (count, from) = received.unwrap();
        assert_eq!(&buffer[..count], wanted.as_bytes());
        peer.send_to(&buffer[..count], from).await.unwrap();
        let back = timeout(DEADLINE, got.recv()).await.expect("in time").unwrap();
        assert_eq!(back, Payload::Message(Message::binary(wanted)));
    }
    let info = live.info();
    assert_eq!((info.messages_in, info.messages_out), (4, 4), "only what was sent counts");
    assert_eq!((info.bytes_in, info.bytes_out), (34, 34));
    assert_eq!((live.state(), info.reconnects), (State::Connected, 0));
}

#[tokio::test]
async fn a_post_to_nobody_is_sent_and_the_next_one_is_told_so() {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let host = TestHost::start("").await;
    let uri = format!("udp://{}", peer.local_addr().unwrap());
    drop(peer);
    let config = serde_json::from_value(json!({ "uri": uri })).unwrap();
    let manager = host.manager();
    let live = manager.register("lab", config, Existing::Refuse, DEADLINE).await.unwrap();
    let (forward, _got) = mpsc::channel(100);
    live.set_handler(Arc::new(Forwarder(forward))).unwrap();
    live.post("anybody?").unwrap().sent().await.unwrap();
    // That nobody was there is the answer to a later one.
    let error = live.post("really?").unwrap().sent().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    timeout(DEADLINE, live.wait_closed()).await.expect("the loss is noticed");
    assert_eq!(live.state(), State::Error);
    let late = live.post("still there?").unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Closed, "{late}");
}

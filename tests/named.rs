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
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
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
    let graph = Arc::clone(first.manager().graph());
    let live =
        graph.register("lab", definition(address), Existing::Refuse, DEADLINE).await.unwrap();
    assert_eq!(live.info().driver, "tcp");
    first.shutdown().await;
    assert_eq!((live.state(), graph.lives().now), (State::Closed, 0));
    drop((live, graph));
    let second = host(state.path()).await;
    let snapshot = second.manager().snapshot();
    assert_eq!(snapshot.named.len(), 1);
    assert_eq!(snapshot.named_lives.now, 0, "defined is not connected");
    let live = second.manager().graph().get_or_connect("lab", DEADLINE).await.unwrap();
    assert_eq!(live.info().peer, Some(address.to_string()));
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
    let graph = host.manager().graph();
    let config = definition(listener.local_addr().unwrap());
    let live = graph.register("lab", config, Existing::Refuse, DEADLINE).await.unwrap();
    let keeper = Arc::new(Keeper(Mutex::default()));
    live.set_handler(Arc::clone(&keeper) as Arc<dyn SessionHandler>);
    let (mut peer, _) = listener.accept().await.unwrap();
    peer.write_all(b"last words").await.unwrap();
    drop(peer);
    timeout(DEADLINE, live.left(1)).await.expect("the loss is noticed");
    assert_eq!(*keeper.0.lock().unwrap(), b"last words");
    let receipt = graph.post("lab", "hello again").unwrap();
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
    let lab = host.manager().graph().connection("lab").await.unwrap();
    let first = ensure_connection(&lab, DEADLINE).await.unwrap();
    let same = ensure_connection(&lab, DEADLINE).await.unwrap();
    assert!(Arc::ptr_eq(&first, &same), "one that answers is kept");
    assert!(sshd.kill_sessions() > 0);
    let second = ensure_connection(&lab, DEADLINE).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    second.ping().await.unwrap();
}

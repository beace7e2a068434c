//! How connections and listeners of hsms begin, change and end in a running host.

use jackfield::connection::State;
use jackfield_plugin_api::{ErrorKind, Result, Session};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    reload::{Changing, free, soon},
    support::{host::TestHost, process::DEADLINE},
};

/// Select.req of HSMS-SS, and what answers it (E37 §8.3).
const SELECT: [u8; 14] = [0, 0, 0, 10, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 7];

#[tokio::test(flavor = "multi_thread")]
async fn peers_are_added_disabled_and_removed_while_the_session_of_another_goes_on() {
    let address = free();
    let config = |peers: &str| {
        format!(
            "[handlers.echo]\n[[routes]]\nlisten = \"hsms://{address}\"\nto = \"handlers.echo\"\n\
             options = {{ mode = \"generic\", peers = [{peers}] }}\n"
        )
    };
    let etch = "{ name = \"etch\", session_id = 1 }";
    let host = Changing::start(&config(etch)).await;
    let open = |id: u16| {
        let options = json!({ "mode": "generic", "session_id": id, "t5": 0 });
        let manager = host.manager.clone();
        async move {
            let Value::Object(options) = options else { unreachable!("an object") };
            manager.open(&format!("hsms://{address}"), &options).await
        }
    };
    let status = |opened: Result<Session>| opened.map(|it| it.info()).expect_err("refused").code();
    let first = open(1).await.expect("the first peer");
    assert_eq!(status(open(2).await), Some(4), "nobody knows it");
    host.reload(&config(&format!("{etch}, {{ name = \"litho\", session_id = 2 }}"))).await;
    let second = open(2).await.expect("the peer that was added");
    host.reload(&config(&format!(
        "{etch}, {{ name = \"litho\", session_id = 2, enabled = false }}"
    )))
    .await;
    assert_eq!(status(open(2).await), Some(2), "it is not to connect for now");
    host.reload(&config("{ name = \"other\", session_id = 3 }")).await;
    assert_eq!(status(open(1).await), Some(4), "it was removed");
    for session in [&first, &second] {
        timeout(DEADLINE, session.ping()).await.expect("in time").expect("it goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_is_stopped_at_once_whatever_its_peers_are_at() {
    // Nobody has come; one has come and said nothing; one is selected; one has stopped in the middle of a message.
    let cut_off = [&SELECT[..], &[0, 0]].concat();
    for said in [None, Some(&[][..]), Some(&SELECT[..]), Some(&cut_off[..])] {
        let toml = "[host]\nshutdown_timeout = \"1s\"\n[handlers.echo]\n[[routes]]\n\
                    listen = \"hsms://127.0.0.1:0\"\nto = \"handlers.echo\"\n";
        let host = TestHost::start(toml).await;
        let mut peer = match said {
            None => None,
            Some(bytes) => {
                let mut peer = TcpStream::connect(host.address(0)).await.expect("a connection");
                peer.write_all(bytes).await.expect("written");
                if !bytes.is_empty() {
                    let mut answer = [0; 14];
                    peer.read_exact(&mut answer).await.expect("Select.rsp");
                    assert_eq!((answer[7], answer[9]), (0, 2), "{answer:?}");
                }
                Some(peer)
            }
        };
        timeout(DEADLINE, host.shutdown()).await.expect("it ends");
        if let Some(peer) = &mut peer {
            let rest = timeout(DEADLINE, peer.read_to_end(&mut Vec::new())).await;
            // An end or a reset.
            let _ = rest.expect("its peer hears the end");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_comes_back_after_the_equipment_was_away_and_says_so_meanwhile() {
    let address = free();
    let equipment = format!(
        "[host]\nshutdown_timeout = \"1s\"\n[handlers.echo]\n\
         [[routes]]\nlisten = \"hsms://{address}\"\nto = \"handlers.echo\"\n"
    );
    let there = TestHost::start(&equipment).await;
    let host = TestHost::start(&format!(
        "[connections.etch]\nuri = \"hsms://{address}\"\noptions = {{ t5 = 0 }}\n\
         reconnect = {{ attempts = -1, first_delay = \"50ms\", max_delay = \"100ms\" }}\n\
         keepalive = \"0s\"\n"
    ))
    .await;
    let manager = host.manager();
    let live = manager.get_or_connect("etch", DEADLINE).await.expect("a connection");
    let asked = manager.call("connections.etch", &Map::new(), "linktest", &json!({})).await;
    assert!(asked.expect("an answer")["milliseconds"].is_number());
    there.shutdown().await;
    soon("the loss", async || live.state() != State::Connected).await;
    let _there = TestHost::start(&equipment).await;
    soon("its return", async || live.state() == State::Connected).await;
    manager.call("connections.etch", &Map::new(), "linktest", &json!({})).await.expect("an answer");
    // What is said to one that is gone for good is refused at once.
    live.close(0, "").await;
    let error = live.call("linktest", &json!({})).await.expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}

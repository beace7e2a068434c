//! What drivers tell of themselves, in its place between what every named connection tells.

use std::sync::Arc;

use jackfield::{
    config::model::ConnectionConfig,
    connection::{Delivery, Live, Payload, SessionHandler},
    events::EventKind,
    manager::Existing,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    certs::Certs,
    host::TestHost,
    peers::{
        echo::TcpPeer,
        quic::QuicServer,
        sshd::{Sshd, USER},
        webtransport::{Program, WtServer},
    },
    process::DEADLINE,
};

/// Reads, and does nothing.
struct Reader;

impl SessionHandler for Reader {
    fn received<'a>(&'a self, _: &'a Arc<Live>, _: Payload) -> Delivery<'a> {
        Box::pin(std::future::ready(()))
    }
}

/// A connection that is made and read to its end, after `work`; its events with the data of the driver's.
async fn story(definition: Value, work: impl AsyncFnOnce(&Live)) -> Vec<(String, Value)> {
    let host = TestHost::start("").await;
    let config: ConnectionConfig = serde_json::from_value(definition).unwrap();
    let defined = host.manager().define_connection("it", config, Existing::Refuse).await;
    let live = defined.unwrap_or_else(|error| panic!("{error:?}")).live();
    live.set_handler(Arc::new(Reader)).unwrap();
    work(&live).await;
    timeout(DEADLINE, live.wait_closed()).await.expect("it does not end");
    let told = |kind: EventKind| match kind {
        EventKind::Driver { name, data } => (name, data),
        kind => {
            let value = serde_json::to_value(kind).unwrap();
            (value["event"].as_str().unwrap_or_default().to_owned(), Value::Null)
        }
    };
    let history = live.events.history().into_iter().map(|event| told(event.kind));
    // Where it is encrypted, that comes before `connected`.
    history.filter(|(name, _)| name != "secured").collect()
}

fn names(story: &[(String, Value)]) -> Vec<&str> {
    story.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_tells_how_it_has_ended_before_it_is_lost() {
    for (script, status, signal) in
        [("echo hi; exit 7", json!(7), json!(null)), ("kill -TERM $$", json!(null), json!("TERM"))]
    {
        let options = json!({ "command": ["sh", "-c", script] });
        let told = story(json!({ "uri": "process:", "options": options }), async |_| {}).await;
        assert_eq!(names(&told), ["connecting", "connected", "exit", "lost", "closed"]);
        let exit = &told[2].1;
        assert_eq!((&exit["exit_status"], &exit["exit_signal"]), (&status, &signal));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_tells_banner_errors_and_exit_in_the_order_in_which_they_came() {
    let folder = crate::support::process::tempdir();
    let banner = folder.path().join("banner");
    std::fs::write(&banner, "mind the gap\n").unwrap();
    let sshd = Sshd::start_with(&format!("Banner {}\n", banner.display())).await;
    let options = json!({
        "key_file": sshd.key(), "known_hosts": sshd.known_hosts(),
        "exec": "echo wrong >&2; exit 5", "stderr": "event",
    });
    let uri = format!("ssh://{USER}@127.0.0.1:{}", sshd.port());
    let told = story(json!({ "uri": uri, "options": options }), async |_| {}).await;
    let wanted = ["connecting", "connected", "banner", "stderr", "exit"];
    assert_eq!(names(&told)[..5], wanted, "{told:?}");
    assert_eq!(names(&told)[names(&told).len() - 2..], ["lost", "closed"]);
    assert_eq!(told[2].1["text"], "mind the gap\n");
    assert_eq!(told[3].1["text"], "wrong\n");
    assert_eq!(told[4].1["exit_status"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_tells_that_its_connection_has_ended_before_it_is_lost() {
    let sshd = Sshd::start().await;
    let options = json!({
        "key_file": sshd.key(), "known_hosts": sshd.known_hosts(), "exec": "cat",
    });
    let uri = format!("ssh://{USER}@127.0.0.1:{}", sshd.port());
    let killing = async |live: &Live| {
        live.post("there\n").unwrap().sent().await.unwrap();
        assert!(sshd.kill_sessions() > 0);
    };
    let told = story(json!({ "uri": uri, "options": options }), killing).await;
    assert_eq!(names(&told), ["connecting", "connected", "closed", "lost", "closed"], "{told:?}");
    assert!(told[2].1["reason"].is_string(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn telnet_tells_what_is_agreed_on_and_commanded_in_the_order_in_which_it_came() {
    // DO TERMINAL-TYPE, WILL ECHO, an offer of a character set after WILL CHARSET, BREAK; then the end.
    let said = b"\xff\xfd\x18\xff\xfb\x01\xff\xfb\x2a\xff\xfa\x2a\x01;UTF-8\xff\xf0\xff\xf3bye";
    let peer = TcpPeer::sending(said.to_vec()).await;
    let uri = format!("telnet://{}", peer.address());
    let told = story(json!({ "uri": uri }), async |_| {}).await;
    let wanted = [
        "connecting",
        "connected",
        "option",
        "option",
        "option",
        "charset",
        "command",
        "lost",
        "closed",
    ];
    assert_eq!(names(&told), wanted, "{told:?}");
    assert_eq!(told[2].1, json!({ "option": "terminal_type", "end": "local", "on": true }));
    assert_eq!(told[3].1, json!({ "option": "echo", "end": "remote", "on": true }));
    assert_eq!(told[5].1, json!({ "name": "UTF-8" }));
    assert_eq!(told[6].1, json!({ "name": "break" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_and_webtransport_tell_who_has_closed_and_why_before_they_are_lost() {
    let certs = Certs::new();
    let quic = QuicServer::start(&certs.server).await;
    let webtransport = WtServer::start(Program::Aioquic, &certs.server).await;
    for uri in [quic.uri(), webtransport.uri("/close")] {
        let options = json!({ "ca_file": certs.ca });
        let asking = async |live: &Live| {
            if uri.starts_with("quic") {
                live.post("close 7 bye\n").unwrap().sent().await.unwrap();
            }
        };
        let told = story(json!({ "uri": uri, "options": options }), asking).await;
        let wanted = ["connecting", "resolved", "connected", "closed", "lost", "closed"];
        assert_eq!(names(&told), wanted, "{uri}: {told:?}");
        assert_eq!(told[3].1, json!({ "by": "peer", "code": 7, "reason": "bye" }));
    }
}

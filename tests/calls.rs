//! `call` means the same on every noun: on the session that is shared or pooled, within a limit, counted.

use std::time::Duration;

use jackfield_plugin_api::ErrorKind;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::support::{host::TestHost, peers::echo::TcpPeer, process::DEADLINE};

/// One peer under every kind of name.
fn nouns(uri: &str, keys: &str) -> String {
    format!(
        "[connections.c]\nuri = \"{uri}\"\n{keys}\n\
         [devices.d.paths.p]\nuri = \"{uri}\"\n{keys}\n\
         [upstreams.pooled]\ntargets = [\"{uri}\"]\npool = {{ max_size = 1 }}\n{keys}\n\
         [upstreams.plain]\ntargets = [\"{uri}\"]\n{keys}\n"
    )
}

const NAMES: [&str; 4] = ["connections.c", "devices.d", "upstreams.pooled", "upstreams.plain"];

async fn call(host: &TestHost, to: &str, operation: &str, params: Value) -> ErrorKind {
    let (manager, options) = (host.manager(), Map::new());
    let called = timeout(DEADLINE, manager.call(to, &options, operation, &params)).await;
    called.unwrap_or_else(|_| panic!("{to} has no limit")).unwrap_err().kind()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_without_a_limit_whoever_is_called() {
    let peer = TcpPeer::silent().await;
    let never = || json!({ "text": "x", "pattern": "never", "timeout": "1h" });
    let all = nouns(&peer.uri(), "call_timeout = \"100ms\"");
    let host = TestHost::start(&all).await;
    for name in NAMES {
        assert_eq!(call(&host, name, "send_expect", never()).await, ErrorKind::TimedOut, "{name}");
    }
    let one = "call_timeout = \"1h\"\ncall_timeouts = { send_expect = \"100ms\" }";
    let host = TestHost::start(&nouns(&peer.uri(), one)).await;
    for name in NAMES {
        assert_eq!(call(&host, name, "send_expect", never()).await, ErrorKind::TimedOut, "{name}");
    }
    // A URI has no keys; its caller sets the limit.
    let (uri, options) = (peer.uri().parse().unwrap(), Map::new());
    let to = host.manager().destination(&uri, &options).await.unwrap();
    let limited = to.call_within(Duration::from_millis(100), "send_expect", &never()).await;
    assert_eq!(limited.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_share_a_session_where_there_is_one_to_share_and_are_counted() {
    let host_of = async |peer: &TcpPeer| TestHost::start(&nouns(&peer.uri(), "")).await;
    for (name, sessions) in NAMES.into_iter().zip([1, 1, 1, 3]) {
        let peer = TcpPeer::echo().await;
        let host = host_of(&peer).await;
        for text in ["one", "two", "three"] {
            let params = json!({ "text": text, "end": "\n", "pattern": format!("{text}\n") });
            let (manager, options) = (host.manager(), Map::new());
            let called = manager.call(name, &options, "send_expect", &params).await;
            assert_eq!(called.unwrap()["matched"], format!("{text}\n"), "{name}");
        }
        assert_eq!(peer.accepted(), sessions, "{name}");
        let snapshot = host.manager().snapshot();
        let lives = snapshot.named.iter().map(|named| &named.connection);
        let paths = snapshot.devices.iter().flat_map(|device| &device.paths);
        let lives = lives.chain(paths.map(|path| &path.connection));
        let shared: u64 = lives.filter_map(|it| it.life.as_ref()).map(|it| it.info.calls).sum();
        let pooled: u64 = snapshot.upstreams.iter().map(|upstream| upstream.calls.total).sum();
        assert_eq!(shared + pooled, 3, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_for_an_operation_that_there_is_not_is_a_mistake_with_its_place() {
    for table in ["connections.c", "devices.d.paths.p", "upstreams.u"] {
        let what = if table == "upstreams.u" {
            "targets = [\"tcp://h:1\"]"
        } else {
            "uri = \"tcp://h:1\""
        };
        let toml = format!("[{table}]\n{what}\ncall_timeouts = {{ send_expekt = \"5m\" }}\n");
        let Err(error) = TestHost::try_start(&toml).await else { panic!("{table} was taken") };
        let error = error.to_string();
        let key = format!(":3:19: {table}.call_timeouts.send_expekt: tcp has no such operation");
        assert!(error.contains(&key), "{error}");
        assert!(error.contains("(did you mean \"send_expect\"?)"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_definition_are_meant_from_its_file_and_without_one_from_the_working_directory()
{
    // The secret lies beside the configuration, and not in the working directory.
    let folder = crate::support::process::tempdir();
    std::fs::write(folder.path().join("pass.txt"), "secret").unwrap();
    let login = "login = { password = { file = \"pass.txt\" } }";
    let toml = format!("[connections.c]\nuri = \"tcp://127.0.0.1:1\"\n{login}\n");
    let loaded = crate::support::host::load(folder.path(), &toml);
    let manager = jackfield::manager::Manager::start(&loaded).await.unwrap();
    let value =
        json!({ "uri": "tcp://127.0.0.1:1", "login": { "password": { "file": "pass.txt" } } });
    let config = serde_json::from_value(value).unwrap();
    let refused = jackfield::manager::Existing::Refuse;
    let error = manager.define_connection("late", config, refused).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(text.starts_with("connections.late.login.password: "), "{text}");
    assert!(
        text.contains("file = \"pass.txt\"") && !text.contains(&*folder.path().to_string_lossy()),
        "{text}"
    );
}

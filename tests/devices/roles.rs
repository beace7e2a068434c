//! Roles of paths: a device with several consoles of which one is the active one.

use std::collections::BTreeMap;

use jackfield::manager::{AllOptions, Existing, Removal};
use jackfield_plugin_api::ErrorKind;
use serde_json::{Map, Value, json};

use crate::support::{
    host::TestHost,
    jackfield::{Config, ran},
    peers::echo::TcpPeer,
    process::DEADLINE,
};

/// Two consoles, `a` with the role that `active` says.
fn consoles(peers: &[TcpPeer; 2], roles: &str) -> String {
    format!(
        "[devices.core1]\nroles = {roles}\n[devices.core1.paths]\na = {{ uri = \"{}\" }}\nb = {{ uri = \"{}\" }}\n",
        peers[0].uri(),
        peers[1].uri(),
    )
}

const ROLES: &str = "{ active = \"a\", standby = \"b\" }";

async fn says(host: &TestHost, to: &str) -> jackfield_plugin_api::Result<Value> {
    let params = json!({ "text": "show version", "end": "\n", "pattern": "version\n" });
    host.manager().call(to, &Map::new(), "send_expect", &params).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_called_connected_and_left_as_the_path_is_that_has_it() {
    let peers = [TcpPeer::echo().await, TcpPeer::echo().await];
    let host = TestHost::start(&consoles(&peers, ROLES)).await;
    let manager = host.manager();
    says(&host, "devices.core1.standby").await.unwrap();
    assert_eq!((peers[0].accepted(), peers[1].accepted()), (0, 1));
    let device = manager.device("core1").unwrap();
    assert_eq!(device.path(Some("active")).unwrap().name(), "a");
    let both =
        manager.connect_paths(["core1.active", "core1.standby"], AllOptions::default()).await;
    assert!(both.values().all(Result::is_ok), "{both:?}");
    assert!(manager.is_connected("devices.core1.active"));

    // A switchover: what is called next goes over the other console, and no session is touched.
    device.swap_roles("active", "standby").unwrap();
    says(&host, "devices.core1.standby").await.unwrap();
    assert_eq!(device.path(Some("active")).unwrap().name(), "b");
    assert_eq!((peers[0].accepted(), peers[1].accepted()), (1, 1), "both go on");
    let shown = &manager.snapshot().devices[0];
    assert_eq!(json!(shown)["roles"], json!({ "active": "b", "standby": "a" }));
    {
        let _now = device.default_for_now("active").unwrap();
        assert_eq!(device.path(None).unwrap().name(), "b", "a default follows a role");
    }
    assert!(device.disconnect(Some("standby"), "done").await.unwrap());
    peers[0].has_ended(1).await;
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_change_as_a_whole_or_not_at_all_and_mistakes_name_those_there_are() {
    let peers = [TcpPeer::echo().await, TcpPeer::echo().await];
    let host = TestHost::start(&consoles(&peers, ROLES)).await;
    let manager = host.manager();
    let device = manager.device("core1").unwrap();
    let unknown = device.path(Some("standbye")).unwrap_err();
    let text = "device \"core1\" has no path \"standbye\" (did you mean \"standby\"?); paths: a b; roles: active standby";
    assert_eq!(unknown.message(), text);
    let roles = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(role, path)| (role.to_string(), path.to_string())).collect()
    };
    for (wrong, kind) in [
        (&[("active", "b"), ("standby", "c")][..], ErrorKind::NotFound),
        (&[("active", "b"), ("a", "b")], ErrorKind::InUse),
    ] {
        let error = device.set_roles(roles(wrong)).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(device.roles(), roles(&[("active", "a"), ("standby", "b")]));
    }
    assert_eq!(device.swap_roles("active", "spare").unwrap_err().kind(), ErrorKind::NotFound);
    device.set_roles(roles(&[("member", "b")])).unwrap();
    assert_eq!(device.path(Some("active")).unwrap_err().kind(), ErrorKind::NotFound);

    // A role is no path to define over, nor one to remove.
    let taken = manager.define_path_like("core1", "member", "a", Existing::Replace).await;
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::InUse);
    let end = || Removal::Close { code: 0, reason: String::new() };
    let role = manager.remove_path("core1", "member", end()).await.unwrap_err();
    assert!(role.message().contains("expected the name of a path, \"b\""), "{role}");
    manager.remove_path("core1", "b", end()).await.unwrap();
    assert_eq!(device.roles(), BTreeMap::new(), "roles go with their paths");
}

#[tokio::test]
async fn a_command_takes_a_role_where_it_takes_a_path() {
    let peers = [TcpPeer::echo().await, TcpPeer::echo().await];
    let config = Config::new(&consoles(&peers, ROLES));
    let call = ["call", "devices.core1.standby", "send_expect", "text=hello", "pattern=hello"];
    ran(&[&call[..], &["--config", &config.file()]].concat(), "").await.ok();
    assert_eq!((peers[0].accepted(), peers[1].accepted()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_moves_a_role_and_touches_no_session() {
    let peers = [TcpPeer::echo().await, TcpPeer::echo().await];
    let host = crate::reload::Changing::start(&consoles(&peers, ROLES)).await;
    let device = || host.manager.device("core1").unwrap();
    device().connect(Some("active"), DEADLINE).await.unwrap();
    let report = host.reload(&consoles(&peers, "{ active = \"b\", standby = \"a\" }")).await;
    assert_eq!(report.version, 2);
    assert_eq!(device().path(Some("active")).unwrap().name(), "b");
    assert!(device().path(Some("standby")).unwrap().managed().is_connected(), "it goes on");
    assert_eq!(peers[0].accepted(), 1);
}

#[tokio::test]
async fn what_is_built_once_names_a_path_and_no_role() {
    let peers = [TcpPeer::echo().await, TcpPeer::echo().await];
    let route = "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"devices.core1.standby\"\n";
    for (text, shown) in [
        (
            consoles(&peers, ROLES) + route,
            "expected a path: \"standby\" is a role, which can pass to another path (did you mean \"devices.core1.b\"?)",
        ),
        (consoles(&peers, "{ active = \"c\" }"), "there is no such path; paths: a b"),
        (consoles(&peers, "{ b = \"a\" }"), "is the name of a path of this device"),
    ] {
        let config = Config::new(&text);
        let checked = ran(&["check", "-c", &config.file()], "").await;
        assert_ne!(checked.code, Some(0));
        assert!(checked.stderr.contains(shown), "{}", checked.stderr);
    }
}

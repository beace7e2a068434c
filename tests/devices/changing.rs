//! Devices, paths and further names that come and go while the host runs.

use jackfield::{
    config::model::{DeviceConfig, PathConfig},
    manager::{Existing, Removal},
};
use jackfield_plugin_api::ErrorKind;
use serde_json::{Map, Value, json};

use crate::support::{host::TestHost, peers::echo::TcpPeer, process::DEADLINE};

fn path(value: Value) -> PathConfig {
    serde_json::from_value(value).unwrap()
}

fn close() -> Removal {
    Removal::Close { code: 0, reason: String::new() }
}

async fn device(peer: &TcpPeer) -> TestHost {
    TestHost::start(&format!("[devices.core1.paths]\ncli = {{ uri = \"{}\" }}\n", peer.uri())).await
}

/// Says `text` to the echo and hears it again.
async fn says(host: &TestHost, to: &str, text: &str) -> jackfield_plugin_api::Result<Value> {
    let params = json!({ "text": text, "end": "\n", "pattern": format!("{text}\n") });
    host.manager().call(to, &Map::new(), "send_expect", &params).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_under_names_of_their_own_go_over_one_path() {
    let peer = TcpPeer::echo().await;
    let host = device(&peer).await;
    let manager = host.manager();
    for name in ["vty_1", "vty_2"] {
        manager.define_path_like("core1", name, "cli", Existing::Refuse).await.unwrap();
    }
    for name in ["vty_1", "vty_2", "vty_1", "vty_2"] {
        says(&host, &format!("devices.core1.{name}"), name).await.unwrap();
    }
    assert_eq!(peer.accepted(), 2, "each has one session, and keeps it");
    assert!(manager.is_connected("devices.core1.vty_1"));
    assert!(!manager.is_connected("devices.core1.cli"));
    assert!(!manager.is_connected("devices.core1.vty_3"), "what there is not is not connected");
    manager.remove_path("core1", "vty_1", close()).await.unwrap();
    peer.has_ended(1).await;
    let gone = says(&host, "devices.core1.vty_1", "x").await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound, "{gone}");
    says(&host, "devices.core1.vty_2", "still").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equal_path_is_used_again_and_a_different_one_is_refused_or_replaces_it() {
    let (first, second) = (TcpPeer::echo().await, TcpPeer::echo().await);
    let host = device(&first).await;
    let manager = host.manager();
    says(&host, "devices.core1.cli", "one").await.unwrap();
    let equal = path(json!({ "uri": first.uri() }));
    let again = manager.define_path("core1", "cli", equal, Existing::Replace).await.unwrap();
    assert!(again.managed().is_connected(), "nothing has changed");
    let other = || path(json!({ "uri": second.uri() }));
    let refused = manager.define_path("core1", "cli", other(), Existing::Refuse).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse, "{refused}");
    let held = again;
    let replaced = manager.define_path("core1", "cli", other(), Existing::Replace).await.unwrap();
    first.has_ended(1).await;
    says(&host, "devices.core1.cli", "two").await.unwrap();
    assert_eq!(second.accepted(), 1);
    assert!(held.managed().is_connected(), "who holds the old one has the new one");
    assert_eq!(replaced.managed().name(), held.managed().name());
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_and_their_names_come_and_go_but_not_what_others_go_via() {
    let peer = TcpPeer::echo().await;
    let host = device(&peer).await;
    let manager = host.manager();
    // Nobody is connected to it: it only has to be one that can dial.
    let gate = path(json!({ "uri": "ssh://nobody@127.0.0.1:1" }));
    manager.define_path("core1", "gate", gate, Existing::Refuse).await.unwrap();
    let made: DeviceConfig = serde_json::from_value(json!({
        "aliases": ["jump"], "labels": { "site": "lab" }, "default": "raw",
        "paths": { "raw": { "uri": peer.uri() }, "via": { "uri": "tcp://10.0.0.1:1", "via": "devices.core1.gate" } },
    }))
    .unwrap();
    let made = manager.define_device("lamp", made, Existing::Refuse).await.unwrap();
    assert_eq!(made.snapshot().labels["site"], "lab");
    says(&host, "devices.jump", "hello").await.unwrap();
    manager.alias_device("lamp", "light").unwrap();
    assert_eq!(manager.device("light").unwrap().aliases(), ["jump", "light"]);
    for (taken, kind) in [("core1", ErrorKind::InUse), ("Light", ErrorKind::Config)] {
        assert_eq!(manager.alias_device("lamp", taken).unwrap_err().kind(), kind);
    }
    manager.unalias_device("jump").unwrap();
    assert_eq!(manager.device("jump").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(manager.unalias_device("lamp").unwrap_err().kind(), ErrorKind::NotFound, "its name");
    let carrying = manager.remove_device("core1", close()).await.unwrap_err();
    assert_eq!(carrying.kind(), ErrorKind::InUse, "{carrying}");
    assert!(carrying.message().contains("devices.lamp.via is dialled via"), "{carrying}");
    let only = manager.remove_path("core1", "gate", close()).await.unwrap_err();
    assert_eq!(only.kind(), ErrorKind::InUse, "{only}");
    manager.remove_device("light", close()).await.unwrap();
    peer.has_ended(1).await;
    manager.remove_device("core1", close()).await.unwrap();
    assert!(manager.devices().all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_posts_of_a_device_use_the_session_that_its_path_shares() {
    let peer = TcpPeer::echo().await;
    let host = device(&peer).await;
    let manager = host.manager();
    let device = manager.device("core1").unwrap();
    let early = device.post(None, "too early").unwrap_err();
    assert_eq!(early.kind(), ErrorKind::Closed);
    let live = device.connect(None, DEADLINE).await.unwrap();
    let params = json!({ "text": "by hand", "end": "\n", "pattern": "by hand\n" });
    device.call(None, "send_expect", &params).await.unwrap();
    says(&host, "devices.core1", "by name").await.unwrap();
    says(&host, "devices.core1.cli", "by path").await.unwrap();
    assert_eq!((peer.accepted(), live.info().calls, live.info().errors), (1, 3, 0));
}

//! The verbs on what runs: each does what it says, and may be repeated.

use jackfield::events::Event;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{lists::with_all, part};
use crate::support::{peers::echo::TcpPeer, process::DEADLINE};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_connected_asked_drained_and_closed() {
    let (host, peer) = with_all().await;
    host.post("/v1/connections/lab/ping", json!(null)).await.refused(409);
    let connected = host.put("/v1/connections/lab/connect?wait=30s", json!(null)).await.ok();
    assert_eq!(connected["state"], "connected", "{connected}");
    let again = host.put("/v1/connections/lab/connect?wait=30s", json!(null)).await.ok();
    assert_eq!(again["id"], connected["id"], "connected already");
    let ping = host.post("/v1/connections/lab/ping", json!(null)).await.ok();
    assert_eq!(ping["name"], "lab", "{ping}");

    let call =
        json!({ "operation": "send_expect", "params": { "text": "hello\\n", "pattern": "hello" } });
    let result = host.post("/v1/connections/lab/call", call).await.ok();
    assert!(result["result"].is_object(), "{result}");
    let id = connected["id"].as_u64().unwrap();
    let closed = host
        .put(&format!("/v1/connections/{id}/close?wait=30s"), json!({ "reason": "enough" }))
        .await
        .ok();
    assert_eq!((&closed["state"], &closed["done"]), (&json!("closed"), &json!(true)), "{closed}");
    let again = host.put("/v1/connections/lab/close?wait=30s", json!(null)).await.ok();
    assert_eq!(again["done"], true, "{again}");
    host.put("/v1/connections/lab/connect?wait=30s", json!(null)).await.ok();
    let drained = host.put("/v1/connections/lab/drain?wait=30s&within=5s", json!(null)).await.ok();
    assert_eq!(drained["done"], true, "{drained}");
    host.put("/v1/connections/lap/close", json!(null)).await.refused(404);
    let wrong = host.put("/v1/connections/lab/close", json!({ "cod": 1 })).await.refused(422);
    assert!(wrong["detail"].as_str().unwrap().contains("cod"), "{wrong}");
    assert!(peer.accepted() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_to_whatever_has_a_name() {
    let (host, _peer) = with_all().await;
    for to in ["connections.lab", "devices.core1.console", "devices.c1.console", "upstreams.web"] {
        let params = json!({ "text": "hello\\n", "pattern": "hello" });
        let call =
            json!({ "to": to, "operation": "send_expect", "params": params, "timeout": "30s" });
        let result = host.post("/v1/call", call).await.ok();
        assert!(result["result"].is_object(), "{to}: {result}");
    }
    let known = host.get("/v1/operations?to=connections.lab").await.ok();
    let names =
        known["operations"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap());
    assert!(names.collect::<Vec<_>>().contains(&"send_expect"), "{known}");
    for (wrong, pointer, nearest) in [
        (
            json!({ "to": "connections.lab", "operation": "send_expekt" }),
            "/operation",
            "send_expect",
        ),
        (json!({ "to": "connections.lab", "operatoin": "x" }), "/operatoin", "operation"),
        (json!({ "to": "upstream.web", "operation": "send" }), "/to", ""),
        (
            json!({ "to": "connections.lab", "operation": "send", "params": "hunter2" }),
            "/params",
            "",
        ),
        (json!({ "to": "connections.lab", "operation": "send", "timeout": "0s" }), "/timeout", ""),
    ] {
        let problem = host.post("/v1/call", wrong).await.refused(422);
        assert_eq!(problem["pointer"], pointer, "{problem}");
        assert!(nearest.is_empty() || problem["nearest"] == nearest, "{problem}");
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
    }
    let missing = json!({ "to": "connections.lap", "operation": "send" });
    assert_eq!(host.post("/v1/call", missing).await.refused(404)["nearest"], "lab");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_added_weighed_drained_enabled_and_removed() {
    let (host, first) = with_all().await;
    let second = TcpPeer::echo().await;
    let add = json!({ "uri": second.uri(), "weight": 7 });
    let added = host.put("/v1/targets/web", add.clone()).await.ok();
    assert_eq!(added["name"], second.uri());
    host.put("/v1/targets/web", add).await.ok();
    let other = json!({ "uri": second.uri(), "weight": 8 });
    host.put("/v1/targets/web", other).await.refused(422);
    let wrong =
        host.put("/v1/targets/web", json!({ "uri": second.uri(), "wieght": 1 })).await.refused(422);
    assert_eq!(
        (&wrong["nearest"], &wrong["pointer"]),
        (&json!("weight"), &json!("/targets/0/wieght")),
        "{wrong}"
    );

    let at = format!("/v1/targets/web/{}", part(&second.uri()));
    let weighed = host.put(&format!("{at}/weight"), json!({ "weight": 9 })).await.ok();
    assert_eq!(weighed["weight"], 9, "{weighed}");
    host.put(&format!("{at}/weight"), json!({ "weight": 1001 })).await.refused(422);
    let enabled = host.put(&format!("{at}/enable"), json!(null)).await.ok();
    assert_eq!(enabled["weight"], 9, "one that serves stays as it is: {enabled}");
    for _ in 0..2 {
        let drained = host.put(&format!("{at}/drain?wait=30s"), json!(null)).await.ok();
        assert_eq!(
            (&drained["state"], &drained["done"]),
            (&json!("draining"), &json!(true)),
            "{drained}"
        );
    }
    let enabled = host.put(&format!("{at}/enable"), json!(null)).await.ok();
    assert_eq!((&enabled["state"], &enabled["weight"]), (&json!("up"), &json!(9)), "{enabled}");
    host.put(&format!("{at}/drain"), json!(null)).await.ok();
    let enabled = host.put(&format!("{at}/enable"), json!({ "weight": 3 })).await.ok();
    assert_eq!(enabled["weight"], 3, "{enabled}");

    host.delete(&at).await.ok();
    host.delete(&at).await.refused(404);
    host.get(&format!("/v1/targets/web/{}", part(&first.uri()))).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_waited_for_ends_when_the_last_session_does() {
    let (host, peer) = with_all().await;
    let address = host.manager.listeners()[0].local.as_ref().and_then(|it| it.socket()).unwrap();
    let mut session = TcpStream::connect(address).await.unwrap();
    session.write_all(b"x").await.unwrap();
    session.read_exact(&mut [0]).await.unwrap();
    let at = format!("/v1/targets/web/{}", part(&peer.uri()));
    let begun = host.put(&format!("{at}/drain"), json!(null)).await.ok();
    assert_eq!((&begun["done"], &begun["in_flight"]), (&json!(false), &json!(1)), "{begun}");
    // It goes on meanwhile.
    session.write_all(b"y").await.unwrap();
    session.read_exact(&mut [0]).await.unwrap();
    let path = format!("{at}/drain?wait=1m");
    let (drained, ()) = tokio::join!(host.put(&path, json!(null)), async { drop(session) });
    assert_eq!(drained.ok()["done"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_broken_with_the_name_of_who_did_it() {
    let (host, _peer) = with_all().await;
    let broken = host.put("/v1/leases/core1.console/break", json!(null)).await.ok();
    assert_eq!(broken["broken"], json!(null), "nobody has it: {broken}");
    host.put("/v1/devices/core1/paths/console/connect?wait=30s", json!(null)).await.ok();
    let held = host.get("/v1/leases/core1.console").await.ok();
    assert!(held["holder"]["held_ms"].is_u64(), "{held}");
    let mut events = host.manager.events().subscribe(64);
    let broken = host
        .put("/v1/leases/devices.core1.console/break", json!({ "reason": "work to do" }))
        .await
        .ok();
    assert!(broken["broken"]["owner"].is_string(), "{broken}");
    let is_broken = |event: &Event| event.kind.name() == "lease_broken";
    events.wait_for(DEADLINE, is_broken).await.expect("the lease to be broken");
    let after = host.get("/v1/leases/core1.console").await.ok();
    assert!(after.to_string().contains("work to do"), "{after}");
    host.put("/v1/leases/core1.consol/break", json!(null)).await.refused(404);
    let closed = host.put("/v1/devices/core1/paths/console/close", json!(null)).await.ok();
    assert!(closed["was_connected"].is_boolean(), "{closed}");
}

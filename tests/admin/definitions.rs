//! What is defined and removed over the admin API, as a file would say it.

use serde_json::json;
use tokio::net::TcpStream;

use super::{AdminHost, part};
use crate::support::{host::exchange, peers::echo::TcpPeer};

#[tokio::test(flavor = "multi_thread")]
async fn everything_can_be_defined_used_and_removed_while_the_host_runs() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let host = AdminHost::start("").await;
    for (path, body) in [
        ("/v1/connections/lab", json!({ "uri": one.uri() })),
        ("/v1/devices/core1", json!({ "paths": { "console": { "uri": one.uri() } } })),
        ("/v1/devices/core1/paths/mgmt", json!({ "uri": two.uri() })),
        ("/v1/upstreams/web", json!({ "targets": [one.uri()] })),
        ("/v1/handlers/echo", json!({})),
    ] {
        host.put(path, body.clone()).await.ok();
        host.put(path, body).await.ok();
    }
    host.put("/v1/devices/core1/aliases/c1", json!(null)).await.ok();
    host.put("/v1/devices/core1/aliases/c1", json!(null)).await.ok();
    assert_eq!(host.get("/v1/devices/c1").await.ok()["paths"].as_array().unwrap().len(), 2);

    let route = json!({ "listen": "tcp://127.0.0.1:0", "to": "upstreams.web" });
    let running = host.put("/v1/routes", route).await.ok();
    let address = running["local"].as_str().unwrap().parse().unwrap();
    assert_eq!(exchange(address, b"").await.unwrap(), b"one");
    host.delete("/v1/upstreams/web").await.refused(409);
    let other = json!({ "targets": [two.uri()] });
    host.put("/v1/upstreams/web", other.clone()).await.refused(409);
    host.put("/v1/upstreams/web?replace=true", other).await.ok();
    assert_eq!(exchange(address, b"").await.unwrap(), b"two");

    let route = format!("/v1/routes/{}", part(running["local"].as_str().unwrap()));
    host.delete(&format!("{route}?wait=1s")).await.ok();
    assert!(TcpStream::connect(address).await.is_err());
    host.delete(&route).await.refused(404);
    for path in [
        "/v1/devices/core1/aliases/c1",
        "/v1/devices/core1/paths/mgmt",
        "/v1/devices/core1",
        "/v1/connections/lab",
        "/v1/upstreams/web?wait=1s",
        "/v1/handlers/echo",
    ] {
        host.delete(path).await.ok();
        host.delete(path).await.refused(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_with_a_mistake_has_its_place_and_defines_nothing() {
    let host = AdminHost::start("").await;
    for (path, body, pointer, nearest) in [
        (
            "/v1/upstreams/web",
            json!({ "targets": ["tcp://h:1"], "balanse": "x" }),
            "/balanse",
            "balance",
        ),
        ("/v1/upstreams/web", json!({ "targets": [{ "uri": 3 }] }), "/targets/0/uri", ""),
        ("/v1/connections/lab", json!({ "uri": "tcp://h:1", "via": 7 }), "/via", ""),
        ("/v1/devices/d", json!({ "paths": { "p": { "urj": "x" } } }), "/paths/p/urj", "uri"),
        ("/v1/routes", json!({ "listen": "tcp://127.0.0.1:0", "too": "handlers.x" }), "/too", "to"),
    ] {
        let problem = host.put(path, body).await.refused(422);
        assert_eq!(problem["pointer"], pointer, "{path}: {problem}");
        assert!(nearest.is_empty() || problem["nearest"] == nearest, "{path}: {problem}");
    }
    for (path, body, text) in [
        ("/v1/connections/lab", json!({ "uri": "tpc://h:1" }), "did you mean \\\"tcp\\\"?"),
        ("/v1/connections/Not%20a%20name", json!({ "uri": "tcp://h:1" }), "is no name"),
        ("/v1/upstreams/web", json!({ "targets": [] }), "at least one target"),
        ("/v1/handlers/h", json!({ "handler": "ecko" }), "echo"),
    ] {
        let answer = host.put(path, body).await;
        assert!([404, 422].contains(&answer.status), "{answer:?}");
        assert!(answer.body.contains(text), "{path}: {answer:?}");
    }
    for noun in ["upstreams", "connections", "devices", "routes", "handlers"] {
        assert_eq!(host.get(&format!("/v1/{noun}")).await.ok()["total"], 0, "{noun}");
    }
    for body in ["", "[]", "\"x\""] {
        host.ask("PUT", "/v1/connections/lab", body).await.refused(400);
    }
    let cut = host.ask("PUT", "/v1/connections/lab", "{\"uri\": \"hunter2").await.refused(400);
    assert!(!cut.to_string().contains("hunter2"), "{cut}");
}

//! Whether targets answer, and why a connection is as it is, as the running host sees them.

use serde_json::json;

use super::AdminHost;
use crate::support::{jackfield::ran, peers::echo::TcpPeer, ports};

#[tokio::test]
async fn a_probe_says_of_each_target_whether_it_answers() {
    let (echo, closed) = (TcpPeer::echo().await, ports::free());
    let toml = format!(
        "[upstreams.lab]\ntargets = [{:?}, \"tcp://127.0.0.1:{closed}\"]\n[connections.one]\nuri = {:?}\n",
        echo.uri(),
        echo.uri()
    );
    let host = AdminHost::start(&toml).await;
    let all = host.post("/v1/probe", json!({ "to": ["upstreams.lab", "connections.one"] })).await;
    let all = all.ok();
    let ok: Vec<_> = all["items"].as_array().unwrap().iter().map(|one| &one["ok"]).collect();
    assert_eq!(ok, [&json!(true), &json!(false), &json!(true)], "{all}");
    assert_eq!(all["ok"], false);
    let alone = host.post("/v1/probe?within=5s", json!({ "to": ["connections.one"] })).await.ok();
    assert_eq!(alone["ok"], true);
    let near = host.post("/v1/probe", json!({ "to": ["connections.on"] })).await;
    assert_eq!(near.refused(404)["nearest"], "one");
    host.post("/v1/probe", json!({ "to": [] })).await.refused(422);
    let many = vec!["connections.one"; 101];
    host.post("/v1/probe", json!({ "to": many })).await.refused(422);
}

#[tokio::test]
async fn a_diagnosis_says_what_decided_the_state_of_a_connection() {
    let echo = TcpPeer::echo().await;
    let host = AdminHost::start(&format!("[connections.one]\nuri = {:?}\n", echo.uri())).await;
    host.put("/v1/connections/one/connect?wait=10s", json!({})).await.ok();
    let found = host.get("/v1/connections/one/diagnosis").await.ok();
    assert_eq!(found["info"]["name"], "one", "{found}");
    assert!(found["findings"].as_array().unwrap().is_empty(), "{found}");
    assert!(!found["steps"].as_array().unwrap().is_empty(), "{found}");
    let socket = host.socket().display().to_string();
    let text = ran(&["diagnose", "one", "--admin", &socket], "").await.ok().text();
    let first = found["lines"][0].as_str().unwrap().split(' ').next().unwrap();
    assert!(text.starts_with(first), "{text}");
    host.get("/v1/connections/two/diagnosis").await.refused(404);
}

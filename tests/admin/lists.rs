//! What there is, as lists and single items; the host as a whole.

use serde_json::json;
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};

use super::{AdminHost, part};
use crate::support::peers::echo::TcpPeer;

/// A host that has one of everything.
pub(super) async fn with_all() -> (AdminHost, TcpPeer) {
    let peer = TcpPeer::echo().await;
    let host = AdminHost::start(&format!(
        "[connections.lab]\nuri = \"{0}\"\nlabels = {{ site = \"north\" }}\n\
         [upstreams.web]\ntargets = [\"{0}\"]\npool = {{ max_size = 3 }}\n\
         [devices.core1]\naliases = [\"c1\"]\n[devices.core1.paths]\n\
         console = {{ uri = \"{0}\", exclusive = true }}\n[handlers.echo]\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"upstreams.web\"\n",
        peer.uri(),
    ))
    .await;
    (host, peer)
}

async fn uses_route(host: &AdminHost) -> TcpStream {
    let address = host.manager.listeners()[0].local.as_ref().and_then(|it| it.socket()).unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"over").await.unwrap();
    stream.read_exact(&mut [0; 4]).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_has_a_list_and_an_item_by_its_name() {
    let (host, peer) = with_all().await;
    let _session = uses_route(&host).await;
    let target = part(&peer.uri());
    for (noun, item, key, value) in [
        ("drivers", "tcp".to_owned(), "kind", json!("transport")),
        ("connections", "lab".into(), "uri", json!(peer.uri())),
        ("devices", "c1".into(), "name", json!("core1")),
        ("leases", "core1.console".into(), "holder", json!(null)),
        ("upstreams", "web".into(), "balance", json!("round_robin")),
        ("targets", format!("web/{target}"), "in_flight", json!(1)),
        ("pools", format!("web/{target}"), "max_size", json!(3)),
        ("routes", part("tcp://127.0.0.1:0"), "to", json!("upstreams.web")),
        ("listeners", part("tcp://127.0.0.1:0"), "defined_by", json!("config")),
        ("handlers", "echo".into(), "handler", json!("echo")),
    ] {
        let list = host.get(&format!("/v1/{noun}")).await.ok();
        let items = list["items"].as_array().unwrap();
        assert!(!items.is_empty() && items.iter().all(|item| item["name"].is_string()), "{list}");
        let one = host.get(&format!("/v1/{noun}/{item}")).await.ok();
        assert_eq!(one[key], value, "{noun}: {one}");
    }
    let plugins = host.get("/v1/plugins?filter=name=jackfield-tcp").await.ok();
    assert_eq!(plugins["items"][0]["state"], "running", "{plugins}");
    let by_scheme = host.get("/v1/drivers/wss").await.ok();
    assert_eq!(by_scheme["name"], "ws");
    // The accepted one is there by its id.
    let accepted = host.get("/v1/connections?filter=listener~127.0.0.1").await.ok();
    let id = accepted["items"][0]["id"].as_u64().unwrap();
    let one = host.get(&format!("/v1/connections/{id}")).await.ok();
    assert_eq!(one["to"], "upstreams.web", "{one}");
    assert!(one["steps"].is_array(), "{one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_not_is_told_with_the_nearest_name() {
    let (host, _peer) = with_all().await;
    for (path, nearest) in [
        ("/v1/upstreams/wep", "web"),
        ("/v1/connections/lap", "lab"),
        ("/v1/devices/core2", "core1"),
        ("/v1/handlers/ecko", "echo"),
        ("/v1/drivers/tpc", "tcp"),
        ("/v1/targets/wep/x", "web"),
        ("/v1/leases/core1.consol", "core1.console"),
        ("/v1/conections", "/v1/connections"),
    ] {
        let problem = host.get(path).await.refused(404);
        assert_eq!(problem["nearest"], nearest, "{path}: {problem}");
    }
    host.get("/v1/connections/999999").await.refused(404);
    let wrong = host.ask("PATCH", "/v1/upstreams/web", "").await;
    assert!(wrong.head.contains("allow: get, put, delete"), "{wrong:?}");
    wrong.refused(405);
    assert_eq!(host.ask("HEAD", "/v1/status", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_comes_in_pages_that_add_up() {
    let connections: String = (0..25)
        .map(|number| format!("[connections.c{number:02}]\nuri = \"tcp://127.0.0.1:1\"\n"))
        .collect();
    let host = AdminHost::start(&connections).await;
    let (mut names, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = host.get(&format!("/v1/connections?limit=10&fields=name{cursor}")).await.ok();
        assert_eq!(page["total"], 25);
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item.as_object().unwrap().len(), 1, "only what was asked for: {item}");
            names.push(item["name"].as_str().unwrap().to_owned());
        }
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={}", part(next));
    }
    let expected: Vec<String> = (0..25).map(|number| format!("c{number:02}")).collect();
    assert_eq!((names, pages), (expected, 3));
    let found = host.get("/v1/connections?filter=name~c1&filter=name!=c11").await.ok();
    assert_eq!(found["items"].as_array().unwrap().len(), 9, "{found}");
    for wrong in ["limit=0", "limit=1001", "limit=x", "filter=name"] {
        host.get(&format!("/v1/connections?{wrong}")).await.refused(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_tells_how_it_is_and_that_it_stops() {
    let (host, _peer) = with_all().await;
    let status = host.get("/v1/status").await.ok();
    for (place, expected) in [
        ("/state", json!("ready")),
        ("/listeners", json!(1)),
        ("/targets/up", json!(1)),
        ("/leases/paths", json!(1)),
        ("/connections/defined", json!(1)),
        ("/you/role", json!("admin")),
        ("/pid", json!(std::process::id())),
    ] {
        assert_eq!(status.pointer(place), Some(&expected), "{place}: {status}");
    }
    assert_eq!(host.get("/healthz").await.body, "ok\n");
    assert_eq!(host.get("/readyz").await.status, 200);
    host.server.as_ref().unwrap().note_stopping();
    let ready = host.get("/readyz").await;
    assert_eq!((ready.status, &*ready.body), (503, "stopping\n"));
    assert_eq!(host.get("/v1/status").await.ok()["state"], "stopping");
    assert_eq!(host.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_follow_what_is_there() {
    let (host, peer) = with_all().await;
    let _session = uses_route(&host).await;
    let text = host.get("/metrics").await;
    assert!(text.head.contains("application/openmetrics-text; version=1.0.0"), "{}", text.head);
    let uri = peer.uri();
    for line in [
        "# TYPE jackfield_connections gauge".to_owned(),
        "jackfield_listener_connections{listener=\"tcp://127.0.0.1:0\"} 1".into(),
        "jackfield_listener_accepted_total{listener=\"tcp://127.0.0.1:0\"} 1".into(),
        "jackfield_listener_session_seconds_count{listener=\"tcp://127.0.0.1:0\"} 0".into(),
        "jackfield_connections_opened_total{side=\"accepted\"} 1".into(),
        format!("jackfield_target_sessions{{upstream=\"web\",target=\"{uri}\"}} 1"),
        format!("jackfield_pool_sessions{{upstream=\"web\",target=\"{uri}\",state=\"in_use\"}} 1"),
        format!("jackfield_pool_wait_seconds_count{{upstream=\"web\",target=\"{uri}\"}} 1"),
        "jackfield_lease_held{path=\"core1.console\"} 0".into(),
        "jackfield_plugin_up{plugin=\"jackfield-tcp\",state=\"running\"} 1".into(),
        "jackfield_ready 1".into(),
    ] {
        assert!(text.body.lines().any(|found| found == line), "no {line} in\n{}", text.body);
    }
    assert!(text.body.ends_with("# EOF\n"));
    // Series go with their object, and are left out where there would be too many.
    host.manager.remove_target("web", &uri).unwrap();
    let after = host.get("/metrics?name[]=jackfield_target_sessions").await.body;
    assert_eq!(after, "# EOF\n");
    let few = AdminHost::start_with(
        "target_metrics = 1",
        "[upstreams.web]\ntargets = [\"tcp://127.0.0.1:1\", \"tcp://127.0.0.1:2\"]\n",
    )
    .await;
    let text = few.get("/metrics").await.body;
    assert!(!text.contains("jackfield_target_"), "{text}");
    assert!(text.contains("jackfield_upstream_targets{upstream=\"web\",state=\"up\"} 2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn series_of_many_targets_are_there_for_the_time_that_they_are_asked_for() {
    let toml = "[upstreams.u]\ntargets = [\"tcp://127.0.0.1:1\", \"tcp://127.0.0.1:2\"]\n";
    let host = AdminHost::start_with("target_metrics = 1", toml).await;
    let has_series =
        async || host.get("/metrics").await.body.contains("\njackfield_target_up{upstream=\"u\"");
    assert!(!has_series().await);
    let before = host.get("/v1/metrics/targets").await.ok();
    let none = json!({ "targets": 2, "limit": 1, "shown": false, "left_ms": null });
    assert_eq!(before, none);
    for wrong in ["0s", "61m", "soon"] {
        let problem = host.put("/v1/metrics/targets", json!({ "for": wrong })).await.refused(422);
        assert_eq!(problem["pointer"], "/for", "{wrong}: {problem}");
    }
    let asked = host.put("/v1/metrics/targets", json!({})).await.ok();
    assert_eq!((&asked["shown"], has_series().await), (&json!(true), true), "{asked}");
    let left = asked["left_ms"].as_u64().unwrap();
    assert!(0 < left && left <= 60_000, "{asked}");
    host.put("/v1/metrics/targets", json!({ "for": "1ms" })).await.ok();
    crate::reload::soon("their end", async || !has_series().await).await;
    assert_eq!(host.get("/v1/metrics/targets").await.ok(), none);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_describes_itself() {
    let host = AdminHost::start("").await;
    let document = host.get("/v1/openapi.json").await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    let put = &document["paths"]["/v1/upstreams/{name}"]["put"];
    assert_eq!(put["x-jackfield-role"], "admin");
    let schema = put["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
    let schema = document.pointer(schema.unwrap().trim_start_matches('#')).unwrap();
    assert!(schema["properties"]["targets"].is_object(), "{schema}");
}

//! Queries that say what there is not: parameters, fields and values, each told with the nearest name that there is.

use serde_json::Value;

use super::{AdminHost, NOUNS, lists::with_all, part};
use crate::support::jackfield::ran;

/// The dotted paths of all that a value has.
fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(table) => {
            for (key, below) in table {
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                paths(below, &path, found);
                found.push(path);
            }
        }
        Value::Array(all) => all.iter().for_each(|one| paths(one, at, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_that_an_item_has_can_be_asked_for_and_no_other() {
    let (host, peer) = with_all().await;
    // A life, for its fields.
    host.put("/v1/connections/lab/connect?wait=30s", Value::Null).await.ok();
    host.put("/v1/devices/core1/paths/console/connect?wait=30s", Value::Null).await.ok();
    for noun in NOUNS {
        let list = host.get(&format!("/v1/{noun}")).await.ok();
        let (items, mut fields) = (list["items"].as_array().unwrap(), Vec::new());
        assert!(!items.is_empty(), "{noun}: {list}");
        items.iter().for_each(|item| paths(item, "", &mut fields));
        // Options of drivers are schemas with keys of their own, dots included.
        fields.retain(|field| noun != "drivers" || !field.contains('.'));
        fields.sort();
        fields.dedup();
        for field in fields {
            let asked = host.get(&format!("/v1/{noun}?fields={}", part(&field))).await;
            assert_eq!(asked.status, 200, "{noun}: {field}: {asked:?}");
        }
        for (query, nearest) in [
            ("filter=nmae=x", Some("name")),
            ("filter=nope=1", None),
            ("fields=nmae", Some("name")),
            ("fields=name,nope", None),
        ] {
            let problem = host.get(&format!("/v1/{noun}?{query}")).await.refused(400);
            assert_eq!(problem["nearest"].as_str(), nearest, "{noun} {query}: {problem}");
            let parameter = query.split('=').next().unwrap();
            assert_eq!(problem["parameter"], parameter, "{noun} {query}: {problem}");
        }
    }
    drop(peer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_with_what_an_endpoint_does_not_take_changes_nothing() {
    let host = AdminHost::start("").await;
    for (request, parameter, said) in [
        ("GET /v1/status?verbose=1", "verbose", "expected no query"),
        ("GET /v1/connections?limt=5", "limt", "limit"),
        ("GET /v1/connections?limit=5&limit=6", "limit", "expected it once"),
        ("GET /v1/connections?limit=many", "limit", "from 1 to 1000, found \"many\""),
        ("GET /v1/connections?filter=state", "filter", "FIELD=VALUE"),
        ("GET /v1/connections?filter=flags=x", "filter", "flags.KEY"),
        ("GET /v1/events?kinds=conected", "kinds", "\"conected\""),
        ("GET /v1/events?since=yesterday", "since", "expected start"),
        ("GET /v1/operations", "to", "connections.NAME"),
        ("PUT /v1/upstreams/web?replace=yes", "replace", "expected true or false"),
        ("PUT /v1/upstreams/web?replce=true", "replce", "replace"),
        ("POST /v1/config/reload?dry_run=yes", "dry_run", "expected true or false"),
        ("POST /v1/config/reload?dryrun=true", "dryrun", "dry_run"),
        ("DELETE /v1/upstreams/web?wait=soon", "wait", "expected a duration"),
        ("DELETE /v1/upstreams/web?wait=1h", "wait", "at most 10m"),
        ("POST /v1/probe?within=x", "within", "expected a duration"),
    ] {
        let (method, path) = request.split_once(' ').unwrap();
        let body = r#"{ "targets": ["tcp://127.0.0.1:1"], "to": ["tcp://127.0.0.1:1"] }"#;
        let body = if path.contains("probe") { r#"{ "to": ["tcp://127.0.0.1:1"] }"# } else { body };
        let body = if method == "GET" { "" } else { body };
        let problem = host.ask(method, path, body).await.refused(400);
        assert_eq!(problem["parameter"], parameter, "{request}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{request}: {problem}");
    }
    let upstreams = host.get("/v1/upstreams").await.ok();
    assert_eq!(upstreams["total"], 0, "{upstreams}");
    let near = host.get("/v1/events?kinds=conected").await.refused(400);
    assert_eq!(near["nearest"], "connected", "{near}");
    // Those who look whether a host is well add what they like.
    assert_eq!(host.get("/healthz?now=1").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_say_what_a_list_does_not_have() {
    let (host, _peer) = with_all().await;
    let socket = host.socket().display().to_string();
    for (arguments, parts) in [
        (&["ps", "-f", "nope=1"][..], &["unknown field \"nope\"", "state"][..]),
        (&["ps", "-f", "stat=up", "--json"], &["\"stat\"", "did you mean \"state\"?"]),
        (&["show", "targets", "-f", "wieght=1"], &["did you mean \"weight\"?"]),
        (&["show", "upstreams", "-f", "targets.stat=up"], &["did you mean \"targets.state\"?"]),
        (&["show", "devices", "-f", "name"], &["FIELD=VALUE"]),
        (&["events", "--kinds", "conected"], &["did you mean \"connected\"?"]),
        (&["drain", "web", "x", "--wait", "1h"], &["wait", "at most 10m"]),
    ] {
        let ran = ran(&[arguments, &["--admin", &socket]].concat(), "").await;
        assert_eq!((ran.code, &*ran.text()), (Some(2), ""), "{arguments:?}: {}", ran.stderr);
        for part in parts {
            assert!(ran.stderr.contains(part), "{arguments:?}: no {part:?} in {}", ran.stderr);
        }
    }
    let both = ran(&["show", "upstreams", "web", "-f", "name=web", "--admin", &socket], "").await;
    assert_eq!(both.code, Some(2), "{}", both.stderr);
    assert!(both.stderr.contains("cannot be used with"), "{}", both.stderr);
}

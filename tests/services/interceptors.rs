//! Interceptors of plugins around the operations of what names them.

use jackfield::{
    config::model::ConnectionConfig,
    connection::{Call, Calling, Interceptor, Next},
    manager::Existing,
};
use jackfield_plugin_api::ErrorKind;
use serde_json::{Value, json};
use std::sync::Arc;

use super::{Folder, ask, start, told};
use crate::support::{
    host::TestHost,
    jackfield::{Config, ran},
};

const AUDITED: &str = "\
[interceptors.inner]
use = \"probe-audit\"
options = { tag = \"inner\", refuse = [\"tell\"], rename = { status = \"state\" }, answer = { read = \"a\" } }
[interceptors.second]
use = \"probe-audit\"
options = { tag = \"second\" }
[interceptors.probe-outer]
options = { tag = \"outer\" }
[connections.lab]
uri = \"probe://x\"
interceptors = [\"inner\", \"second\", \"probe-outer\"]
[devices.core.paths.cli]
uri = \"probe://x\"
interceptors = [\"probe-outer\"]
[upstreams.many]
targets = [\"probe://x\"]
interceptors = [\"second\"]
[upstreams.pooled]
targets = [\"probe://x\"]
pool = {}
interceptors = [\"second\"]
";

#[tokio::test(flavor = "multi_thread")]
async fn they_stand_around_an_operation_by_order_and_then_as_listed_whoever_calls() {
    let (host, _folder) = start(AUDITED).await;
    let mut events = host.manager().events().subscribe(64);
    let manager = host.manager();
    let managed = manager.connection("lab").await.unwrap();
    let tags = |result: Value| result["tags"].clone();
    // The innermost adds its tag first.
    let all = json!(["second", "inner", "outer"]);
    assert_eq!(tags(managed.call("state", &json!({})).await.unwrap()), all);
    for expected in ["outer", "inner", "second"] {
        let (_, data) = told(&mut events, "called").await;
        let call = json!({
            "tag": expected, "connection": "lab", "driver": "probe", "operation": "state",
            "params": {},
        });
        assert_eq!(data, call);
    }
    for (to, expected) in [
        ("connections.lab", all),
        ("devices.core.cli", json!(["outer"])),
        ("upstreams.many", json!(["second"])),
        ("upstreams.pooled", json!(["second"])),
        ("probe://x", Value::Null),
    ] {
        assert_eq!(tags(ask(&host, to, "state", json!({})).await.unwrap()), expected, "{to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_may_refuse_answer_or_change_an_operation_and_a_panic_costs_that_one() {
    let (host, _folder) = start(AUDITED).await;
    let call = async |operation: &str| ask(&host, "connections.lab", operation, json!({})).await;
    let denied = call("tell").await.unwrap_err();
    assert_eq!(
        (denied.kind(), denied.message()),
        (ErrorKind::Denied, "inner does not let tell pass")
    );
    assert_eq!(call("read").await.unwrap(), "a");
    assert_eq!(call("status").await.unwrap()["tags"], json!(["second", "inner", "outer"]));
    assert_eq!(call("panic").await.unwrap_err().kind(), ErrorKind::Panicked);
    call("state").await.unwrap();
}

/// Of a program, between those of plugins.
struct Own;

impl Interceptor for Own {
    fn intercept<'a>(&'a self, call: Call<'a>, next: Next<'a>) -> Calling<'a> {
        Box::pin(async move {
            let mut result = next.run(call.params).await?;
            if let Some(tags) = result["tags"].as_array_mut() {
                tags.push("own".into());
            }
            Ok(result)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_a_program_stand_among_those_of_plugins_and_outlive_a_definition() {
    let (host, _folder) = start(AUDITED).await;
    let manager = host.manager();
    let managed = manager.connection("lab").await.unwrap();
    let _kept = managed.intercept(-5, Arc::new(Own)).unwrap();
    let state = async || ask(&host, "connections.lab", "state", json!({})).await.unwrap();
    let shared = managed.call("state", &json!({})).await.unwrap();
    let all = json!(["second", "inner", "own", "outer"]);
    assert_eq!((&shared["tags"], &state().await["tags"]), (&all, &all));
    let config = |names: Value| -> ConnectionConfig {
        serde_json::from_value(json!({ "uri": "probe://x", "interceptors": names })).unwrap()
    };
    manager.define_connection("lab", config(json!(["second"])), Existing::Replace).await.unwrap();
    assert_eq!(state().await["tags"], json!(["second", "own"]));
    let unknown =
        manager.define_connection("other", config(json!(["secnd"])), Existing::Refuse).await;
    let unknown = unknown.map(drop).unwrap_err().to_string();
    assert!(
        unknown.contains("there is no interceptor \"secnd\" (did you mean \"second\"?)"),
        "{unknown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_options_are_checked_before_anything_runs() {
    let folder = Folder::new();
    for (toml, expected) in [
        (
            "[interceptors.audit]\nuse = \"probe-audti\"\n",
            "interceptors.audit.use: there is no interceptor \"probe-audti\" (did you mean \"probe-audit\"?)",
        ),
        (
            "[interceptors.probe-audit]\noptions = { tga = \"x\" }\n",
            "interceptors.probe-audit.options.tga: ",
        ),
        (
            "[interceptors.probe-audit]\noptions = { tag = \"forbidden\" }\n",
            "interceptors.probe-audit.options: expected another word",
        ),
        (
            "[interceptors.probe-audit]\n[connections.a]\nuri = \"probe://x\"\n\
             interceptors = [\"probe-audi\"]\n",
            "connections.a.interceptors",
        ),
    ] {
        let config = Config::new(&folder.with(toml));
        let checked = ran(&["check", "--config", &config.file()], "").await;
        assert_eq!(checked.code, Some(2), "{}", checked.stderr);
        assert!(checked.stderr.contains(expected), "{expected}:\n{}", checked.stderr);
        assert!(checked.stderr.contains("jackfield.toml:"), "{}", checked.stderr);
    }
    TestHost::start(&folder.with("[interceptors.probe-audit]\n")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_passes_through_them() {
    let folder = Folder::new();
    let config = Config::new(&folder.with(AUDITED));
    let file = config.file();
    let called = ran(&["call", "connections.lab", "state", "--json", "-c", &file], "").await.ok();
    let result: Value = serde_json::from_str(&called.text()).unwrap();
    assert_eq!(result["tags"], json!(["second", "inner", "outer"]));
    let denied = ["call", "connections.lab", "tell", "name=x", "-c", &file];
    let denied = ran(&denied, "").await;
    assert_eq!(denied.code, Some(1), "{}", denied.stderr);
    assert!(denied.stderr.contains("inner does not let tell pass"), "{}", denied.stderr);
}

//! What plugins get of the host, through one that uses everything: `plugins/probe`.

mod interceptors;
mod secrets;
mod shown;
mod stopping;

use std::time::Duration;

use jackfield::{
    events::{EventKind, EventStream},
    metrics::Reading,
};
use jackfield_plugin_api::{HealthStatus, Result};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::support::{host::TestHost, jackfield::beside, process::DEADLINE};

/// A folder with the plugin, beside those that every host has.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = crate::support::process::tempdir();
        std::fs::copy(beside("libprobe.so"), folder.path().join("probe.so")).expect("a copy");
        Folder(folder)
    }

    /// `toml` with the folder in it.
    fn with(&self, toml: &str) -> String {
        format!("host.plugins = [{:?}]\n{toml}", self.0.path())
    }
}

/// A host that has the plugin.
async fn start(toml: &str) -> (TestHost, Folder) {
    let folder = Folder::new();
    let host = TestHost::start(&folder.with(toml)).await;
    (host, folder)
}

async fn ask(host: &TestHost, to: &str, operation: &str, params: Value) -> Result<Value> {
    host.manager().call(to, &Map::new(), operation, &params).await
}

const PROBE: &str = "probe://x";

/// The next event of that name, with the plugin's name and its data.
async fn told(events: &mut EventStream, wanted: &str) -> (String, Value) {
    let next = async {
        while let Some(event) = events.next().await {
            match event.kind {
                EventKind::Plugin { plugin, name, data } if name == wanted => {
                    return (plugin, data);
                }
                _ => {}
            }
        }
        panic!("no event {wanted}");
    };
    timeout(DEADLINE, next).await.expect("an event")
}

#[tokio::test(flavor = "multi_thread")]
async fn measurements_land_in_the_host_under_the_plugins_name_and_are_bounded() {
    let (host, _folder) = start("host.limits.plugin_metrics = 2\nhost.limits.metrics = 5\n").await;
    let measure = async |name: &str, labels: Value, value: f64| {
        let params = json!({ "kind": "counter", "name": name, "labels": labels, "value": value });
        ask(&host, PROBE, "measure", params).await.unwrap();
    };
    measure("asked_total", json!({ "code": 200 }), 1.0).await;
    measure("asked_total", json!({ "code": 200 }), 2.0).await;
    measure("other_total", Value::Null, 1.0).await;
    measure("third_total", Value::Null, 1.0).await;
    measure("not a name", Value::Null, 1.0).await;
    let snapshot = host.manager().metrics();
    assert_eq!(snapshot, host.manager().metrics());
    let own = |name: &str| snapshot.series.iter().find(|series| series.name == name);
    let asked = own("asked_total").expect("a series");
    assert_eq!((&*asked.plugin, &*asked.labels["code"]), ("jackfield-probe", "200"));
    assert_eq!(asked.reading, Reading::Counter { value: 3.0 });
    assert!(own("other_total").is_some() && own("third_total").is_none(), "{snapshot:?}");
    let dropped = snapshot.dropped["jackfield-probe"];
    assert_eq!((dropped.full, dropped.invalid), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_plugin_reach_subscribers_of_the_manager_in_order_until_it_stops() {
    let (host, _folder) = start("").await;
    let mut events = host.manager().events().subscribe(16);
    for number in 0..2 {
        let params = json!({ "name": "news", "data": { "n": number } });
        ask(&host, PROBE, "tell", params).await.unwrap();
    }
    for number in 0..2 {
        let (plugin, data) = told(&mut events, "news").await;
        assert_eq!((&*plugin, data), ("jackfield-probe", json!({ "n": number })));
    }
    host.shutdown().await;
    assert_eq!(told(&mut events, "drained").await.0, "jackfield-probe");
    let last = timeout(DEADLINE, events.next()).await.expect("an event").expect("an event");
    assert!(matches!(last.kind, EventKind::Closed { .. }), "{last:?}");
    assert!(timeout(DEADLINE, events.next()).await.expect("an end").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_of_a_plugins_own_has_the_services_too() {
    let (host, _folder) = start("").await;
    let said = timeout(DEADLINE, ask(&host, PROBE, "from_a_thread", json!({}))).await;
    let done = json!({ "streams": "done", "datagrams": "done", "names": "done", "timers": "done" });
    assert_eq!(said.expect("in time").unwrap(), done);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_of_a_plugin_is_asked_within_a_limit_and_shown() {
    let (host, _folder) = start("").await;
    let registry = &host.manager().registry();
    let health = async |limit: Duration| {
        let states = registry.ask_health(limit).await;
        let own = states.into_iter().find(|state| state.name == "jackfield-probe");
        own.and_then(|state| state.health).expect("an answer")
    };
    assert_eq!(health(DEADLINE).await.status, HealthStatus::Ok);
    let ail = |status: &str| json!({ "status": status, "detail": "the lid is open" });
    ask(&host, PROBE, "ail", ail("degraded")).await.unwrap();
    let ill = health(DEADLINE).await;
    assert_eq!(ill.status, HealthStatus::Degraded);
    let part = ill.parts.iter().find(|part| part.name == "probe").expect("the driver");
    assert_eq!((&*part.kind, &*part.health.detail), ("driver", "the lid is open"));
    let snapshot = serde_json::to_value(host.manager().snapshot()).unwrap();
    let shown = snapshot["plugins"].as_array().expect("plugins").iter();
    let shown = shown.clone().find(|one| one["name"] == "jackfield-probe").expect("it");
    assert_eq!(shown["health"]["status"], "degraded");

    ask(&host, PROBE, "ail", ail("hang")).await.unwrap();
    for _ in 0..2 {
        let hung = health(Duration::from_millis(50)).await;
        assert_eq!(hung.status, HealthStatus::Failed, "{hung:?}");
    }
    ask(&host, PROBE, "ail", ail("ok")).await.unwrap();
    while health(DEADLINE).await.status != HealthStatus::Ok {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_never_drained_does_not_hold_up_the_end() {
    let (host, _folder) = start("host.shutdown_timeout = \"100ms\"\n").await;
    let mut events = host.manager().events().subscribe(16);
    ask(&host, PROBE, "ail", json!({ "keeps_on": true })).await.unwrap();
    timeout(DEADLINE, host.shutdown()).await.expect("an end");
    told(&mut events, "drained").await;
}

/// `state` of a session of the pool.
async fn pooled(host: &TestHost) -> (u64, u64) {
    let state = ask(host, "upstreams.pool", "state", json!({})).await.unwrap();
    let number = |name: &str| state[name].as_u64().expect("a number");
    (number("session"), number("resets"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooled_session_is_reset_before_the_next_caller_has_it() {
    let (host, _folder) =
        start("[upstreams.pool]\ntargets = [\"probe://x\"]\npool = { max_size = 1 }\n").await;
    for resets in 0..3 {
        assert_eq!(pooled(&host).await, (1, resets));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooled_session_that_cannot_be_reset_is_closed_and_another_one_opened() {
    for how in ["fails", "hangs"] {
        let (host, _folder) = start(&format!(
            "[upstreams.pool]\npool = {{ max_size = 1, test_timeout = \"50ms\" }}\n\
             [[upstreams.pool.targets]]\nuri = \"probe://x\"\noptions = {{ reset = \"{how}\" }}\n"
        ))
        .await;
        for session in 1..4 {
            assert_eq!(pooled(&host).await, (session, 0), "{how}");
        }
        let snapshot = serde_json::to_value(host.manager().snapshot()).unwrap();
        let pool = &snapshot["upstreams"][0]["targets"][0]["pool"];
        assert_eq!(pool["opened"], 3, "{pool:#}");
    }
}

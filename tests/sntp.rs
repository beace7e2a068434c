//! The driver sntp and its server through a host, against chrony, ntpsec and servers that do not keep the rules.

mod hostile;
mod ntpsec;
mod server;

use jackfield_plugin_api::{Error, Session};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{host::TestHost, jackfield::ran, peers::time::Chrony, process::DEADLINE};

async fn time(session: &Session, params: Value) -> Result<Value, Error> {
    timeout(DEADLINE, session.call("time", &params)).await.expect("in time")
}

/// Nobody sets the clock of this machine while a test runs, and both ends are on it.
fn is_near(answer: &Value, expected: f64) -> bool {
    answer["offset"].as_f64().is_some_and(|offset| (offset - expected).abs() < 0.4)
}

#[tokio::test(flavor = "multi_thread")]
async fn chrony_tells_the_time_in_both_versions() {
    let server = Chrony::start().await;
    let host = TestHost::start("").await;
    for version in [3, 4] {
        let session = host.open(&server.uri(), json!({ "version": version })).await.unwrap();
        timeout(DEADLINE, session.ping()).await.expect("in time").unwrap();
        let answer = time(&session, json!({})).await.unwrap();
        assert_eq!(answer["version"], version, "{answer}");
        assert_eq!((&answer["stratum"], &answer["leap"]), (&json!(8), &json!("none")), "{answer}");
        assert_eq!(answer["reference_id"], "127.127.1.1", "{answer}");
        assert!(is_near(&answer, 0.0), "{answer}");
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!((answer["unix"].as_f64().unwrap() - now).abs() < 60.0, "{answer}");
        assert!(answer["time"].as_str().unwrap().ends_with('Z'), "{answer}");
        let event = timeout(DEADLINE, session.next_event()).await.expect("in time").unwrap();
        let event = event.expect("an event");
        assert_eq!(event.name, "time");
        for name in ["unix_ms", "time", "offset", "delay", "server"] {
            assert_eq!(event.data[name], answer[name], "{name}: {:?}", event.data);
        }
        assert!(event.data["unix_ms"].is_i64(), "{:?}", event.data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_samples_are_one_answer() {
    let server = Chrony::start().await;
    let host = TestHost::start("").await;
    let session = host.open(&server.uri(), json!({ "sample_interval": 0.0 })).await.unwrap();
    let answer = time(&session, json!({ "samples": 4 })).await.unwrap();
    assert_eq!(answer["samples"], 4);
    let error = time(&session, json!({ "samples": 17 })).await.unwrap_err();
    assert!(error.to_string().contains("1 to 16"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_asks_for_the_time() {
    let server = Chrony::start().await;
    let asked = ran(&["call", &server.uri(), "time", "--json"], "").await.ok();
    let answer: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert!(is_near(&answer, 0.0), "{answer}");
}

//! What is defined and removed over the admin API is kept over a restart, shown, and dropped.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{part, run_time::Kept};
use crate::support::{
    host::exchange,
    peers::{curl::curl, echo::TcpPeer},
    ports::free,
};

const JSON: &str = "content-type: application/json";

impl Kept {
    async fn send(&self, method: &str, path: &str, body: &Value) -> String {
        let socket = self.folder.path().join("admin.sock").display().to_string();
        let (url, body) = (format!("http://localhost/v1/{path}"), body.to_string());
        let arguments = ["--unix-socket", &socket, "-X", method, "-H", JSON, "-d", &body, &url];
        curl(None, &arguments).await.ok().text()
    }
}

#[tokio::test]
async fn definitions_of_all_kinds_outlive_a_restart_until_they_are_reset() {
    let (one, two) = (TcpPeer::sending("one").await, TcpPeer::sending("two").await);
    let [fixed, new, gone] = [free(), free(), free()].map(|port| format!("127.0.0.1:{port}"));
    let route = |listen: &str, to: &str| {
        format!("[[routes]]\nlisten = \"tcp://{listen}\"\nto = \"{to}\"\n")
    };
    let mut kept = Kept::start(&format!(
        "[upstreams.web]\ntargets = [\"{}\"]\n{}{}",
        one.uri(),
        route(&fixed, "upstreams.web"),
        route(&gone, "upstreams.web"),
    ))
    .await;
    kept.send("PUT", "handlers/second", &json!({ "handler": "echo" })).await;
    let device = json!({ "paths": { "a": { "uri": one.uri() }, "b": { "uri": two.uri() } } });
    kept.send("PUT", "devices/d", &device).await;
    kept.send("PUT", "upstreams/other", &json!({ "targets": [two.uri()] })).await;
    let listen = format!("tcp://{new}");
    kept.send("PUT", "routes", &json!({ "listen": listen, "to": "upstreams.other" })).await;
    // Over what the configuration says.
    kept.send("PUT", "upstreams/web?replace=true", &json!({ "targets": [two.uri()] })).await;
    kept.send("DELETE", &format!("routes/{}", part(&format!("tcp://{gone}"))), &json!(null)).await;
    let drift = kept.asked(&["config", "diff"]).await;
    let expected = format!(
        "devices.d was defined\nhandlers.second was defined\nroutes.tcp://{gone} was removed\n\
         routes.tcp://{new} was defined\nupstreams.other was defined\nupstreams.web was replaced\n"
    );
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&drift), sorted(&expected));
    let greeted = async |at: &str| {
        let bytes = exchange(at.parse().unwrap(), b"").await;
        bytes.map(|bytes| String::from_utf8(bytes).unwrap()).unwrap_or_default()
    };
    for signal in [Signal::KILL, Signal::TERM] {
        assert_eq!((greeted(&fixed).await, greeted(&new).await), ("two".into(), "two".into()));
        assert_eq!(greeted(&gone).await, "", "it was removed");
        kept.restart(signal).await;
        assert_eq!(kept.asked(&["config", "diff"]).await, drift, "after {signal:?}");
    }
    let shown = kept.asked(&["show", "devices", "--json"]).await;
    assert!(shown.contains("devices.d.b"), "{shown}");
    let export: Value = serde_json::from_str(&kept.asked(&["config", "export"]).await).unwrap();
    assert_eq!(export["objects"]["upstreams.other"]["definition"]["targets"][0], two.uri());
    kept.asked(&["config", "reset"]).await;
    assert_eq!(kept.asked(&["config", "diff"]).await, "nothing is different\n");
    assert_eq!((greeted(&fixed).await, greeted(&gone).await), ("one".into(), "one".into()));
    assert_eq!(greeted(&new).await, "");
    kept.restart(Signal::KILL).await;
    assert_eq!(kept.asked(&["config", "diff"]).await, "nothing is different\n");
    assert_eq!(greeted(&fixed).await, "one");
}

#[tokio::test]
async fn a_secret_that_is_written_out_is_not_kept_and_so_refused() {
    let kept = Kept::start("").await;
    let socket = kept.folder.path().join("admin.sock").display().to_string();
    let login = json!({ "username": "u", "password": "hunter2" });
    let body = json!({ "paths": { "a": { "uri": "telnet://127.0.0.1:1", "login": login } } });
    let body = body.to_string();
    let url = "http://localhost/v1/devices/d";
    let arguments = ["--unix-socket", &socket, "-X", "PUT", "-H", JSON, "-d", &body, url];
    let answer = curl(None, &arguments).await.text();
    assert!(answer.contains("is a secret written out"), "{answer}");
    assert!(!answer.contains("hunter2"), "{answer}");
    assert_eq!(kept.asked(&["config", "diff"]).await, "nothing is different\n");
}

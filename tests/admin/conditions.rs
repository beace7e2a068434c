//! Changes that hold only for what somebody has looked at.

use std::fs;

use serde_json::json;

use super::{AdminHost, Answer};
use crate::support::{
    jackfield::{jackfield, ran},
    peers::curl::curl,
    process::{Process, tempdir},
};

impl Answer {
    /// The tag of what was answered.
    fn tag(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        let tag = self.head.lines().find_map(|line| line.strip_prefix("etag: "));
        tag.unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

const WEB: &str = "/v1/upstreams/web";

fn to(port: u16) -> String {
    json!({ "targets": [format!("tcp://127.0.0.1:{port}")] }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_holds_only_for_what_was_looked_at() {
    let host = AdminHost::start("").await;
    let made = host.ask("PUT", WEB, &to(1)).await.tag();
    let seen = host.get(WEB).await.tag();
    assert_eq!(made, seen);
    assert_eq!(host.get("/v1/targets/web/tcp%3A%2F%2F127.0.0.1%3A1").await.tag(), seen);
    // Somebody else is faster.
    host.put("/v1/targets/web", json!({ "uri": "tcp://127.0.0.1:2" })).await.ok();
    let replace = format!("{WEB}?replace=true");
    let late = host.ask_if("PUT", &replace, &seen, &to(3)).await.refused(412);
    assert_eq!(late["type"], "urn:jackfield:problem:changed", "{late}");
    let now = host.get(WEB).await.tag();
    assert_ne!(now, seen);
    let changed = host.ask_if("PUT", &replace, &format!("\"x\", {now}"), &to(3)).await.tag();
    assert_eq!(host.get(WEB).await.tag(), changed);
    host.ask_if("DELETE", WEB, &now, "").await.refused(412);
    host.ask_if("PUT", "/v1/upstreams/other", "*", &to(1)).await.refused(412);
    host.ask_if("DELETE", WEB, &changed, "").await.ok();
    // One of that name later is another one.
    assert_ne!(host.ask("PUT", WEB, &to(1)).await.tag(), seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_change_what_they_have_all_seen_one_does() {
    let host = AdminHost::start("[upstreams.web]\ntargets = [\"tcp://127.0.0.1:1\"]\n").await;
    let seen = host.get(WEB).await.tag();
    let change = async |port: u16| {
        host.ask_if("PUT", &format!("{WEB}?replace=true"), &seen, &to(port)).await.status
    };
    let answers = futures_util::future::join_all((10..30).map(change)).await;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|status| [200, 412].contains(status)), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_changes_the_tag_of_its_device_and_a_tag_is_of_one_object() {
    let host = AdminHost::start("").await;
    let device = json!({ "paths": { "a": { "uri": "tcp://127.0.0.1:1" } } }).to_string();
    let seen = host.ask("PUT", "/v1/devices/d", &device).await.tag();
    host.ask("PUT", "/v1/upstreams/web", &to(1)).await.tag();
    assert_eq!(host.get("/v1/devices/d").await.tag(), seen, "another object has changed");
    let path = json!({ "uri": "tcp://127.0.0.1:2" }).to_string();
    host.ask("PUT", "/v1/devices/d/paths/b", &path).await.tag();
    assert_ne!(host.get("/v1/devices/d").await.tag(), seen);
    let all = host.get("/v1/config/runtime").await.tag();
    host.ask("PUT", "/v1/handlers/echo", "{}").await.tag();
    host.ask_if("DELETE", "/v1/config/runtime", &all, "").await.refused(412);
}

#[tokio::test]
async fn a_reload_holds_only_for_the_version_that_it_expects() {
    let folder = tempdir();
    let (file, admin) = (folder.path().join("jackfield.toml"), folder.path().join("admin.sock"));
    let admin = admin.display().to_string();
    let config = |idle: &str| {
        format!("[admin]\nlisten = [\"unix:{admin}\"]\n[host.timeouts]\nidle = \"{idle}\"\n")
    };
    fs::write(&file, config("1s")).unwrap();
    let name = file.display().to_string();
    let mut host = Process::spawn("jackfield", jackfield(&["run", "--config", &name]));
    host.logged("ready").await.unwrap();
    fs::write(&file, config("2s")).unwrap();
    let reload = async |version: &str| {
        ran(&["reload", "--if-version", version, "--admin", &admin], "").await
    };
    let refused = reload("7").await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("expected version 7"), "{}", refused.stderr);
    assert!(reload("1").await.ok().text().ends_with("version 2: in force\n"));
    let back = ["config", "rollback", "1", "--if-version", "1", "--admin", &admin];
    assert_eq!(ran(&back, "").await.code, Some(2));
    let url = "http://localhost/v1/config/reload";
    let fields = ["--unix-socket", &admin, "-i", "-X", "POST", "-H", "if-match: \"1\"", url];
    let answer = curl(None, &fields).await.text();
    assert!(answer.contains("412") && answer.contains("application/problem+json"), "{answer}");
}

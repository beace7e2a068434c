//! What is changed of a running host is kept over a restart and over changes of the files, shown, and dropped.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    jackfield::{jackfield, ran},
    peers::curl::curl,
    process::{Process, tempdir},
};

/// A host with a state directory, and a configuration of one upstream.
pub(super) struct Kept {
    pub(super) folder: tempfile::TempDir,
    host: Process,
}

const WEB: &str = "[upstreams.web]\ntargets = [\"tcp://127.0.0.1:1\", \"tcp://127.0.0.1:2\"]\n";

impl Kept {
    pub(super) async fn start(upstream: &str) -> Self {
        let folder = tempdir();
        write(&folder, upstream);
        let host = run(&folder).await;
        Kept { folder, host }
    }

    pub(super) async fn asked(&self, arguments: &[&str]) -> String {
        let admin = self.folder.path().join("admin.sock").display().to_string();
        ran(&[arguments, &["--admin", admin.as_str()]].concat(), "").await.ok().text()
    }

    /// The targets that there are, each with its weight.
    async fn targets(&self) -> Vec<(String, u64)> {
        let text = self.asked(&["show", "targets", "--json"]).await;
        let items: Vec<Value> = serde_json::from_str(&text).unwrap();
        let one = |item: &Value| {
            (item["name"].as_str().unwrap().to_owned(), item["weight"].as_u64().unwrap())
        };
        let mut all: Vec<_> = items.iter().map(one).collect();
        all.sort();
        all
    }

    pub(super) async fn restart(&mut self, signal: Signal) {
        self.host.signal(signal);
        self.host.ended().await;
        self.host = run(&self.folder).await;
    }
}

fn write(folder: &tempfile::TempDir, upstream: &str) {
    let place = folder.path().display();
    let host = format!(
        "[host]\nstate_dir = \"state\"\n[admin]\nlisten = [\"unix:{place}/admin.sock\"]\n{upstream}"
    );
    fs::write(folder.path().join("jackfield.toml"), host).unwrap();
}

async fn run(folder: &tempfile::TempDir) -> Process {
    let file = folder.path().join("jackfield.toml").display().to_string();
    let mut host = Process::spawn("jackfield", jackfield(&["run", "--config", &file]));
    host.logged("ready").await.unwrap_or_else(|log| panic!("{log}"));
    host
}

fn named(targets: &[(u16, u64)]) -> Vec<(String, u64)> {
    let name = |(port, weight): &(u16, u64)| (format!("tcp://127.0.0.1:{port}"), *weight);
    targets.iter().map(name).collect()
}

#[tokio::test]
async fn what_is_changed_of_targets_outlives_a_restart_and_a_change_of_the_file_until_it_is_reset()
{
    let mut kept = Kept::start(WEB).await;
    assert_eq!(kept.asked(&["config", "diff"]).await, "nothing is different\n");
    kept.asked(&["target", "add", "web", "tcp://127.0.0.1:3"]).await;
    kept.asked(&["target", "remove", "web", "tcp://127.0.0.1:2"]).await;
    kept.asked(&["weight", "web", "tcp://127.0.0.1:1", "7"]).await;
    let changed = named(&[(1, 7), (3, 1)]);
    assert_eq!(kept.targets().await, changed);
    let drift = kept.asked(&["config", "diff"]).await;
    assert_eq!(
        drift,
        "upstreams.web: target tcp://127.0.0.1:3 was added\n\
         upstreams.web: target tcp://127.0.0.1:2 was removed\n\
         upstreams.web: target tcp://127.0.0.1:1 has weight 7, not 1\n"
    );
    for signal in [Signal::KILL, Signal::TERM] {
        kept.restart(signal).await;
        assert_eq!(kept.targets().await, changed, "after {signal:?}");
    }
    // The upstream is made anew.
    write(&kept.folder, &format!("{WEB}connect_timeout = \"3s\"\n"));
    let told = kept.asked(&["reload"]).await;
    assert!(told.contains("changed upstreams.web: connect_timeout"), "{told}");
    assert_eq!(kept.targets().await, changed);
    // Its targets are changed, and the others stay as they were changed.
    write(
        &kept.folder,
        &format!(
            "{}connect_timeout = \"3s\"\n",
            WEB.replace(":2\"", ":2\", \"tcp://127.0.0.1:4\"")
        ),
    );
    kept.asked(&["reload"]).await;
    assert_eq!(kept.targets().await, named(&[(1, 7), (3, 1), (4, 1)]));
    let export = kept.asked(&["config", "export", "--layer", "runtime"]).await;
    assert_eq!(export, kept.asked(&["config", "export"]).await);
    let export: Value = serde_json::from_str(&export).unwrap();
    let expected = json!({ "upstreams": { "web": {
        "added": { "tcp://127.0.0.1:3": { "uri": "tcp://127.0.0.1:3" } },
        "removed": ["tcp://127.0.0.1:2"],
        "weights": { "tcp://127.0.0.1:1": 7 },
    } } });
    assert_eq!(export, expected);
    assert_eq!(kept.asked(&["config", "reset"]).await, drift);
    let defined = named(&[(1, 1), (2, 1), (4, 1)]);
    assert_eq!(kept.targets().await, defined);
    assert_eq!(kept.asked(&["config", "diff"]).await, "nothing is different\n");
    kept.restart(Signal::KILL).await;
    assert_eq!(kept.targets().await, defined);
}

#[tokio::test]
async fn what_is_defined_is_told_and_reset_and_what_cannot_be_kept_is_refused() {
    let kept = Kept::start(WEB).await;
    let socket = kept.folder.path().join("admin.sock").display().to_string();
    let put = async |path: &str, body: &str| {
        let url = format!("http://localhost/v1/{path}");
        let json = "content-type: application/json";
        let arguments = ["--unix-socket", &socket, "-X", "PUT", "-H", json, "-d", body, &url];
        curl(None, &arguments).await.ok()
    };
    put("upstreams/other", "{\"targets\":[\"tcp://127.0.0.1:9\"]}").await;
    put("connections/far", "{\"uri\":\"tcp://127.0.0.1:9\"}").await;
    let drift = kept.asked(&["config", "diff"]).await;
    assert_eq!(drift, "connections.far was defined\nupstreams.other was defined\n");
    let refused =
        ran(&["target", "add", "web", "ssh://me:secret@127.0.0.1:1", "--admin", &socket], "").await;
    assert!(refused.stderr.contains("is a secret written out"), "{}", refused.stderr);
    kept.asked(&["config", "reset"]).await;
    assert_eq!(kept.asked(&["config", "diff"]).await, "nothing is different\n");
}

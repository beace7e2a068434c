//! What watches the host: rules of Prometheus and a dashboard of Grafana.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;
use tokio::time::Instant;

use crate::support::{
    host::exchange,
    jackfield::Jackfield,
    need::need,
    peers::{curl::curl, echo::TcpPeer},
    process::{DEADLINE, Process, command, tempdir},
};

#[test]
fn prometheus_takes_the_alert_rules() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/prometheus/alerts.yaml");
    let promtool = need("promtool", "prometheus");
    let ran = Command::new(promtool).args(["check", "rules"]).arg(rules).output().unwrap();
    let text = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    assert!(ran.status.success() && text.contains("SUCCESS"), "{text}");
}

#[test]
fn the_dashboard_has_panels_that_do_not_lie_on_each_other() {
    let text = super::repository("config/grafana/jackfield.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut taken = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(numbers.insert(panel["id"].as_u64()), "{panel}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        let (x, y, width, height) = (at("x"), at("y"), at("w"), at("h"));
        assert!(x + width <= 24, "{panel}");
        for place in (y..y + height).flat_map(|y| (x..x + width).map(move |x| (x, y))) {
            assert!(taken.insert(place), "{panel}");
        }
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            assert!(expression.contains("instance=~\"$instance\""), "{expression}");
            let count = |c| expression.matches(c).count();
            assert_eq!((count('('), count('{')), (count(')'), count('}')), "{expression}");
        }
    }
}

/// A Prometheus that scrapes a host by a token, with the alert rules.
struct Watcher {
    _prometheus: Process,
    port: u16,
}

impl Watcher {
    async fn start(host: &str) -> Self {
        let folder = tempdir();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/prometheus/alerts.yaml");
        let file = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 400ms, scrape_timeout: 400ms, evaluation_interval: 400ms }}\n\
             rule_files: [{rules:?}]\nscrape_configs:\n  - job_name: jackfield\n    authorization: {{ credentials: look }}\n\
             \x20   static_configs: [{{ targets: [{host:?}] }}]\n"
        );
        fs::write(&file, text).unwrap();
        let mut prometheus = command(need("prometheus", "prometheus"));
        prometheus.arg(format!("--config.file={}", file.display()));
        prometheus.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        prometheus.arg("--web.listen-address=127.0.0.1:0");
        let mut prometheus = Process::spawn_in("prometheus", folder, prometheus);
        let port = prometheus.logged_port("\"Listening on\" address=127.0.0.1:").await;
        prometheus
            .logged("ready to receive web requests")
            .await
            .unwrap_or_else(|log| panic!("{log}"));
        Self { _prometheus: prometheus, port }
    }

    async fn get(&self, path: &str, more: &[&str]) -> Value {
        let uri = format!("http://127.0.0.1:{}/api/v1/{path}", self.port);
        let text = curl(None, &[more, &[&*uri]].concat()).await.ok().text();
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
        assert_eq!(answer["status"], "success", "{path} {more:?}: {text}");
        answer["data"].clone()
    }

    /// How many series an expression has now.
    async fn series(&self, expression: &str) -> usize {
        let query = format!("query={expression}");
        let data = self.get("query", &["--data-urlencode", &query]).await;
        data["result"].as_array().unwrap().len()
    }

    /// What the alerts ask for, as Prometheus has read it: each comparison as one that tells its answer.
    async fn alerts(&self) -> Vec<String> {
        let data = self.get("rules", &[]).await;
        let rules = data["groups"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|group| group["rules"].as_array().unwrap());
        let asked = rules.map(|rule| {
            assert_ne!(rule["health"], "err", "{rule}");
            rule["query"].as_str().unwrap().to_owned()
        });
        let telling = |query: String| query.replace(" > ", " > bool ").replace(" == ", " == bool ");
        asked.filter(|query| !query.starts_with("absent(")).map(telling).collect()
    }
}

/// What the panels ask for, as Grafana sends it for all hosts.
fn panels() -> Vec<String> {
    let text = super::repository("config/grafana/jackfield.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let asked = targets.map(|target| target["expr"].as_str().unwrap());
    asked.map(|it| it.replace("$instance", ".+").replace("$__rate_interval", "4s")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_panel_and_each_alert_finds_series_of_a_host_with_traffic() {
    let (folder, peer) = (tempdir(), TcpPeer::echo().await);
    let tokens = folder.path().join("tokens");
    // The hash is that of "look".
    let hash = "3c01eba119e00d79c82b6f65d70bc5f1044d568618bf41377e6d1432023fc2b8";
    fs::write(&tokens, format!("viewer prometheus {hash}\n")).unwrap();
    let mut host = Jackfield::run(&format!(
        "[admin]\nlisten = [\"tcp://127.0.0.1:0\"]\ntokens = {tokens:?}\n\
         [upstreams.web]\ntargets = [\"{0}\"]\npool = {{ max_size = 2 }}\n\
         [devices.core1.paths.console]\nuri = \"{0}\"\nexclusive = true\n\
         [[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"upstreams.web\"\n",
        peer.uri()
    ))
    .await;
    let admin = host.logged("admin API socket=").await;
    let admin = admin.trim_start_matches(['"', 't', 'c', 'p', ':', '/']);
    let admin = admin.split(['"', '\n', ' ']).next().unwrap().to_owned();
    let watcher = Watcher::start(&admin).await;
    let mut asked = panels();
    asked.extend(watcher.alerts().await);
    let end = Instant::now() + DEADLINE;
    while !asked.is_empty() {
        assert!(Instant::now() < end, "these find nothing: {asked:#?}");
        assert_eq!(exchange(host.address(0), b"hello").await.unwrap(), b"hello");
        let mut left = Vec::new();
        for expression in asked {
            if watcher.series(&expression).await == 0 {
                left.push(expression);
            }
        }
        asked = left;
    }
}

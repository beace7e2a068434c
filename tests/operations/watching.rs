//! What watches the host: rules of Prometheus and a dashboard of Grafana.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;

use crate::support::need::need;

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

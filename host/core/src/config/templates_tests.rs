use std::time::Duration;

use crate::config::model::ConnectionConfig;
use crate::config::{Config, ConfigErrors, Overrides, load};

/// What `toml` loads as, with `overrides`.
fn loaded(toml: &str, overrides: &[&str]) -> Result<Config, ConfigErrors> {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("t.toml");
    std::fs::write(&file, toml).unwrap();
    let mut over = Overrides::new();
    overrides.iter().for_each(|assignment| over.assign("--set", assignment));
    load(&[file], &over).map(|loaded| loaded.config)
}

/// The mistakes in `toml`, without the name of its folder.
fn mistakes(toml: &str) -> String {
    let errors = loaded(toml, &[]).expect_err("a mistake").to_string();
    let line = |line: &str| line.split_once("t.toml:").map_or(line, |(_, rest)| rest).to_owned();
    errors.lines().map(line).collect::<Vec<_>>().join("\n")
}

const LAB: &str = r#"
[templates.all]
call_timeout = "5s"
labels = { site = "lab", kind = "any" }
[templates.switch]
extends = "all"
uri = "ssh://10.0.0.1"
options = { known_hosts = "hosts", tcp = { nodelay = true } }
labels = { kind = "switch" }
keepalive = "7s"
"#;

#[test]
fn what_extends_a_template_has_its_keys_and_those_of_what_it_extends() {
    let config = loaded(
        &format!(
            r#"{LAB}
            [connections.a]
            extends = "switch"
            uri = "ssh://10.0.0.2"
            options = {{ tcp = {{ bind = "10.0.0.9" }} }}
            [upstreams.u]
            extends = "spread"
            targets = ["tcp://h:1"]
            [templates.spread]
            balance = "random"
            call_timeout = "9s"
            "#
        ),
        &[],
    )
    .unwrap();
    let a = &config.connections["a"];
    assert_eq!(a.uri.to_string(), "ssh://10.0.0.2");
    assert_eq!(a.policy.call_timeout, Duration::from_secs(5), "of the template's template");
    assert_eq!(a.policy.keepalive, Duration::from_secs(7));
    let options = serde_json::to_value(&a.options).unwrap();
    let tcp = serde_json::json!({ "nodelay": true, "bind": "10.0.0.9" });
    assert_eq!(options, serde_json::json!({ "known_hosts": "hosts", "tcp": tcp }));
    assert_eq!((&*a.labels["site"], &*a.labels["kind"]), ("lab", "switch"), "the nearer one wins");
    assert_eq!(config.upstreams["u"].options.call_timeout, Duration::from_secs(9));
    assert!(config.templates.is_empty(), "they are in place");
}

#[test]
fn devices_and_their_paths_extend_templates_too() {
    let config = loaded(
        &format!(
            r#"{LAB}
            [templates.line]
            call_timeout = "5s"
            [templates.router]
            keepalive = "3s"
            paths.cli = {{ uri = "ssh://h" }}
            paths.console = {{ extends = "line", uri = "telnet://h:1", keepalive = "1s" }}
            [devices.r1]
            extends = "router"
            paths.console.uri = "telnet://h:2"
            "#
        ),
        &[],
    )
    .unwrap();
    let paths = &config.devices["r1"].paths;
    assert_eq!(paths["console"].uri.to_string(), "telnet://h:2");
    assert_eq!(paths["console"].policy.keepalive, Duration::from_secs(1));
    assert_eq!(paths["console"].policy.call_timeout, Duration::from_secs(5));
    assert_eq!(paths["cli"].policy.keepalive, Duration::from_secs(3), "said once for all paths");
}

#[test]
fn what_is_set_outside_of_files_reaches_a_template_and_wins_over_it() {
    let file = format!("{LAB}[connections.a]\nextends = \"switch\"\n");
    let over = ["templates.switch.keepalive=9s", "connections.a.labels.kind=4"];
    let a = &loaded(&file, &over).unwrap().connections["a"];
    assert_eq!((a.policy.keepalive, &*a.labels["kind"]), (Duration::from_secs(9), "4"));
    let a = &loaded(&file, &["templates.all.labels.site=7"]).unwrap().connections["a"];
    assert_eq!(a.labels["site"], "7", "text where text is wanted");
}

#[test]
fn mistakes_are_told_where_they_were_written() {
    let wrong = "[templates.t]\nkeepalive = \"soon\"\nfancy = 1\n[connections.a]\nextends = \"t\"\nuri = \"tcp://h:1\"\n";
    let told = mistakes(wrong);
    assert!(told.contains("2:13: connections.a.keepalive: "), "{told}");
    assert!(told.contains("3:1: connections.a.fancy: unknown key"), "{told}");
    let missing = "[templates.switch]\n[connections.a]\nextends = \"swich\"\nuri = \"tcp://h:1\"\n";
    assert_eq!(
        mistakes(missing),
        "3:11: connections.a.extends: there is no template \"swich\" (did you mean \"switch\"?)"
    );
    let circle = "[templates.a]\nextends = \"b\"\n[templates.b]\nextends = \"a\"\n[connections.c]\nextends = \"a\"\nuri = \"tcp://h:1\"\n";
    assert_eq!(
        mistakes(circle),
        "4:11: templates.b.extends: the template \"a\" extends itself, by a, b"
    );
    assert!(mistakes("templates = 1\n").contains("templates: expected a table"));
    let number = "[connections.a]\nextends = 1\nuri = \"tcp://h:1\"\n";
    assert!(mistakes(number).contains("2:11: connections.a.extends: expected the name"));
}

#[test]
fn a_definition_at_run_time_extends_nothing() {
    let value = serde_json::json!({ "uri": "tcp://h:1", "extends": "t" });
    let error = crate::config::from_json::<ConnectionConfig>(value).unwrap_err().to_string();
    assert!(error.contains("extends: only files have templates to extend"), "{error}");
}

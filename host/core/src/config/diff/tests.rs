use super::*;
use crate::config::{Overrides, load};
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

struct Written {
    folder: TempDir,
}

impl Written {
    fn new() -> Self {
        Written { folder: TempDir::new().unwrap() }
    }

    fn loaded(&self, toml: &str) -> Loaded {
        let file = self.folder.path().join("jackfield.toml");
        fs::write(&file, toml).unwrap();
        load(&[file], &Overrides::new()).unwrap_or_else(|errors| panic!("{errors}"))
    }
}

fn between(old: &str, new: &str) -> Changes {
    let (written, none) = (Written::new(), Secrets::default());
    let (old, new) = (written.loaded(old), written.loaded(new));
    let waiting = WaitingObjects::new();
    let side = |loaded| ConfigSide { loaded, secrets: &none, waiting: &waiting };
    diff(side(&old), side(&new), &Depth)
}

/// The options of a driver that has one of each effect.
struct Depth;

impl OptionEffects for Depth {
    fn of_option(&self, _: &ObjectId, _: &Value, keys: &[String]) -> Effect {
        match keys[0].as_str() {
            "reset" => Effect::Live,
            "label" => Effect::Restart,
            _ => Effect::NewSessions,
        }
    }
}

const BASE: &str = r#"
[connections.lab]
uri = "tcp://127.0.0.1:7"
options = { depth = 1 }
[upstreams.app]
targets = ["tcp://127.0.0.1:8"]
retry = { attempts = 2 }
[[routes]]
listen = "tcp://127.0.0.1:9"
to = "upstreams.app"
"#;

#[test]
fn what_means_the_same_is_no_change_however_it_is_written() {
    let other = r#"
        host.timeouts.idle = "0s"
        routes = [{ to = "upstreams.app", listen = "tcp://127.0.0.1:9", allow = [] }]
        [connections]
        lab = { uri = "tcp://127.0.0.1:7", options = { depth = 1 }, call_timeout = "60s" }
        [upstreams.app]
        retry.attempts = 2
        targets = [{ uri = "tcp://127.0.0.1:8", weight = 1 }]
    "#;
    assert_eq!(between(BASE, other).to_string(), "");
}

#[test]
fn each_key_that_means_something_else_has_its_effect() {
    let changed = |from: &str, to: &str| {
        let new = BASE.replace(from, to);
        assert_ne!(new, BASE, "{from}");
        between(BASE, &new).to_string()
    };
    for (from, to, expected) in [
        ("depth = 1", "depth = 2", "changed connections.lab: options.depth (new_sessions)"),
        ("depth = 1", "depth = 1, reset = 1", "changed connections.lab: options.reset (live)"),
        ("depth = 1", "depth = 1, label = 1", "changed connections.lab: options.label (restart)"),
        ("127.0.0.1:7", "127.0.0.1:6", "changed connections.lab: uri (drain)"),
        ("127.0.0.1:8", "127.0.0.1:6", "changed upstreams.app: targets (live)"),
        (
            "attempts = 2",
            "attempts = 3, budget_percent = 30",
            "changed upstreams.app: retry.attempts 2 -> 3 (new_sessions)",
        ),
        (
            "to = \"upstreams.app\"",
            "to = \"connections.lab\"",
            "changed routes.tcp://127.0.0.1:9: to \"upstreams.app\" -> \"connections.lab\" (new_sessions)",
        ),
        ("127.0.0.1:9", "127.0.0.1:6", "removed routes.tcp://127.0.0.1:9"),
        (
            "[connections.lab]",
            "[reload]\nwatch = true\n[connections.lab]",
            "changed reload: watch default -> true (live)",
        ),
        (
            "[connections.lab]",
            "[host]\nworker_threads = 2\nmax_connections = 10000\n[connections.lab]",
            "changed host: worker_threads default -> 2 (restart): not taken over, it takes a restart of the host",
        ),
        (
            "[connections.lab]",
            "[host]\nworker_threads = 2\nmax_connections = 7\n[connections.lab]",
            "changed host: max_connections default -> 7 (live); worker_threads default -> 2 (restart): what says \
             restart is not taken over, it takes one of the host",
        ),
        (
            "[connections.lab]",
            "[log]\nlevel = \"warn\"\n[admin]\nmax_connections = 7\n[connections.lab]",
            "changed log: level default -> \"warn\" (live)\nchanged admin: max_connections default -> 7 (live)",
        ),
    ] {
        let text = changed(from, to);
        assert!(text.contains(expected), "{text}\nexpected {expected}");
    }
}

#[test]
fn nothing_of_options_logins_credentials_and_addresses_is_shown() {
    let old = "[connections.lab]\nuri = \"tcp://127.0.0.1:7\"\n";
    let new = "[credentials.c]\npassword = \"pw1\"\n[connections.lab]\nuri = \"tcp://u:pw2@127.0.0.1:7\"\n\
               options = { secret = \"pw3\" }\nlogin = { password = \"pw4\" }\n\
               via = \"tcp://u:pw5@127.0.0.1:8\"\n";
    for changes in [between(old, new), between(new, old)] {
        let shown = format!("{changes} {changes:?} {}", serde_json::to_string(&changes).unwrap());
        assert!(shown.contains("options.secret") && !shown.contains("pw"), "{shown}");
    }
}

#[test]
fn what_uses_something_else_is_changed_too_and_says_why() {
    let config = |user: &str, depth: u32| {
        format!(
            "[credentials.c]\nusername = \"{user}\"\n[connections.far]\nuri = \"tcp://h:1\"\n\
             options = {{ depth = {depth} }}\n[devices.d]\ncredentials = \"c\"\n\
             [devices.d.paths.p]\nuri = \"tcp://h:2\"\n[upstreams.u]\n\
             targets = [\"tcp://h:3\", \"connections.far\", {{ uri = \"tcp://h:4\", credentials = \"c\" }}]\n"
        )
    };
    let text = between(&config("a", 1), &config("b", 2)).to_string();
    let expected = "changed credentials.c: username (new_sessions)\n\
         changed connections.far: options.depth (new_sessions)\n\
         changed devices.d.p: credentials (new_sessions, credentials.c is another one)\n\
         changed upstreams.u: targets.1 (live, connections.far is another one); targets.2 (live, credentials.c is another one)";
    assert_eq!(text, expected);
}

#[test]
fn what_follows_a_default_of_the_host_is_changed_with_it_and_what_sets_its_own_is_not() {
    let config = |host: &str| {
        format!(
            "[host.timeouts]\n{host}\n[connections.a]\nuri = \"tcp://h:1\"\n[connections.b]\n\
             uri = \"tcp://h:1\"\nconnect_timeout = \"5s\"\n\
             [[routes]]\nlisten = \"tcp://h:2\"\nto = \"connections.a\"\nidle_timeout = \"1h\"\n\
             [[routes]]\nlisten = \"tcp://h:3\"\nto = \"connections.a\"\n"
        )
    };
    let text = between(&config(""), &config("connect = \"1s\"\nidle = \"1m\"")).to_string();
    let expected = "changed host: timeouts.connect default -> \"1s\" (new_sessions); timeouts.idle default -> \"1m\" \
         (new_sessions)\n\
         changed connections.a: connect_timeout (new_sessions, host.timeouts.connect is another one)\n\
         changed routes.tcp://h:3: idle_timeout (new_sessions, host.timeouts.idle is another one)";
    assert_eq!(text, expected);
}

#[test]
fn a_path_changes_with_what_its_device_says_for_all() {
    let config = |uri: &str, aliases: &str| {
        format!(
            "[devices.d]\nuri = \"{uri}\"\naliases = {aliases}\n[devices.d.paths]\np = {{}}\n\
             q = {{ uri = \"tcp://h:2\" }}\n"
        )
    };
    let text = between(&config("tcp://h:1", "[]"), &config("tcp://h:3", "[\"e\"]")).to_string();
    let expected = "changed devices.d: aliases (live)\nchanged devices.d.p: uri (drain)";
    assert_eq!(text, expected);
}

#[tokio::test]
async fn a_secret_that_is_another_one_is_a_change_shown_by_its_hash() {
    let written = Written::new();
    let file = written.folder.path().join("secret");
    let toml = "[connections.lab]\nuri = \"tcp://127.0.0.1:7\"\noptions = { password = { file = \"secret\" } }\n";
    let read = async |text: &str| {
        fs::write(&file, text).unwrap();
        let loaded = written.loaded(toml);
        let secrets = Secrets::read(&loaded).await;
        (loaded, secrets)
    };
    let (first, second, third) = (read("hunter2").await, read("hunter2\n").await, read("x").await);
    let side = |(loaded, secrets): &'_ (Loaded, Secrets)| (loaded.clone(), secrets.clone());
    let changes = |old: &(Loaded, Secrets), new: &(Loaded, Secrets)| {
        let ((old, was), (new, is)) = (side(old), side(new));
        let waiting = &WaitingObjects::new();
        let old = ConfigSide { loaded: &old, secrets: &was, waiting };
        diff(old, ConfigSide { loaded: &new, secrets: &is, waiting }, &())
    };
    assert!(changes(&first, &second).is_empty(), "the newline at the end counts for nothing");
    let changed = changes(&first, &third);
    let key = &changed.iter().next().unwrap().keys[0];
    assert_eq!((key.key.as_str(), key.effect), ("options.password", Effect::NewSessions));
    let (from, to) = (key.from.as_deref().unwrap(), key.to.as_deref().unwrap());
    assert!(from.len() == 8 && to.len() == 8 && from != to, "{key:?}");
    assert!(!format!("{changed:?}{:?}", first.1).contains("hunter2"));
}

#[test]
fn everything_of_a_configuration_is_new_to_an_empty_one() {
    let loaded = Written::new().loaded(BASE);
    let changes = Changes::everything(&loaded, &WaitingObjects::new());
    let names: Vec<String> = changes.iter().map(|change| change.object.to_string()).collect();
    assert_eq!(names, ["connections.lab", "upstreams.app", "routes.tcp://127.0.0.1:9"]);
    assert!(changes.iter().all(|change| change.kind == ChangeKind::Added));
}

#[test]
fn objects_are_held_against_their_own_wherever_they_stand_among_the_others() {
    let route = |port: u32, to: &str| {
        format!("[[routes]]\nlisten = \"tcp://127.0.0.1:{port}\"\nto = \"tcp://h:{to}\"\n")
    };
    let all = |routes: &[(u32, &str)]| -> String {
        routes.iter().map(|(port, to)| route(*port, to)).collect()
    };
    let old = [(1, "1"), (2, "2"), (3, "3"), (4, "4"), (5, "5")];
    let moved = |port: u32| format!("changed routes.tcp://127.0.0.1:{port}: to (new_sessions)");
    let added = |port: u32| format!("added routes.tcp://127.0.0.1:{port}");
    let removed = |port: u32| format!("removed routes.tcp://127.0.0.1:{port} (drain)");
    type Routes<'a> = &'a [(u32, &'a str)];
    let cases: [(Routes<'_>, Vec<String>); 9] = [
        (&old, vec![]),
        (&[(5, "5"), (4, "4"), (3, "3"), (2, "2"), (1, "1")], vec![]),
        (&[(1, "1"), (3, "3"), (2, "9"), (4, "4"), (5, "5")], vec![moved(2)]),
        (&[(1, "1"), (2, "2"), (6, "6"), (3, "3"), (4, "4"), (5, "5")], vec![added(6)]),
        (&[(1, "1"), (2, "2"), (4, "4"), (5, "9")], vec![removed(3), moved(5)]),
        (&[(2, "2"), (3, "3"), (4, "4"), (5, "5"), (6, "6")], vec![removed(1), added(6)]),
        (&[(6, "6"), (1, "1"), (2, "2"), (3, "3")], vec![removed(4), removed(5), added(6)]),
        (&[(5, "1")], vec![removed(1), removed(2), removed(3), removed(4), moved(5)]),
        (&[], (1..=5).map(removed).collect()),
    ];
    for (new, expected) in cases {
        assert_eq!(between(&all(&old), &all(new)).to_string(), expected.join("\n"), "{new:?}");
        // Backwards what came goes, and what went comes.
        let back = between(&all(new), &all(&old)).to_string();
        let count =
            |text: &str, word: &str| text.lines().filter(|line| line.starts_with(word)).count();
        let forth = expected.join("\n");
        assert_eq!(count(&back, "added"), count(&forth, "removed"), "{new:?}");
        assert_eq!(count(&back, "removed"), count(&forth, "added"), "{new:?}");
        assert_eq!(count(&back, "changed"), count(&forth, "changed"), "{new:?}");
    }
}

#[test]
fn of_routes_that_listen_on_one_address_each_is_held_against_its_own() {
    let route =
        |to: &str| format!("[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"tcp://h:{to}\"\n");
    let text =
        between(&[route("1"), route("2")].concat(), &[route("1"), route("3"), route("4")].concat());
    let expected =
        "changed routes.tcp://127.0.0.1:0 #2: to (new_sessions)\nadded routes.tcp://127.0.0.1:0 #3";
    assert_eq!(text.to_string(), expected);
}

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::model::LogLevel;
use super::{ConfigErrors, KeyPath, Loaded, Origin, Overrides, load};

pub(super) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The TOML files in `tests/fixtures/<folder>`.
fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = repository().join("tests/fixtures").join(folder);
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no fixture in {}", folder.display());
    files
}

/// The lines of `errors`, without the folder of the files.
fn lines(errors: &ConfigErrors, folder: &Path) -> Vec<String> {
    let folder = format!("{}/", folder.display());
    errors.errors().iter().map(|error| error.to_string().replace(&folder, "")).collect()
}

/// Files of a test, gone with it.
struct Files {
    folder: TempDir,
    paths: Vec<PathBuf>,
}

fn files(texts: &[(&str, &str)]) -> Files {
    let folder = TempDir::new().unwrap();
    let write = |(name, text): &(&str, &str)| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let paths = texts.iter().map(write).collect();
    Files { folder, paths }
}

impl Files {
    fn load(&self, overrides: &Overrides) -> Result<Loaded, Vec<String>> {
        load(&self.paths, overrides).map_err(|errors| lines(&errors, self.folder.path()))
    }

    fn loaded(&self, overrides: &Overrides) -> Loaded {
        self.load(overrides).unwrap_or_else(|errors| panic!("{}", errors.join("\n")))
    }

    fn errors(&self) -> Vec<String> {
        self.load(&Overrides::new()).err().unwrap_or_default()
    }
}

fn environment(variables: &[(&str, &str)]) -> Overrides {
    let mut overrides = Overrides::new();
    let os = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
    overrides.environment(variables.iter().map(os));
    overrides
}

fn flags(assignments: &[&str]) -> Overrides {
    let mut overrides = Overrides::new();
    assignments.iter().for_each(|assignment| overrides.assign("--set", assignment));
    overrides
}

#[test]
fn valid_fixtures_load() {
    for file in fixtures("valid") {
        if let Err(errors) = load(std::slice::from_ref(&file), &Overrides::new()) {
            panic!("{}:\n{errors}", file.display());
        }
    }
}

/// Each begins with one `# expect: LINE` for every error, in order.
#[test]
fn invalid_fixtures_give_exactly_the_errors_they_expect() {
    let mut failures = String::new();
    for file in fixtures("invalid") {
        let text = fs::read_to_string(&file).unwrap();
        let expected: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix("# expect: ")).collect();
        let found = match load(std::slice::from_ref(&file), &Overrides::new()) {
            Ok(_) => Vec::new(),
            Err(errors) => lines(&errors, file.parent().unwrap()),
        };
        if expected.is_empty() || found != expected {
            let found: String = found.iter().map(|line| format!("# expect: {line}\n")).collect();
            failures += &format!("{} gave:\n{found}\n", file.display());
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn later_layers_win_and_tables_are_merged() {
    let files = files(&[
        ("a.toml", "host = { worker_threads = 1, plugins = ['a', 'b'] }\nlog.level = 'warn'\n"),
        ("b.yaml", "host:\n  worker_threads: 2\n  plugins: [c]\n"),
        ("c.json", "{\n\t\"host\": {\"max_connections\": 7}}"),
    ]);
    let mut overrides = environment(&[
        ("JACKFIELD__HOST__MAX_CONNECTIONS", "8"),
        ("JACKFIELD__LOG__LEVEL", "debug"),
        ("JACKFIELD_LOG", "passed over"),
    ]);
    overrides.assign("--set", "log.level=error");
    let Loaded { config, sources, .. } = files.loaded(&overrides);
    assert_eq!(config.host.worker_threads, 2);
    assert_eq!(config.host.plugins, ["c"]);
    assert_eq!(config.host.max_connections, 8);
    assert_eq!(config.log.level, LogLevel::Error);

    let at = |key: &str| sources.locate(&key.split('.').collect()).to_string();
    let name = |file: &str| files.folder.path().join(file).display().to_string();
    assert_eq!(at("host.worker_threads"), format!("{}:2:19", name("b.yaml")));
    assert_eq!(at("host.plugins.0"), format!("{}:3:13", name("b.yaml")));
    assert_eq!(at("host.max_connections"), "environment variable JACKFIELD__HOST__MAX_CONNECTIONS");
    assert_eq!(at("log.level"), "flag --set log.level");
    assert_eq!(at("log.format"), format!("{}:2:1", name("a.toml")), "nothing set: its table");
    assert_eq!(at("routes"), "configuration", "nothing set at all");
}

#[test]
fn what_a_device_says_for_all_holds_where_a_path_says_nothing() {
    let files = files(&[(
        "a.toml",
        "[devices.d]\nuri = 'tcp://h:1'\nkeepalive = '1s'\nreconnect.attempts = 3\n\
         options = { x = 1, y = 1 }\nlogin.timeout = '5s'\n\
         [devices.d.paths]\na = {}\n\
         b = { uri = 'tcp://h:2', keepalive = '30s', options.y = 2, login.wake = 'x' }\n",
    )]);
    let loaded = files.loaded(&Overrides::new());
    let paths = &loaded.config.devices["d"].paths;
    let said = |name: &str| {
        let path = &paths[name];
        let login = path.login.as_ref().map(|login| login.keys().cloned().collect::<Vec<_>>());
        let options = serde_json::to_string(&path.options).unwrap();
        let (keepalive, attempts) =
            (path.policy.keepalive.as_secs(), path.policy.reconnect.attempts);
        (path.uri.to_string(), keepalive, attempts, options, login)
    };
    let login = |keys: &[&str]| Some(keys.iter().map(|key| (*key).to_owned()).collect());
    let first =
        ("tcp://h:1".to_owned(), 1, Some(3), r#"{"x":1,"y":1}"#.to_owned(), login(&["timeout"]));
    assert_eq!(said("a"), first);
    let second = r#"{"x":1,"y":2}"#.to_owned();
    // A value that is that of the default is said all the same.
    assert_eq!(
        said("b"),
        ("tcp://h:2".to_owned(), 30, Some(3), second, login(&["timeout", "wake"]))
    );
    let line = |key: &str| loaded.sources.locate(&key.split('.').collect()).line;
    assert_eq!((line("devices.d.paths.b.options.x"), line("devices.d.paths.b.options.y")), (5, 9));
}

#[test]
fn options_are_located_by_json_pointer() {
    let text = "[connections.a]\nuri = 'ssh://h'\n\n[connections.a.options]\n\
                'odd/key' = [1, { deep = 'x' }]\n";
    let files = files(&[("a.toml", text)]);
    let sources = files.loaded(&Overrides::new()).sources;
    let options = KeyPath::from_iter(["connections", "a", "options"]);
    let at = |pointer: &str| sources.locate(&options.pointer(pointer));
    assert_eq!((at("/odd~1key/1/deep").line, at("/odd~1key/1/deep").column), (5, 26));
    assert_eq!((at("/odd~1key/0").line, at("/odd~1key/0").column), (5, 14));
    assert_eq!((at("/absent").line, at("/absent").column), (4, 1));
    assert_eq!((at("").line, at("").column), (4, 1));
}

#[test]
fn errors_outside_of_files_name_the_variable_or_the_flag() {
    let none = files(&[]);
    for (overrides, expected) in [
        (
            environment(&[("JACKFIELD__HOST__PLUGIN", "x")]),
            "environment variable JACKFIELD__HOST__PLUGIN: host.plugin: unknown key (did you mean \"plugins\"?)",
        ),
        (
            environment(&[("JACKFIELD__HOST", "3")]),
            "environment variable JACKFIELD__HOST: host: expected a table, found text",
        ),
        (
            flags(&["host.worker_threads=many"]),
            "flag --set host.worker_threads: host.worker_threads: expected a whole number from 0 to 65535, found text",
        ),
        (flags(&["host"]), "flag --set: expected KEY=VALUE"),
        (flags(&["a[9]=1"]), "flag --set a[9]: expected a dotted key before ="),
        (flags(&["'a[99999999999]'=1"]), "flag --set 'a[99999999999]': unknown key"),
        (
            environment(&[("JACKFIELD__A[99999999999]", "1")]),
            "environment variable JACKFIELD__A[99999999999]: unknown key",
        ),
        (
            flags(&["connections.a.uri=ssh://lab:hunter2@h:x"]),
            "flag --set connections.a.uri: connections.a.uri: byte 20 of the URI: expected a port from 0 to 65535",
        ),
    ] {
        let errors = none.load(&overrides).expect_err(expected);
        assert_eq!(errors, [expected]);
    }
}

#[test]
fn values_outside_of_files_are_toml_or_text() {
    let none = files(&[]);
    let mut overrides = environment(&[
        ("JACKFIELD__HOST__PLUGINS", "['a', 'b']"),
        ("JACKFIELD__HOST__CACHE", "1234"),
        ("JACKFIELD__HOST__SHUTDOWN_TIMEOUT", "5s"),
        ("JACKFIELD__CONNECTIONS__A__URI", "tcp://h:1"),
        ("JACKFIELD__CONNECTIONS__A__OPTIONS", "{ password = { env = 'X' }, day = 1979-05-27 }"),
        ("JACKFIELD__CONNECTIONS__A__LABELS__RACK", "true"),
    ]);
    overrides.assign("--set", "upstreams.\"a.b\".targets=['tcp://h:1']");
    overrides.assign("--set", "upstreams.\"a.b\".targets.1.uri=tcp://h:2");
    overrides.set("--plugins", ["host", "plugins"].into_iter().collect(), json!(["c"]));
    let Loaded { config, sources, .. } = none.loaded(&overrides);
    assert_eq!(config.host.plugins, ["c"]);
    assert_eq!(config.host.cache, "1234");
    assert_eq!(config.host.shutdown_timeout.to_string(), "5s");
    let connection = &config.connections["a"];
    assert_eq!(connection.options["password"], json!({ "env": "X" }));
    assert_eq!(connection.options["day"], json!("1979-05-27"));
    assert_eq!(connection.labels["rack"], "true");
    let targets: Vec<_> =
        config.upstreams["a.b"].targets.iter().map(|target| target.uri.to_string()).collect();
    assert_eq!(targets, ["tcp://h:1", "tcp://h:2"]);
    let plugins = sources.locate(&["host", "plugins"].into_iter().collect());
    assert_eq!(plugins.origin, Origin::Flag("--plugins".to_owned()));
}

#[test]
fn yaml_and_json_are_as_strict_as_toml() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "a.yaml",
            "host:\n  plugin: []\n",
            &["a.yaml:2:3: host.plugin: unknown key (did you mean \"plugins\"?)"],
        ),
        ("a.yaml", "host:\n", &["a.yaml:1:1: host: expected a table, found nothing"]),
        ("a.yml", "log: {level: info, level: warn}\n", &["a.yml:1:20: the key level is set twice"]),
        (
            "a.yml",
            "a: &x [1]\nb: *x\n",
            &["a.yml:2:4: anchors and aliases are not supported; write the value out"],
        ),
        ("a.yml", "[1]: 2\n", &["a.yml:1:1: expected a plain key"]),
        (
            "a.json",
            "{\n\t\"log\": {\"level\": 3}\n}",
            &["a.json:2:19: log.level: expected text in quotes, found a whole number"],
        ),
        ("a.json", "{\"log\": {}, \"log\": {}}", &["a.json:1:13: the key log is set twice"]),
        ("a.json", "{\"log\": ", &["a.json:1:8: EOF while parsing a value"]),
        ("a.json", "[]", &[]),
        ("a.ini", "", &["a.ini: expected a file name that ends in .toml, .yaml, .yml, .json"]),
    ];
    for (name, text, expected) in cases {
        let errors = files(&[(name, text)]).errors();
        if expected.is_empty() {
            assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        } else {
            assert_eq!(errors, *expected, "{text}");
        }
    }
}

#[test]
fn hostile_files_are_refused_with_one_error() {
    let deep = "[".repeat(100_000);
    let long = "#".repeat(5 << 20);
    for (name, text) in [
        ("a.yaml", deep.as_str()),
        ("a.json", deep.as_str()),
        ("a.toml", &format!("a = {deep}")),
        ("a.toml", long.as_str()),
        ("a.yaml", "a: [1\n"),
        ("a.toml", "a = 99999999999999999999"),
    ] {
        let errors = files(&[(name, text)]).errors();
        assert_eq!(errors.len(), 1, "{name}: {errors:?}");
        assert!(errors[0].len() < 200, "{name}: {}", errors[0]);
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.toml");
    fs::write(&path, b"a = '\xff'").unwrap();
    let found = load(std::slice::from_ref(&path), &Overrides::new()).unwrap_err();
    assert_eq!(lines(&found, folder.path()), ["a.toml: expected UTF-8 text, but byte 5 is not"]);
}

#[test]
fn files_that_cannot_be_read_are_all_named() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("b.toml")).unwrap();
    let paths = ["a.toml", "b.toml"].map(|name| folder.path().join(name));
    let errors = lines(&load(&paths, &Overrides::new()).unwrap_err(), folder.path());
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("a.toml: cannot read the file: "), "{}", errors[0]);
    assert_eq!(errors[1], "b.toml: expected a file, found a folder");
}

#[test]
fn file_names_are_meant_from_the_file_they_are_written_in() {
    let files = files(&[("a.toml", "host.plugins = ['x', '/y', '~/z']\n")]);
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_else(|| "~".into());
    let folders = files.loaded(&Overrides::new()).plugin_folders();
    assert_eq!(folders, [files.folder.path().join("x"), "/y".into(), home.join("z")]);
    assert_eq!(Loaded::default().plugin_folders(), [] as [PathBuf; 0], "not the working directory");
    let flagged = files.loaded(&flags(&["host.plugins=['x']"])).plugin_folders();
    assert_eq!(flagged, [PathBuf::from("x")]);
}

#[test]
fn options_and_passwords_do_not_show_in_debug_output() {
    let text = "[connections.a]\nuri = 'ssh://lab:hunter2@h'\noptions = { password = 'hunter2' }\n";
    let loaded = files(&[("a.toml", text)]).loaded(&Overrides::new());
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever befalls a good file, it loads or every line about it names its place.
    #[test]
    fn damaged_files_do_not_panic(
        at in any::<prop::sample::Index>(),
        length in 0_usize..40,
        instead in "[a-z0-9=.{}\\[\\]\"'\n: é-]{0,8}",
        extension in prop::sample::select(vec!["toml", "yaml", "json"]),
    ) {
        let mut text =
            fs::read_to_string(repository().join("tests/fixtures/valid/everything.toml")).unwrap();
        let start = at.index(text.len());
        let end = (start + length).min(text.len());
        text.replace_range(start..end, &instead);
        let name = format!("a.{extension}");
        let errors = files(&[(name.as_str(), text.as_str())]).errors();
        prop_assert!(errors.iter().all(|error| error.starts_with("a.")), "{errors:?}");
    }
}

#[test]
fn a_route_has_the_keys_of_its_listener_and_of_its_sessions_in_one_table() {
    let text = "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"tcp://127.0.0.1:1\"\n";
    let keys = "max_connections = 5\nhandshake_timeout = \"2s\"\ntotal_timeout = \"1h\"\nframes = \"text\"\n";
    let both = format!("{text}{keys}");
    let config = files(&[("a.toml", &both)]).loaded(&Overrides::new()).config;
    let route = &config.routes[0];
    assert_eq!(route.listener.max_connections, Some(5));
    assert_eq!(route.listener.handshake_timeout, Some(std::time::Duration::from_secs(2)));
    let timeouts = route.joining.timeouts(&config.host.timeouts.relay);
    assert_eq!(timeouts.total, Some(std::time::Duration::from_secs(3600)));
    assert_eq!(timeouts.half_close, Some(std::time::Duration::from_secs(300)), "of the host");
    assert_eq!(route.joining.frames, crate::relay::Frames::Text);

    let wrong =
        "handshake_timeout = \"0s\"\nmax_connections_per_peer = 0\ntotel_timeout = \"1h\"\n";
    let errors = files(&[("a.toml", &format!("{text}{wrong}"))]).errors().join("\n");
    for key in ["routes.0.handshake_timeout", "routes.0.max_connections_per_peer", "total_timeout"]
    {
        assert!(errors.contains(key), "{errors}");
    }
}

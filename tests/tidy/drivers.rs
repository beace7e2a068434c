//! Every driver's folder has the same shape, and the host knows no driver by name.

use std::fs;

use super::{
    Violation, hold,
    tokens::{parse, words},
    tree::{self, File},
};

/// Lines the root of a plugin may have: documentation, modules, the export.
const LONGEST_ROOT: usize = 60;

/// Kinds of sockets are a host service, and a process and a proxy are what the host itself is, whether or not a
/// driver has the same name.
const ORDINARY: &[&str] = &["tcp", "udp", "unix", "process", "proxy"];

/// Fields of the kernel's window size, whose prefix is no driver.
const WINDOW: &[&str] = &["ws_col", "ws_row"];

/// Crates that the admin API is made of, whatever their names begin with.
const LIBRARIES: &[&str] = &["http_body_util"];

/// Names of OpenTelemetry's semantic conventions for requests, whatever they begin with.
const CONVENTIONS: &[&str] =
    &["\"http.request.method\"", "\"http.response.status_code\"", "\"HTTP\""];

/// A plugin's folder as the rules see it.
struct Plugin {
    name: String,
    files: Vec<File>,
}

impl Plugin {
    fn text(&self, file: &str) -> Option<&str> {
        let path = format!("plugins/{}/{file}", self.name);
        self.files.iter().find(|candidate| candidate.path == path).map(|file| file.text.as_str())
    }

    fn is_handler(&self) -> bool {
        self.text("src/handler.rs").is_some()
    }

    fn violation(&self, file: &str, what: impl Into<String>) -> Violation {
        Violation::new(&format!("plugins/{}/{file}", self.name), 1, what)
    }
}

fn plugins() -> Vec<Plugin> {
    let folders = fs::read_dir(tree::top().join("plugins")).expect("the plugins");
    folders
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .map(|name| Plugin { files: tree::files(&format!("plugins/{name}")), name })
        .collect()
}

fn shape(plugin: &Plugin) -> Vec<Violation> {
    let mut needed = vec!["Cargo.toml", "README.md", "src/lib.rs"];
    if !plugin.is_handler() {
        needed.extend(["src/options.rs", "src/driver.rs"]);
    }
    let mut found: Vec<Violation> = needed
        .iter()
        .filter(|file| plugin.text(file).is_none())
        .map(|file| plugin.violation(file, "is missing"))
        .collect();
    let root = plugin.text("src/lib.rs").unwrap_or_default();
    if root.lines().count() > LONGEST_ROOT {
        found.push(plugin.violation("src/lib.rs", format!("more than {LONGEST_ROOT} lines")));
    }
    let manifest = plugin.text("Cargo.toml").unwrap_or_default();
    for line in [format!("name = \"jackfield-{}\"", plugin.name), "\"cdylib\"".into()] {
        if !manifest.contains(&line) {
            found.push(plugin.violation("Cargo.toml", format!("lacks {line}")));
        }
    }
    found
}

fn readme(plugin: &Plugin) -> Vec<Violation> {
    let text = plugin.text("README.md").unwrap_or_default();
    let mut found = Vec::new();
    let mut needs = |present: bool, what: &str| {
        if !present {
            found.push(plugin.violation("README.md", what));
        }
    };
    if !plugin.is_handler() {
        let boxes = |line: &str| line.starts_with("- [x] ") || line.starts_with("- [ ] ");
        needs(text.lines().any(boxes), "has no checklist of capabilities (`- [x] …`)");
    }
    let options = options(plugin);
    if !options.is_empty() {
        let heads = |line: &str| line.to_lowercase().starts_with("| option");
        needs(text.lines().any(heads), "has no table of options (`| option | …`)");
    }
    for option in options {
        let row = text.lines().any(|line| line.starts_with('|') && line.contains(&option));
        needs(row, &format!("does not list the option {option}"));
    }
    found
}

/// The options an author declared, as they stand in a table: `` `name` ``.
fn options(plugin: &Plugin) -> Vec<String> {
    let Some(text) = plugin.text("src/options.rs") else { return Vec::new() };
    let field = |line: &str| {
        let (name, _) = line.strip_prefix("    pub ")?.split_once(": ")?;
        let plain = name.chars().all(|character| character.is_alphanumeric() || character == '_');
        plain.then(|| format!("`{name}`"))
    };
    text.lines().filter_map(field).collect()
}

/// Drivers named in code of the host. Help texts of the command line may show them as examples.
fn named(file: &File, drivers: &[String]) -> Vec<Violation> {
    let examples = ["host/src/main.rs", "host/src/cli"].iter().any(|at| file.path.starts_with(at));
    words(parse(&file.path, &file.text))
        .into_iter()
        .filter(|word| {
            let text = word.text.as_str();
            let other = [WINDOW, LIBRARIES, CONVENTIONS].iter().any(|words| words.contains(&text));
            !(word.literal && examples || other)
        })
        .filter_map(|word| {
            let parts = split(&word.text);
            let driver = drivers.iter().find(|driver| parts.contains(driver))?;
            let what = format!("the host names the driver `{driver}`");
            Some(Violation::new(&file.path, word.line, what))
        })
        .collect()
}

/// `SshPort`, `ssh_port` and `"ssh://port"` are all `ssh` and `port`.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut small = false;
    for character in text.chars() {
        if !character.is_alphanumeric() || (character.is_uppercase() && small) {
            parts.push(String::new());
        }
        if character.is_alphanumeric() {
            parts.last_mut().expect("a part").extend(character.to_lowercase());
        }
        small = character.is_lowercase();
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[test]
fn plugin_folders_have_one_shape() {
    hold(&plugins().iter().flat_map(shape).collect::<Vec<_>>());
}

#[test]
fn plugin_readmes_list_capabilities_and_options() {
    hold(&plugins().iter().flat_map(readme).collect::<Vec<_>>());
}

#[test]
fn the_host_names_no_driver() {
    let drivers: Vec<String> = plugins()
        .iter()
        .filter(|plugin| !plugin.is_handler() && !ORDINARY.contains(&plugin.name.as_str()))
        .map(|plugin| plugin.name.clone())
        .collect();
    let violations: Vec<_> = tree::host_sources()
        .iter()
        .filter(|file| !tree::is_test_file(&file.path))
        .flat_map(|file| named(file, &drivers))
        .collect();
    hold(&violations);
}

#[test]
fn a_misshapen_plugin_is_seen() {
    let file =
        |path: &str, text: &str| File { path: format!("plugins/x/{path}"), text: text.into() };
    let manifest = "name = \"jackfield-x\"\ncrate-type = [\"cdylib\", \"rlib\"]";
    let mut plugin = Plugin {
        name: "x".into(),
        files: vec![
            file("Cargo.toml", manifest),
            file("README.md", "- [x] stream\n\n| option | default |\n|---|---|\n| `size` | 1 |\n"),
            file("src/lib.rs", ""),
            file("src/options.rs", "pub struct Options {\n    pub size: u32,\n}\n"),
            file("src/driver.rs", ""),
        ],
    };
    assert_eq!(shape(&plugin), []);
    assert_eq!(readme(&plugin), []);
    plugin.files[3].text.push_str("pub struct More {\n    pub colour: u32,\n}\n");
    assert_eq!(readme(&plugin)[0].what, "does not list the option `colour`");
    plugin.files[1].text.clear();
    assert_eq!(readme(&plugin).len(), 4);
    plugin.files[0].text.clear();
    plugin.files[2].text = "\n".repeat(LONGEST_ROOT + 1);
    plugin.files.truncate(4);
    assert_eq!(shape(&plugin).len(), 4);
}

#[test]
fn a_named_driver_is_seen() {
    const NONE: [usize; 0] = [];
    let drivers = ["ssh".to_owned()];
    let lines = |path: &str, text: &str| {
        let file = File { path: path.into(), text: text.into() };
        named(&file, &drivers).iter().map(|found| found.line).collect::<Vec<_>>()
    };
    assert_eq!(lines("host/src/pool.rs", "struct SshPool;"), [1]);
    assert_eq!(lines("host/src/pool.rs", "\nfn f() -> u16 { ssh_port() }"), [2]);
    assert_eq!(lines("host/src/pool.rs", "const A: &str = \"ssh://x\";"), [1]);
    assert_eq!(lines("host/src/cli/mod.rs", "const A: &str = \"ssh://x\";"), NONE);
    assert_eq!(lines("host/src/cli/mod.rs", "use ssh::X;"), [1]);
    assert_eq!(lines("host/src/pool.rs", "/// As ssh does.\nfn f() {} // ssh"), NONE);
    assert_eq!(lines("host/src/pool.rs", "fn sshd_is_another_word() {}"), NONE);
    let test = "#[cfg(test)]\nmod tests { const A: &str = \"ssh\"; }\nfn f() { ssh() }";
    assert_eq!(lines("host/src/pool.rs", test), [3]);
}

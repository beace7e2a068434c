//! Rules about files as such: which there are, how long, and what none may contain.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Violation, hold,
    tokens::{parse, words},
};

/// Lines a Rust file may have.
const LONGEST: usize = 450;

/// What a visitor of the repository sees first.
const TOP: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "config",
    "host",
    "plugin-api",
    "plugins",
    "tests",
];

/// Folders where `unsafe` may stand: the boundary.
const UNSAFE: &[&str] = &["plugin-api/"];

/// A file of the repository, its path relative to the top.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

/// The top of the repository.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder above").to_owned()
}

/// Every text file below `folder`, without build output and what git keeps.
pub(super) fn files(folder: &str) -> Vec<File> {
    let mut found = Vec::new();
    collect(&top().join(folder), &mut found);
    assert!(!found.is_empty(), "{folder} is empty: the rules would hold for nothing");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The Rust files among them.
pub(super) fn rust_files(folder: &str) -> Vec<File> {
    files(folder).into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// The sources of the host and of the crates inside it.
pub(super) fn host_sources() -> Vec<File> {
    rust_files("host").into_iter().filter(|file| file.path.contains("/src/")).collect()
}

/// Whether a file of a crate holds nothing but its unit tests.
pub(super) fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/")
}

fn collect(folder: &Path, found: &mut Vec<File>) {
    for entry in
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = entry.expect("an entry of a folder").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let skipped = ["target", ".git", "node_modules", "__pycache__", "proptest-regressions"];
        if skipped.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(top()).expect("a path below the top");
            found.push(File { path: path.to_string_lossy().into_owned(), text });
        }
    }
}

fn too_long(file: &File) -> Option<Violation> {
    let lines = file.text.lines().count();
    (lines > LONGEST)
        .then(|| Violation::new(&file.path, lines, format!("more than {LONGEST} lines")))
}

fn unsafe_code(file: &File) -> Vec<Violation> {
    if UNSAFE.iter().any(|folder| file.path.starts_with(folder)) {
        return Vec::new();
    }
    words(parse(&file.path, &file.text))
        .into_iter()
        .filter(|word| !word.literal && word.text == "unsafe")
        .map(|word| Violation::new(&file.path, word.line, "`unsafe` outside the boundary"))
        .collect()
}

/// Paths that exist on one machine only.
fn machine_paths(file: &File) -> Vec<Violation> {
    // In two halves, so that this file passes its own rule.
    let folders = [("/ro", "ot/"), ("/ho", "me/"), ("/wo", "rk/"), ("/Us", "ers/")];
    let lines = file.text.lines().enumerate();
    lines
        .flat_map(|(index, line)| {
            folders.iter().filter_map(move |(start, end)| {
                let folder = format!("{start}{end}");
                // A folder of that name further down a path, or behind the name of a host, is none.
                let absolute = line.match_indices(&folder).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|character| {
                        character.is_alphanumeric() || "._-~}".contains(character)
                    })
                });
                absolute.then(|| {
                    Violation::new(
                        &file.path,
                        index + 1,
                        format!("a path of one machine: {folder}"),
                    )
                })
            })
        })
        .collect()
}

fn top_level(names: &[String]) -> Vec<Violation> {
    let visible = |name: &&String| !name.starts_with('.') && *name != "target";
    let extra = names
        .iter()
        .filter(visible)
        .filter(|name| !TOP.contains(&name.as_str()))
        .map(|name| Violation::new(name, 1, "does not belong to the top level"));
    let absent = TOP
        .iter()
        .filter(|name| !names.iter().any(|there| there == *name))
        .map(|name| Violation::new(name, 1, "is missing from the top level"));
    extra.chain(absent).collect()
}

#[test]
fn rust_files_are_short() {
    let violations: Vec<_> = rust_files("").iter().filter_map(too_long).collect();
    hold(&violations);
}

#[test]
fn unsafe_stays_at_the_boundary() {
    let violations: Vec<_> = rust_files("").iter().flat_map(unsafe_code).collect();
    hold(&violations);
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let violations: Vec<_> = files("").iter().flat_map(machine_paths).collect();
    hold(&violations);
}

#[test]
fn the_top_level_is_as_documented() {
    let names = fs::read_dir(top())
        .expect("the top level")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    hold(&top_level(&names.collect::<Vec<_>>()));
}

#[test]
fn planted_files_are_seen() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    assert!(too_long(&file("a.rs", &"\n".repeat(LONGEST))).is_none());
    assert!(too_long(&file("a.rs", &"\n".repeat(LONGEST + 1))).is_some());

    let code = "// unsafe\nfn f() { let _ = \"unsafe\"; unsafe { g() } }";
    let found = unsafe_code(&file("host/src/a.rs", code));
    assert_eq!(found.iter().map(|found| found.line).collect::<Vec<_>>(), [2]);
    assert!(unsafe_code(&file("plugin-api/src/a.rs", code)).is_empty());

    let planted = format!("ok\nsee {}ot/x\n", "/ro");
    assert_eq!(machine_paths(&file("README.md", &planted))[0].line, 2);
    let planted = format!("https://example.test{}me/ ./wo{}rk/", "/ho", "/wo");
    assert!(machine_paths(&file("README.md", &planted)).is_empty());

    let mut names: Vec<String> = TOP.iter().map(ToString::to_string).collect();
    names.extend([".ci".into(), "target".into()]);
    assert!(top_level(&names).is_empty());
    names.push("notes.txt".into());
    names.retain(|name| name != "README.md");
    assert_eq!(top_level(&names).len(), 2);
}

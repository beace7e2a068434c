//! What somebody outside this repository gets: a plugin that `jackfield new` wrote is tested, built and
//! loaded, and carries traffic; the README's lines do what it says; no line of an author's documentation
//! shows what crosses.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use tempfile::TempDir;

use crate::support::{
    host::exchange,
    jackfield::{Jackfield, beside, ran},
    peers::echo::TcpPeer,
    process::tempdir,
};

const KINDS: [&str; 5] = ["layer", "transport", "calls", "messages", "handler"];

/// How long one build may take; generous, it only bounds a test that has failed already.
const BUILD: &str = "900";

/// One build after the other: each takes every core there is.
static BUILDING: Mutex<()> = Mutex::new(());

/// The top of the repository.
fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder above")
}

/// Where plugins outside are built, so that what they share is built once and kept.
fn target() -> PathBuf {
    let program = beside("jackfield");
    program.parent().and_then(Path::parent).expect("a target folder").join("outside")
}

/// `cargo ARGUMENTS` for the package in `folder`, without the network.
fn cargo(folder: &Path, arguments: &[&str]) {
    let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let lock = folder.join("Cargo.lock");
    if !lock.exists() {
        fs::copy(top().join("Cargo.lock"), &lock).expect("a copy of the versions");
    }
    let mut cargo = Command::new("timeout");
    cargo.arg(BUILD).arg(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).arg("--offline").current_dir(folder);
    cargo.env("CARGO_TARGET_DIR", target()).env_remove("RUSTFLAGS");
    // Nothing here is built twice or debugged.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
    let ended = cargo.output().expect("cargo to run");
    let text = String::from_utf8_lossy(&ended.stderr);
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "cargo {arguments:?} in {}:\n{text}{told}", folder.display());
    // An author sees the warnings of what is no package of a registry.
    assert!(!text.contains("warning"), "cargo {arguments:?} in {}:\n{text}", folder.display());
}

/// A folder of packages that `jackfield new` wrote, one of each kind.
async fn written() -> TempDir {
    let folder = tempdir();
    let api = top().join("plugin-api").display().to_string();
    for kind in KINDS {
        let place = folder.path().join(kind).display().to_string();
        ran(&["new", &place, "--kind", kind, "--api", &api], "").await.ok();
    }
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_new_plugin_passes_its_own_tests() {
    let folder = written().await;
    for kind in KINDS {
        tokio::task::block_in_place(|| cargo(&folder.path().join(kind), &["test", "--quiet"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_new_plugin_is_loaded_and_carries_traffic() {
    let folder = written().await;
    let plugins = folder.path().join("plugins");
    fs::create_dir(&plugins).unwrap();
    for kind in KINDS {
        tokio::task::block_in_place(|| cargo(&folder.path().join(kind), &["build"]));
        let file = format!("lib{kind}.so");
        fs::copy(target().join("debug").join(&file), plugins.join(&file)).unwrap();
    }
    let plugins = plugins.display().to_string();
    let routes = [
        ("layer://127.0.0.1:0", "echo"),
        ("transport://127.0.0.1:0", "echo"),
        ("tcp://127.0.0.1:0", "echo"),
        ("messages://127.0.0.1:0", "echo"),
        ("tcp://127.0.0.1:0", "handler"),
        ("http://127.0.0.1:0", "handler"),
    ];
    let routes: String = routes
        .iter()
        .map(|(listen, to)| format!("[[routes]]\nlisten = \"{listen}\"\nto = \"handlers.{to}\"\n"))
        .collect();
    let toml = format!("[handlers.echo]\n[handlers.handler]\n{routes}");
    let host = Jackfield::run_with(&toml, &["--plugins", &plugins]).await;
    let at = |scheme: &str, index| format!("{scheme}://{}", host.address(index));
    let connect = async |uri: String, input: &str| {
        ran(&["connect", &uri, "--plugins", &plugins], input).await.ok().text()
    };

    assert_eq!(connect(at("layer", 0), "Hello\n").await, "Hello\n");
    // What is on the way is turned.
    assert_eq!(exchange(host.address(0), b"Uryyb\n").await.unwrap(), b"Uryyb\n");
    assert_eq!(connect(at("transport", 1), "x\n").await, "hello\nhello\nx\n");
    let uri = at("calls", 2);
    let asked = ran(&["call", &uri, "ask", "question=who?", "--plugins", &plugins], "").await.ok();
    assert!(asked.text().contains("who?"), "{}", asked.text());
    assert_eq!(connect(at("messages", 3), "one\n").await, "one");
    assert_eq!(connect(at("tcp", 4), "\n").await, "you are visitor 1\n");
    let answer = ran(&["call", &at("http", 5), "get", "path=/"], "").await.ok().text();
    assert!(answer.contains("200") && answer.contains("you are visitor"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_the_readme_lead_from_nothing_to_a_loaded_plugin() {
    let readme = fs::read_to_string(top().join("plugin-api/README.md")).unwrap();
    let section = readme.split_once("## From nothing").expect("the section").1;
    let lines = section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let peer = TcpPeer::echo().await;
    let folder = tempdir();
    let place = folder.path().join("rot").display().to_string();
    for (index, line) in lines.lines().enumerate() {
        let line = line
            .replace("../rot", &place)
            .replace("target/debug/jackfield", &beside("jackfield").display().to_string())
            .replace("tcp://127.0.0.1:7001", &peer.uri())
            .replace("rot://127.0.0.1:7001", &peer.uri().replace("tcp", "rot"));
        if index == 1 {
            fs::copy(top().join("Cargo.lock"), format!("{place}/Cargo.lock")).unwrap();
            fs::create_dir_all(target()).unwrap();
            symlink(target(), format!("{place}/target")).unwrap();
        }
        let mut shell = Command::new("timeout");
        shell.args([BUILD, "bash", "-ec", &line]).current_dir(top());
        shell.env_remove("CARGO_TARGET_DIR").env("CARGO_NET_OFFLINE", "true");
        let ended = tokio::task::block_in_place(|| {
            let _one = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
            shell.output().expect("a shell")
        });
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        let error = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{line}\n{text}{error}");
        if line.contains(" drivers ") {
            assert!(text.contains("places"), "{text}");
        }
        if line.contains(" connect ") {
            assert_eq!(text, "hello\n");
        }
    }
}

#[tokio::test]
async fn a_new_plugin_is_refused_where_it_could_not_be_built() {
    let folder = tempdir();
    let api = top().join("plugin-api").display().to_string();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let cases = [
        (place("Bad"), api.as_str(), "expected a folder named by a word of lower-case letters"),
        (place("good"), "/nowhere", "--api /nowhere: expected the folder of jackfield-plugin-api"),
    ];
    for (place, api, message) in cases {
        let refused = ran(&["new", &place, "--kind", "layer", "--api", api], "").await;
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains(message), "{}", refused.stderr);
    }
    fs::create_dir(place("taken")).unwrap();
    let taken = ran(&["new", &place("taken"), "--kind", "layer", "--api", &api], "").await;
    assert_eq!(taken.code, Some(2), "{}", taken.stderr);
}

/// The text of a page without the implementations that the compiler adds to every type.
fn own_part(page: &str) -> &str {
    let end = ["id=\"synthetic-implementations\"", "id=\"blanket-implementations\""];
    let end = end.iter().filter_map(|mark| page.find(mark)).min();
    &page[..end.unwrap_or(page.len())]
}

#[test]
fn an_authors_documentation_shows_nothing_of_what_crosses() {
    let folder = tempdir();
    fs::create_dir(folder.path().join("src")).unwrap();
    let api = top().join("plugin-api");
    let package = format!(
        "[package]\nname = \"reader\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n\
         [dependencies]\njackfield-plugin-api = {{ path = {api:?} }}\n"
    );
    fs::write(folder.path().join("Cargo.toml"), package).unwrap();
    fs::write(folder.path().join("src/lib.rs"), "").unwrap();
    cargo(folder.path(), &["doc", "--no-deps", "--package", "jackfield-plugin-api"]);
    let pages = target().join("doc/jackfield_plugin_api");
    assert!(pages.join("trait.Driver.html").is_file());
    // Below a hidden module there are only the ways to what is re-exported from it.
    for hidden in ["raw", "section", "services", "op"] {
        assert!(!pages.join(hidden).join("index.html").exists(), "{hidden} is documented");
    }
    assert!(!pages.join("struct.PluginModule.html").exists());
    let mut seen = 0;
    let mut folders = vec![pages];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // Other people's documentation, inlined where it is re-exported.
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if !["io", "futures", "sync"].contains(&name.as_str()) {
                    folders.push(path);
                }
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for word in ["abi_stable", "StableAbi", "RawObject", "_Ref", "RawPair", "HostServices"]
            {
                assert!(!own_part(&text).contains(word), "{}: {word}", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} pages");
}

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::config::{ConfigFiles, Loaded, Overrides, load};

struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Files(folder)
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("main.toml")
    }

    fn loaded(&self) -> Loaded {
        load(&[self.root()], &Overrides::new()).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The mistakes, with names of files as they are in the folder.
    fn mistakes(&self) -> String {
        let errors = load(&[self.root()], &Overrides::new()).unwrap_err().to_string();
        errors.replace(&format!("{}/", self.0.path().display()), "")
    }
}

const ROUTE: &str = "[[routes]]\nlisten = \"tcp://127.0.0.1:1\"\nto = \"connections.a\"\n";

#[test]
fn parts_add_up_in_the_order_of_patterns_and_names() {
    let files = Files::new(&[
        (
            "main.toml",
            "include = [\"conf.d/*.toml\", \"more/x.yaml\"]\nhost.worker_threads = 2\n\
             [[routes]]\nlisten = \"tcp://127.0.0.1:3\"\nto = \"connections.a\"\n",
        ),
        ("conf.d/b.toml", "host.max_connections = 7\n[connections.b]\nuri = \"tcp://h:2\"\n"),
        ("conf.d/a.toml", &format!("[connections.a]\nuri = \"tcp://h:1\"\n{ROUTE}")),
        ("conf.d/.hidden.toml", "nonsense"),
        ("conf.d/notes.txt", "nonsense"),
        ("more/x.yaml", "include: [\"y.json\"]\n"),
        ("more/y.json", r#"{"log": {"level": "warn"}}"#),
    ]);
    let loaded = files.loaded();
    let config = &loaded.config;
    assert_eq!((config.host.worker_threads, config.host.max_connections), (2, 7));
    assert_eq!(config.connections.len(), 2);
    let listen: Vec<String> = config.routes.iter().map(|route| route.listen.to_string()).collect();
    assert_eq!(listen, ["tcp://127.0.0.1:3", "tcp://127.0.0.1:1"]);
    let names: Vec<&Path> =
        loaded.files().iter().map(|file| file.strip_prefix(files.0.path()).unwrap()).collect();
    let expected = ["main.toml", "conf.d/a.toml", "conf.d/b.toml", "more/x.yaml", "more/y.json"];
    assert_eq!(names, expected.map(Path::new));
}

#[test]
fn what_stands_in_two_parts_is_a_mistake_with_both_places() {
    let files = Files::new(&[
        (
            "main.toml",
            "include = [\"d/*.toml\"]\nhost.worker_threads = 1\n[connections.a]\nuri = \"tcp://h:1\"\n",
        ),
        ("d/x.toml", "host.worker_threads = 1\n\n[connections.a]\ncall_timeout = \"5s\"\n"),
    ]);
    let mistakes = files.mistakes();
    let expected =
        "d/x.toml:1:6: host.worker_threads: host.worker_threads is set already, at main.toml:2:6; ";
    assert!(mistakes.contains(expected), "{mistakes}");
    assert!(mistakes.contains("d/x.toml:3:14: connections.a: "), "{mistakes}");
    assert!(mistakes.contains("at main.toml:3:14"), "{mistakes}");
}

#[test]
fn a_file_that_is_not_there_is_a_mistake_and_a_pattern_may_match_none() {
    let main = "include = [\"none/*.toml\", \"gone.toml\"]\n";
    let files = Files::new(&[("main.toml", main)]);
    let mistakes = files.mistakes();
    assert!(mistakes.starts_with("main.toml:1:27: include: gone.toml: cannot read"), "{mistakes}");
    fs::write(files.0.path().join("gone.toml"), "nonsense\n").unwrap();
    assert!(files.mistakes().starts_with("gone.toml:1:9: "), "{}", files.mistakes());
}

#[test]
fn files_that_include_each_other_are_read_once() {
    let files = Files::new(&[
        ("main.toml", "include = [\"*.toml\"]\n"),
        ("other.toml", "include = [\"main.toml\"]\n"),
    ]);
    assert_eq!(files.loaded().files().len(), 2);
}

#[test]
fn a_variable_that_is_not_set_is_a_mistake_at_its_place() {
    let main = "[connections.a]\nuri = \"tcp://${JACKFIELD_TEST_NOT_SET}:1\"\n\
                [host]\nworker_threads = \"${JACKFIELD_TEST_NOT_SET:-3}\"\n\
                [connections.a.labels]\nn = \"${JACKFIELD_TEST_NOT_SET:-3}\"\n";
    let files = Files::new(&[("main.toml", main)]);
    let mistakes = files.mistakes();
    let expected = "main.toml:2:7: connections.a.uri: the environment variable JACKFIELD_TEST_NOT_SET is not set";
    assert!(mistakes.starts_with(expected), "{mistakes}");
    fs::write(files.root(), main.replace("SET}", "SET:-h}")).unwrap();
    let config = files.loaded().config;
    assert_eq!(config.host.worker_threads, 3, "a number where one is wanted");
    assert_eq!(config.connections["a"].labels["n"], "3", "text where that is wanted");
    assert_eq!(config.connections["a"].uri.to_string(), "tcp://h:1");
}

#[test]
fn the_digest_is_of_all_parts_and_their_names() {
    let files = Files::new(&[("main.toml", "include = [\"d/*\"]\n"), ("d/a.toml", "")]);
    let digest = || ConfigFiles::read(&[files.root()]).digest();
    let first = digest();
    assert_eq!(first, digest());
    fs::rename(files.0.path().join("d/a.toml"), files.0.path().join("d/b.toml")).unwrap();
    assert_ne!(first, digest());
    let read = ConfigFiles::read(&[files.root()]);
    let folders: Vec<&Path> = read.folders().collect();
    assert!(folders.contains(&files.0.path().join("d").as_path()), "{folders:?}");
    assert!(!read.are_emptied(&files.loaded()), "it was empty before");
    fs::write(files.0.path().join("d/b.toml"), "log.level = \"warn\"\n").unwrap();
    assert!(read.are_emptied(&files.loaded()));
}

//! Plugins that are refused, in quarantine, or looked at one by one; and folders that give none.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::ECHO;
use crate::loading::{faulty, initialiser, write};
use crate::support::jackfield::{Config, Jackfield, ran};
use crate::support::process::{Ran, tempdir};

/// A folder for plugins with a cache of its own, so that nothing is known from before.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Place { folder: tempdir() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `jackfield ARGUMENTS` with this folder and this cache.
    async fn ran(&self, arguments: &[&str]) -> Ran {
        let (plugins, cache) = (self.path().display().to_string(), self.cache());
        let all = [arguments, &["--plugins", &plugins, "--set", &cache]].concat();
        ran(&all, "").await
    }

    fn cache(&self) -> String {
        format!("host.cache={}", self.path().join("cache").display())
    }
}

#[tokio::test]
async fn what_crashed_in_its_trial_is_listed_with_its_reason_and_tried_again_once_forgotten() {
    let place = Place::new();
    write(&place.path().join("bad.so"), &initialiser("*(volatile int *) 8 = 1;"));
    write(&place.path().join("good.so"), &faulty());
    for state in ["trial_crashed", "quarantined"] {
        let tried = place.ran(&["plugins"]).await;
        assert_eq!(tried.code, Some(1), "{}", tried.stderr);
        let text = tried.text();
        let row = text.lines().find(|line| line.contains("/bad.so")).unwrap();
        assert!(row.contains(state) && row.contains("SIGSEGV"), "{row}");
        assert!(text.lines().any(|line| line.contains("/good.so") && line.contains("running")));
    }
    let kept = place.ran(&["plugins", "--quarantined", "--json"]).await.ok().text();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let [only] = kept["quarantined"].as_array().unwrap().as_slice() else { panic!("{kept}") };
    assert!(only["file"].as_str().unwrap().ends_with("/bad.so"), "{kept}");
    let hash = only["sha256"].as_str().unwrap();
    let listed = place.ran(&["plugins", "--quarantined"]).await.ok().text();
    for part in [&hash[..12], "/bad.so", "ended its trial process: SIGSEGV"] {
        assert!(listed.contains(part), "no {part:?} in\n{listed}");
    }

    let wrong = place.ran(&["plugins", "--forget", "xyz"]).await;
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("--forget xyz: no plugin"), "{}", wrong.stderr);
    let several = place.ran(&["plugins", "--forget", ""]).await;
    assert_eq!(several.code, Some(2));
    assert!(several.stderr.contains("the beginning of one sha256"), "{}", several.stderr);
    place.ran(&["plugins", "--forget", &hash[..40]]).await.ok();
    let listed = place.ran(&["plugins", "--quarantined"]).await.ok().text();
    assert_eq!(listed, "no plugin is in quarantine\n");
    assert!(place.ran(&["plugins"]).await.text().contains("trial_crashed"));
}

#[tokio::test]
async fn one_file_is_judged_by_itself_with_an_exit_code_for_its_author() {
    let place = Place::new();
    let cache = place.cache();
    let of = |name: &str| place.path().join(name).display().to_string();
    write(&place.path().join("good.so"), &faulty());
    write(&place.path().join("bad.so"), &initialiser("exit(3);"));
    let good = ran(&["plugins", &of("good.so"), "--set", &cache], "").await.ok().text();
    assert_eq!(good.lines().count(), 2, "a head and its row: {good}");
    assert!(good.contains("running") && good.contains("driver faulty"), "{good}");
    let bad = ran(&["plugins", &of("bad.so"), "--set", &cache], "").await;
    assert_eq!(bad.code, Some(1));
    assert!(bad.text().contains("it exited with code 3"), "{}", bad.text());
    let absent = ran(&["plugins", &of("absent.so"), "--set", &cache], "").await;
    assert_eq!(absent.code, Some(1));
    assert!(absent.text().contains("No such file"), "{}", absent.text());
}

#[tokio::test]
async fn a_named_folder_without_a_plugin_fails_every_command_that_loads_it_for_its_own_sake() {
    let config = Config::new(&format!("host.plugins = ['empty']\n{ECHO}"));
    let empty = config.folder().join("empty");
    for problem in ["cannot be read: No such file", "has no plugin"] {
        for command in ["plugins", "drivers", "check", "run"] {
            let ran = ran(&[command, "--config", &config.file()], "").await;
            assert_eq!(ran.code, Some(1), "{command}: {}", ran.stderr);
            let place =
                format!("{}:1:17: host.plugins.0: the folder {}", config.file(), empty.display());
            let said = ran.stderr.lines().find(|line| line.contains(&place));
            let said = said.unwrap_or_else(|| panic!("{command}: {}", ran.stderr));
            assert!(said.contains(problem), "{command}: {said}");
        }
        std::fs::create_dir_all(&empty).unwrap();
    }
}

#[tokio::test]
async fn a_host_starts_with_what_is_left_only_where_that_is_asked_for() {
    let config = Config::new(&format!("host.plugins = ['own']\n{ECHO}"));
    let own = config.folder().join("own");
    std::fs::create_dir(&own).unwrap();
    write(&own.join("notes.so"), b"only text");
    let refused = ran(&["run", "--config", &config.file()], "").await;
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(!refused.stderr.contains("listening"), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("notes.so: is not a whole shared library"),
        "{}",
        refused.stderr
    );

    let toml =
        std::fs::read_to_string(config.file()).unwrap().replace("['own']", &format!("[{own:?}]"));
    let set = ["--set", "host.refused_plugins=warn"];
    let host = Jackfield::run_with(&toml, &set).await;
    assert!(host.log().contains("plugin refused: is not a whole shared library"), "{}", host.log());
    assert!(host.log().contains("looked_in="), "{}", host.log());
}

#[tokio::test]
async fn check_runs_no_program_for_a_secret_unless_it_is_told_to() {
    let config = Config::new("");
    let made = config.folder().join("made");
    let program = format!("['/bin/sh', '-c', 'touch {}; echo hunter2']", made.display());
    let toml = format!(
        "[connections.lab]\nuri = 'ssh://lab@127.0.0.1'\n\
         options = {{ password = {{ command = {program} }} }}\n\
         [[routes]]\nlisten = 'tcp://127.0.0.1:0'\nto = 'connections.lab'\n"
    );
    std::fs::write(config.file(), &toml).unwrap();
    let checked = ran(&["check", "--config", &config.file()], "").await.ok();
    assert!(!made.exists());
    let place = format!("{}:1:1: connections.lab: not checked whole: ", config.file());
    assert!(checked.stderr.contains(&place), "{}", checked.stderr);
    assert!(checked.stderr.contains("--resolve"), "{}", checked.stderr);
    let resolved = ran(&["check", "--config", &config.file(), "--resolve"], "").await.ok();
    assert!(made.exists() && resolved.stderr.is_empty(), "{}", resolved.stderr);

    // What can be seen without the secret is seen.
    std::fs::write(config.file(), toml.replace("password", "rows = 'x', password")).unwrap();
    let wrong = ran(&["check", "--config", &config.file()], "").await;
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("connections.lab.options.rows"), "{}", wrong.stderr);
}

//! The real program: it sees files by itself, tries each in a process of its own first, and shows what it has.

use std::fs;

use super::{copy, soon};
use crate::{
    loading::{initialiser, write},
    support::{
        jackfield::{jackfield, ran},
        process::{Process, tempdir},
    },
};

#[tokio::test]
async fn a_running_host_admits_replaces_refuses_and_shows_plugin_files() {
    let folder = tempdir();
    let place = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(place("plugins")).unwrap();
    let toml = format!(
        "[host]\nplugins = [\"plugins\"]\ncache = \"cache\"\nrefused_plugins = \"warn\"\n\
         [admin]\nlisten = [\"unix:{}\"]\n[reload]\npoll = \"0s\"\n[reload.plugins]\nwatch = true\n",
        place("admin.sock")
    );
    fs::write(place("jackfield.toml"), toml).unwrap();
    let mut host =
        Process::spawn("jackfield", jackfield(&["run", "--config", &place("jackfield.toml")]));
    host.logged("ready").await.unwrap_or_else(|log| panic!("{log}"));
    let admin = place("admin.sock");
    let shown = async || ran(&["plugins", "--admin", &admin], "").await.ok().text();
    let file = folder.path().join("plugins/faulty.so");
    write(&file, &copy("first"));
    host.logged("plugin admitted").await.unwrap_or_else(|log| panic!("{log}"));
    write(&file, &copy("second"));
    host.logged("plugin replaced").await.unwrap_or_else(|log| panic!("{log}"));
    // Its code would end the host as soon as it is loaded.
    write(&file, &initialiser("abort();"));
    host.logged("code=\"trial_crashed\"").await.unwrap_or_else(|log| panic!("{log}"));
    let table = shown().await;
    let line = table.lines().find(|line| line.contains("running") && line.contains("faulty"));
    assert!(line.is_some_and(|line| line.contains(" 2 ")), "{table}");
    assert!(table.contains("trial_crashed"), "{table}");
    fs::remove_file(&file).unwrap();
    host.logged("plugin removed").await.unwrap_or_else(|log| panic!("{log}"));
    soon("the end of it", async || !shown().await.contains("faulty.so")).await;
}

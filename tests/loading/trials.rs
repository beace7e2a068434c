//! Trials in a process of their own: what hangs or crashes there costs no other plugin and not the host,
//! and is remembered.

use std::{fs, path::Path, process::Command, time::Duration};

use jackfield::driver::{Records, Refusal, TrialCommand, TrialResult};
use jackfield_plugin_api::load::read_manifest;
use rustix::process::Signal;

use super::folder::{Folder, GOOD, echo, faulty, faulty_mode, report, write};
use crate::support::{
    jackfield::{binary, jackfield},
    need::need,
    process::{Process, tempdir},
};

const BAD: &str = "bad.so";

/// A plugin file whose ELF initialiser is the C statement `code`.
pub(crate) fn initialiser(code: &str) -> Vec<u8> {
    named_initialiser("ruined", code)
}

/// As [`initialiser`], with `name` in the names of its drivers, so that nothing is a duplicate.
pub(super) fn named_initialiser(name: &str, code: &str) -> Vec<u8> {
    let folder = tempdir();
    let file = |name: &str| folder.path().join(name);
    let manifest = read_manifest(&faulty()).expect("a manifest");
    let manifest = serde_json::to_string(&manifest).expect("JSON").replace("faulty", name);
    fs::write(file("manifest.json"), manifest).expect("a manifest");
    let source = format!(
        "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n\
         __asm__(\".section .jackfield,\\\"a\\\"\\n.incbin \\\"{}\\\"\\n.previous\\n\");\n\
         __attribute__((constructor)) static void initialise(void) {{ {code} }}\n",
        file("manifest.json").display()
    );
    fs::write(file("bad.c"), source).expect("a source");
    let compiled = Command::new(need("cc", "gcc"))
        .args(["-shared", "-fPIC", "-o"])
        .args([file(BAD), file("bad.c")])
        .status();
    assert!(compiled.expect("a compiler").success());
    fs::read(file(BAD)).expect("a library")
}

const HANGS: &str = "for (;;) pause();";
const CRASHES: &str = "fputs(\"no licence server\\n\", stderr); *(volatile int *) 8 = 1;";

fn trial() -> TrialCommand {
    TrialCommand { program: binary(), arguments: vec!["__trial".into()] }
}

/// With the good file of every test, the faulty one behind it in order, and trials.
fn folder(bad: &[u8]) -> Folder {
    let mut folder = Folder::new();
    folder.options.trial = Some(trial());
    folder.put(BAD, bad);
    folder.put("faulty.so", &faulty());
    folder
}

/// Loads it, and answers why the bad file was refused; the others run.
async fn refused(folder: &Folder) -> Refusal {
    let registry = folder.load().await;
    for other in [GOOD, "faulty.so"] {
        let report = report(&registry, other);
        assert_eq!(report.state(), "running", "{other}: {:?}", report.refusal);
    }
    report(&registry, BAD).refusal.clone().expect("a refusal")
}

fn records(folder: &Folder) -> Records {
    Records::of(&folder.options.cache)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initialiser_that_hangs_costs_no_other_plugin_and_is_tried_once() {
    let mut folder = folder(&initialiser(HANGS));
    folder.options.init_timeout = Duration::from_secs(5);
    let refusal = refused(&folder).await;
    assert_eq!(refusal, Refusal::TrialHung(Duration::from_secs(5)));

    // A second trial would fail the test by its time: it never ends.
    folder.options.init_timeout = Duration::from_secs(600);
    let refusal = refused(&folder).await;
    assert_eq!(refusal.code(), "quarantined");
    let text = refusal.to_string();
    for piece in ["in quarantine since", "within 5s", "jackfield plugins --forget "] {
        assert!(text.contains(piece), "{text:?} does not say {piece:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initialiser_that_crashes_is_told_with_its_signal_and_tried_again_once_forgotten() {
    let folder = folder(&initialiser(CRASHES));
    let crashed = Refusal::TrialCrashed {
        how: "SIGSEGV".to_owned(),
        last: Some("no licence server".to_owned()),
    };
    assert_eq!(refused(&folder).await, crashed);
    let Refusal::Quarantined(kept) = refused(&folder).await else { panic!("it was tried again") };
    assert!(kept.reason.contains("SIGSEGV"), "{}", kept.reason);

    records(&folder).forget(&kept.sha256).expect("a record");
    assert_eq!(refused(&folder).await, crashed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initialiser_that_ends_the_process_is_told_with_the_exit_code() {
    let folder = folder(&initialiser("exit(3);"));
    let refusal = refused(&folder).await.to_string();
    assert!(refusal.contains("it exited with code 3"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_does_not_come_back_is_found_by_the_trial_too() {
    let mut folder = folder(&faulty_mode("hangs"));
    // In place of the other copy, which has the same drivers.
    folder.put("faulty.so", &echo());
    fs::remove_file(folder.path(GOOD)).expect("to make room");
    folder.options.init_timeout = Duration::from_secs(5);
    let registry = folder.load().await;
    assert_eq!(report(&registry, BAD).state(), "trial_hung");
    assert_eq!(report(&registry, "faulty.so").state(), "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_in_an_orderly_way_has_its_own_reason_and_is_asked_again_each_time() {
    let mut folder = folder(&faulty_mode("fails"));
    fs::remove_file(folder.path("faulty.so")).expect("to make room");
    for _ in 0..2 {
        let registry = folder.load().await;
        assert_eq!(report(&registry, BAD).state(), "init_failed");
    }
    // As when the licence has come.
    folder.put(BAD, &faulty());
    folder.options.trial = None;
    assert_eq!(report(&folder.load().await, BAD).state(), "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_has_passed_is_not_tried_again_and_new_content_is() {
    let mut folder = folder(&initialiser(CRASHES));
    refused(&folder).await;
    let passed =
        records(&folder).all().into_iter().filter(|record| record.known == TrialResult::Passed);
    assert_eq!(passed.count(), 2);

    // Who is tried now is refused.
    let program = need("false", "coreutils");
    folder.options.trial = Some(TrialCommand { program, arguments: Vec::new() });
    assert_eq!(refused(&folder).await.code(), "quarantined");
    folder.put("faulty.so", &[faulty(), b"x".to_vec()].concat());
    let registry = folder.load().await;
    let refusal = report(&registry, "faulty.so").refusal.clone().expect("a refusal");
    let how = "it exited with code 1".to_owned();
    assert_eq!(refusal, Refusal::TrialCrashed { how, last: None });
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_process_can_be_started_files_are_loaded_without_a_trial() {
    let mut folder = Folder::new();
    let program = folder.outside("nowhere");
    folder.options.trial = Some(TrialCommand { program, arguments: Vec::new() });
    assert_eq!(report(&folder.load().await, GOOD).state(), "running");
    assert_eq!(records(&folder).all(), []);
}

/// Processes whose command line has `text` in it.
fn processes(text: &str) -> usize {
    let all = fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(text)).count()
}

#[tokio::test]
async fn a_trial_ends_with_the_process_that_started_it() {
    let folder = tempdir();
    write(&folder.path().join(BAD), &initialiser(HANGS));
    let (plugins, cache) = (folder.path().display().to_string(), folder.path().join("cache"));
    let of_trial = format!("__trial\0{}", cache.display());
    let cache = format!("host.cache={}", cache.display());
    let set = ["--set", &cache, "--set", "host.timeouts.init=10m"];
    let arguments = [&["plugins", "--plugins", &plugins][..], &set].concat();
    let mut process = Process::spawn("jackfield plugins", jackfield(&arguments));
    let hangs = || processes(&of_trial) == 1 && has_record_of_others(folder.path());
    process.ready(async |_| hangs()).await.unwrap_or_else(|log| panic!("{log}"));
    process.signal(Signal::KILL);
    while processes(&of_trial) > 0 {
        tokio::task::yield_now().await;
    }
}

/// The drivers beside the binary have been tried: what still runs is the one that hangs.
fn has_record_of_others(folder: &Path) -> bool {
    Records::of(&folder.join("cache")).all().len() >= 12
}

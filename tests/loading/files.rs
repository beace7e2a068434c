//! Files that must not be loaded.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    time::Duration,
};

use jackfield::driver::{Refusal, Writers};
use jackfield_plugin_api::abi;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::folder::{
    Folder, GOOD, allow, built, echo, faulty, faulty_mode, find, patch, report, write,
};
use crate::support::need::need_library;

/// A bad file: how to make it, and what the host must say of it.
struct Bad {
    name: &'static str,
    make: fn(&mut Folder, &Path),
    code: &'static str,
    /// Pieces of the text that a person reads.
    says: &'static [&'static str],
}

const BAD: &str = "bad.so";

const FILES: &[Bad] = &[
    Bad {
        name: "a text file",
        make: |_, bad| write(bad, b"#!/bin/sh\nexit 0\n"),
        code: "not_elf",
        says: &["not a whole shared library"],
    },
    Bad {
        name: "an empty file",
        make: |_, bad| write(bad, b""),
        code: "not_elf",
        says: &["not a whole shared library"],
    },
    Bad {
        name: "a file cut in its header",
        make: |_, bad| write(bad, &faulty()[..40]),
        code: "not_elf",
        says: &["not a whole shared library"],
    },
    Bad {
        name: "half a file",
        make: |_, bad| write(bad, &faulty()[..faulty().len() / 2]),
        code: "not_elf",
        says: &["not a whole shared library"],
    },
    Bad {
        name: "a file without its last byte",
        make: |_, bad| write(bad, &faulty()[..faulty().len() - 1]),
        code: "not_elf",
        says: &["not a whole shared library"],
    },
    Bad {
        name: "another machine's",
        make: |_, bad| {
            // e_machine, of the ELF header: AArch64, or RISC-V where that is ours.
            let mut bytes = faulty();
            let other = if cfg!(target_arch = "aarch64") { 243_u16 } else { 183 };
            bytes[18..20].copy_from_slice(&other.to_le_bytes());
            write(bad, &bytes);
        },
        code: "architecture",
        says: &["is built for", "this host is", std::env::consts::ARCH],
    },
    Bad {
        name: "an ordinary library",
        make: |_, bad| {
            let library = need_library("libc.so.6", "libc6");
            write(bad, &fs::read(library).expect("the C library"));
        },
        code: "not_a_plugin",
        says: &["without a plugin manifest"],
    },
    Bad {
        name: "a damaged manifest",
        make: |_, bad| write(bad, &patch(faulty(), "{\"manifest\":1,", "[\"manifest\":1,")),
        code: "bad_manifest",
        says: &["manifest that cannot be read", "line 1 column"],
    },
    Bad {
        name: "an unknown form of manifest",
        make: |_, bad| write(bad, &patch(faulty(), "{\"manifest\":1,", "{\"manifest\":9,")),
        code: "bad_manifest",
        says: &["form 9 is not known"],
    },
    Bad {
        name: "another ABI major",
        make: |_, bad| write(bad, &patch(faulty(), "\"abi\":{\"major\":1", "\"abi\":{\"major\":2")),
        code: "abi_major",
        says: &["plugin ABI 2", "this host has 1", "rebuild it"],
    },
    Bad {
        name: "a newer host needed",
        make: |_, bad| {
            let old = "\"required_minor\":0,";
            write(bad, &patch(faulty(), old, "\"required_minor\":7,"));
        },
        code: "host_too_old",
        says: &["minor 7 or newer"],
    },
    Bad {
        name: "a driver of a kind that only a newer host has",
        make: |_, bad| {
            write(bad, &patch(faulty(), "\"kind\":\"transport\"", "\"kind\":\"teleports\""));
        },
        code: "host_too_old",
        says: &["a kind of driver of \"faulty\"", "minor 1 or newer"],
    },
    Bad {
        name: "a name that no URI can reach",
        make: |_, bad| write(bad, &patch(faulty(), "\"name\":\"faulty\"", "\"name\":\"Faulty\"")),
        code: "bad_manifest",
        says: &["the driver name \"Faulty\" is not a lower-case word"],
    },
    Bad {
        name: "tables that were changed without a new version",
        make: |_, bad| {
            let known = format!("\"layouts\":[\"{:016x}\"", abi::FINGERPRINTS[0]);
            write(bad, &patch(faulty(), &known, "\"layouts\":[\"0123456789abcdef\""));
        },
        code: "layout",
        says: &["tables of ABI 1.0 have the form 0123456789abcdef, not"],
    },
    Bad {
        name: "another system",
        make: |_, bad| write(bad, &patch(faulty(), "-linux-", "-haiku-")),
        code: "target",
        says: &["-haiku-", "this host is", "-linux-"],
    },
    Bad {
        name: "one that aborts on panic",
        make: |_, bad| write(bad, &aborting()),
        code: "aborts_on_panic",
        says: &["panic = \"abort\"", "host.danger_allow_abort_on_panic"],
    },
    Bad {
        name: "a symbol that is not there",
        make: |_, bad| {
            let old = "\"symbol\":\"jackfield_plugin_v1_faulty\"";
            write(bad, &patch(faulty(), old, "\"symbol\":\"jackfield_plugin_v1_faultx\""));
        },
        code: "no_symbol",
        says: &["does not export", "jackfield_plugin_v1_faultx"],
    },
    Bad {
        name: "a damaged root header",
        make: |_, bad| {
            let magic = "abi stable library for Rust";
            write(bad, &patch(faulty(), magic, "abi stable library for Rast"));
        },
        code: "layout",
        says: &["do not fit this ABI", "header is damaged"],
    },
    Bad {
        name: "tables of another layout",
        // Names of the table's fields, as the layout check reads them.
        make: |_, bad| write(bad, &patch(faulty(), "configure;,", "confugire;,")),
        code: "layout",
        says: &["do not fit this ABI", "\"confugire\" stands where \"configure\" belongs"],
    },
    Bad {
        name: "a library the system cannot load",
        make: |_, bad| {
            // The name of a library that it needs.
            write(bad, &patch(faulty(), "libc.so.6\0", "libx.so.6\0"));
        },
        code: "library",
        says: &["the system cannot load it", "libx.so.6"],
    },
    Bad {
        name: "writable by everybody",
        make: |_, bad| {
            write(bad, &faulty());
            allow(bad, 0o666);
        },
        code: "writable",
        says: &[BAD, "may be written by everybody", "chmod o-w"],
    },
    Bad {
        name: "a link out of the folder",
        make: |folder, bad| {
            let place = folder.outside("elsewhere.so");
            write(&place, &faulty());
            symlink(&place, bad).expect("a link");
        },
        code: "link_out",
        says: &["link out of its folder", "elsewhere.so"],
    },
    Bad {
        name: "a link to nothing",
        make: |_, bad| symlink("nothing", bad).expect("a link"),
        code: "unreadable",
        says: &["cannot be read", "No such file"],
    },
    Bad {
        name: "a folder",
        make: |_, bad| fs::create_dir(bad).expect("a folder"),
        code: "not_a_file",
        says: &["not a regular file"],
    },
    Bad {
        name: "a pipe that nobody writes",
        make: |_, bad| {
            mknodat(CWD, bad, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        },
        code: "not_a_file",
        says: &["not a regular file"],
    },
    Bad {
        name: "a file too large to be a plugin",
        make: |_, bad| {
            // Takes no room: it is all hole.
            File::create(bad).expect("a file").set_len(1 << 40).expect("its length");
        },
        code: "not_elf",
        says: &["too large for a plugin"],
    },
    Bad {
        name: "an init that fails",
        make: |_, bad| write(bad, &faulty_mode("fails")),
        code: "init_failed",
        says: &["failed to start", "there is no licence", "file=x"],
    },
    Bad {
        name: "an init that panics",
        make: |_, bad| write(bad, &faulty_mode("panics")),
        code: "init_panicked",
        says: &["panicked while starting", "told to panic at the start"],
    },
    Bad {
        name: "an init that hangs",
        make: |folder, bad| {
            write(bad, &faulty_mode("hangs"));
            folder.options.init_timeout = Duration::from_secs(2);
        },
        code: "init_hung",
        says: &["did not start within 2s"],
    },
    Bad {
        name: "a description that panics",
        make: |_, bad| write(bad, &faulty_mode("panics describing")),
        code: "init_panicked",
        says: &["panicked while starting"],
    },
];

/// As long as before: spaces make no difference in JSON.
fn aborting() -> Vec<u8> {
    patch(faulty(), "\"panic\":\"unwind\"", "\"panic\": \"abort\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_aborts_on_panic_is_loaded_where_that_is_allowed() {
    let mut folder = Folder::empty();
    folder.put(BAD, &aborting());
    folder.options.allow_abort_on_panic = true;
    assert_eq!(report(&folder.load().await, BAD).state(), "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_file_has_its_own_reason_and_the_good_one_beside_it_runs() {
    for bad in FILES {
        let mut folder = Folder::new();
        let path = folder.path(BAD);
        (bad.make)(&mut folder, &path);
        let registry = folder.load().await;
        let refusal = report(&registry, BAD).refusal.as_ref();
        let refusal = refusal.unwrap_or_else(|| panic!("{}: was loaded", bad.name));
        assert_eq!(refusal.code(), bad.code, "{}: {refusal}", bad.name);
        let text = refusal.to_string();
        for piece in bad.says {
            assert!(text.contains(piece), "{}: {text:?} does not say {piece:?}", bad.name);
        }
        assert!(!text.contains('\n') && text.len() < 400, "{}: {text:?}", bad.name);
        assert!(registry.driver("faulty").is_err(), "{}", bad.name);
        assert_eq!(report(&registry, GOOD).state(), "running", "{}", bad.name);
        registry.handler("echo").unwrap_or_else(|error| panic!("{}: {error}", bad.name));
    }
}

/// The reasons above are only worth something if the file is taken when nothing is wrong with it.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_without_damage_runs() {
    let folder = Folder::new();
    folder.put(BAD, &faulty());
    let registry = folder.load().await;
    assert_eq!(report(&registry, BAD).state(), "running");
    let driver = registry.driver("faulty").expect("a driver");
    assert_eq!(driver.manifest.operations.len(), 1);
    registry.driver("faulty-layer").expect("a second driver");
    registry.handler("faulty").expect("a handler");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_inside_the_folder_is_followed_and_its_file_is_loaded_once() {
    let folder = Folder::empty();
    folder.put("echo-1.so", &echo());
    symlink("echo-1.so", folder.path("echo.so")).expect("a link");
    let registry = folder.load().await;
    assert_eq!(registry.reports().len(), 1);
    assert_eq!(registry.reports()[0].state(), "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_everybody_may_write_gives_no_plugins() {
    let folder = Folder::new();
    allow(&folder.options.folders[0], 0o777);
    let registry = folder.load().await;
    let refusal = report(&registry, GOOD).refusal.clone().expect("a refusal");
    let path = fs::canonicalize(&folder.options.folders[0]).expect("a folder");
    assert_eq!(refusal, Refusal::Writable { path, by: Writers::Everybody });
    assert!(registry.handler("echo").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_group_may_write_gives_no_plugins_be_it_the_file_its_folder_or_one_above() {
    let folder = Folder::new();
    let plugins = fs::canonicalize(&folder.options.folders[0]).expect("a folder");
    let above = plugins.parent().expect("a folder above").to_owned();
    for path in [plugins.join(GOOD), plugins, above] {
        let before = fs::metadata(&path).expect("a mode").permissions();
        allow(&path, 0o775);
        let registry = folder.load().await;
        fs::set_permissions(&path, before).expect("the mode it had");
        let refusal = report(&registry, GOOD).refusal.clone().expect("a refusal");
        assert!(refusal.to_string().contains("by its group: chmod g-w"), "{refusal}");
        assert_eq!(refusal, Refusal::Writable { path, by: Writers::Group });
    }
    assert_eq!(report(&folder.load().await, GOOD).state(), "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_file_with_a_name_is_refused_and_told_of_the_first() {
    let folder = Folder::empty();
    folder.put("a.so", &faulty());
    // Another file, not another name of the same: a mark at its end, which loaders ignore.
    folder.put("b.so", &[faulty(), b"x".to_vec()].concat());
    let registry = folder.load().await;
    assert_eq!(report(&registry, "a.so").state(), "running");
    let refusal = report(&registry, "b.so").refusal.clone().expect("a refusal");
    assert_eq!(refusal.code(), "duplicate");
    let text = refusal.to_string();
    assert!(text.contains("driver \"faulty\"") && text.contains("a.so"), "{text}");
    assert_ne!(report(&registry, "a.so").sha256, report(&registry, "b.so").sha256);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_allowed_files_are_loaded_and_the_refusal_names_the_sum_to_allow() {
    let mut folder = Folder::new();
    folder.put(BAD, &faulty());
    let open = folder.load().await;
    let good = report(&open, GOOD).sha256.clone().expect("a sum");
    let bad = report(&open, BAD).sha256.clone().expect("a sum");

    folder.options.allow = vec![good];
    let registry = folder.load().await;
    assert_eq!(report(&registry, GOOD).state(), "running");
    let refusal = report(&registry, BAD).refusal.clone().expect("a refusal");
    assert_eq!(refusal, Refusal::NotAllowed(bad.clone()));
    assert!(refusal.to_string().contains(&bad));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give a file away. The rule itself is tested where it is written.
        return;
    }
    let folder = Folder::new();
    folder.put(BAD, &faulty());
    std::os::unix::fs::chown(folder.path(BAD), Some(65534), None).expect("another owner");
    let registry = folder.load().await;
    let refusal = report(&registry, BAD).refusal.clone().expect("a refusal");
    let path = fs::canonicalize(folder.path(BAD)).expect("a file");
    assert_eq!(refusal, Refusal::ForeignOwner { path, uid: 65534 });
    assert!(refusal.to_string().contains("uid 65534"), "{refusal}");
    assert_eq!(report(&registry, GOOD).state(), "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_says_how_many_files_were_refused_and_where_was_looked() {
    let folder = Folder::new();
    folder.put(BAD, b"not a plugin");
    let registry = folder.load().await;
    let error = registry.driver("faulti").expect_err("no such driver").to_string();
    assert!(error.contains("files refused=1"), "{error}");
    assert!(error.contains(&folder.options.folders[0].display().to_string()), "{error}");
}

#[test]
fn a_patch_hits_every_place_and_nothing_else() {
    let bytes = patch(b"one two one".to_vec(), "one", "six");
    assert_eq!(bytes, b"six two six");
    assert_eq!(find(&bytes, b"six"), [0, 8]);
    assert!(!built("libfaulty.so").is_empty());
}

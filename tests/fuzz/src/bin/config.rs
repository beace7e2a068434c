//! Configuration files. The first byte says which form; every mistake has one line and its place.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use jackfield::config::{Overrides, load};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = tempfile::tempdir_in("/dev/shm");
    memory.or_else(|_| tempfile::tempdir()).expect("a folder")
});

fuzz_target!(|bytes: &[u8]| {
    let Some((form, text)) = bytes.split_first() else { return };
    let extension = ["toml", "yaml", "json"][usize::from(*form) % 3];
    let file: PathBuf = FOLDER.path().join(format!("it.{extension}"));
    std::fs::write(&file, text).expect("a file");
    match load(&[file], &Overrides::new()) {
        Ok(loaded) => drop(loaded.plugin_folders()),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
});

//! A folder of plugins for one test, and copies of plugin files that differ in chosen bytes.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use jackfield::driver::{LoadOptions, PluginReport, Registry, beside_binary, load};
use tempfile::TempDir;

/// The good plugin that every test has beside the bad one.
pub(super) const GOOD: &str = "good.so";

/// The file of a plugin that was built with the workspace.
pub(super) fn built(name: &str) -> Vec<u8> {
    let folder = beside_binary().expect("a test runs from a cargo target folder");
    let path = folder.join(name);
    fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; plugins are built by: cargo build --workspace", path.display())
    })
}

/// The handler that works.
pub(super) fn echo() -> Vec<u8> {
    built("libjackfield_echo.so")
}

/// The plugin that fails where it is told to.
pub(crate) fn faulty() -> Vec<u8> {
    built("libfaulty.so")
}

/// A folder with the faulty plugin in it, for a host that finds the others by itself.
pub(crate) fn faulty_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("faulty.so"), &faulty());
    folder
}

/// A copy of the faulty plugin that is told something in its own bytes.
pub(crate) fn faulty_mode(mode: &str) -> Vec<u8> {
    let mark = b"faulty mode is: ";
    let mut bytes = faulty();
    let places = find(&bytes, mark);
    assert_eq!(places.len(), 1, "the mark must be in the file exactly once");
    let start = places[0] + mark.len();
    let room = &mut bytes[start..start + 32];
    room.fill(b' ');
    room[..mode.len()].copy_from_slice(mode.as_bytes());
    bytes
}

/// Where `needle` is.
pub(super) fn find(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut from = 0;
    // The first byte is found quickly; plugin files are large.
    while let Some(next) = bytes[from..].iter().position(|byte| *byte == needle[0]) {
        let at = from + next;
        if bytes[at..].starts_with(needle) {
            found.push(at);
        }
        from = at + 1;
    }
    found
}

/// Replaces every `old` by `new`, which is as long; there must be one.
pub(super) fn patch(mut bytes: Vec<u8>, old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len(), "a patch must not move what follows");
    let places = find(&bytes, old.as_bytes());
    assert!(!places.is_empty(), "{old:?} is not in the file");
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
    }
    bytes
}

/// A folder of plugin files, with the good one in it, and a cache of its own.
pub(super) struct Folder {
    root: TempDir,
    pub(super) options: LoadOptions,
}

impl Folder {
    pub(super) fn new() -> Self {
        let folder = Folder::empty();
        folder.put(GOOD, &echo());
        folder
    }

    pub(super) fn empty() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let plugins = root.path().join("plugins");
        fs::create_dir(&plugins).expect("a folder for plugins");
        // Whatever the umask is.
        allow(&plugins, 0o755);
        let options = LoadOptions {
            folders: vec![plugins],
            beside: None,
            cache: root.path().join("cache"),
            ..LoadOptions::default()
        };
        Folder { root, options }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.options.folders[0].join(name)
    }

    /// Beside the folder of plugins.
    pub(super) fn outside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        write(&self.path(name), bytes);
    }

    pub(super) async fn load(&self) -> Registry {
        load(&self.options).await
    }
}

/// Writes a file as an installer does: complete, then under its name.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    let draft = path.with_extension("draft");
    fs::write(&draft, bytes).expect("a file");
    allow(&draft, 0o644);
    fs::rename(&draft, path).expect("its name");
}

pub(super) fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
}

/// What became of a file.
pub(super) fn report<'a>(registry: &'a Registry, name: &str) -> &'a PluginReport {
    let named = |report: &&PluginReport| report.path.ends_with(name);
    registry.reports().iter().find(named).unwrap_or_else(|| panic!("{name} has no report"))
}

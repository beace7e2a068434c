//! One plugin file before any of its code runs: found, hashed, its manifest checked.

use super::LoadOptions;
use super::refusal::Refusal;
use jackfield_plugin_api::load::{LoadError, read_manifest};
use jackfield_plugin_api::{ABI_MAJOR, ABI_MINOR, PluginManifest, abi, section};
use sha2::{Digest, Sha256};
use std::fs::{self, File, Metadata};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest file read as a plugin.
const MAX_FILE: u64 = 512 * 1024 * 1024;

/// Copies into a cache that this process began.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// A file that may be loaded.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
    pub(super) manifest: PluginManifest,
    bytes: Vec<u8>,
}

/// What became of a file up to here. The hash and manifest are told also of refused files.
pub(super) struct Probe {
    pub(super) path: PathBuf,
    pub(super) sha256: Option<String>,
    pub(super) manifest: Option<PluginManifest>,
    pub(super) result: Result<Candidate, Refusal>,
}

impl Probe {
    pub(super) fn refused(path: PathBuf, refusal: Refusal) -> Self {
        Probe { path, sha256: None, manifest: None, result: Err(refusal) }
    }
}

/// The `.so` files of the folders, each once, in order of folder and name. Beside binaries of a cargo
/// target folder only `libjackfield_*.so` count: the folder holds other libraries too.
pub(super) fn scan(options: &LoadOptions) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<(&Path, bool)> =
        options.folders.iter().map(|folder| (folder.as_path(), false)).collect();
    folders.extend(options.beside.as_deref().map(|folder| (folder, true)));
    for (folder, only_ours) in folders {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let mut here: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "so"))
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                !only_ours || name.starts_with("libjackfield_")
            })
            .collect();
        here.sort();
        found.extend(here);
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|path| seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
    found
}

/// Takes a file through the steps before loading.
pub(super) fn probe(path: &Path, options: &LoadOptions) -> Probe {
    let mut probe = Probe::refused(path.to_owned(), Refusal::NotAPlugin);
    probe.result = check(path, options, &mut probe.sha256, &mut probe.manifest);
    probe
}

fn check(
    path: &Path,
    options: &LoadOptions,
    sha256: &mut Option<String>,
    manifest: &mut Option<PluginManifest>,
) -> Result<Candidate, Refusal> {
    let bytes = read_checked(path)?;
    let hash = hex(&Sha256::digest(&bytes));
    *sha256 = Some(hash.clone());
    if !options.allow.is_empty() && !options.allow.contains(&hash) {
        return Err(Refusal::NotAllowed(hash));
    }
    let read = read_manifest(&bytes).map_err(refusal)?;
    *manifest = Some(read.clone());
    check_manifest(&read)?;
    Ok(Candidate { path: path.to_owned(), sha256: hash, manifest: read, bytes })
}

/// Reads the file through one descriptor, so that what was checked is what was read.
fn read_checked(path: &Path) -> Result<Vec<u8>, Refusal> {
    let unreadable = |error: std::io::Error| Refusal::Unreadable(error.to_string());
    let folder = path.parent().unwrap_or(Path::new("."));
    let real = fs::canonicalize(path).map_err(unreadable)?;
    let real_folder = fs::canonicalize(folder).map_err(unreadable)?;
    if !real.starts_with(&real_folder) {
        return Err(Refusal::LinkOut(real));
    }
    let is_file = fs::metadata(&real).map_err(unreadable)?.is_file();
    if !is_file {
        return Err(Refusal::NotAFile);
    }
    let mut file = File::open(&real).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    check_owner(&metadata, path)?;
    check_owner(&fs::metadata(&real_folder).map_err(unreadable)?, folder)?;
    if metadata.len() > MAX_FILE {
        return Err(Refusal::NotElf(format!("{} bytes is too large for a plugin", metadata.len())));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    Read::by_ref(&mut file).take(MAX_FILE).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn check_owner(metadata: &Metadata, path: &Path) -> Result<(), Refusal> {
    let us = rustix::process::geteuid().as_raw();
    may_be_run(metadata.uid(), metadata.mode(), us, path)
}

fn may_be_run(owner: u32, mode: u32, us: u32, path: &Path) -> Result<(), Refusal> {
    if owner != 0 && owner != us {
        return Err(Refusal::ForeignOwner(owner));
    }
    // A sticky folder such as /tmp lets nobody replace another's file, but anybody add one.
    if mode & 0o002 != 0 {
        return Err(Refusal::Writable(path.to_owned()));
    }
    Ok(())
}

fn check_manifest(manifest: &PluginManifest) -> Result<(), Refusal> {
    if manifest.manifest != 1 {
        return Err(Refusal::BadManifest(format!("form {} is not known", manifest.manifest)));
    }
    if manifest.abi.major != ABI_MAJOR {
        return Err(Refusal::AbiMajor { theirs: manifest.abi.major, ours: ABI_MAJOR });
    }
    if let Some(lacking) = manifest.abi.lacking(ABI_MINOR) {
        let needs = manifest.abi.required_minor;
        return Err(Refusal::HostTooOld { needs, ours: ABI_MINOR, lacking });
    }
    if let Some(what) = manifest.unknown_part() {
        let needs = manifest.abi.minor.max(ABI_MINOR + 1);
        return Err(Refusal::HostTooOld { needs, ours: ABI_MINOR, lacking: what });
    }
    if let Some(problem) = manifest.problem() {
        return Err(Refusal::BadManifest(problem));
    }
    if let Some(difference) = abi::mismatch(&manifest.abi.layouts) {
        return Err(Refusal::Layout(difference));
    }
    let ours = section::target();
    if manifest.target != ours {
        return Err(Refusal::Target { theirs: manifest.target.clone(), ours });
    }
    Ok(())
}

/// A loader's error as the reason for a file.
pub(super) fn refusal(error: LoadError) -> Refusal {
    match error {
        LoadError::NotElf(why) => Refusal::NotElf(why),
        LoadError::Architecture(theirs, ours) => Refusal::Architecture { theirs, ours },
        LoadError::NoManifest => Refusal::NotAPlugin,
        LoadError::BadManifest(why) => Refusal::BadManifest(why),
        LoadError::Library(why) => Refusal::Library(why),
        LoadError::NoSymbol(why) => Refusal::NoSymbol(why),
        LoadError::Header(why) | LoadError::Layout(why) => Refusal::Layout(why),
        LoadError::Root(why) => Refusal::InitFailed(why),
        _ => Refusal::InitFailed("a reason that this host does not know".to_owned()),
    }
}

impl Candidate {
    /// Puts the bytes that were checked where only we can change them, under a name of their own:
    /// replacing a file in place would give the old code back (dlopen knows files by path and inode).
    /// A copy that is there already is used if it is the same to the byte.
    pub(super) fn generation(&self, cache: &Path) -> Result<PathBuf, Refusal> {
        let failed = |what: &Path, error: std::io::Error| {
            Refusal::Unreadable(format!("cache {}: {error}", what.display()))
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(cache)
            .map_err(|error| failed(cache, error))?;
        let metadata = fs::metadata(cache).map_err(|error| failed(cache, error))?;
        check_owner(&metadata, cache)?;
        if metadata.mode() & 0o020 != 0 {
            return Err(Refusal::Writable(cache.to_owned()));
        }
        let place = cache.join(format!("{}.so", self.sha256));
        if fs::read(&place).is_ok_and(|there| there == self.bytes) {
            return Ok(place);
        }
        // A name that nobody else writes: hosts share a cache, and a host may load twice at a time.
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let draft = cache.join(format!("{}.{}.{number}", self.sha256, std::process::id()));
        let written = self.write(&draft).and_then(|()| fs::rename(&draft, &place));
        if written.is_err() {
            // It may not even have been made.
            let _ = fs::remove_file(&draft);
        }
        written.map_err(|error| failed(&draft, error))?;
        Ok(place)
    }

    fn write(&self, draft: &Path) -> std::io::Result<()> {
        // Left by a process of the same number that was killed.
        match fs::remove_file(draft) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o500).open(draft)?;
        file.write_all(&self.bytes)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_root_or_this_user_owns_and_not_everybody_may_write_is_run() {
        let path = Path::new("x.so");
        for (owner, mode, us, expected) in [
            (0, 0o755, 0, Ok(())),
            (0, 0o755, 1000, Ok(())),
            (1000, 0o700, 1000, Ok(())),
            (1000, 0o775, 1000, Ok(())),
            (1001, 0o755, 1000, Err(Refusal::ForeignOwner(1001))),
            (1000, 0o755, 0, Err(Refusal::ForeignOwner(1000))),
            (0, 0o757, 0, Err(Refusal::Writable(path.to_owned()))),
            (0, 0o1777, 0, Err(Refusal::Writable(path.to_owned()))),
        ] {
            assert_eq!(may_be_run(owner, mode, us, path), expected, "{owner} {mode:o} {us}");
        }
    }
}

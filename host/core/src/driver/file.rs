//! One plugin file before any of its code runs: found, hashed, its manifest checked, copied.

use super::cache::{check_cache, generation, kept};
use super::known::{KnownFile, Stamp};
use super::records::{Records, TrialResult};
use super::refusal::Refusal;
use super::stamp::FileStamp;
use super::trust::{self, Trust};
use super::{LoadOptions, program_folder};
use jackfield_plugin_api::load::{LoadError, read_manifest};
use jackfield_plugin_api::{ABI_MAJOR, ABI_MINOR, PluginManifest, abi, section};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest file read as a plugin.
const MAX_FILE: u64 = 512 * 1024 * 1024;

/// A file that may be loaded.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
    pub(super) manifest: PluginManifest,
    /// Its copy in the cache, which is what is loaded.
    pub(super) place: PathBuf,
    /// It has passed a trial, now or earlier.
    pub(super) tried: bool,
}

/// What became of a file up to here. The hash and manifest are told also of refused files.
pub(super) struct ProbedFile {
    pub(super) path: PathBuf,
    pub(super) sha256: Option<String>,
    pub(super) manifest: Option<PluginManifest>,
    pub(super) result: Result<Candidate, Refusal>,
}

impl ProbedFile {
    pub(super) fn refused(path: PathBuf, refusal: Refusal) -> Self {
        ProbedFile { path, sha256: None, manifest: None, result: Err(refusal) }
    }
}

/// A file that was found, and how its place is judged.
#[derive(Clone, Debug)]
pub(super) struct FoundFile {
    pub(super) path: PathBuf,
    /// As it was found; `None` for a link that leads nowhere.
    pub(super) stamp: Option<FileStamp>,
    trust: Trust,
}

/// The sha256 of a file's content as it is now, if it can be read.
pub(super) async fn sum_of(found: &FoundFile) -> Option<String> {
    let found = found.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        read_whole(&mut open_checked(&found).ok()?, &mut bytes).ok()?;
        Some(hex(&Sha256::digest(&bytes)))
    });
    read.await.ok().flatten()
}

impl FoundFile {
    pub(super) fn at(path: PathBuf, trust: Trust) -> Self {
        FoundFile { stamp: FileStamp::of(&path), path, trust }
    }
}

/// The files with the names of plugins in `folder`, by name.
///
/// # Errors
/// What the system says of the folder.
pub fn plugin_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "so"))
        .collect();
    files.sort();
    Ok(files)
}

/// The plugin files to load, each once, in order of folder and name. Beside the program only
/// `libjackfield_*.so` count: its folder holds other libraries too.
pub(super) fn scan(options: &LoadOptions) -> Vec<FoundFile> {
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("libjackfield_"))
    };
    let program = program_folder();
    let mut found = Vec::new();
    let mut add = |folder: &Path, only_ours: bool| {
        // Whoever named it hears of a folder that is not there.
        let mut files = plugin_files(folder).unwrap_or_default();
        files.retain(|path| !only_ours || ours(path));
        let is_program = program.is_some() && fs::canonicalize(folder).ok() == program;
        let trust = if is_program { Trust::Program } else { Trust::Strict };
        found.extend(files.into_iter().map(|path| FoundFile::at(path, trust)));
    };
    options.folders.iter().for_each(|folder| add(folder, false));
    options.beside.iter().for_each(|folder| add(folder, true));
    options.usual.iter().for_each(|folder| add(folder, false));
    let file = |path: &PathBuf| FoundFile::at(path.clone(), Trust::Strict);
    found.extend(options.files.iter().map(file));
    let mut seen = std::collections::HashSet::new();
    found.retain(|one| {
        seen.insert(fs::canonicalize(&one.path).unwrap_or_else(|_| one.path.clone()))
    });
    found
}

/// Takes a file through the steps before its code runs, up to its copy in the cache. Its bytes are read
/// into `bytes`, which is reused: fresh memory for each file would take as long as its hash.
pub(super) fn probe(
    found: &FoundFile,
    options: &LoadOptions,
    records: &Records,
    bytes: &mut Vec<u8>,
) -> ProbedFile {
    let mut probe = ProbedFile::refused(found.path.clone(), Refusal::NotAPlugin);
    probe.result = check(found, options, records, bytes, &mut probe);
    probe
}

fn check(
    found: &FoundFile,
    options: &LoadOptions,
    records: &Records,
    bytes: &mut Vec<u8>,
    seen: &mut ProbedFile,
) -> Result<Candidate, Refusal> {
    let mut file = open_checked(found)?;
    let stamp = Stamp::of(&file.metadata().map_err(|error| unreadable(&error))?);
    let trusted = check_cache(&options.cache);
    let get = || KnownFile::get(&options.cache, &found.path, &stamp);
    let known = trusted.is_ok().then(get).flatten();
    if known.is_none() {
        read_whole(&mut file, bytes)?;
    }
    let hash = known.as_ref().map_or_else(|| hex(&Sha256::digest(&*bytes)), |it| it.sha256.clone());
    seen.sha256 = Some(hash.clone());
    if !options.allow.is_empty() && !options.allow.contains(&hash) {
        return Err(Refusal::NotAllowed(hash));
    }
    let manifest = match &known {
        Some(known) => known.manifest.clone(),
        None => read_manifest(bytes).map_err(refusal)?,
    };
    seen.manifest = Some(manifest.clone());
    check_manifest(&manifest)?;
    if manifest.panic == "abort" && !options.allow_abort_on_panic {
        return Err(Refusal::AbortsOnPanic);
    }
    trusted?;
    let tried = check_record(&hash, options, records)?;
    let place = match &known {
        Some(_) => kept(&options.cache, &hash),
        None => generation(&options.cache, &hash, bytes)?,
    };
    let candidate = Candidate { path: found.path.clone(), sha256: hash, manifest, place, tried };
    let written = known.is_some_and(|known| known.has_copy(&candidate.place));
    // What has changed while it was read is read again next time.
    let unchanged = || file.metadata().is_ok_and(|metadata| Stamp::of(&metadata) == stamp);
    if !written && unchanged() {
        // Without it the next start takes longer.
        let _ = KnownFile::put(&options.cache, found, &stamp, &candidate);
    }
    Ok(candidate)
}

/// Whether the file has passed a trial.
fn check_record(hash: &str, options: &LoadOptions, records: &Records) -> Result<bool, Refusal> {
    let record = records.get(hash);
    let tried = record.as_ref().is_some_and(|record| record.known == TrialResult::Passed);
    match record.as_ref().and_then(|record| Some((&record.known, record.quarantine()?))) {
        Some((TrialResult::InUseAtCrash { .. }, left)) if options.leave_out_after_crash => {
            Err(Refusal::LeftOut(left))
        }
        // The key was changed since: it is in use again.
        Some((TrialResult::InUseAtCrash { .. }, _)) | None => Ok(tried),
        // Without trials, faults that only a trial finds do not count.
        Some((_, kept)) if options.trial.is_some() => Err(Refusal::Quarantined(kept)),
        Some(_) => Ok(tried),
    }
}

fn unreadable(error: &std::io::Error) -> Refusal {
    Refusal::Unreadable(error.to_string())
}

/// Opens the file and judges it by its descriptor, so that what was judged is what is read.
fn open_checked(found: &FoundFile) -> Result<File, Refusal> {
    let folder = match found.path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let real = fs::canonicalize(&found.path).map_err(|error| unreadable(&error))?;
    let real_folder = fs::canonicalize(folder).map_err(|error| unreadable(&error))?;
    if !real.starts_with(&real_folder) {
        return Err(Refusal::LinkOut(real));
    }
    let is_file = fs::metadata(&real).map_err(|error| unreadable(&error))?.is_file();
    if !is_file {
        return Err(Refusal::NotAFile);
    }
    let file = File::open(&real).map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    trust::of_file(found.trust, &metadata, &real)?;
    if metadata.len() > MAX_FILE {
        return Err(Refusal::NotElf(format!("{} bytes is too large for a plugin", metadata.len())));
    }
    Ok(file)
}

fn read_whole(file: &mut File, bytes: &mut Vec<u8>) -> Result<(), Refusal> {
    bytes.clear();
    let length = file.metadata().map_err(|error| unreadable(&error))?.len();
    bytes.reserve(usize::try_from(length.min(MAX_FILE)).unwrap_or(0));
    Read::by_ref(file).take(MAX_FILE).read_to_end(bytes).map_err(|error| unreadable(&error))?;
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

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file that was found, and the candidate that was made of it, its copy in the folder's `cache`.
    pub(in crate::driver) fn settled_file(folder: &Path) -> (FoundFile, Candidate) {
        let place = folder.join("x.so");
        fs::write(&place, b"content").unwrap();
        let found = FoundFile::at(place, Trust::Strict);
        let cache = folder.join("cache");
        fs::create_dir(&cache).unwrap();
        let sha256 = hex(&Sha256::digest(b"content"));
        let place = generation(&cache, &sha256, b"content").unwrap();
        let (path, manifest) = (found.path.clone(), PluginManifest::default());
        (found, Candidate { path, sha256, manifest, place, tried: true })
    }
}

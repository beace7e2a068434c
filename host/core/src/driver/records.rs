//! [`Records`]: what is known of plugin files from before, by their hash, in the cache folder.

use super::cache::write_whole;
use super::refusal::Quarantine;
use jackfield_plugin_api::abi::FINGERPRINTS;
use jackfield_plugin_api::{ABI_MAJOR, ABI_MINOR};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The largest record that is read, in bytes.
const MAX_RECORD: u64 = 64 * 1024;

/// Seconds since 1970 that a record may have: up to the year 9999.
const MAX_TIME: u64 = 250_000_000_000;

/// What came of a plugin file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TrialResult {
    /// Its trial came to its end: it may be loaded. Whether it started is found out again each time.
    Passed,
    /// Its trial crashed.
    Crashed {
        /// How, in words.
        reason: String,
    },
    /// Its trial did not end.
    Hung {
        /// How long was waited, in words.
        reason: String,
    },
    /// It was in use when a host ended without a clean stop.
    InUseAtCrash {
        /// Which host, in words.
        reason: String,
    },
}

/// One file's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// The sha256 of the file.
    pub sha256: String,
    /// Where the file was.
    pub file: PathBuf,
    /// The host that wrote this; another one tries the file anew.
    pub host: String,
    /// When it was written, in seconds since 1970.
    pub time: u64,
    /// What came of it.
    #[serde(flatten)]
    pub known: TrialResult,
}

impl TrialRecord {
    pub(super) fn new(sha256: &str, file: &Path, known: TrialResult) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        TrialRecord {
            sha256: sha256.to_owned(),
            file: file.to_owned(),
            host: this_host(),
            time: now.as_secs(),
            known,
        }
    }

    /// When it was written.
    pub fn since(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.time.min(MAX_TIME))
    }

    /// Why the file is not loaded any more; `None` for one that passed.
    pub fn quarantine(&self) -> Option<Quarantine> {
        let (TrialResult::Crashed { reason }
        | TrialResult::Hung { reason }
        | TrialResult::InUseAtCrash { reason }) = &self.known
        else {
            return None;
        };
        let (sha256, reason) = (self.sha256.clone(), reason.clone());
        Some(Quarantine { sha256, reason, since: self.since() })
    }
}

/// What a record depends on besides the file.
pub(super) fn this_host() -> String {
    let layout = FINGERPRINTS[FINGERPRINTS.len() - 1];
    let version = env!("CARGO_PKG_VERSION");
    format!("jackfield {version} abi {ABI_MAJOR}.{ABI_MINOR} {layout:016x}")
}

/// The records in one cache folder; hosts share them.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

impl Records {
    /// Those of the cache folder `cache`; it need not be there.
    pub fn of(cache: &Path) -> Self {
        Records { folder: cache.join("trials") }
    }

    /// All that can be read, the oldest first.
    pub fn all(&self) -> Vec<TrialRecord> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let hashes = names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()));
        let mut all: Vec<TrialRecord> = hashes.filter_map(|hash| self.read(&hash)).collect();
        all.sort_by(|one, other| (one.time, &one.file).cmp(&(other.time, &other.file)));
        all
    }

    /// Removes a record, so that its file is tried anew.
    ///
    /// # Errors
    /// What the system says.
    pub fn forget(&self, sha256: &str) -> io::Result<()> {
        fs::remove_file(self.place(sha256))
    }

    /// The record of a file, if this host wrote it.
    pub(super) fn get(&self, sha256: &str) -> Option<TrialRecord> {
        self.read(sha256).filter(|record| record.host == this_host())
    }

    /// Writes a record whole, over what was there.
    pub(super) fn put(&self, record: &TrialRecord) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut text = serde_json::to_vec(record)?;
        text.push(b'\n');
        write_whole(&self.place(&record.sha256), &text, 0o600)
    }

    fn read(&self, sha256: &str) -> Option<TrialRecord> {
        let place = self.place(sha256);
        let small = fs::metadata(&place).ok()?.len() <= MAX_RECORD;
        let record = parse(&small.then(|| fs::read(&place).ok()).flatten()?)?;
        (record.sha256 == sha256).then_some(record)
    }

    fn place(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}.json"))
    }
}

fn parse(bytes: &[u8]) -> Option<TrialRecord> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_kept_until_it_is_forgotten_and_only_for_this_host() {
        let cache = tempfile::tempdir().unwrap();
        let records = Records::of(cache.path());
        assert_eq!(records.all(), []);
        let known = TrialResult::Crashed { reason: "SIGSEGV".to_owned() };
        let record = TrialRecord::new("ab12", Path::new("/x/bad.so"), known);
        records.put(&record).unwrap();
        assert_eq!(records.get("ab12"), Some(record.clone()));
        assert_eq!(record.quarantine().map(|kept| kept.reason), Some("SIGSEGV".to_owned()));

        let other = TrialRecord {
            host: "another".to_owned(),
            ..TrialRecord::new("cd34", Path::new("y"), TrialResult::Passed)
        };
        records.put(&other).unwrap();
        assert_eq!(records.get("cd34"), None);
        assert_eq!(records.all().len(), 2);

        records.forget("ab12").unwrap();
        assert_eq!(records.get("ab12"), None);
        assert!(records.forget("ab12").is_err());
    }

    #[test]
    fn a_damaged_record_is_none() {
        let cache = tempfile::tempdir().unwrap();
        let records = Records::of(cache.path());
        records.put(&TrialRecord::new("ab12", Path::new("x"), TrialResult::Passed)).unwrap();
        fs::write(cache.path().join("trials/ab12.json"), "{").unwrap();
        assert_eq!((records.get("ab12"), records.all()), (None, Vec::new()));
    }
}

//! Why a plugin file was not taken: one typed reason for each file, with what to do about it.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The reason, in the order of the load steps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It cannot be read; the system's words.
    Unreadable(String),
    /// A folder, pipe or device of that name.
    NotAFile,
    /// A link that leads out of its folder.
    LinkOut(PathBuf),
    /// It, or a folder above it, belongs to a user who is neither root nor the user that the host runs
    /// as.
    ForeignOwner {
        /// What belongs to them.
        path: PathBuf,
        /// Their number.
        uid: u32,
    },
    /// Others may write it, or a folder above it.
    Writable {
        /// What they may write.
        path: PathBuf,
        /// Who.
        by: Writers,
    },
    /// Its sha256 is not in `host.allow`.
    NotAllowed(String),
    /// Not an ELF file, or a damaged one.
    NotElf(String),
    /// For another machine.
    Architecture {
        /// What it is for.
        theirs: String,
        /// What this is.
        ours: String,
    },
    /// A library without a Jackfield manifest.
    NotAPlugin,
    /// Its manifest cannot be read.
    BadManifest(String),
    /// Built for another ABI major.
    AbiMajor {
        /// Its major.
        theirs: u32,
        /// The host's.
        ours: u32,
    },
    /// It needs a newer host.
    HostTooOld {
        /// The minor it needs.
        needs: u32,
        /// The host's.
        ours: u32,
        /// What of it the plugin uses.
        lacking: String,
    },
    /// Same machine, other system or C library.
    Target {
        /// What it is for.
        theirs: String,
        /// What this is.
        ours: String,
    },
    /// It was in use when a host ended without a clean stop, and `host.plugins_after_crash` says to leave
    /// such plugins out.
    LeftOut(Quarantine),
    /// An earlier trial of the same file crashed or hung.
    Quarantined(Quarantine),
    /// Its trial in a process of its own crashed.
    TrialCrashed {
        /// How: `SIGSEGV`, or its exit code.
        how: String,
        /// The last thing it wrote, if it wrote anything.
        last: Option<String>,
    },
    /// Its trial in a process of its own did not end.
    TrialHung(Duration),
    /// A panic of its code would end the host, and no key allows that.
    AbortsOnPanic,
    /// Another file already has this driver, handler or scheme.
    Duplicate {
        /// `driver`, `handler` or `scheme`.
        what: &'static str,
        /// The name.
        name: String,
        /// The file that has it.
        first: PathBuf,
    },
    /// The system's loader refused it.
    Library(String),
    /// It does not export what its manifest names.
    NoSymbol(String),
    /// Its tables do not fit.
    Layout(String),
    /// Its own code failed while it was made.
    InitFailed(String),
    /// Its own code panicked while it was made.
    InitPanicked(String),
    /// Its own code did not come back.
    InitHung(Duration),
    /// It was not loaded, because an earlier file hangs in the system's loader, which loads one at a time.
    NotTried(PathBuf),
    /// So many contents of this plugin were loaded already; none leaves memory before the host ends.
    TooManyGenerations {
        /// The plugin's name.
        plugin: String,
        /// `reload.plugins.generations`.
        most: usize,
    },
    /// It does not accept options that are in use.
    DoesNotFit(String),
}

/// Who may write what only root and the user of the host should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// The group of the file.
    Group,
    /// Everybody.
    Everybody,
}

/// Why and since when a file is not loaded any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Its sha256.
    pub sha256: String,
    /// What it did.
    pub reason: String,
    /// When.
    pub since: SystemTime,
}

impl Writers {
    /// Who they are, and what `chmod` is told to end it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Writers::Group => ("its group", "g-w"),
            Writers::Everybody => ("everybody", "o-w"),
        }
    }
}

impl Quarantine {
    /// When, as people read it.
    pub fn since_utc(&self) -> String {
        let seconds = OffsetDateTime::from(self.since).truncate_to_second();
        seconds.format(&Rfc3339).unwrap_or_else(|_| "an unknown time".to_owned())
    }
}

impl fmt::Display for Quarantine {
    /// Since when, why, and how it is brought back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.sha256.get(..12).unwrap_or(&self.sha256);
        let (since, reason) = (self.since_utc(), &self.reason);
        write!(f, "since {since}: {reason}; to use it again: jackfield plugins --forget {short}")
    }
}

impl Refusal {
    /// Whether it may be taken back without a change of the file, when other files come or go.
    pub(super) fn depends_on_others(&self) -> bool {
        matches!(self, Refusal::Duplicate { .. } | Refusal::NotTried(_) | Refusal::DoesNotFit(_))
    }

    /// A short stable word for scripts and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Unreadable(_) => "unreadable",
            Refusal::NotAFile => "not_a_file",
            Refusal::LinkOut(_) => "link_out",
            Refusal::ForeignOwner { .. } => "foreign_owner",
            Refusal::Writable { .. } => "writable",
            Refusal::NotAllowed(_) => "not_allowed",
            Refusal::NotElf(_) => "not_elf",
            Refusal::Architecture { .. } => "architecture",
            Refusal::NotAPlugin => "not_a_plugin",
            Refusal::BadManifest(_) => "bad_manifest",
            Refusal::AbiMajor { .. } => "abi_major",
            Refusal::HostTooOld { .. } => "host_too_old",
            Refusal::Target { .. } => "target",
            Refusal::LeftOut(_) => "left_out",
            Refusal::Quarantined(_) => "quarantined",
            Refusal::TrialCrashed { .. } => "trial_crashed",
            Refusal::TrialHung(_) => "trial_hung",
            Refusal::AbortsOnPanic => "aborts_on_panic",
            Refusal::Duplicate { .. } => "duplicate",
            Refusal::Library(_) => "library",
            Refusal::NoSymbol(_) => "no_symbol",
            Refusal::Layout(_) => "layout",
            Refusal::InitFailed(_) => "init_failed",
            Refusal::InitPanicked(_) => "init_panicked",
            Refusal::InitHung(_) => "init_hung",
            Refusal::NotTried(_) => "not_tried",
            Refusal::TooManyGenerations { .. } => "too_many_generations",
            Refusal::DoesNotFit(_) => "does_not_fit",
        }
    }
}

impl fmt::Display for Refusal {
    #[allow(clippy::too_many_lines, reason = "an arm for each reason, which nothing is hidden in")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Refusal::NotAFile => f.write_str("is not a regular file"),
            Refusal::LinkOut(to) => write!(f, "is a link out of its folder, to {}", to.display()),
            Refusal::ForeignOwner { path, uid } => write!(
                f,
                "{} belongs to uid {uid}, neither root nor the user this host runs as: chown it",
                path.display()
            ),
            Refusal::Writable { path, by } => {
                let (who, mode) = by.words();
                write!(f, "{} may be written by {who}: chmod {mode} it", path.display())
            }
            Refusal::NotAllowed(sha) => write!(f, "its sha256 {sha} is not in host.allow"),
            Refusal::NotElf(why) => write!(f, "is not a whole shared library (ELF): {why}"),
            Refusal::Architecture { theirs, ours } => {
                write!(f, "is built for {theirs}, this host is {ours}")
            }
            Refusal::NotAPlugin => {
                f.write_str("is a library without a plugin manifest: not a Jackfield plugin")
            }
            Refusal::BadManifest(why) => write!(f, "has a manifest that cannot be read: {why}"),
            Refusal::AbiMajor { theirs, ours } => write!(
                f,
                "is built for plugin ABI {theirs}, this host has {ours}: rebuild it against {ours}"
            ),
            Refusal::HostTooOld { needs, ours, lacking } => write!(
                f,
                "needs a host with plugin ABI minor {needs} or newer, this one has {ours}: it uses {lacking}"
            ),
            Refusal::Target { theirs, ours } => {
                write!(f, "is built for {theirs}, this host is {ours}")
            }
            Refusal::LeftOut(left) => write!(f, "is left out (host.plugins_after_crash) {left}"),
            Refusal::Quarantined(kept) => write!(f, "is in quarantine {kept}"),
            Refusal::TrialCrashed { how, last: None } => {
                write!(f, "ended its trial process: {how}")
            }
            Refusal::TrialCrashed { how, last: Some(last) } => {
                write!(f, "ended its trial process: {how}, after {last:?}")
            }
            Refusal::TrialHung(limit) => {
                write!(f, "did not load, start and stop within {limit:?} in its trial process")
            }
            Refusal::AbortsOnPanic => f.write_str(
                "is built with panic = \"abort\", so that a panic of it would end the host: build it \
                 with \"unwind\", or set host.danger_allow_abort_on_panic",
            ),
            Refusal::Duplicate { what, name, first } => {
                write!(f, "has the {what} {name:?}, which {} already has", first.display())
            }
            Refusal::Library(why) => write!(f, "the system cannot load it: {why}"),
            Refusal::NoSymbol(why) => write!(f, "does not export its table: {why}"),
            Refusal::Layout(why) => write!(f, "its tables do not fit this ABI: {why}"),
            Refusal::InitFailed(why) => write!(f, "failed to start: {why}"),
            Refusal::InitPanicked(why) => write!(f, "panicked while starting: {why}"),
            Refusal::InitHung(limit) => write!(f, "did not start within {limit:?}"),
            Refusal::NotTried(hung) => write!(
                f,
                "was not tried: {} hangs in the system's loader, which loads one file at a time",
                hung.display()
            ),
            Refusal::TooManyGenerations { plugin, most } => write!(
                f,
                "would be one more than {most} different files of {plugin} since the host started \
                 (reload.plugins.generations), and code is never unloaded: restart the host"
            ),
            Refusal::DoesNotFit(why) => {
                write!(f, "does not accept options that are in use, so it is not used: {why}")
            }
        }
    }
}

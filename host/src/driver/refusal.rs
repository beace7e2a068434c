//! Why a plugin file was not taken: one typed reason for each file, with what to do about it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

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
    /// It belongs to somebody who is neither root nor the user that the host runs as.
    ForeignOwner(u32),
    /// Others may write it, or its folder.
    Writable(PathBuf),
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
}

impl Refusal {
    /// A short stable word for scripts and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Unreadable(_) => "unreadable",
            Refusal::NotAFile => "not_a_file",
            Refusal::LinkOut(_) => "link_out",
            Refusal::ForeignOwner(_) => "foreign_owner",
            Refusal::Writable(_) => "writable",
            Refusal::NotAllowed(_) => "not_allowed",
            Refusal::NotElf(_) => "not_elf",
            Refusal::Architecture { .. } => "architecture",
            Refusal::NotAPlugin => "not_a_plugin",
            Refusal::BadManifest(_) => "bad_manifest",
            Refusal::AbiMajor { .. } => "abi_major",
            Refusal::HostTooOld { .. } => "host_too_old",
            Refusal::Target { .. } => "target",
            Refusal::Duplicate { .. } => "duplicate",
            Refusal::Library(_) => "library",
            Refusal::NoSymbol(_) => "no_symbol",
            Refusal::Layout(_) => "layout",
            Refusal::InitFailed(_) => "init_failed",
            Refusal::InitPanicked(_) => "init_panicked",
            Refusal::InitHung(_) => "init_hung",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Refusal::NotAFile => f.write_str("is not a regular file"),
            Refusal::LinkOut(to) => write!(f, "is a link out of its folder, to {}", to.display()),
            Refusal::ForeignOwner(uid) => write!(
                f,
                "belongs to uid {uid}, neither root nor the user this host runs as: chown it"
            ),
            Refusal::Writable(path) => {
                write!(f, "{} may be written by everybody: chmod o-w it", path.display())
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
            Refusal::Duplicate { what, name, first } => {
                write!(f, "has the {what} {name:?}, which {} already has", first.display())
            }
            Refusal::Library(why) => write!(f, "the system cannot load it: {why}"),
            Refusal::NoSymbol(why) => write!(f, "does not export its table: {why}"),
            Refusal::Layout(why) => write!(f, "its tables do not fit this ABI: {why}"),
            Refusal::InitFailed(why) => write!(f, "failed to start: {why}"),
            Refusal::InitPanicked(why) => write!(f, "panicked while starting: {why}"),
            Refusal::InitHung(limit) => write!(f, "did not start within {limit:?}"),
        }
    }
}

//! Three planes cross:
//!
//! 1. **Probe**: a JSON manifest in an ELF section ([`section`](crate::section)), read without running
//!    anything.
//! 2. **Control**, rare calls: [`PluginModule`](crate::PluginModule) and
//!    [`HostServices`](crate::services::HostServices), `abi_stable` prefix types, append only, whose
//!    layouts are compared in both directions when a plugin is loaded. Options and operation parameters
//!    cross as JSON text against the driver's own JSON Schema.
//! 3. **Data**, every byte: plain `repr(C)` tables of `extern "C"` poll functions ([`raw`](crate::raw)),
//!    size first, with the caller's buffers and a borrowed waker.
//!
//! The whole ABI as data: what the committed snapshot `abi/1.lock` holds, and its fingerprint.
//!
//! The snapshot may be regenerated on purpose until the first tagged release; from then on it changes
//! by appends only, each of which raises [`ABI_MINOR`](crate::ABI_MINOR).

use crate::manifest::{ABI_MAJOR, ABI_MINOR};
#[cfg(any(test, feature = "testing"))]
use crate::raw::layout::Field;
use crate::raw::layout::{Declared, Layout};

macro_rules! layouts {
    ($($type:ty,)*) => { &[$(<$type as Declared>::LAYOUT,)*] };
}

/// Everything that crosses.
const LAYOUTS: &[Layout] = layouts![
    crate::module::PluginModule,
    crate::services::HostServices,
    crate::raw::Home,
    crate::raw::RawStr,
    crate::raw::RawBuf,
    crate::raw::RawError,
    crate::raw::RawWaker,
    crate::raw::WakerTable,
    crate::services::RawPair,
    crate::raw::RawObject<()>,
    crate::op::RawOption<u64>,
    crate::raw::OpTable,
    crate::raw::RawAddress,
    crate::raw::RawRequest,
    crate::raw::SessionTable,
    crate::raw::ListenerTable,
    crate::raw::StreamTable,
    crate::raw::RawSlice,
    crate::raw::MessagesTable,
    crate::raw::RawMessage,
    crate::raw::DatagramsTable,
    crate::raw::RawDatagram,
    crate::raw::RawAddr,
    crate::raw::ExchangeTable,
    crate::raw::RawEnvelope,
    crate::raw::RawIncoming,
    crate::raw::AnswerTable,
    crate::raw::BodyTable,
    crate::raw::NextTable,
    crate::services::RawSocket,
    crate::services::TimerTable,
    crate::services::FdTable,
];

/// FNV-1a over names, offsets and sizes of all fields up to a minor. Types as text are left out: they
/// are no part of what lies in memory, and compilers write them differently.
const fn fingerprint(minor: u32) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < LAYOUTS.len() {
        hash = text(hash, LAYOUTS[at].name);
        let mut index = 0;
        while index < LAYOUTS[at].fields.len() {
            let field = &LAYOUTS[at].fields[index];
            if field.since <= minor {
                hash = text(hash, field.name);
                hash = number(number(hash, field.offset), field.size);
            }
            index += 1;
        }
        at += 1;
    }
    hash
}

const fn byte(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
}

const fn text(mut hash: u64, text: &str) -> u64 {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        hash = byte(hash, bytes[at]);
        at += 1;
    }
    byte(hash, 0xff)
}

const fn number(mut hash: u64, value: usize) -> u64 {
    let bytes = (value as u64).to_le_bytes();
    let mut at = 0;
    while at < bytes.len() {
        hash = byte(hash, bytes[at]);
        at += 1;
    }
    hash
}

/// How many minors there are.
const MINORS: usize = ABI_MINOR as usize + 1;

/// The fingerprint of each minor, from 0 to this crate's own. Two sides fit if those of the minors that
/// both have are equal.
pub const FINGERPRINTS: [u64; MINORS] = {
    let mut all = [0; MINORS];
    let mut minor = 0_u32;
    while (minor as usize) < MINORS {
        all[minor as usize] = fingerprint(minor);
        minor += 1;
    }
    all
};

/// Why a plugin with these fingerprints does not fit, if it does not.
#[cfg(feature = "host")]
pub fn mismatch(theirs: &[String]) -> Option<String> {
    if theirs.is_empty() {
        return Some(
            "it carries no fingerprint of its tables: built before they were pinned".into(),
        );
    }
    let pairs = theirs.iter().zip(FINGERPRINTS).enumerate();
    pairs.map(|(minor, (theirs, ours))| (minor, theirs, format!("{ours:016x}"))).find_map(
        |(minor, theirs, ours)| {
            (*theirs != ours).then(|| {
                format!("its tables of ABI {ABI_MAJOR}.{minor} have the form {theirs}, not {ours}")
            })
        },
    )
}

/// The snapshot's text: each struct with its fields, then the numbers that cross.
#[cfg(any(test, feature = "testing"))]
pub fn snapshot() -> String {
    use std::fmt::Write as _;
    let mut out = format!("# The plugin ABI {ABI_MAJOR}.{ABI_MINOR} on 64-bit targets.\n");
    for (minor, fingerprint) in FINGERPRINTS.iter().enumerate() {
        let _ = writeln!(out, "fingerprint {ABI_MAJOR}.{minor} {fingerprint:016x}");
    }
    for layout in LAYOUTS {
        let growth = if layout.grows { "grows" } else { "frozen" };
        let _ = writeln!(out, "\n{} ({growth})", layout.name);
        for Field { name, offset, size, kind, since } in layout.fields {
            let kind = tidy(kind);
            let since = if *since == 0 { String::new() } else { format!(" since {since}") };
            let _ = writeln!(out, "{offset:5} {size:3} {name}: {kind}{since}");
        }
    }
    out.push_str("\nnumbers\n");
    for (name, value) in numbers() {
        let _ = writeln!(out, "{name} = {value}");
    }
    out
}

/// A type as text without the white space that compilers put in differently.
#[cfg(any(test, feature = "testing"))]
fn tidy(kind: &str) -> String {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "_\"".contains(c));
    kind.split_whitespace().fold(String::new(), |mut text, word| {
        if is_word(text.chars().next_back()) && is_word(word.chars().next()) {
            text.push(' ');
        }
        text.push_str(word);
        text
    })
}

#[cfg(any(test, feature = "testing"))]
fn numbers() -> Vec<(String, i64)> {
    use crate::error::{ErrorKind, Origin, Retry};
    use crate::services::{Interest, Level, SocketKind};
    let mut all = vec![
        ("PENDING".to_owned(), crate::raw::PENDING),
        ("FAILED".to_owned(), crate::raw::FAILED),
        ("role.client".to_owned(), i64::from(crate::module::CLIENT)),
        ("role.server".to_owned(), i64::from(crate::module::SERVER)),
        ("role.handler".to_owned(), i64::from(crate::module::HANDLER)),
        ("role.interceptor".to_owned(), i64::from(crate::module::INTERCEPTOR)),
        ("interest.read".to_owned(), i64::from(Interest::Read as u32)),
        ("interest.write".to_owned(), i64::from(Interest::Write as u32)),
        ("level.error".to_owned(), i64::from(Level::Error as u32)),
        ("level.trace".to_owned(), i64::from(Level::Trace as u32)),
        ("socket.tcp".to_owned(), i64::from(SocketKind::Tcp as u32)),
        ("socket.unix".to_owned(), i64::from(SocketKind::Unix as u32)),
        ("socket.udp".to_owned(), i64::from(SocketKind::Udp as u32)),
        ("socket.unix_datagram".to_owned(), i64::from(SocketKind::UnixDatagram as u32)),
    ];
    all.extend(ErrorKind::ALL.iter().map(|it| (format!("error.{it}"), i64::from(*it as u32))));
    all.extend(Origin::ALL.iter().map(|it| (format!("origin.{it}"), i64::from(*it as u32))));
    all.extend(Retry::ALL.iter().map(|it| (format!("retry.{it}"), i64::from(*it as u32))));
    all.extend(
        crate::facets::Facets::NAMES.iter().map(|(facet, name)| {
            (format!("facet.{name}"), i64::from(facet.bits().trailing_zeros()))
        }),
    );
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_ABI=1 cargo test -p jackfield-plugin-api abi` writes it anew.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_abi_is_what_its_snapshot_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/abi/1.lock");
        let now = snapshot();
        if std::env::var_os("UPDATE_ABI").is_some() {
            std::fs::write(path, &now).expect("to be written");
        }
        let pinned = std::fs::read_to_string(path).expect("abi/1.lock");
        assert_eq!(differences(&pinned, &now), Vec::<String>::new(), "the ABI has changed");
    }

    /// What of `pinned` is not so any more. Appends that raise the minor are no difference.
    fn differences(pinned: &str, now: &str) -> Vec<String> {
        let minor_of = |text: &str| text.lines().filter(|line| line.starts_with("finger")).count();
        if minor_of(now) == minor_of(pinned) {
            let gone = pinned.lines().filter(|line| !now.lines().any(|new| new == *line));
            let come = now.lines().filter(|line| !pinned.lines().any(|old| old == *line));
            return gone
                .map(|line| format!("- {line}"))
                .chain(come.map(|line| format!("+ {line}")))
                .collect();
        }
        // A new minor keeps every line but the title.
        let gone = pinned.lines().skip(1).filter(|line| !now.lines().any(|new| new == *line));
        gone.map(|line| format!("- {line}")).collect()
    }

    #[test]
    fn what_was_pinned_may_be_added_to_by_a_new_minor_only() {
        let pinned = "# 1.0\nfingerprint 1.0 aa\n\nT (grows)\n    0   8 size: usize\n";
        let grown = "# 1.1\nfingerprint 1.0 aa\nfingerprint 1.1 bb\n\nT (grows)\n    0   8 size: usize\n    8   8 peek: usize since 1\n";
        let same_minor = grown.replace("fingerprint 1.1 bb\n", "");
        let broken = grown.replace("    0   8 size", "    0   4 size");
        assert!(differences(pinned, pinned).is_empty());
        assert!(differences(pinned, grown).is_empty());
        assert!(!differences(pinned, &same_minor).is_empty(), "an append must raise the minor");
        assert!(!differences(pinned, &broken).is_empty(), "what stands must not change");
    }

    #[test]
    fn what_grows_starts_with_its_size_and_appends_only() {
        for layout in LAYOUTS {
            let first = &layout.fields[0];
            let others = ["PluginModule", "HostServices", "RawDatagram"];
            if layout.grows && !others.contains(&layout.name) {
                assert_eq!(
                    (first.name, first.offset, first.kind),
                    ("size", 0, "usize"),
                    "{}",
                    layout.name
                );
            }
            assert!(
                layout.fields.windows(2).all(|pair| pair[0].since <= pair[1].since
                    && pair[0].offset + pair[0].size <= pair[1].offset),
                "{}: fields are in order of their minors",
                layout.name
            );
            assert!(layout.grows || layout.fields.iter().all(|field| field.since == 0));
        }
    }
}

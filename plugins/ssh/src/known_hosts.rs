//! Reading a known-hosts file as OpenSSH does (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): patterns with
//! wildcards and negation, hashed names, `[host]:port`, `@revoked`.
//!
//! `@cert-authority` lines are passed over: certificates of hosts are not asked for.

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, PublicKey};
use sha1::Sha1;

/// What a file says of one host.
#[derive(Debug, Default)]
pub(crate) struct KnownHosts {
    keys: Vec<Known>,
    /// The first line that could not be read, counted from 1.
    pub(crate) unreadable: Option<usize>,
}

#[derive(Debug)]
struct Known {
    line: usize,
    revoked: bool,
    key: KeyData,
}

/// What a file says of a host's key; lines are counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The key is the host's.
    Known,
    /// The file has no key of this host.
    Unknown,
    /// The file has other keys of this host, the first of them in this line.
    Changed(usize),
    /// The key must not be used.
    Revoked(usize),
}

impl KnownHosts {
    /// The lines of `text` that are about `host` and `port`.
    pub(crate) fn parse(text: &str, host: &str, port: u16) -> Self {
        let name = name_of(host, port);
        let mut known = KnownHosts::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match entry(line) {
                Some(entry) if matches(entry.host_patterns(), &name) => known.add(number, &entry),
                Some(_) => {}
                None => known.unreadable = known.unreadable.or(Some(number)),
            }
        }
        known
    }

    fn add(&mut self, line: usize, entry: &Entry) {
        if entry.marker() == Some(&Marker::CertAuthority) {
            return;
        }
        let revoked = entry.marker() == Some(&Marker::Revoked);
        self.keys.push(Known { line, revoked, key: entry.public_key().key_data().clone() });
    }

    /// Judges the key that a host has shown.
    pub(crate) fn judge(&self, key: &PublicKey) -> Verdict {
        let of_key = || self.keys.iter().filter(|known| known.key == *key.key_data());
        if let Some(known) = of_key().find(|known| known.revoked) {
            return Verdict::Revoked(known.line);
        }
        if of_key().next().is_some() {
            return Verdict::Known;
        }
        let other = self.keys.iter().find(|known| !known.revoked);
        other.map_or(Verdict::Unknown, |known| Verdict::Changed(known.line))
    }

    /// Whether the file has a usable key of this host with that algorithm. Servers have several
    /// keys; the one to ask for is the one that is known.
    pub(crate) fn has_algorithm(&self, algorithm: &Algorithm) -> bool {
        self.keys.iter().filter(|known| !known.revoked).any(|known| {
            match (known.key.algorithm(), algorithm) {
                (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
                (have, want) => have == *want,
            }
        })
    }
}

/// A host's name in the file: the port only when it is not 22 (RFC 4251 knows no such form; it is
/// OpenSSH's).
pub(crate) fn name_of(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// A line as an entry. Fields may be separated by several blanks or tabs.
fn entry(line: &str) -> Option<Entry> {
    line.split_whitespace().collect::<Vec<_>>().join(" ").parse().ok()
}

fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
            .is_ok_and(|hmac| hmac.chain_update(name).verify_slice(hash).is_ok()),
        HostPatterns::Patterns(patterns) => {
            let mut found = false;
            for pattern in patterns {
                match pattern.strip_prefix('!') {
                    Some(pattern) if glob(pattern, name) => return false,
                    Some(_) => {}
                    None => found = found || glob(pattern, name),
                }
            }
            found
        }
    }
}

/// Matches `*` and `?`, without regard to case. Linear in time for each star.
fn glob(pattern: &str, name: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase().into_bytes();
    let name = name.as_bytes();
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at + 1, from));
                at += 1;
            }
            (Some(letter), _) if *letter == b'?' || *letter == name[from] => {
                at += 1;
                from += 1;
            }
            // What the last star takes grows by one, and the rest is tried again.
            (_, Some((after, start))) => {
                star = Some((after, start + 1));
                at = after;
                from = start + 1;
            }
            _ => return false,
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";
    const SECOND: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn key(text: &str) -> PublicKey {
        text.parse().expect("a key")
    }

    fn judge(file: &str, host: &str, port: u16, shown: &str) -> Verdict {
        KnownHosts::parse(file, host, port).judge(&key(shown))
    }

    #[test]
    fn a_key_is_known_changed_or_unknown() {
        let file = format!("# ours\n\nlab,10.0.0.7 {FIRST} a comment\n");
        assert_eq!(judge(&file, "LAB", 22, FIRST), Verdict::Known);
        assert_eq!(judge(&file, "10.0.0.7", 22, FIRST), Verdict::Known);
        assert_eq!(judge(&file, "lab", 22, SECOND), Verdict::Changed(3));
        assert_eq!(judge(&file, "lab2", 22, FIRST), Verdict::Unknown);
        assert_eq!(judge("", "lab", 22, FIRST), Verdict::Unknown);
    }

    #[test]
    fn a_port_is_part_of_the_name() {
        let file = format!("[lab]:2222 {FIRST}");
        assert_eq!(judge(&file, "lab", 2222, FIRST), Verdict::Known);
        assert_eq!(judge(&file, "lab", 22, FIRST), Verdict::Unknown);
        assert_eq!(judge(&format!("lab {FIRST}"), "lab", 2222, FIRST), Verdict::Unknown);
    }

    #[test]
    fn a_revoked_key_stays_revoked_wherever_the_line_stands() {
        let file = format!("lab {FIRST}\n@revoked * {FIRST}\n");
        assert_eq!(judge(&file, "lab", 22, FIRST), Verdict::Revoked(2));
        // Only a revoked line: another key is unknown, not changed.
        assert_eq!(judge(&format!("@revoked * {FIRST}"), "lab", 22, SECOND), Verdict::Unknown);
    }

    #[test]
    fn an_authority_is_no_host_key() {
        let file = format!("@cert-authority *.lab {FIRST}");
        assert_eq!(judge(&file, "a.lab", 22, FIRST), Verdict::Unknown);
    }

    #[test]
    fn wildcards_and_negation() {
        let file = format!("*.lab,!b?d.lab {FIRST}");
        assert_eq!(judge(&file, "good.lab", 22, FIRST), Verdict::Known);
        assert_eq!(judge(&file, "bad.lab", 22, FIRST), Verdict::Unknown);
        assert_eq!(judge(&file, "lab", 22, FIRST), Verdict::Unknown);
        assert!(glob("a*b*c", "aXbYbZc") && !glob("a*b*c", "aXbYbZ") && glob("*", ""));
    }

    #[test]
    fn hashed_names() {
        // What `ssh-keygen -H` made of [lab.example]:2222.
        let hashed = "|1|mwxQh330zktfuJ4FGmTvHuFvtZc=|h1zRBzM0mjKw/6k2mxdJiVqdpbA=";
        let file = format!("{hashed} {FIRST}");
        assert_eq!(judge(&file, "lab.example", 2222, FIRST), Verdict::Known);
        assert_eq!(judge(&file, "lab.example", 2223, FIRST), Verdict::Unknown);
    }

    #[test]
    fn unreadable_lines_are_counted_from_one() {
        let file = format!("lab {FIRST}\nnonsense\n@unknown lab {FIRST}\nlab\t {SECOND}\n");
        let known = KnownHosts::parse(&file, "lab", 22);
        assert_eq!(known.unreadable, Some(2));
        assert_eq!(known.judge(&key(SECOND)), Verdict::Known);
    }

    #[test]
    fn the_known_algorithm_is_the_one_to_ask_for() {
        let known = KnownHosts::parse(&format!("lab {FIRST}"), "lab", 22);
        assert!(known.has_algorithm(&Algorithm::Ed25519));
        assert!(!known.has_algorithm(&Algorithm::Rsa { hash: None }));
    }
}

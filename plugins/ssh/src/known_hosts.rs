//! Reading a known-hosts file as OpenSSH does (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): patterns with
//! wildcards and negation, hashed names, `[host]:port`, `@revoked`, `@cert-authority`.
//!
//! A line without a port holds for every port of the host, unless there is one with the port.

use crate::pattern::matches_pattern;
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::{Algorithm, Certificate, PublicKey};
use sha1::Sha1;
use ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use ssh_key::public::KeyData;

/// What a file says of one host.
#[derive(Debug, Default)]
pub(crate) struct KnownHosts {
    /// Of the host with its port; without it where the port is the usual one.
    named: Lines,
    /// Of the host without its port, where that is another.
    portless: Lines,
    /// The first line that could not be read, counted from 1.
    pub(crate) unreadable: Option<usize>,
}

/// The lines that have one name.
#[derive(Debug, Default)]
struct Lines(Vec<Known>);

#[derive(Debug)]
struct Known {
    line: usize,
    marker: Option<Marker>,
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
    /// The key, or the authority that vouches for it, must not be used.
    Revoked(usize),
}

impl Lines {
    fn with<'a>(&'a self, marker: Option<&'a Marker>) -> impl Iterator<Item = &'a Known> {
        self.0.iter().filter(move |known| known.marker.as_ref() == marker)
    }

    fn revoked(&self, keys: &[&KeyData]) -> Option<Verdict> {
        let mut revoked = self.with(Some(&Marker::Revoked));
        revoked.find(|known| keys.contains(&&known.key)).map(|known| Verdict::Revoked(known.line))
    }

    fn judge(&self, key: &KeyData) -> Verdict {
        if let Some(revoked) = self.revoked(&[key]) {
            return revoked;
        }
        if self.with(None).any(|known| known.key == *key) {
            return Verdict::Known;
        }
        self.with(None).next().map_or(Verdict::Unknown, |known| Verdict::Changed(known.line))
    }

    /// Whether an authority of this host has signed the certificate.
    fn judge_certificate(&self, certificate: &Certificate) -> Verdict {
        let authority = certificate.signature_key();
        if let Some(revoked) = self.revoked(&[certificate.public_key(), authority]) {
            return revoked;
        }
        match self.with(Some(&Marker::CertAuthority)).any(|known| known.key == *authority) {
            true => Verdict::Known,
            false => Verdict::Unknown,
        }
    }
}

impl KnownHosts {
    /// The lines of `text` that are about `host` and `port`.
    pub(crate) fn parse(text: &str, host: &str, port: u16) -> Self {
        let (name, bare) = (name_of(host, port), name_of(host, USUAL_PORT));
        let mut known = KnownHosts::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some(entry) = entry(line) else {
                known.unreadable = known.unreadable.or(Some(number));
                continue;
            };
            if matches(entry.host_patterns(), &name) {
                known.named.0.push(Known::new(number, &entry));
            }
            let patterns = entry.host_patterns();
            if name != bare && matches(patterns, &bare) && !excludes(patterns, &name) {
                known.portless.0.push(Known::new(number, &entry));
            }
        }
        known
    }

    /// Judges the key that a host has shown.
    pub(crate) fn judge(&self, key: &PublicKey) -> Verdict {
        self.either(|lines| lines.judge(key.key_data()))
    }

    /// Judges who vouches for the certificate that a host has shown; [`Verdict::Known`] is one of its authorities.
    /// The certificate itself is not checked.
    pub(crate) fn judge_certificate(&self, certificate: &Certificate) -> Verdict {
        self.either(|lines| lines.judge_certificate(certificate))
    }

    /// Lines with the port decide; those without are asked where they know nothing, and then may only
    /// agree or revoke, because they may be about another server of the host.
    fn either(&self, judge: impl Fn(&Lines) -> Verdict) -> Verdict {
        match judge(&self.named) {
            Verdict::Unknown => match judge(&self.portless) {
                agreed @ (Verdict::Known | Verdict::Revoked(_)) => agreed,
                _ => Verdict::Unknown,
            },
            verdict => verdict,
        }
    }

    /// Whether an authority is named for this host. Certificates are worth asking for then only.
    pub(crate) fn has_authority(&self) -> bool {
        let any = |lines: &Lines| lines.with(Some(&Marker::CertAuthority)).next().is_some();
        any(&self.named) || any(&self.portless)
    }

    /// Whether the file has a usable key of this host with that algorithm. Servers have several
    /// keys; the one to ask for is the one that is known.
    pub(crate) fn has_algorithm(&self, algorithm: &Algorithm) -> bool {
        let lines = match self.named.with(None).next() {
            Some(_) => &self.named,
            None => &self.portless,
        };
        lines.with(None).any(|known| match (known.key.algorithm(), algorithm) {
            (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
            (have, want) => have == *want,
        })
    }
}

impl Known {
    fn new(line: usize, entry: &Entry) -> Self {
        let key = entry.public_key().key_data().clone();
        Known { line, marker: entry.marker().cloned(), key }
    }
}

/// What is meant when no port is named.
const USUAL_PORT: u16 = 22;

/// A host's name in the file: the port only when it is not 22 (RFC 4251 knows no such form; it is
/// OpenSSH's).
pub(crate) fn name_of(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == USUAL_PORT { host } else { format!("[{host}]:{port}") }
}

/// A line as an entry. Fields may be separated by several blanks or tabs.
fn entry(line: &str) -> Option<Entry> {
    line.split_whitespace().collect::<Vec<_>>().join(" ").parse().ok()
}

/// Whether a line says that it is not about this name. OpenSSH takes such a line for the name without its port
/// nevertheless, if another pattern of it matches that.
fn excludes(patterns: &HostPatterns, name: &str) -> bool {
    let HostPatterns::Patterns(patterns) = patterns else { return false };
    let mut excluded = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!'));
    excluded.any(|pattern| matches_pattern(pattern, name))
}

fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
            .is_ok_and(|hmac| hmac.chain_update(name).verify_slice(hash).is_ok()),
        HostPatterns::Patterns(patterns) => {
            let mut found = false;
            for pattern in patterns {
                match pattern.strip_prefix('!') {
                    Some(pattern) if matches_pattern(pattern, name) => return false,
                    Some(_) => {}
                    None => found = found || matches_pattern(pattern, name),
                }
            }
            found
        }
    }
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
    fn a_line_without_port_holds_for_every_port_unless_there_is_one_with_it() {
        let file = format!("[lab]:2222 {FIRST}");
        assert_eq!(judge(&file, "lab", 2222, FIRST), Verdict::Known);
        assert_eq!(judge(&file, "lab", 22, FIRST), Verdict::Unknown);
        let bare = format!("lab {FIRST}");
        assert_eq!(judge(&bare, "lab", 2222, FIRST), Verdict::Known);
        // It may be about another server of the host, so that a new key is no change.
        assert_eq!(judge(&bare, "lab", 2222, SECOND), Verdict::Unknown);
        let both = format!("lab {FIRST}\n[lab]:2222 {SECOND}\n");
        assert_eq!(judge(&both, "lab", 2222, FIRST), Verdict::Changed(2));
        assert_eq!(judge(&both, "lab", 2222, SECOND), Verdict::Known);
        assert_eq!(judge(&both, "lab", 22, SECOND), Verdict::Changed(1));
        let not_there = format!("![lab]:2222,* {FIRST}");
        assert_eq!(judge(&not_there, "lab", 2222, FIRST), Verdict::Unknown);
        assert_eq!(judge(&not_there, "lab", 2223, FIRST), Verdict::Known);
        let revoked = format!("@revoked lab {FIRST}\n");
        assert_eq!(judge(&revoked, "lab", 2222, FIRST), Verdict::Revoked(1));
    }

    #[test]
    fn the_algorithm_to_ask_for_is_that_of_the_line_that_decides() {
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";
        let bare = KnownHosts::parse(&format!("lab {FIRST}"), "lab", 2222);
        assert!(bare.has_algorithm(&Algorithm::Ed25519));
        let both = format!("lab {FIRST}\n[lab]:2222 {ecdsa}");
        assert!(!KnownHosts::parse(&both, "lab", 2222).has_algorithm(&Algorithm::Ed25519));
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
        assert!(KnownHosts::parse(&file, "a.lab", 2222).has_authority());
        assert!(!KnownHosts::parse(&file, "a.other", 22).has_authority());
    }

    #[test]
    fn wildcards_and_negation() {
        let file = format!("*.lab,!b?d.lab {FIRST}");
        assert_eq!(judge(&file, "good.lab", 22, FIRST), Verdict::Known);
        assert_eq!(judge(&file, "bad.lab", 22, FIRST), Verdict::Unknown);
        assert_eq!(judge(&file, "lab", 22, FIRST), Verdict::Unknown);
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

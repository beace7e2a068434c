//! [`Trust`]: whether a host's key is to be believed, decided before anything secret is sent.

use crate::endpoint::{expand, read_text};
use crate::host_certificate;
use crate::known_hosts::{KnownHosts, Verdict, name_of};
use crate::options::{HostKeys, SshOptions};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use russh::keys::known_hosts::learn_known_hosts_path;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is believed of one host.
#[derive(Debug)]
pub(crate) struct Trust {
    host: String,
    port: u16,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    Any,
    Pinned(String),
    File { path: PathBuf, known: KnownHosts, learn: bool },
}

impl Trust {
    /// Reads what options say of `host` and `port`. May block on the file.
    ///
    /// # Errors
    /// The known-hosts file cannot be read, though it exists.
    pub(crate) fn load(options: &SshOptions, host: &str, port: u16) -> Result<Self> {
        let rule = match (&options.fingerprint, options.host_keys) {
            (Some(pin), _) => Rule::Pinned(pin.clone()),
            (None, HostKeys::DangerAny) => Rule::Any,
            (None, policy) => {
                let name = options.known_hosts.as_deref().unwrap_or("~/.ssh/known_hosts");
                let path = expand(name, "known_hosts")?;
                let text = read_text(&path, "known_hosts")?.unwrap_or_default();
                let known = KnownHosts::parse(&text, host, port);
                Rule::File { path, known, learn: policy == HostKeys::AcceptNew }
            }
        };
        Ok(Trust { host: host.to_owned(), port, rule })
    }

    /// `algorithms` for host keys, those first of which a key is known: a server shows the first one it has.
    pub(crate) fn order(&self, algorithms: &[Algorithm]) -> Vec<Algorithm> {
        let mut all = algorithms.to_vec();
        if let Rule::File { known, .. } = &self.rule {
            all.sort_by_key(|algorithm| !known.has_algorithm(algorithm));
        }
        all
    }

    /// Those of `algorithms` for which a certificate is asked: all but SHA-1 where an authority is known for the
    /// host, else none.
    pub(crate) fn certificates(&self, algorithms: &[Algorithm]) -> Vec<Algorithm> {
        let wanted = match &self.rule {
            Rule::File { known, .. } => known.has_authority(),
            Rule::Any | Rule::Pinned(_) => false,
        };
        let sha1 = Algorithm::Rsa { hash: None };
        algorithms.iter().filter(|algorithm| wanted && **algorithm != sha1).cloned().collect()
    }

    /// Decides on the certificate that the host has shown. As with OpenSSH, one that is not good is worth no
    /// less than the key in it.
    ///
    /// # Errors
    /// As [`Trust::check`].
    pub(crate) fn check_certificate(&self, certificate: &Certificate) -> Result<()> {
        let key = PublicKey::new(certificate.public_key().clone(), "");
        let Rule::File { path, known, .. } = &self.rule else { return self.check(&key) };
        let problem = match known.judge_certificate(certificate) {
            Verdict::Known => match host_certificate::check(certificate, &self.host, now()) {
                Ok(()) => return Ok(()),
                Err(problem) => problem,
            },
            Verdict::Revoked(line) => {
                let message = "the host key, or the authority of its certificate, is revoked";
                let error = self.refuse(message, &key).with("file", path.display());
                return Err(error.with("line", line));
            }
            _ => "is by an authority that is not known".to_owned(),
        };
        self.check(&key).map_err(|error| error.with("the host certificate", problem))
    }

    /// Decides on the key that the host has shown. May block on the file when it is to be added.
    ///
    /// # Errors
    /// [`ErrorKind::Untrusted`], with what to do.
    pub(crate) fn check(&self, key: &PublicKey) -> Result<()> {
        let shown = fingerprint(key);
        match &self.rule {
            Rule::Any => Ok(()),
            Rule::Pinned(pin) if *pin == shown => Ok(()),
            Rule::Pinned(pin) => {
                let message = "the host key is not the one that option fingerprint names";
                Err(self.refuse(message, key).with("expected", pin))
            }
            Rule::File { path, known, learn } => self.check_file(key, path, known, *learn),
        }
    }

    fn check_file(
        &self,
        key: &PublicKey,
        path: &Path,
        known: &KnownHosts,
        learn: bool,
    ) -> Result<()> {
        let place = |error: Error| error.with("file", path.display());
        match known.judge(key) {
            Verdict::Known => Ok(()),
            Verdict::Unknown if learn => learn_known_hosts_path(&self.host, self.port, key, path)
                .map_err(|error| {
                    Error::new(ErrorKind::Io, format!("cannot add the host key: {error}"))
                        .with("file", path.display())
                }),
            Verdict::Unknown => {
                let mut error = place(self.refuse("the host key is not known", key));
                if let Some(line) = known.unreadable {
                    error = error.with("unreadable line", line);
                }
                let line = key.to_openssh().unwrap_or_default();
                let line = format!("{} {line}", name_of(&self.host, self.port));
                Err(error.with("to trust it, after checking the fingerprint, add the line", line))
            }
            Verdict::Changed(line) => {
                let message = "the host key has CHANGED: this may be an attack (a machine in the middle), or \
                               the host was set up anew";
                Err(place(self.refuse(message, key))
                    .with("line", line)
                    .with("to trust it", "check the fingerprint with the owner, replace the line"))
            }
            Verdict::Revoked(line) => {
                Err(place(self.refuse("the host key is revoked", key)).with("line", line))
            }
        }
    }

    fn refuse(&self, message: &str, key: &PublicKey) -> Error {
        Error::new(ErrorKind::Untrusted, message)
            .with("host", name_of(&self.host, self.port))
            .with("fingerprint", fingerprint(key))
            .with("algorithm", key.algorithm())
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `SHA256:…`, as OpenSSH prints it.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use russh::keys::EcdsaCurve;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";

    fn trust(rule: Rule) -> Trust {
        Trust { host: "lab".to_owned(), port: 2222, rule }
    }

    fn file(path: &Path, text: &str, learn: bool) -> Rule {
        Rule::File { path: path.to_owned(), known: KnownHosts::parse(text, "lab", 2222), learn }
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_line_to_add() {
        let key: PublicKey = KEY.parse().expect("a key");
        let refused = trust(file(Path::new("/hosts"), "junk", false)).check(&key);
        let error = refused.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Untrusted);
        let text = error.to_string();
        for part in [&fingerprint(&key), "file=/hosts", "unreadable line=1", "[lab]:2222 ssh-ed"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_new_key_is_added_once_and_then_known() {
        let key: PublicKey = KEY.parse().expect("a key");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("known_hosts");
        trust(file(&path, "", true)).check(&key).expect("trust");
        let text = std::fs::read_to_string(&path).expect("the file");
        assert!(text.contains("[lab]:2222 ssh-ed25519 "), "{text}");
        trust(file(&path, &text, false)).check(&key).expect("trust");
    }

    #[test]
    fn a_pin_admits_its_key_only() {
        let key: PublicKey = KEY.parse().expect("a key");
        trust(Rule::Pinned(fingerprint(&key))).check(&key).expect("trust");
        let error = trust(Rule::Pinned("SHA256:other".to_owned())).check(&key);
        assert!(error.expect_err("a refusal").to_string().contains("SHA256:other"));
    }

    #[test]
    fn the_known_algorithm_comes_first() {
        let curve = EcdsaCurve::NistP256;
        let all = [Algorithm::Ed25519, Algorithm::Ecdsa { curve }];
        let ecdsa = "[lab]:2222 ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";
        let order = trust(file(Path::new("/hosts"), ecdsa, false)).order(&all);
        assert_eq!(order, [Algorithm::Ecdsa { curve }, Algorithm::Ed25519]);
    }

    #[test]
    fn certificates_are_asked_for_where_an_authority_is_known() {
        let all = [Algorithm::Ed25519, Algorithm::Rsa { hash: None }];
        let asked = |text: &str| trust(file(Path::new("/hosts"), text, false)).certificates(&all);
        assert_eq!(asked(&format!("@cert-authority lab {KEY}")), [Algorithm::Ed25519]);
        assert_eq!(asked(&format!("@cert-authority other {KEY}")), []);
        assert_eq!(asked(&format!("lab {KEY}")), []);
        assert_eq!(trust(Rule::Any).certificates(&all), []);
    }
}

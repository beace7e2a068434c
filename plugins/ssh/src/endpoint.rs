//! [`Endpoint`]: checked options with their key read, ready for many connections.

use crate::algorithms::{Algorithms, preferred};
use crate::credentials::Credentials;
use crate::options::{HostKeys, SshOptions};
use crate::trust::Trust;
use jackfield_plugin_api::{Address, Error, ErrorKind, Host, Result};
use russh::client::{Config, GexParams};
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What one place in a configuration says of ssh.
pub struct Endpoint {
    pub(crate) options: Arc<SshOptions>,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) algorithms: Algorithms,
    pub(crate) host: Host,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Checks options as a whole and reads the key they name.
    pub(crate) fn new(options: SshOptions, host: Host) -> Result<Self> {
        check(&options)?;
        let algorithms = Algorithms::new(&options.algorithms)?;
        let credentials = Arc::new(Credentials::load(&options)?);
        Ok(Endpoint { options: Arc::new(options), credentials, algorithms, host })
    }

    /// The account: of the URI, of the options, of the environment.
    ///
    /// # Errors
    /// None of them has one.
    pub(crate) fn user(&self, address: &Address) -> Result<String> {
        let named = address.user.clone().or_else(|| self.options.user.clone());
        named.or_else(|| std::env::var("USER").ok()).filter(|user| !user.is_empty()).ok_or_else(
            || Error::option("user", "no account: write ssh://USER@HOST or set the option"),
        )
    }

    /// The protocol crate's configuration, with host keys in the order in which `trust` wants them.
    ///
    /// # Errors
    /// Parameters that the crate does not take.
    pub(crate) fn config(&self, trust: &Trust) -> Result<Config> {
        let options = &self.options;
        let host_key = &self.algorithms.host_key;
        // As OpenSSH: groups of 2048 bits are common and not broken (RFC 9142 §1.1).
        let gex = GexParams::new(2048, 3072, 8192)
            .map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
        Ok(Config {
            client_id: russh::SshId::Standard(Cow::Borrowed(concat!(
                "SSH-2.0-Jackfield_",
                env!("CARGO_PKG_VERSION")
            ))),
            window_size: options.window_size,
            maximum_packet_size: options.packet_size,
            // Data goes to the inbox of its channel; these queues only carry the opening.
            channel_buffer_size: 8,
            preferred: preferred(
                &self.algorithms,
                trust.order(host_key),
                trust.certificates(host_key),
            ),
            gex,
            keepalive_interval: (options.keepalive > 0)
                .then(|| Duration::from_secs(u64::from(options.keepalive))),
            keepalive_max: usize::try_from(options.keepalive_max).unwrap_or(usize::MAX),
            ..Config::default()
        })
    }
}

fn check(options: &SshOptions) -> Result<()> {
    let fail = |name: &str, message: &str| Err(Error::option(name, message));
    let at_least_one = [
        ("columns", options.columns),
        ("rows", options.rows),
        ("keepalive_max", options.keepalive_max),
        ("channel_buffer", options.channel_buffer),
        ("events", options.events),
        ("sftp_transfers", options.sftp_transfers),
        ("sftp_timeout", options.sftp_timeout),
    ];
    if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
        return fail(name, "must be at least 1");
    }
    if !(1024..=65535).contains(&options.packet_size) {
        return fail("packet_size", "must be 1024 to 65535");
    }
    if options.sftp_window < 1024 {
        return fail("sftp_window", "must be at least 1024");
    }
    if !(1024..=261_120).contains(&options.sftp_block) {
        return fail("sftp_block", "must be 1024 to 261120");
    }
    if options.window_size < options.packet_size {
        return fail("window_size", "must be at least packet_size");
    }
    if options.exec.is_some() && options.subsystem.is_some() {
        return fail("subsystem", "the stream is either exec or subsystem, not both");
    }
    if options.pty == Some(true) && options.subsystem.is_some() {
        return fail("pty", "a subsystem has no terminal");
    }
    if options.key_file.is_none() && options.passphrase.is_some() {
        return fail("passphrase", "there is no key_file that it could open");
    }
    if options.key_file.is_none() && options.certificate.is_some() {
        return fail("certificate", "needs the key_file that it certifies");
    }
    if let Some(pin) = &options.fingerprint {
        if options.host_keys == HostKeys::DangerAny {
            return fail("fingerprint", "contradicts host_keys = \"danger_any\"");
        }
        let digest = pin.strip_prefix("SHA256:").unwrap_or_default();
        if digest.len() != 43 {
            return fail(
                "fingerprint",
                "must be SHA256: with 43 characters, as ssh-keygen -l prints",
            );
        }
    }
    Ok(())
}

/// Replaces `~/` at the beginning by the home folder.
pub(crate) fn expand(path: &str, option: &str) -> Result<PathBuf> {
    let Some(rest) = path.strip_prefix("~/") else { return Ok(PathBuf::from(path)) };
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let home = home.ok_or_else(|| Error::option(option, "there is no home folder for ~"))?;
    Ok(home.join(rest))
}

/// A file's text; `None` if there is no such file.
pub(crate) fn read_text(path: &Path, option: &str) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(ErrorKind::Io, format!("cannot read the file: {error}"))
            .with("option", option)
            .with("file", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackfield_plugin_api::testing;
    use serde_json::json;

    fn refused(options: serde_json::Value) -> String {
        let options = serde_json::from_value(options).expect("options of the right types");
        let error = Endpoint::new(options, testing::host()).expect_err("a refusal");
        let option = error.context().find(|(key, _)| *key == "option");
        option.map(|(_, name)| name.to_owned()).unwrap_or_default()
    }

    #[test]
    fn contradictions_name_the_option_at_fault() {
        assert_eq!(refused(json!({ "exec": "a", "subsystem": "b" })), "subsystem");
        assert_eq!(refused(json!({ "subsystem": "b", "pty": true })), "pty");
        assert_eq!(refused(json!({ "rows": 0 })), "rows");
        assert_eq!(refused(json!({ "packet_size": 100 })), "packet_size");
        assert_eq!(refused(json!({ "window_size": 1024 })), "window_size");
        assert_eq!(refused(json!({ "sftp_window": 1 })), "sftp_window");
        assert_eq!(refused(json!({ "sftp_block": 1_000_000 })), "sftp_block");
        assert_eq!(refused(json!({ "sftp_transfers": 0 })), "sftp_transfers");
        assert_eq!(refused(json!({ "passphrase": "x" })), "passphrase");
        assert_eq!(refused(json!({ "certificate": "x" })), "certificate");
        assert_eq!(refused(json!({ "fingerprint": "aa:bb" })), "fingerprint");
        let unknown = json!({ "algorithms": { "cipher": "+rot13" } });
        assert_eq!(refused(unknown), "algorithms.cipher");
        let answers = json!({ "answers": [{ "question": "(", "answer": "x" }] });
        assert_eq!(refused(answers), "answers");
        let pin = format!("SHA256:{}", "A".repeat(43));
        let both = json!({ "fingerprint": pin, "host_keys": "danger_any" });
        assert_eq!(refused(both), "fingerprint");
    }

    #[test]
    fn the_uri_names_the_account_before_the_option() {
        let options = serde_json::from_value(json!({ "user": "lab" })).expect("options");
        let endpoint = Endpoint::new(options, testing::host()).expect("an endpoint");
        let mut address = Address::new("host", 22);
        assert_eq!(endpoint.user(&address).expect("a user"), "lab");
        address.user = Some("root".to_owned());
        assert_eq!(endpoint.user(&address).expect("a user"), "root");
    }

    #[test]
    fn unknown_options_are_refused() {
        let parsed: Result<SshOptions, _> = serde_json::from_value(json!({ "exce": "a" }));
        assert!(parsed.expect_err("a refusal").to_string().contains("exce"));
    }
}

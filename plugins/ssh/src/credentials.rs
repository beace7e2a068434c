//! [`Credentials`]: what we can show a server of who we are.

use crate::answers::Answers;
use crate::endpoint::{expand, read_text};
use crate::key_file::{Problem, read_key};
use crate::options::SshOptions;
use jackfield_plugin_api::{Error, ErrorKind, Result, Secret, open_private};
use russh::keys::{Certificate, PrivateKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What options say of who we are; a key is read once, when options are checked.
pub(crate) struct Credentials {
    pub(crate) password: Option<Secret>,
    pub(crate) answers: Answers,
    pub(crate) key: Option<Key>,
    pub(crate) agent: Option<PathBuf>,
    /// The agent stands in the options, rather than being there by chance.
    pub(crate) agent_asked: bool,
}

/// A private key with its file's name, and its certificate if there is one.
pub(crate) struct Key {
    pub(crate) path: PathBuf,
    pub(crate) private: Arc<PrivateKey>,
    pub(crate) certificate: Option<Certificate>,
}

impl Credentials {
    /// Reads the key that options name.
    pub(crate) fn load(options: &SshOptions) -> Result<Self> {
        let key = options.key_file.as_deref().map(|name| load_key(name, options)).transpose()?;
        let wanted = options.agent.unwrap_or(key.is_none() && options.password.is_none());
        let named = options.agent_socket.clone();
        let socket = named.or_else(|| std::env::var("SSH_AUTH_SOCK").ok());
        if socket.is_none() && options.agent == Some(true) {
            let message = "SSH_AUTH_SOCK is not set; name the agent's socket in agent_socket";
            return Err(Error::option("agent", message));
        }
        let agent = socket.filter(|socket| wanted && !socket.is_empty());
        let agent = agent.map(|name| expand(&name, "agent_socket")).transpose()?;
        Ok(Credentials {
            password: options.password.clone(),
            answers: Answers::new(&options.answers)?,
            key,
            agent,
            agent_asked: options.agent == Some(true),
        })
    }
}

fn load_key(name: &str, options: &SshOptions) -> Result<Key> {
    let path = expand(name, "key_file")?;
    let text = std::io::read_to_string(open_private(&path, "key_file")?).map_err(|error| {
        Error::option("key_file", format!("cannot be read: {error}")).with("file", path.display())
    })?;
    let passphrase = options.passphrase.as_ref().map(Secret::expose);
    let private = read_key(&text, passphrase).map_err(|problem| key_error(problem, &path))?;
    let certificate = options.certificate.as_deref().map(load_certificate).transpose()?;
    if let Some(certificate) = &certificate
        && certificate.public_key() != private.public_key().key_data()
    {
        return Err(Error::option("certificate", "certifies another key than key_file"));
    }
    Ok(Key { path, private: Arc::new(private), certificate })
}

fn load_certificate(name: &str) -> Result<Certificate> {
    let path = expand(name, "certificate")?;
    let text = read_file(&path, "certificate")?;
    Certificate::from_openssh(text.trim()).map_err(|error| {
        Error::option("certificate", format!("not an OpenSSH certificate: {error}"))
            .with("file", path.display())
    })
}

fn read_file(path: &Path, option: &str) -> Result<String> {
    read_text(path, option)?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "there is no such file")
            .with("option", option)
            .with("file", path.display())
    })
}

fn key_error(problem: Problem, path: &Path) -> Error {
    let problem = match problem {
        Problem::Locked => {
            Error::option("passphrase", "the key is locked and needs its passphrase")
        }
        Problem::WrongPassphrase => {
            Error::option("passphrase", "the passphrase does not open the key")
        }
        Problem::Format(reason) => Error::option("key_file", reason),
    };
    problem.with("file", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn load(options: serde_json::Value) -> Result<Credentials> {
        Credentials::load(&serde_json::from_value(options).expect("options"))
    }

    fn refused(options: serde_json::Value) -> Error {
        load(options).err().expect("a refusal")
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = refused(json!({ "key_file": "/nowhere/id" }));
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("file=/nowhere/id"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "hello").expect("its text");
        let error = refused(json!({ "key_file": file.path() }));
        assert!(error.to_string().contains("option=key_file"), "{error}");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(file.path(), mode).expect("its mode");
        let error = refused(json!({ "key_file": file.path() }));
        assert!(error.to_string().contains("others may use (mode 0644)"), "{error}");
    }

    #[test]
    fn locked_keys_ask_for_their_passphrase_and_never_show_it() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), locked()).expect("its text");
        let error = refused(json!({ "key_file": file.path() }));
        assert!(error.to_string().contains("needs its passphrase"), "{error}");
        let error = refused(json!({ "key_file": file.path(), "passphrase": "wr0ng-one" }));
        assert!(error.to_string().contains("does not open"), "{error}");
        assert!(!format!("{error:?}").contains("wr0ng"), "{error:?}");
        load(json!({ "key_file": file.path(), "passphrase": "correct horse" })).expect("the key");
    }

    #[test]
    fn the_agent_is_for_those_without_key_and_password() {
        let with = json!({ "agent_socket": "/tmp/agent" });
        assert!(load(with).expect("credentials").agent.is_some());
        let with = json!({ "agent_socket": "/tmp/agent", "password": "x" });
        assert!(load(with).expect("credentials").agent.is_none());
        let with = json!({ "agent_socket": "/tmp/agent", "password": "x", "agent": true });
        assert!(load(with).expect("credentials").agent.is_some());
        let with = json!({ "agent_socket": "/tmp/agent", "agent": false });
        assert!(load(with).expect("credentials").agent.is_none());
    }

    /// A new key locked with "correct horse".
    fn locked() -> String {
        let mut rng = russh::keys::key::safe_rng();
        let key = PrivateKey::random(&mut rng, russh::keys::Algorithm::Ed25519).expect("a key");
        let key = key.encrypt(&mut rng, "correct horse").expect("a locked key");
        key.to_openssh(Default::default()).expect("its text").to_string()
    }

    #[test]
    fn what_is_no_private_key_is_told_by_its_name() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (text, what) in [
            ("ssh-ed25519 AAAA lab", "a public key"),
            ("SSH PRIVATE KEY FILE FORMAT 1.1\n", "SSH 1"),
            ("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "CERTIFICATE"),
            ("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n", "ssh.com"),
            ("-----BEGIN DSA PRIVATE KEY-----\n-----END DSA PRIVATE KEY-----\n", "ssh-dss"),
        ] {
            std::fs::write(file.path(), text).expect("its text");
            let error = refused(json!({ "key_file": file.path() }));
            assert!(error.message().contains(what), "{error}");
        }
    }
}

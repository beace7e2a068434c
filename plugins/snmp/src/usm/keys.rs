//! [`User`]: who speaks, with keys for each engine (RFC 3414 §2.6).

use super::cipher::PrivacyProtocol;
use super::hash::AuthProtocol;
use jackfield_plugin_api::{Error, Result, Secret};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// Engines whose keys are kept.
const ENGINES: usize = 1024;
/// The fewest bytes of a password (RFC 3414 §11.2).
const SHORTEST: usize = 8;

/// A user of version 3, with what passwords have been made into.
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) auth: AuthProtocol,
    pub(crate) privacy: PrivacyProtocol,
    /// Of no engine yet: what is slow is done once.
    auth_key: Zeroizing<Vec<u8>>,
    privacy_key: Zeroizing<Vec<u8>>,
    engines: Mutex<HashMap<Vec<u8>, Arc<Keys>>>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The keys of a user for one engine.
pub(crate) struct Keys {
    pub(crate) auth: Zeroizing<Vec<u8>>,
    pub(crate) privacy: Zeroizing<Vec<u8>>,
}

/// Which algorithms a user has, and whether weak ones may be.
#[derive(Clone, Copy)]
pub(crate) struct Algorithms {
    pub(crate) auth: AuthProtocol,
    pub(crate) privacy: PrivacyProtocol,
    pub(crate) weak: bool,
}

impl User {
    /// # Errors
    /// Naming the option at fault.
    pub(crate) fn new(
        name: &str,
        algorithms: Algorithms,
        auth_password: Option<&Secret>,
        privacy_password: Option<&Secret>,
    ) -> Result<Self> {
        let Algorithms { auth, privacy, weak } = algorithms;
        if name.is_empty() || name.len() > 32 {
            return Err(Error::option("user", "expected a name of 1 to 32 bytes"));
        }
        if privacy != PrivacyProtocol::None && auth == AuthProtocol::None {
            let text = "needs `auth`: what is encrypted is authenticated too (RFC 3414 §1.4.2)";
            return Err(Error::option("privacy", text));
        }
        if !weak && (auth == AuthProtocol::Md5 || privacy == PrivacyProtocol::Des) {
            let name = if auth == AuthProtocol::Md5 { "auth" } else { "privacy" };
            let text =
                "MD5 and DES are weak: `danger_weak_algorithms = true` takes them all the same";
            return Err(Error::option(name, text));
        }
        let auth_password =
            password("auth_password", "auth", auth != AuthProtocol::None, auth_password)?;
        let is_private = privacy != PrivacyProtocol::None;
        let privacy_password =
            password("privacy_password", "privacy", is_private, privacy_password)?;
        let same = auth_password == privacy_password;
        let auth_key = Zeroizing::new(auth.stretch(auth_password.as_bytes()));
        let privacy_key = if same {
            auth_key.clone()
        } else {
            Zeroizing::new(auth.stretch(privacy_password.as_bytes()))
        };
        let name = name.to_owned();
        Ok(User { name, auth, privacy, auth_key, privacy_key, engines: Mutex::default() })
    }

    /// Its keys for an engine (RFC 3414 §2.6), made once.
    pub(crate) fn keys(&self, engine: &[u8]) -> Arc<Keys> {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = engines.get(engine) {
            return Arc::clone(keys);
        }
        let keys = Arc::new(self.localised(engine));
        if engines.len() >= ENGINES {
            engines.clear();
        }
        engines.insert(engine.to_vec(), Arc::clone(&keys));
        keys
    }

    fn localised(&self, engine: &[u8]) -> Keys {
        let local = |key: &[u8]| self.auth.digest(&[key, engine, key]);
        let auth = Zeroizing::new(local(&self.auth_key));
        let mut privacy = Zeroizing::new(Vec::new());
        let size = self.privacy.key_size();
        if size > 0 {
            *privacy = local(&self.privacy_key);
            while privacy.len() < size {
                let more = Zeroizing::new(match self.privacy {
                    PrivacyProtocol::Aes192c | PrivacyProtocol::Aes256c => {
                        local(&self.auth.stretch(&privacy))
                    }
                    _ => self.auth.digest(&[&privacy]),
                });
                privacy.extend_from_slice(&more);
            }
            privacy.truncate(size);
        }
        Keys { auth, privacy }
    }
}

fn password<'a>(
    option: &str,
    protocol: &str,
    wanted: bool,
    given: Option<&'a Secret>,
) -> Result<&'a str> {
    match (wanted, given.map(Secret::expose)) {
        (true, Some(text)) if text.len() < SHORTEST => Err(Error::option(
            option,
            format!("expected at least {SHORTEST} characters (RFC 3414 §11.2)"),
        )),
        (true, Some(text)) => Ok(text),
        (true, None) => Err(Error::option(option, format!("must be there with `{protocol}`"))),
        (false, Some(_)) => {
            Err(Error::option(option, format!("has no meaning without `{protocol}`")))
        }
        (false, None) => Ok(""),
    }
}

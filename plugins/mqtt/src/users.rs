//! [`Users`]: who may connect to a listener.

use data_encoding::BASE64;
use jackfield_plugin_api::{Error, Result, Secret};
use pbkdf2::pbkdf2_hmac;
use sha2::Sha512;
use std::collections::BTreeMap;
use subtle::{Choice, ConstantTimeEq};

/// What a hash begins with that `mosquitto_passwd` has written: PBKDF2 with HMAC and SHA-512.
const HASHED: &str = "$7$";

/// The most rounds of a hash: some 100 ms.
const ROUNDS: u32 = 100_000;

/// How a client has presented itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Login {
    Admitted,
    /// Without the name of a user, and one is needed.
    Anonymous,
    Wrong,
}

/// Names and passwords.
pub(crate) struct Users {
    known: Vec<(String, Password)>,
    anonymous: bool,
}

enum Password {
    Plain(Secret),
    Hash { rounds: u32, salt: Vec<u8>, hash: Vec<u8> },
}

impl Users {
    /// # Errors
    /// A name or password is empty, or a hash is none.
    pub(crate) fn new(users: BTreeMap<String, Secret>, anonymous: bool) -> Result<Self> {
        let known = users.into_iter().map(|(name, password)| {
            if name.is_empty() || password.expose().is_empty() {
                return Err(Error::option("users", "expected names with passwords"));
            }
            let password = Password::new(password).ok_or_else(|| {
                let text = format!(
                    "the password of {name:?} begins as a hash and is none: expected \
                     $7$ROUNDS$SALT$HASH with at most {ROUNDS} rounds, as mosquitto_passwd writes it"
                );
                Error::option("users", text)
            })?;
            Ok((name, password))
        });
        Ok(Users { known: known.collect::<Result<_>>()?, anonymous })
    }

    /// Whether nobody is known, so that anyone may say any name.
    pub(crate) fn is_open(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether looking takes so long that others must not wait for it.
    pub(crate) fn is_slow(&self) -> bool {
        self.known.iter().any(|(_, password)| matches!(password, Password::Hash { .. }))
    }

    /// Looks who a client is. How long that takes says nothing of which letters are right.
    pub(crate) fn login(&self, user: Option<&str>, password: Option<&[u8]>) -> Login {
        // Where nobody is known a name is only said.
        let Some(user) = user.filter(|_| !self.known.is_empty()) else {
            return if self.anonymous { Login::Admitted } else { Login::Anonymous };
        };
        let password = password.unwrap_or_default();
        let named = self.known.iter().find(|(name, _)| name == user);
        // Who is not known takes as long as who is.
        let Some((_, asked)) = named.or(self.known.first()) else { return Login::Wrong };
        let right = asked.is(password) & Choice::from(u8::from(named.is_some()));
        if bool::from(right) { Login::Admitted } else { Login::Wrong }
    }
}

impl Password {
    fn new(secret: Secret) -> Option<Self> {
        let Some(hashed) = secret.expose().strip_prefix(HASHED) else {
            return Some(Password::Plain(secret));
        };
        let mut parts = hashed.trim_end().split('$');
        let rounds = parts.next()?.parse().ok().filter(|rounds| (1..=ROUNDS).contains(rounds))?;
        let bytes = |text: &str| BASE64.decode(text.as_bytes()).ok();
        let (salt, hash) = (bytes(parts.next()?)?, bytes(parts.next()?)?);
        let whole = parts.next().is_none() && hash.len() == 64;
        whole.then_some(Password::Hash { rounds, salt, hash })
    }

    fn is(&self, given: &[u8]) -> Choice {
        match self {
            Password::Plain(secret) => secret.expose().as_bytes().ct_eq(given),
            Password::Hash { rounds, salt, hash } => {
                let mut made = [0; 64];
                pbkdf2_hmac::<Sha512>(given, salt, *rounds, &mut made);
                made[..].ct_eq(hash)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Login, Users};
    use jackfield_plugin_api::Secret;

    /// Of "hunter2", by mosquitto_passwd 2.0.
    const HASH: &str = "$7$101$Z6z97rFMqWIPlGnx$YbilMNRYCLkceVMTTo0ROg1Lic7XJVWN42OBtDqj1SsPvOA//4XsVnBe/BCMvB5unz9v1HMvmLRt19+RCyhkBw==";

    fn users(all: &[(&str, &str)], anonymous: bool) -> jackfield_plugin_api::Result<Users> {
        let all = all.iter().map(|(name, password)| ((*name).to_owned(), Secret::new(*password)));
        Users::new(all.collect(), anonymous)
    }

    #[test]
    fn plain_passwords_and_hashes_of_mosquitto_let_in_who_has_them() {
        let known = users(&[("plain", "hunter2"), ("hashed", HASH)], false).unwrap();
        for (user, password, login) in [
            (Some("plain"), Some("hunter2"), Login::Admitted),
            (Some("hashed"), Some("hunter2"), Login::Admitted),
            (Some("hashed"), Some(HASH), Login::Wrong),
            (Some("plain"), Some("hunter"), Login::Wrong),
            (Some("hashed"), Some("Hunter2"), Login::Wrong),
            (Some("plain"), None, Login::Wrong),
            (Some("nobody"), Some("hunter2"), Login::Wrong),
            (Some(""), Some(""), Login::Wrong),
            (None, None, Login::Anonymous),
        ] {
            let told = known.login(user, password.map(str::as_bytes));
            assert_eq!(told, login, "{user:?} {password:?}");
        }
        assert!(known.is_slow());
    }

    #[test]
    fn anonymous_clients_may_connect_where_that_is_said() {
        for (said, login) in [(true, Login::Admitted), (false, Login::Anonymous)] {
            let open = users(&[], said).unwrap();
            assert_eq!(open.login(None, None), login);
            assert_eq!(open.login(Some("any"), Some(b"x")), login);
        }
        let both = users(&[("lab", "hunter2")], true).unwrap();
        assert_eq!(both.login(None, None), Login::Admitted);
        assert_eq!(both.login(Some("lab"), Some(b"x")), Login::Wrong);
    }

    #[test]
    fn what_begins_as_a_hash_and_is_none_is_refused_without_showing_it() {
        for wrong in ["$7$", "$7$101$c2FsdA==$aGFzaA==", "$7$0$c2FsdA==$", "$7$999999999$YQ==$YQ=="]
        {
            let error = users(&[("lab", wrong)], false).map(drop).unwrap_err().to_string();
            assert!(error.contains("\"lab\"") && !error.contains("YQ=="), "{error}");
        }
        assert!(users(&[("", "x")], false).is_err() && users(&[("lab", "")], false).is_err());
    }
}

//! [`Users`]: who may ask a listener (RFC 7617).

use data_encoding::BASE64;
use hyper::header::{self, HeaderMap, HeaderValue};
use jackfield_plugin_api::{Error, Result, Secret};
use std::collections::BTreeMap;
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// Tells a client how to be admitted.
pub(crate) const CHALLENGE: &str = "Basic realm=\"jackfield\", charset=\"UTF-8\"";

/// The users that may send requests; empty if anyone may.
#[derive(Default)]
pub(crate) struct Users(Vec<Secret>);

impl Users {
    pub(crate) fn new(users: &BTreeMap<String, Secret>) -> Result<Self> {
        let control = |text: &str| text.chars().any(char::is_control);
        for (name, password) in users {
            if name.is_empty() || name.contains(':') || control(name) {
                let message = format!("{name:?} is no user name: expected text without a colon");
                return Err(Error::option("users", message));
            }
            if password.expose().is_empty() || control(password.expose()) {
                let message = format!("{name:?} needs a password of text");
                return Err(Error::option("users", message));
            }
        }
        let pair = |(name, password): (&String, &Secret)| format!("{name}:{}", password.expose());
        Ok(Users(users.iter().map(pair).map(Secret::new).collect()))
    }

    /// Whether a request may pass. Its credentials are ours, and go no further.
    pub(crate) fn admit(&self, headers: &mut HeaderMap) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let known = match (given.next(), given.next()) {
            (Some(value), None) => self.knows(value),
            _ => false,
        };
        headers.remove(header::AUTHORIZATION);
        known
    }

    fn knows(&self, value: &HeaderValue) -> bool {
        let Some((scheme, rest)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
            return false;
        };
        let Ok(pair) = BASE64.decode(rest.trim_start().as_bytes()) else { return false };
        // How long it takes says nothing of which letters are right.
        let known = self
            .0
            .iter()
            .fold(Choice::from(0), |known, user| known | user.expose().as_bytes().ct_eq(&pair[..]));
        scheme.eq_ignore_ascii_case("basic") && known.into()
    }
}

/// Without anything of them.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.0.len())
    }
}

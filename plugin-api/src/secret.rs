//! [`Secret`]: text that never shows in logs, errors or `Debug`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A password, passphrase or token. In a driver's options its schema carries `x-secret: true`, by
/// which the host knows that `{ env = … }`, `{ file = … }` or `{ command = … }` may stand there.
///
/// Its memory is overwritten when it is dropped. Copies of the text that were made of [`Secret::expose`] are not,
/// such as those inside a library that is given the text.
#[derive(Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }
    /// The text itself: for the peer, never for a person.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Overwrites the text, all of its capacity.
impl Zeroize for Secret {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for Secret {}

impl Drop for Secret {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Serialised it is `"***"`: a default shown in a schema must not carry the value either.
impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-secret": true, "writeOnly": true })
    }
}

/// `target`, a URI or a path with its query, as it may be written to logs and errors: without the values of
/// its query, which may hold tokens. Figures, `true` and `false` stay.
///
/// ```
/// # use jackfield_plugin_api::mask_query;
/// assert_eq!(mask_query("/stream?token=secret&rate=9600"), "/stream?token=***&rate=9600");
/// assert_eq!(mask_query("/stream?secret"), "/stream?***");
/// ```
pub fn mask_query(target: &str) -> String {
    let Some((before, query)) = target.split_once('?') else { return target.to_owned() };
    let pairs: Vec<String> = query.split('&').map(masked_pair).collect();
    format!("{before}?{}", pairs.join("&"))
}

/// Digits that no token has so few of.
const FIGURE: usize = 9;

fn masked_pair(pair: &str) -> String {
    let is_harmless = |value: &str| {
        let is_figure = value.len() <= FIGURE && value.bytes().all(|byte| byte.is_ascii_digit());
        is_figure || matches!(value, "true" | "false")
    };
    match pair.split_once('=') {
        Some((_, value)) if is_harmless(value) => pair.to_owned(),
        Some((key, _)) => format!("{key}=***"),
        None if pair.is_empty() => String::new(),
        None => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Secret, mask_query};

    #[test]
    fn values_of_a_query_are_masked_unless_they_are_figures() {
        for (target, shown) in [
            ("/p", "/p"),
            ("/p?", "/p?"),
            ("ws://h/p?token=hunter2", "ws://h/p?token=***"),
            ("/p?a=&b=1&&c=true&d=hunter2?=&hunter2", "/p?a=&b=1&&c=true&d=***&***"),
            ("/p?key=1234567890", "/p?key=***"),
        ] {
            assert_eq!(mask_query(target), shown);
        }
    }

    #[test]
    fn a_secret_is_overwritten_where_it_stood_when_it_is_dropped() {
        fn is_overwritten_when_dropped<T: zeroize::ZeroizeOnDrop>(_: &T) {}
        let mut secret = Secret::new("hunter2");
        is_overwritten_when_dropped(&secret);
        zeroize::Zeroize::zeroize(&mut secret);
        assert_eq!(secret.expose(), "");
    }

    #[test]
    fn formatting_never_shows_the_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.expose(), "hunter2");
    }
}

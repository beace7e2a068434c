//! Header fields that options give to every request: `headers` and `bearer_token`. Their values are hidden
//! from `Debug` and from errors.

use http::header::{self, HeaderName, HeaderValue};
use jackfield_plugin_api::{Error, Result, Secret};
use std::collections::BTreeMap;

/// The fields of the options `headers` and `bearer_token`; of those that are `taken` the driver itself has
/// charge.
///
/// # Errors
/// [`Error::option`] for a name or value that is not well formed, for one that is taken, and where both
/// options give `authorization`.
pub fn given(
    headers: &BTreeMap<String, Secret>,
    bearer_token: Option<&Secret>,
    taken: impl Fn(&HeaderName) -> bool,
) -> Result<Vec<(HeaderName, HeaderValue)>> {
    let mut found = Vec::with_capacity(headers.len() + usize::from(bearer_token.is_some()));
    for (name, value) in headers {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            Error::option("headers", format!("{name:?} is not the name of a header"))
        })?;
        if taken(&header) {
            return Err(Error::option("headers", format!("{name:?} is set by the driver itself")));
        }
        found.push((header, hidden("headers", value.expose())?));
    }
    if let Some(token) = bearer_token {
        if found.iter().any(|(name, _)| name == header::AUTHORIZATION) {
            let message = "and `headers` with `authorization` exclude each other";
            return Err(Error::option("bearer_token", message));
        }
        let text = Secret::new(format!("Bearer {}", token.expose()));
        found.push((header::AUTHORIZATION, hidden("bearer_token", text.expose())?));
    }
    Ok(found)
}

/// A header value that does not show in `Debug`; the error does not show it either.
///
/// # Errors
/// [`Error::option`] for characters that no header may have.
pub fn hidden(option: &str, text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::option(option, "has a value with characters that no header may have")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::given;
    use http::header;
    use jackfield_plugin_api::Secret;
    use std::collections::BTreeMap;

    #[test]
    fn what_cannot_be_is_refused_and_nothing_is_shown() {
        let fields = |name: &str| BTreeMap::from([(name.to_owned(), Secret::new("s3cret"))]);
        let token = Secret::new("t0ken");
        let good = given(&fields("x-own"), Some(&token), |_| false).unwrap();
        assert_eq!(good[1].1, "Bearer t0ken");
        assert!(!format!("{good:?}").contains("s3cret") && !format!("{good:?}").contains("t0ken"));
        let broken = Secret::new("a\r\nb: s3cret");
        for error in [
            given(&fields("a b"), None, |_| false).unwrap_err(),
            given(&fields("Host"), None, |name| name == header::HOST).unwrap_err(),
            given(&fields("Authorization"), Some(&token), |_| false).unwrap_err(),
            given(&BTreeMap::new(), Some(&broken), |_| false).unwrap_err(),
        ] {
            assert!(error.context().any(|(key, _)| key == "option"), "{error}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}

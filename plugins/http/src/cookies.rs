//! [`Cookies`]: what servers ask to be told again (RFC 6265), for calls.

use cookie_store::{CookieStore, RawCookie};
use jackfield_plugin_api::{HeaderBlock, Secret};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use url::Url;

/// What a client should be able to keep of one host (RFC 6265 §6.1); more are not taken.
const MOST: usize = 50;

/// The longest cookie that is taken, in bytes with its attributes.
const LONGEST: usize = 4096;

/// Cookies of one endpoint; its connections share them, and a connection that is opened again has them.
#[derive(Default)]
pub(crate) struct Cookies(Mutex<CookieStore>);

impl Cookies {
    /// What to send to `url`.
    pub(crate) fn of(&self, url: &Url) -> Option<Secret> {
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs: Vec<String> =
            store.get_request_values(url).map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| Secret::new(pairs.join("; ")))
    }

    /// Takes over what an answer of `url` sets. What is malformed or for another host is passed over, as
    /// RFC 6265 §5.2 wants it.
    pub(crate) fn take(&self, head: &HeaderBlock, url: &Url) {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let set = head.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"set-cookie"));
        for (_, value) in set.filter(|(_, value)| value.len() <= LONGEST) {
            let Ok(text) = std::str::from_utf8(value) else { continue };
            let Ok(cookie) = RawCookie::parse(text) else { continue };
            let is_new = !store.get_request_values(url).any(|(name, _)| name == cookie.name());
            if is_new && store.iter_unexpired().count() >= MOST {
                continue;
            }
            // What is not for this host is refused.
            let _ = store.insert_raw(&cookie.into_owned(), url);
        }
    }
}

/// Without the cookies: they are credentials.
impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookies")
    }
}

#[cfg(test)]
mod tests {
    use super::{Cookies, LONGEST, MOST};
    use jackfield_plugin_api::HeaderBlock;
    use url::Url;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn taken(cookies: &Cookies, at: &str, set: &[&str]) {
        let head = HeaderBlock::new(set.iter().map(|value| ("set-cookie", *value))).unwrap();
        cookies.take(&head, &url(at));
    }

    fn sent(cookies: &Cookies, to: &str) -> Vec<String> {
        let value = cookies.of(&url(to));
        let text = value.as_ref().map_or("", |value| value.expose());
        let mut pairs: Vec<String> = text.split("; ").map(str::to_owned).collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn cookies_go_where_they_are_for() {
        let cookies = Cookies::default();
        let at = "http://a.test/in/x";
        let other = "d=4; Domain=b.test";
        taken(&cookies, at, &["a=1", "b=2; Path=/", "c=3; Secure; Path=/", other, "=", "\u{1}"]);
        assert_eq!(sent(&cookies, "http://a.test/in/y"), ["a=1", "b=2"]);
        assert_eq!(sent(&cookies, "http://a.test/"), ["b=2"]);
        assert_eq!(sent(&cookies, "http://b.test/"), [""]);
        taken(&cookies, at, &["a=5", "b=; Path=/; Max-Age=0"]);
        assert_eq!(sent(&cookies, "http://a.test/in/y"), ["a=5"]);
        assert_eq!(format!("{cookies:?}"), "Cookies");
    }

    #[test]
    fn only_so_many_and_so_long_ones_are_kept() {
        let cookies = Cookies::default();
        let at = "http://a.test/";
        taken(&cookies, at, &[&format!("long={}", "x".repeat(LONGEST))]);
        let many: Vec<String> = (0..2 * MOST).map(|number| format!("n{number}=1")).collect();
        taken(&cookies, at, &many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(sent(&cookies, at).len(), MOST);
        taken(&cookies, at, &["n0=2"]);
        assert!(sent(&cookies, at).contains(&"n0=2".to_owned()), "what is there is replaced");
    }
}

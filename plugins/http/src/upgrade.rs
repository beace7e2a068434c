//! What an exchange turns into: a session of plain bytes; and which protocols it may turn into.

use crate::failure::failure;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Version};
use hyper_util::rt::TokioIo;
use jackfield_plugin_api::Op;
use jackfield_plugin_api::{Error, Info, Keeping, Reading, Result, Session, Stream};
use std::any::Any;
use std::sync::Arc;

/// The bytes after the exchange, with the facts of the connection they run in.
pub(crate) fn upgraded(
    on: OnUpgrade,
    info: Info,
    alive: Arc<dyn Any + Send + Sync>,
) -> Op<Session> {
    Op::new(async move {
        let io = TokioIo::new(on.await.map_err(|error| failure(&error))?);
        Ok(Session::of_stream(info, Stream::new(Reading::new(io, Keeping(alive)))))
    })
}

/// Protocols that a client may ask to be upgraded to, in lower case.
#[derive(Debug)]
pub(crate) struct Upgrades(Vec<String>);

impl Upgrades {
    pub(crate) fn new(names: &[String]) -> Result<Self> {
        let names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        for name in &names {
            let text = match name.as_str() {
                // Requests in such a tunnel would pass unchecked.
                "h2c" => "cannot have \"h2c\": HTTP/2 is told apart by its first bytes",
                _ if header::HeaderName::from_bytes(name.as_bytes()).is_err() => {
                    "expected names of protocols, such as \"websocket\""
                }
                _ => continue,
            };
            return Err(Error::option("upgrades", text));
        }
        Ok(Upgrades(names))
    }

    /// Leaves in a head the protocols that the request may be upgraded to; whether there are any. All else of
    /// an upgrade goes: only HTTP/1.1 has it (RFC 9110 §7.8), and `websocket` only with GET (RFC 6455 §4.1).
    pub(crate) fn admit(&self, version: Version, method: &Method, head: &mut HeaderMap) -> bool {
        if !head.contains_key(header::UPGRADE) {
            return false;
        }
        let asks = version == Version::HTTP_11 && has_token(head, &header::CONNECTION, "upgrade");
        let may = |token: &&str| {
            let name = token.split('/').next().unwrap_or_default().to_ascii_lowercase();
            self.0.contains(&name) && (name != "websocket" || *method == Method::GET)
        };
        let kept: Vec<&str> =
            if asks { tokens(head, &header::UPGRADE).filter(may).collect() } else { Vec::new() };
        let kept = HeaderValue::from_str(&kept.join(", ")).ok().filter(|kept| !kept.is_empty());
        head.remove("http2-settings");
        match kept {
            Some(kept) => head.insert(header::UPGRADE, kept).is_some(),
            None => {
                head.remove(header::UPGRADE);
                false
            }
        }
    }
}

/// The protocols that a request asks to be upgraded to, in lower case.
pub(crate) fn asked(head: &HeaderMap) -> Vec<String> {
    tokens(head, &header::UPGRADE).map(str::to_ascii_lowercase).collect()
}

/// Whether an answer of 101 agrees on nothing but what was `asked` for.
pub(crate) fn agrees(asked: &[String], head: &HeaderMap) -> bool {
    let mut agreed = tokens(head, &header::UPGRADE).peekable();
    agreed.peek().is_some() && agreed.all(|token| asked.contains(&token.to_ascii_lowercase()))
}

/// The elements of a list, of all its fields (RFC 9110 §5.6.1).
pub(crate) fn tokens<'a>(
    head: &'a HeaderMap,
    name: &header::HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let values = head.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

fn has_token(head: &HeaderMap, name: &header::HeaderName, token: &str) -> bool {
    tokens(head, name).any(|have| have.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::{Upgrades, agrees};
    use hyper::header::{HeaderMap, HeaderName};
    use hyper::{Method, Version};

    fn head(fields: &[(&str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap())
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn only_what_is_listed_may_be_asked_for() {
        let listed = Upgrades::new(&["WebSocket".to_owned(), "own".to_owned()]).unwrap();
        let (new, old) = (Version::HTTP_11, Version::HTTP_10);
        for (version, method, connection, upgrade, kept) in [
            (new, Method::GET, "Upgrade", "websocket", Some("websocket")),
            (new, Method::GET, "keep-alive, upgrade", "WebSocket", Some("WebSocket")),
            (new, Method::GET, "Upgrade", "h2c, websocket, tls/1.2", Some("websocket")),
            (new, Method::POST, "Upgrade", "own/1", Some("own/1")),
            (new, Method::POST, "Upgrade", "websocket", None),
            (new, Method::GET, "Upgrade, HTTP2-Settings", "h2c", None),
            (new, Method::GET, "close", "websocket", None),
            (old, Method::GET, "Upgrade", "websocket", None),
        ] {
            let fields =
                [("connection", connection), ("upgrade", upgrade), ("http2-settings", "A")];
            let mut head = head(&fields);
            assert_eq!(listed.admit(version, &method, &mut head), kept.is_some(), "{upgrade}");
            let left = head.get("upgrade").map(|value| value.to_str().unwrap());
            assert_eq!(left, kept, "{method} {upgrade}");
            assert!(!head.contains_key("http2-settings"));
        }
        assert!(Upgrades::new(&["H2C".to_owned()]).is_err());
        assert!(Upgrades::new(&["a b".to_owned()]).is_err());
    }

    #[test]
    fn an_answer_agrees_only_on_what_was_asked_for() {
        let asked = ["websocket".to_owned()];
        assert!(agrees(&asked, &head(&[("upgrade", "WebSocket")])));
        assert!(!agrees(&asked, &head(&[("upgrade", "websocket, foo")])));
        assert!(!agrees(&asked, &head(&[])));
        assert!(!agrees(&[], &head(&[("upgrade", "websocket")])));
    }
}

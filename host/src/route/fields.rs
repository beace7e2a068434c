//! Heads of requests and answers on their way through: what belongs to one connection stays behind.

use jackfield_plugin_api::{HeaderBlock, Result};

/// Fields of one connection (RFC 9110 §7.6.1), beside those that `connection` names.
const OWN: [&str; 8] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// A request that may be sent twice: by its method (RFC 9110 §9.2.2), and without content.
pub(super) fn is_repeatable(head: &HeaderBlock) -> bool {
    let methods: [&[u8]; 3] = [b"GET", b"HEAD", b"OPTIONS"];
    let method = head.get(":method").unwrap_or_default();
    let without = head.get("content-length").is_none_or(|length| length == b"0");
    methods.contains(&method) && without && head.get("transfer-encoding").is_none()
}

/// What `connection` names.
pub(super) fn tokens(head: &HeaderBlock) -> impl Iterator<Item = &[u8]> {
    let values = head.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"));
    values.flat_map(|(_, value)| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// Whether the connection ends after this.
pub(super) fn ends(head: &HeaderBlock) -> bool {
    tokens(head).any(|token| token.eq_ignore_ascii_case(b"close"))
}

/// A head without the fields of its connection and without those that `added` has anew. One that
/// turns into something else keeps what says so.
pub(super) fn stripped(
    head: &HeaderBlock,
    turns: bool,
    added: &[(&str, &[u8])],
) -> Result<HeaderBlock> {
    let named = tokens(head).next().is_some();
    let goes = |name: &[u8], value: &[u8]| {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let own = OWN.into_iter().any(is)
            || named && tokens(head).any(|token| token.eq_ignore_ascii_case(name))
            || is("te") && value != b"trailers"
            || is(":scheme");
        let says = turns && (is("connection") || is("upgrade"));
        own && !says || added.iter().any(|(new, _)| is(new))
    };
    let kept = head.iter().filter(|(name, value)| !goes(name, value));
    let added = added.iter().filter(|(_, value)| !value.is_empty());
    let added = added.map(|(name, value)| (name.as_bytes(), *value));
    HeaderBlock::new(kept.chain(added))
}

#[cfg(test)]
mod tests {
    use super::{is_repeatable, stripped};
    use jackfield_plugin_api::HeaderBlock;

    fn names(head: &HeaderBlock) -> Vec<String> {
        head.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn fields_of_a_connection_stay_behind() {
        let head = HeaderBlock::new([
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/"),
            ("Connection", "Keep-Alive, X-Secret, upgrade"),
            ("keep-alive", "5"),
            ("x-secret", "1"),
            ("te", "gzip"),
            ("upgrade", "own"),
            ("transfer-encoding", "chunked"),
            ("proxy-authorization", "x"),
            ("x-forwarded-for", "forged"),
            ("accept", "*/*"),
        ])
        .unwrap();
        let added = [("x-forwarded-for", &b"10.0.0.1"[..]), ("x-empty", b"")];
        let plain = stripped(&head, false, &added).unwrap();
        assert_eq!(names(&plain), [":method", ":path", "accept", "x-forwarded-for"]);
        assert_eq!(plain.get("x-forwarded-for"), Some(&b"10.0.0.1"[..]));
        let turned = stripped(&head, true, &[]).unwrap();
        assert!(turned.get("upgrade").is_some() && turned.get("connection").is_some());
    }

    #[test]
    fn only_what_changes_nothing_is_asked_again() {
        let repeatable = |fields: &[(&str, &str)]| {
            is_repeatable(&HeaderBlock::new(fields.iter().copied()).unwrap())
        };
        assert!(repeatable(&[(":method", "GET")]));
        assert!(repeatable(&[(":method", "GET"), ("content-length", "0")]));
        assert!(!repeatable(&[(":method", "GET"), ("content-length", "1")]));
        assert!(!repeatable(&[(":method", "GET"), ("transfer-encoding", "chunked")]));
        assert!(!repeatable(&[(":method", "POST")]));
    }
}

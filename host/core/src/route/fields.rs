//! Heads of requests and answers on their way through: what belongs to one connection stays behind.

use jackfield_plugin_api::{Error, ErrorKind, HeaderBlock, Origin, Result};
use percent_encoding::percent_decode;

/// Fields of one connection (RFC 9110 §7.6.1), beside those that `connection` names.
const OWN: [&str; 9] = [
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// Methods of requests that may be sent twice (RFC 9110 §9.2.2).
const IDEMPOTENT: [&[u8]; 6] = [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"];

/// Whether a request may be sent twice without doing more than once.
pub(super) fn is_idempotent(head: &HeaderBlock) -> bool {
    IDEMPOTENT.contains(&head.get(":method").unwrap_or_default())
}

/// What `connection` names. No pseudo field is a field that it could name (RFC 9113 §8.3).
pub(super) fn tokens(head: &HeaderBlock) -> impl Iterator<Item = &[u8]> {
    let values = head.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"));
    let tokens = values.flat_map(|(_, value)| value.split(|byte| *byte == b','));
    tokens.map(<[u8]>::trim_ascii).filter(|token| !token.starts_with(b":"))
}

/// Whether the connection ends after this.
pub(super) fn ends(head: &HeaderBlock) -> bool {
    tokens(head).any(|token| token.eq_ignore_ascii_case(b"close"))
}

/// A head without the fields of its connection and without those that it `drops`, with others `added`. One that
/// is `upgraded` to something else keeps what says so.
pub(super) fn stripped<'a>(
    head: &HeaderBlock,
    upgraded: bool,
    drops: impl Fn(&[u8]) -> bool,
    added: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<HeaderBlock> {
    let named = tokens(head).next().is_some();
    let goes = |name: &[u8], value: &[u8]| {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let own = OWN.into_iter().any(is) && !(upgraded && is("upgrade"))
            || named
                && !is("upgrade")
                && tokens(head).any(|token| token.eq_ignore_ascii_case(name))
            || is("te") && value != b"trailers"
            || is(":scheme");
        own || drops(name)
    };
    let kept = head.iter().filter(|(name, value)| !goes(name, value));
    let added = added.into_iter().map(|(name, value)| (name.as_bytes(), value));
    // Whatever else it named has stayed behind.
    let connection = upgraded.then_some((&b"connection"[..], &b"upgrade"[..]));
    HeaderBlock::new(kept.chain(added).chain(connection))
}

/// The head of a request to a target whose address has that path: it stands before the path of each request.
///
/// # Errors
/// A fault of the client's where its path leads out again by `..`, however the target reads escapes and backslashes
/// (RFC 3986 §5.2.4).
pub(super) fn below(base: &str, head: &HeaderBlock) -> Result<HeaderBlock> {
    let path = head.get(":path").filter(|path| path.starts_with(b"/"));
    let Some(path) = path else { return Ok(head.clone()) };
    let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
    let read: Vec<u8> = percent_decode(&path[..end]).collect();
    if read.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| segment == b"..") {
        let text = "the path of the request leads out of that of the target";
        return Err(Error::new(ErrorKind::Protocol, text).with_origin(Origin::Downstream));
    }
    let path = [base.trim_end_matches('/').as_bytes(), path].concat();
    HeaderBlock::new(head.iter().map(|(name, value)| {
        let is_path = name == b":path";
        (name, if is_path { &path[..] } else { value })
    }))
}

#[cfg(test)]
mod tests {
    use super::{below, ends, is_idempotent, stripped};
    use jackfield_plugin_api::{HeaderBlock, Origin};

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
            ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
            ("transfer-encoding", "chunked"),
            ("proxy-authorization", "x"),
            ("x-forwarded-for", "forged"),
            ("accept", "*/*"),
        ])
        .unwrap();
        let added = [("x-forwarded-for", &b"10.0.0.1"[..])];
        let drops = |name: &[u8]| name == b"x-forwarded-for";
        let plain = stripped(&head, false, drops, added).unwrap();
        assert_eq!(names(&plain), [":method", ":path", "accept", "x-forwarded-for"]);
        assert_eq!(plain.get("x-forwarded-for"), Some(&b"10.0.0.1"[..]));
        let upgraded = stripped(&head, true, |_| false, []).unwrap();
        assert_eq!(upgraded.get("upgrade"), Some(&b"own"[..]));
        assert_eq!(upgraded.get("connection"), Some(&b"upgrade"[..]));
        assert!(upgraded.get("http2-settings").is_none());
    }

    #[test]
    fn no_pseudo_field_is_a_field_of_a_connection() {
        let fields = [
            (":method", "POST"),
            (":authority", "a"),
            (":path", "/secret"),
            ("connection", "close, :path, :method, :authority"),
        ];
        let head = HeaderBlock::new(fields).unwrap();
        let kept = stripped(&head, false, |_| false, []).unwrap();
        assert_eq!(names(&kept), [":method", ":authority", ":path"]);
        assert!(ends(&head));
        let answer = HeaderBlock::new([(":status", "200"), ("Connection", ":status")]).unwrap();
        assert_eq!(names(&stripped(&answer, false, |_| false, []).unwrap()), [":status"]);
    }

    #[test]
    fn only_what_does_no_more_the_second_time_may_be_asked_again() {
        let idempotent =
            |method: &str| is_idempotent(&HeaderBlock::new([(":method", method)]).unwrap());
        assert!(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"].into_iter().all(idempotent));
        assert!(!["POST", "PATCH", "PROPPATCH", "get", ""].into_iter().any(idempotent));
    }

    #[test]
    fn the_path_of_a_targets_address_stands_before_that_of_a_request() {
        let path = |base: &str, path: &str| {
            let head = HeaderBlock::new([(":method", "GET"), (":path", path)]).unwrap();
            let head = below(base, &head).unwrap();
            String::from_utf8_lossy(head.get(":path").unwrap()).into_owned()
        };
        assert_eq!(path("/v2", "/x?a=b"), "/v2/x?a=b");
        assert_eq!(path("/v2/", "/"), "/v2/");
        assert_eq!(path("/v2", "*"), "*");
        assert_eq!(path("/v2", "/..x?a=/../"), "/v2/..x?a=/../");
        for out in ["/../x", "/a/%2e%2E", "/..%2fx", "/a\\..\\x"] {
            let head = HeaderBlock::new([(":path", out)]).unwrap();
            assert_eq!(below("/v2", &head).unwrap_err().origin(), Origin::Downstream, "{out}");
        }
    }
}

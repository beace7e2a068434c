use proptest::prelude::*;

use super::{MAX_URI, StackUri};
use crate::secret::Secret;

fn parse(text: &str) -> StackUri {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Layers, user, password, host, port, path, query, what `Display` writes.
type Row = (
    &'static str,
    &'static [&'static str],
    Option<&'static str>,
    Option<&'static str>,
    Option<&'static str>,
    Option<u16>,
    &'static str,
    Option<&'static str>,
);

#[test]
fn every_form_is_taken_apart() {
    #[rustfmt::skip]
    let rows: &[Row] = &[
        ("ws+tls+tcp://host:443/path?q=1", &["ws", "tls", "tcp"], None, None, Some("host"), Some(443), "/path", Some("q=1")),
        ("ssh://lab@10.0.0.7:22", &["ssh"], Some("lab"), None, Some("10.0.0.7"), Some(22), "", None),
        ("ssh://a%40b:p%3aw@h", &["ssh"], Some("a@b"), Some("p:w"), Some("h"), None, "", None),
        ("mqtt://:pw@h", &["mqtt"], None, Some("pw"), Some("h"), None, "", None),
        ("ssh://a@b@h", &["ssh"], Some("a@b"), None, Some("h"), None, "", None),
        ("tcp://[2001:DB8::1]:7001", &["tcp"], None, None, Some("2001:db8::1"), Some(7001), "", None),
        ("tcp://[fe80::1%25eth0]", &["tcp"], None, None, Some("fe80::1%eth0"), None, "", None),
        ("serial:///dev/ttyUSB0?baud=115200", &["serial"], None, None, None, None, "/dev/ttyUSB0", Some("baud=115200")),
        ("unix:///run/a%20b", &["unix"], None, None, None, None, "/run/a%20b", None),
        ("unix:/run/x", &["unix"], None, None, None, None, "/run/x", None),
        ("process:", &["process"], None, None, None, None, "", None),
        ("process:?a=b", &["process"], None, None, None, None, "", Some("a=b")),
        ("tcp://:7001", &["tcp"], None, None, None, Some(7001), "", None),
        ("ws-2://h/a@b:c", &["ws-2"], None, None, Some("h"), None, "/a@b:c", None),
        ("ws://h?x=/y", &["ws"], None, None, Some("h"), None, "", Some("x=/y")),
    ];
    for (text, layers, user, password, host, port, path, query) in rows {
        let uri = parse(text);
        assert_eq!(uri.layers, *layers, "{text}");
        assert_eq!(uri.user.as_deref(), *user, "{text}");
        assert_eq!(uri.password.as_ref().map(Secret::expose), *password, "{text}");
        assert_eq!(uri.host.as_deref(), *host, "{text}");
        assert_eq!(uri.port, *port, "{text}");
        assert_eq!(uri.path, *path, "{text}");
        assert_eq!(uri.query.as_deref(), *query, "{text}");
    }
}

#[test]
fn errors_name_the_byte_and_what_was_expected() {
    for (text, expected) in [
        ("", "byte 0 of the URI: expected : after the driver names, as in tcp://host:port"),
        ("tcp", "byte 3 of the URI: expected : after the driver names, as in tcp://host:port"),
        ("://h", "byte 0 of the URI: expected the name of a driver"),
        ("ws++tcp://h", "byte 3 of the URI: expected the name of a driver"),
        ("ws+://h", "byte 3 of the URI: expected the name of a driver"),
        ("WS://h", "byte 0 of the URI: driver names are lower case"),
        (
            "1ws://h",
            "byte 0 of the URI: expected a driver name (a-z, then a-z, 0-9 or -), then + or :",
        ),
        (
            "127.0.0.1:80",
            "byte 0 of the URI: expected a driver name (a-z, then a-z, 0-9 or -), then + or :",
        ),
        (
            "localhost:80",
            "byte 10 of the URI: expected // and an address, or a path that begins with /",
        ),
        ("tcp://h:", "byte 8 of the URI: expected a port from 0 to 65535"),
        ("tcp://h:65536", "byte 8 of the URI: expected a port from 0 to 65535"),
        ("tcp://h:+80", "byte 8 of the URI: expected a port from 0 to 65535"),
        ("tcp://::1", "byte 6 of the URI: an IPv6 address is written in brackets, as in [::1]"),
        ("tcp://[::1", "byte 10 of the URI: expected ] after the IPv6 address"),
        ("tcp://[::g]:1", "byte 7 of the URI: expected an IPv6 address between the brackets"),
        ("tcp://[::1]x", "byte 11 of the URI: expected : and a port, or / after ]"),
        ("tcp://10.0.0.256", "byte 6 of the URI: expected an IPv4 address, as in 192.0.2.1"),
        ("ssh://@h", "byte 6 of the URI: expected a user before @"),
        (
            "ssh://a%zz@h",
            "byte 7 of the URI: expected two hexadecimal digits after %; write %25 for % itself",
        ),
        ("ssh://%ff@h", "byte 6 of the URI: expected percent escapes that form UTF-8 text"),
        ("ssh://a%00@h", "byte 6 of the URI: user and password must not contain %00"),
        (
            "ws://h/a b",
            "byte 8 of the URI: white space and control characters must be percent-encoded",
        ),
        ("ws://h/a#b", "byte 8 of the URI: a fragment has no meaning here; write %23 for #"),
        (
            "ws://h/%4",
            "byte 7 of the URI: expected two hexadecimal digits after %; write %25 for % itself",
        ),
    ] {
        let error = text.parse::<StackUri>().expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
    let error = format!("tcp://{}", "a".repeat(MAX_URI)).parse::<StackUri>().unwrap_err();
    assert_eq!(error.to_string(), "byte 8192 of the URI: expected at most 8192 bytes");
    let error = format!("{}:", vec!["a"; 17].join("+")).parse::<StackUri>().unwrap_err();
    assert_eq!(error.to_string(), "byte 32 of the URI: expected at most 16 layers");
}

#[test]
fn a_zone_that_begins_like_an_escape_is_shown_escaped() {
    for (text, host, shown) in [
        ("tcp://[fe80::1%2525]:1", "fe80::1%25", "tcp://[fe80::1%2525]:1"),
        ("tcp://[fe80::1%25eth0]", "fe80::1%eth0", "tcp://[fe80::1%eth0]"),
        ("tcp://[fe80::1%2]", "fe80::1%2", "tcp://[fe80::1%2]"),
    ] {
        let uri = parse(text);
        assert_eq!(uri.host.as_deref(), Some(host), "{text}");
        assert_eq!(uri.to_string(), shown, "{text}");
        assert_eq!(parse(shown), uri, "{text}");
    }
}

#[test]
fn the_password_is_never_shown() {
    let uri = parse("ssh://lab:hunter2@h:22/x");
    assert_eq!(uri.to_string(), "ssh://lab@h:22/x");
    assert!(!format!("{uri:?}").contains("hunter2"));
    let uri = parse("ws://h/p?token=hunter2&rate=9600");
    assert_eq!(uri.to_string(), "ws://h/p?token=***&rate=9600");
    assert_eq!(uri.written(), "ws://h/p?token=hunter2&rate=9600");
    let error = "ssh://lab:hunter2%@h".parse::<StackUri>().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn query_pairs_are_decoded_in_order() {
    let uri = parse("serial:///dev/x?baud=9600&name=a%26b&flag&a+b=1");
    let pairs: Vec<_> = uri.query_pairs().collect();
    let expected = [("baud", "9600"), ("name", "a&b"), ("flag", ""), ("a+b", "1")];
    assert_eq!(pairs, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(parse("unix:///a%20b").decoded_path(), "/a b");
}

proptest! {
    #[test]
    fn no_input_panics(text in "\\PC*") {
        let _ = text.parse::<StackUri>();
    }

    #[test]
    fn no_input_made_of_the_grammars_own_characters_panics(text in "[a-c+:/@%\\[\\]?#0-9.é ]{0,40}") {
        let _ = text.parse::<StackUri>();
    }

    #[test]
    fn what_is_written_parses_to_the_same_uri(
        layers in prop::collection::vec("[a-z][a-z0-9-]{0,8}", 1..5),
        user in prop::option::of("[^\\x00]{1,12}"),
        host in prop::option::of("[a-z][a-z0-9._-]{0,12}|192\\.0\\.2\\.[1-9]|2001:db8::[1-9a-f]"),
        port in prop::option::of(any::<u16>()),
        path in "(/[A-Za-z0-9@:+._~-]{0,8}){0,3}",
        query in prop::option::of("[a-z0-9=&/?+]{0,12}"),
    ) {
        let uri = StackUri { layers, user, password: None, host, port, path, query };
        prop_assert_eq!(parse(&uri.written()), uri);
    }
}

//! The driver dns through a host, against knot, BIND and unbound, and against servers that do not keep the rules.

mod cache;
mod hostile;

use jackfield::stack::{Plan, uri::StackUri};
use jackfield_plugin_api::{Error, ErrorKind, Role, Session};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    certs::Certs,
    host::TestHost,
    jackfield::ran,
    peers::names::{Bind, Knot, Unbound},
    process::DEADLINE,
};

async fn resolve(session: &Session, params: Value) -> Result<Value, Error> {
    timeout(DEADLINE, session.call("resolve", &params)).await.expect("in time")
}

async fn records(session: &Session, name: &str, rtype: &str) -> Vec<Value> {
    let answer = resolve(session, json!({ "name": name, "type": rtype })).await;
    let answer = answer.unwrap_or_else(|error| panic!("{name} {rtype}: {error}"));
    answer["answers"].as_array().expect("a list").clone()
}

fn fact<'a>(error: &'a Error, name: &str) -> &'a str {
    error.context().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

#[tokio::test]
async fn each_scheme_has_its_own_port_though_all_stand_for_one_driver() {
    let host = TestHost::start("").await;
    // Without one the driver takes the port of what it speaks over.
    let cases = [("dns", None), ("dot", Some(853)), ("doh", Some(443))];
    for (scheme, port) in cases {
        let uri: StackUri = format!("{scheme}://192.0.2.1").parse().expect("a URI");
        let registry = host.manager().registry();
        let plan = Plan::new(&uri, &registry, Role::Client, false).expect("a plan");
        assert_eq!(plan.address.port, port, "{scheme}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn knot_gives_each_type_with_its_parts() {
    let server = Knot::start().await;
    let host = TestHost::start("").await;
    let session = host.open(&server.uri(), json!({})).await.unwrap();
    timeout(DEADLINE, session.ping()).await.expect("in time").unwrap();
    let cases = [
        ("host.test", "A", "192.0.2.1", json!({ "address": "192.0.2.1" })),
        ("HOST.test.", "aaaa", "2001:db8::1", json!({ "address": "2001:db8::1" })),
        ("test", "MX", "10 mail.test.", json!({ "preference": 10, "exchange": "mail.test" })),
        (
            "_sip._tcp.test",
            "SRV",
            "1 2 5060 host.test.",
            json!({ "priority": 1, "weight": 2, "port": 5060, "target": "host.test" }),
        ),
        (
            "txt.test",
            "TXT",
            "\"one\" \"two words\" \"\"",
            json!({ "texts": ["one", "two words", ""] }),
        ),
        (
            "caa.test",
            "CAA",
            "0 issue \"ca.test\"",
            json!({ "flags": 0, "tag": "issue", "value": "ca.test" }),
        ),
        (
            "svc.test",
            "HTTPS",
            "1 . alpn=h2 port=8443",
            json!({ "priority": 1, "target": ".", "params": ["alpn=h2", "port=8443"] }),
        ),
        ("odd.test", "TYPE65400", "\\# 3 01 02 03", json!({ "hex": "010203" })),
    ];
    for (name, rtype, text, data) in cases {
        let found = records(&session, name, rtype).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&found[0]["text"], &found[0]["data"]), (&json!(text), &data), "{found:?}");
        assert_eq!((&found[0]["ttl"], &found[0]["class"]), (&json!(60), &json!("IN")));
    }
    assert_eq!(records(&session, "many.test", "A").await.len(), 2);
    let types: Vec<_> = records(&session, "alias.test", "A").await;
    let types: Vec<_> = types.iter().map(|record| record["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["CNAME", "A"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_an_error_or_an_empty_answer() {
    let server = Knot::start().await;
    let host = TestHost::start("").await;
    let session = host.open(&server.uri(), json!({})).await.unwrap();
    let error = resolve(&session, json!({ "name": "nobody.test" })).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "status")), (ErrorKind::NotFound, "NXDOMAIN"));
    assert_eq!((error.code(), fact(&error, "ttl")), (Some(3), "30"), "{error}");
    let answer = resolve(&session, json!({ "name": "mail.test", "type": "AAAA" })).await.unwrap();
    assert_eq!((&answer["status"], &answer["answers"]), (&json!("NOERROR"), &json!([])));
    assert_eq!(answer["authority"][0]["data"]["serial"], 7, "{answer}");
    assert_eq!(answer["ttl"], 30);
    assert_eq!(answer["flags"]["authoritative"], true);
    let error = resolve(&session, json!({ "name": "elsewhere.example" })).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "status")), (ErrorKind::Refused, "REFUSED"), "{error}");
    assert!(records(&session, "loop.test", "A").await.len() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_a_datagram_comes_by_tcp() {
    let server = Knot::start().await;
    let host = TestHost::start("").await;
    for (options, over) in [(json!({}), "tcp"), (json!({ "over": "tcp" }), "tcp")] {
        let session = host.open(&server.uri(), options).await.unwrap();
        let answer = resolve(&session, json!({ "name": "big.test", "type": "TXT" })).await.unwrap();
        assert_eq!(answer["answers"].as_array().unwrap().len(), 60);
        assert_eq!((&answer["over"], &answer["flags"]["truncated"]), (&json!(over), &json!(false)));
    }
    let session = host.open(&server.uri(), json!({})).await.unwrap();
    assert_eq!(resolve(&session, json!({ "name": "host.test" })).await.unwrap()["over"], "udp");
}

#[tokio::test(flavor = "multi_thread")]
async fn bind_answers_by_tls_and_by_https() {
    let certs = Certs::new();
    let server = Bind::start(&certs).await;
    let host = TestHost::start("").await;
    let tls = json!({ "ca_file": certs.ca });
    let cases = [
        (server.port, json!({ "over": "udp" })),
        (server.tls, json!({ "over": "tls", "tls": tls })),
        (server.https, json!({ "over": "https", "tls": tls })),
    ];
    for (port, options) in cases {
        let over = options["over"].clone();
        let session = host.open(&format!("dns://localhost:{port}"), options).await.unwrap();
        assert_eq!(session.info().encrypted, over != "udp");
        // More than one, over the connection of the first.
        for name in ["host.test", "many.test", "big.test"] {
            let asked = json!({ "name": name, "type": "ANY", "cache": false });
            let answer = resolve(&session, asked).await;
            let answer = answer.unwrap_or_else(|error| panic!("{over} {name}: {error}"));
            assert!(!answer["answers"].as_array().unwrap().is_empty(), "{answer}");
        }
        timeout(DEADLINE, session.ping()).await.expect("in time").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_is_not_trusted_is_not_asked() {
    let server = Bind::start(&Certs::new()).await;
    let host = TestHost::start("").await;
    let (uri, options) = (format!("dns://localhost:{}?over=tls", server.tls), json!({}));
    let session = host.open(&uri, options).await.unwrap();
    let error = resolve(&session, json!({ "name": "host.test" })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unbound_answers_refuses_and_keeps_silent() {
    let certs = Certs::new();
    let server = Unbound::start(&certs).await;
    let host = TestHost::start("").await;
    let options = json!({ "timeout": 0.3, "attempts": 2 });
    let uri = format!("dns://127.0.0.1:{}", server.port);
    let session = host.open(&uri, options).await.unwrap();
    assert_eq!(records(&session, "host.test", "A").await[0]["text"], "192.0.2.1");
    let names = session.call("reverse", &json!({ "address": "192.0.2.1" })).await.unwrap();
    assert_eq!(names["answers"][0]["data"]["target"], "host.test");
    let error = resolve(&session, json!({ "name": "x.refuse.test" })).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "status")), (ErrorKind::Refused, "REFUSED"));
    let error = resolve(&session, json!({ "name": "x.deny.test" })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    let options = json!({ "over": "tls", "tls": { "ca_file": certs.ca } });
    let session = host.open(&format!("dns://localhost:{}", server.tls), options).await.unwrap();
    assert_eq!(records(&session, "host.test", "A").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_says_what_is_expected() {
    let host = TestHost::start("").await;
    let session = host.open("dns://127.0.0.1", json!({})).await.unwrap();
    for (asked, said) in [
        (json!({ "name": "a.test", "type": "NONE" }), "expected a type of records"),
        (json!({ "name": "a.test", "type": "AXFR" }), "zones are not transferred"),
        (json!({ "name": "a..test" }), "expected a domain name"),
        (json!({ "name": "bücher.test" }), "xn--"),
        (json!({ "name": "a.test", "class": "XX" }), "expected IN"),
        (json!({}), "name"),
    ] {
        let error = resolve(&session, asked).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let error = session.call("reverse", &json!({ "address": "host" })).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_asks_for_names() {
    let server = Knot::start().await;
    let asked = ["call", &server.uri(), "resolve", "name=host.test", "type=AAAA", "--json"];
    let answer: Value = serde_json::from_slice(&ran(&asked, "").await.ok().stdout).unwrap();
    assert_eq!(answer["answers"][0]["data"]["address"], "2001:db8::1");
}

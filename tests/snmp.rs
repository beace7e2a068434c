//! The driver snmp through a host, against net-snmp and snmpsim.

mod notifications;

use jackfield_plugin_api::{ErrorKind, Session};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    host::TestHost,
    jackfield::ran,
    peers::snmp::{Snmpd, Snmpsim},
    process::DEADLINE,
};

const SYS_UPTIME: &str = "1.3.6.1.2.1.1.3.0";
const SYS_NAME: &str = "1.3.6.1.2.1.1.5.0";

async fn called(session: &Session, operation: &str, parameters: Value) -> Value {
    let answer = timeout(DEADLINE, session.call(operation, &parameters)).await.expect("in time");
    answer.unwrap_or_else(|error| panic!("{operation}: {error}"))
}

/// Options for a user of version 3 with the passwords of all.
fn user(name: &str, auth: &str, privacy: &str) -> Value {
    json!({
        "version": "v3", "user": name, "auth": auth, "auth_password": "authpass123",
        "privacy": privacy, "privacy_password": "privpass123",
        "danger_weak_algorithms": auth == "md5", "timeout": 10,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_read_by_communities_over_udp_and_tcp() {
    let agent = Snmpd::start().await;
    let host = TestHost::start("").await;
    for (version, transport) in [("v1", "udp"), ("v2c", "udp"), ("v2c", "tcp"), ("v1", "tcp")] {
        let options = json!({ "version": version, "transport": transport, "timeout": 10 });
        let session = host.open(&agent.uri(), options).await.unwrap();
        timeout(DEADLINE, session.ping()).await.expect("in time").expect("a round trip");
        let got =
            called(&session, "get", json!({ "oids": [SYS_UPTIME, "1.3.6.1.2.1.1.4.0"] })).await;
        assert_eq!(got["values"][0]["type"], "timeticks");
        assert_eq!(got["values"][1]["value"], "me");
        let next = called(&session, "get_next", json!({ "oid": "1.3.6.1.2.1.1.3" })).await;
        assert_eq!(next["values"][0]["oid"], SYS_UPTIME);
        let walked = called(&session, "walk", json!({ "oid": "1.3.6.1.2.1.1" })).await;
        let rows = walked["rows"].as_array().expect("rows");
        assert!(rows.len() > 20 && walked["complete"] == true, "{walked}");
        // By one request for each row or for many.
        assert_eq!(walked["requests"].as_u64() > Some(20), version == "v1");
        let alone = called(&session, "walk", json!({ "oid": SYS_UPTIME })).await;
        assert_eq!(alone["rows"].as_array().map(Vec::len), Some(1));
        let nothing = session.call("get", &json!({ "oid": "1.3.6.1.2.1.1.99.0" })).await;
        match version {
            "v1" => assert_eq!(nothing.unwrap_err().kind(), ErrorKind::Refused),
            _ => assert_eq!(nothing.unwrap()["values"][0]["type"], "no_such_object"),
        }
        session.close(0, "").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_set_and_says_what_may_not_be() {
    let agent = Snmpd::start().await;
    let host = TestHost::start("").await;
    let uri = format!("snmp://:private@127.0.0.1:{}", agent.port);
    let session = host.open(&uri, json!({ "timeout": 10 })).await.unwrap();
    let name = json!({ "oid": SYS_NAME, "type": "octet_string", "value": "changed" });
    called(&session, "set", name.clone()).await;
    let got = called(&session, "get", json!({ "oid": SYS_NAME })).await;
    assert_eq!(got["values"][0]["value"], "changed");
    let both = json!({ "values": [name, { "oid": SYS_UPTIME, "type": "timeticks", "value": 1 }] });
    let error = session.call("set", &both).await.unwrap_err();
    let text = format!("the agent answers notWritable for {SYS_UPTIME}, value 2 of 2");
    assert_eq!(error.message(), text);
    let wrong = json!({ "oid": SYS_NAME, "type": "integer", "value": 1 });
    let error = session.call("set", &wrong).await.unwrap_err();
    assert!(error.message().contains("wrongType"), "{error}");
    let bulk = json!({ "oids": [SYS_UPTIME, "1.3.6.1.2.1.1.9"], "non_repeaters": 1, "max_repetitions": 3 });
    let got = called(&session, "get_bulk", bulk).await;
    assert_eq!(got["values"].as_array().map(Vec::len), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_read_by_users_of_every_algorithm() {
    let agent = Snmpd::start().await;
    let host = TestHost::start("").await;
    let uri = format!("snmp://127.0.0.1:{}", agent.port);
    for (name, auth, privacy) in [
        ("md5des", "md5", "des"),
        ("sha1", "sha1", "aes128"),
        ("sha224", "sha224", "aes128"),
        ("sha256", "sha256", "aes128"),
        ("sha384", "sha384", "aes128"),
        ("sha512", "sha512", "aes128"),
        ("aes192", "sha1", "aes192"),
        ("aes256", "sha1", "aes256"),
    ] {
        let session = host.open(&uri, user(name, auth, privacy)).await;
        let session = session.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(session.info().encrypted);
        assert_eq!(session.info().facts["security"], "authPriv");
        let walked = called(&session, "walk", json!({ "oid": "1.3.6.1.2.1.1" })).await;
        assert!(walked["rows"].as_array().map(Vec::len) > Some(20), "{name}");
    }
    let open = json!({ "version": "v3", "timeout": 10 });
    let session = host.open(&uri.replace("://", "://open@"), open).await.unwrap();
    called(&session, "get", json!({ "oid": SYS_UPTIME })).await;
    assert!(!session.info().encrypted);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_know_us_says_why() {
    let agent = Snmpd::start().await;
    let host = TestHost::start("").await;
    let uri = format!("snmp://127.0.0.1:{}", agent.port);
    let mut wrong = user("sha1", "sha1", "aes128");
    wrong["auth_password"] = "not the password".into();
    let mut less = user("sha1", "sha1", "none");
    less.as_object_mut().unwrap().remove("privacy_password");
    for (options, said) in [
        (user("nobody", "sha1", "aes128"), "unknownUserNames"),
        (wrong, "wrongDigests"),
        (user("open", "sha1", "aes128"), "unsupportedSecLevels"),
        (less, "authorizationError"),
    ] {
        let opened = host.open(&uri, options).await;
        let error = match opened {
            // Whoever may ask at all may be refused what he asks.
            Ok(session) => session.call("get", &json!({ "oid": SYS_UPTIME })).await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.message().contains(said), "{error}");
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(!error.to_string().contains("authpass123"), "{error}");
    }
}

const RECORD: &str = "1.3.6.1.2.1.1.3.0|67|4294967295\n\
    1.3.6.1.2.1.1.5.0|4x|00ff80\n\
    1.3.6.1.2.1.2.2.1.10.1|65|4294967295\n\
    1.3.6.1.2.1.31.1.1.1.6.1|70|18446744073709551615\n\
    1.3.6.1.4.1.99.1.0|2|-2147483648\n\
    1.3.6.1.4.1.99.3.0|4:error|op=any,status=genError\n\
    1.3.6.1.4.1.99.4.0|64|10.1.2.3\n\
    1.3.6.1.4.1.99.5.0|6|1.3.6.1.4.1.4294967295\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_value_comes_as_it_is() {
    let agent = Snmpsim::start(RECORD, "SHA", "AES").await;
    let host = TestHost::start("").await;
    let session = host.open(&agent.uri(), json!({ "timeout": 20 })).await.unwrap();
    for (oid, r#type, key, value) in [
        (SYS_UPTIME, "timeticks", "value", json!(4_294_967_295_u32)),
        (SYS_NAME, "octet_string", "hex", json!("00ff80")),
        ("1.3.6.1.2.1.2.2.1.10.1", "counter32", "value", json!(4_294_967_295_u32)),
        ("1.3.6.1.2.1.31.1.1.1.6.1", "counter64", "value", json!("18446744073709551615")),
        ("1.3.6.1.4.1.99.1.0", "integer", "value", json!(i32::MIN)),
        ("1.3.6.1.4.1.99.4.0", "ip_address", "value", json!("10.1.2.3")),
        ("1.3.6.1.4.1.99.5.0", "object_identifier", "value", json!("1.3.6.1.4.1.4294967295")),
    ] {
        let got = called(&session, "get", json!({ "oid": oid })).await;
        let row = &got["values"][0];
        assert_eq!((&row["type"], &row[key]), (&json!(r#type), &value), "{row}");
    }
    let error = session.call("get", &json!({ "oid": "1.3.6.1.4.1.99.3.0" })).await.unwrap_err();
    assert!(error.message().contains("genErr"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_longer_as_others_do_in_both_ways() {
    let host = TestHost::start("").await;
    for (theirs, ours) in [("AES256", "aes256c"), ("AES256BLMT", "aes256"), ("AES192", "aes192c")] {
        let agent = Snmpsim::start(RECORD, "SHA", theirs).await;
        let uri = format!("snmp://127.0.0.1:{}", agent.port);
        let mut options = user("sim", "sha1", ours);
        options["context"] = "public".into();
        options["timeout"] = 20.into();
        let session = host.open(&uri, options).await;
        let session = session.unwrap_or_else(|error| panic!("{theirs}: {error}"));
        let got = called(&session, "get", json!({ "oid": SYS_UPTIME })).await;
        assert_eq!(got["values"][0]["value"], 4_294_967_295_u32, "{theirs}");
    }
}

#[tokio::test]
async fn an_operator_reads_by_the_command_line() {
    let agent = Snmpd::start().await;
    let uri = agent.uri();
    let walk = ran(&["call", &uri, "walk", "oid=1.3.6.1.2.1.1.9", "--json"], "").await.ok();
    let walk: Value = serde_json::from_str(&walk.text()).unwrap();
    assert_eq!(walk["complete"], true);
    let rows = ran(&["call", "--stream", &uri, "walk", "oid=1.3.6.1.2.1.1.9"], "").await.ok();
    let text = rows.text();
    let rows: Vec<Value> = text.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(Some(&rows), walk["rows"].as_array());
    let mib = "LAB-MIB DEFINITIONS ::= BEGIN system OBJECT IDENTIFIER ::= { mib-2 1 }\n\
               sysContact OBJECT-TYPE SYNTAX INTEGER ::= { system 4 } END";
    let folder = crate::support::process::tempdir();
    let file = folder.path().join("LAB-MIB");
    std::fs::write(&file, mib).unwrap();
    let named = format!("mib_files=[{:?}]", file.display().to_string());
    let got =
        ran(&["call", &uri, "-o", &named, "get", "oid=sysContact.0", "--json"], "").await.ok();
    let got: Value = serde_json::from_str(&got.text()).unwrap();
    assert_eq!(got["values"][0]["name"], "sysContact.0");
    let wrong = ran(&["call", &uri, "-o", &named, "get", "oid=sysContct.0"], "").await;
    assert!(wrong.stderr.contains("did you mean \"sysContact\"?"), "{}", wrong.stderr);
    let secret = uri.replace("public@", "guessed@");
    let wrong = ran(&["call", &secret, "get", "oid=1.3.6"], "").await;
    assert!(wrong.stderr.contains("snmp://:COMMUNITY@host"), "{}", wrong.stderr);
    let silent = uri.replace("public@", ":guessed@") + "?timeout=0.05";
    let wrong = ran(&["call", &silent, "get", "oid=1.3.6"], "").await;
    assert!(wrong.stderr.contains("a community that they do not know"), "{}", wrong.stderr);
    assert!(!wrong.stderr.contains("guessed"), "{}", wrong.stderr);
}

//! Notifications from and to net-snmp.

use std::sync::Arc;

use jackfield::{connection::Live, manager::ListenOptions};
use jackfield_plugin_api::ErrorKind;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener, sync::mpsc, time::timeout};

use crate::support::{
    host::TestHost,
    peers::snmp::{Snmptrapd, snmp},
    process::DEADLINE,
};

const TRAP: &str = "1.3.6.1.6.3.1.1.5.3";

#[tokio::test(flavor = "multi_thread")]
async fn notifications_of_net_snmp_are_received_and_acknowledged() {
    let host = TestHost::start("").await;
    let (sender, mut received) = mpsc::channel(16);
    let options = json!({
        "communities": [{ "name": "site", "community": "secret" }],
        "users": [{
            "name": "sender", "auth": "sha256", "auth_password": "authpass123",
            "privacy": "aes128", "privacy_password": "privpass123",
        }],
    });
    let code = move |live: Arc<Live>| {
        let sender = sender.clone();
        async move {
            while let Some(payload) = live.receive().await? {
                let value: Value = serde_json::from_slice(payload.bytes()).expect("JSON");
                let _ = sender.send(value).await;
            }
            Ok(())
        }
    };
    let options = serde_json::from_value(options).unwrap();
    let options = ListenOptions { options, ..ListenOptions::default() };
    let listener = host.manager().listen_with("snmp://127.0.0.1:0", options, code).await.unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let v3 = ["-v3", "-u", "sender", "-l", "authPriv", "-a", "SHA-256", "-A", "authpass123"];
    let v3 = [&v3[..], &["-x", "AES", "-X", "privpass123"]].concat();
    let what = [&*to, "", TRAP, "1.3.6.1.2.1.2.2.1.1.7", "i", "7"];
    let v1 = ["-v1", "-c", "secret", &to, "1.3.6.1.4.1.99", "10.0.0.8", "6", "42", "55"];
    let engine = ["-e", "0x8000000001020304"];
    for (program, arguments, kind, version, trap) in [
        ("snmptrap", v1.to_vec(), "trap", "v1", "1.3.6.1.4.1.99.0.42"),
        ("snmptrap", [&["-v2c", "-c", "secret"], &what[..]].concat(), "trap", "v2c", TRAP),
        ("snmpinform", [&["-v2c", "-c", "secret"], &what[..]].concat(), "inform", "v2c", TRAP),
        ("snmptrap", [&v3[..], &engine, &what].concat(), "trap", "v3", TRAP),
        ("snmpinform", [&v3[..], &what].concat(), "inform", "v3", TRAP),
    ] {
        // An inform ends well only once it was acknowledged.
        snmp(program, &arguments).await.ok();
        let got = timeout(DEADLINE, received.recv()).await.expect("in time").expect("one");
        assert_eq!((&got["kind"], &got["version"]), (&json!(kind), &json!(version)), "{got}");
        assert_eq!(got["trap"], trap, "{got}");
        match version {
            "v3" => {
                assert_eq!(
                    (&got["user"], &got["security"]),
                    (&json!("sender"), &json!("authPriv"))
                );
            }
            _ => assert_eq!(got["community"], "site"),
        }
    }
    let wrong = [&["-v2c", "-c", "guessed", "-t", "1", "-r", "0"], &what[..]].concat();
    assert_ne!(snmp("snmpinform", &wrong).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_sent_to_net_snmp() {
    let mut receiver = Snmptrapd::start().await;
    let host = TestHost::start("").await;
    let uri = format!("snmp://public@127.0.0.1:{}", receiver.port);
    for version in ["v1", "v2c", "v3"] {
        let options = json!({ "version": version, "probe": false, "timeout": 10 });
        let options = match version {
            "v3" => json!({
                "version": "v3", "probe": false, "timeout": 10, "user": "sender", "auth": "sha256",
                "auth_password": "authpass123", "privacy": "aes128", "privacy_password": "privpass123",
                "local_engine_id": "8000000001020304",
            }),
            _ => options,
        };
        let uri = if version == "v3" { uri.replace("public@", "") } else { uri.clone() };
        let session = host.open(&uri, options).await.unwrap();
        let notice = |number: u32| {
            json!({
                "trap": "1.3.6.1.4.1.99.0.42", "values": [
                    { "oid": "1.3.6.1.4.1.99.1", "type": "octet_string", "value": format!("{version}-{number}") },
                ],
            })
        };
        session.call("trap", &notice(1)).await.unwrap();
        receiver.says(&format!("{version}-1")).await;
        match version {
            "v1" => {
                let error = session.call("inform", &notice(2)).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported);
            }
            _ => {
                timeout(DEADLINE, session.call("inform", &notice(2)))
                    .await
                    .expect("in time")
                    .unwrap();
                receiver.says(&format!("{version}-2")).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_gives_notifications_on_as_lines() {
    let far = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let toml = format!(
        "[[routes]]\nlisten = \"snmp://127.0.0.1:0\"\nto = \"tcp://{}\"\n\
         options = {{ communities = [{{ name = \"site\", community = \"secret\" }}] }}\n",
        far.local_addr().unwrap()
    );
    let host = TestHost::start(&toml).await;
    let to = host.address(0).to_string();
    let wrong = ["-v2c", "-c", "guessed", &to, "", TRAP];
    snmp("snmptrap", &wrong).await.ok();
    snmp("snmptrap", &["-v2c", "-c", "secret", &to, "", TRAP]).await.ok();
    let (mut stream, _) = timeout(DEADLINE, far.accept()).await.expect("in time").unwrap();
    let mut got = Vec::new();
    let whole = async {
        while serde_json::from_slice::<Value>(&got).is_err() {
            assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0, "it ended early");
        }
    };
    timeout(DEADLINE, whole).await.expect("in time");
    let got: Value = serde_json::from_slice(&got).unwrap();
    // The first that comes is of the one who may: who is not known opens nothing.
    assert_eq!((&got["community"], &got["trap"]), (&json!("site"), &json!(TRAP)));
}

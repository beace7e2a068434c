//! Who may connect to a broker, and what for.

use serde_json::json;

use super::raw::{Raw, packet, text};
use crate::support::{certs::Certs, host::TestHost, peers::mqtt::mosquitto_pub};

/// Of "hunter2", by mosquitto_passwd 2.0.
const HASH: &str = "$7$101$Z6z97rFMqWIPlGnx$YbilMNRYCLkceVMTTo0ROg1Lic7XJVWN42OBtDqj1SsPvOA//4XsVnBe/BCMvB5unz9v1HMvmLRt19+RCyhkBw==";

/// A broker with these rules, and a listener for it with these options.
async fn broker(permissions: &str, listener: &str) -> (TestHost, u16) {
    let toml = format!(
        "[handlers.broker]\nhandler = \"mqtt_broker\"\noptions = {{ permissions = [{permissions}] }}\n\
         [[routes]]\nlisten = \"mqtt://127.0.0.1:0\"\nto = \"handlers.broker\"\n\
         options = {{ {listener} }}\n"
    );
    let host = TestHost::start(&toml).await;
    let port = host.address(0).port();
    (host, port)
}

fn users() -> String {
    format!("users = {{ lab = \"{HASH}\", meter = \"secret\" }}")
}

/// The code of a CONNACK to a client of this version that says this of itself; with a will of that topic.
async fn connack(port: u16, version: u8, login: Option<(&str, &str)>, will: Option<&str>) -> u8 {
    let mut raw = Raw::connect(port).await;
    let mut flags = 2 | u8::from(login.is_some()) << 7 | u8::from(login.is_some()) << 6;
    flags |= u8::from(will.is_some()) << 2;
    let properties: &[u8] = if version == 5 { &[0] } else { &[] };
    // An identifier stays its user's until the broker has seen the end of the connection.
    let id = login.filter(|_| will.is_none()).map_or("c", |(user, _)| user);
    let mut content = [&text("MQTT")[..], &[version, flags, 0, 60], properties, &text(id)].concat();
    if let Some(topic) = will {
        content.extend([properties, &text(topic), &text("gone")].concat());
    }
    if let Some((user, password)) = login {
        content.extend([text(user), text(password)].concat());
    }
    raw.send(&packet(0x10, &content)).await;
    let (kind, content) = raw.packet().await;
    assert_eq!(kind, 0x20);
    content[1]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_is_refused_with_the_code_of_each_version() {
    let (_host, port) = broker("", &users()).await;
    for (login, three, five) in [
        (Some(("lab", "hunter2")), 0, 0),
        (Some(("meter", "secret")), 0, 0),
        (Some(("lab", "hunter")), 4, 0x86),
        (Some(("other", "hunter2")), 4, 0x86),
        (None, 5, 0x87),
    ] {
        assert_eq!(connack(port, 4, login, None).await, three, "{login:?}");
        assert_eq!(connack(port, 5, login, None).await, five, "{login:?}");
    }
    let login = ["-t", "a", "-q", "1", "-m", "x", "-u", "lab", "-P", "hunter2"];
    mosquitto_pub(port, &login).await.ok();
    let (_host, port) = broker("", &format!("{}, anonymous = true", users())).await;
    assert_eq!(connack(port, 5, None, None).await, 0);
    assert_eq!(connack(port, 5, Some(("lab", "")), None).await, 0x86);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_rule_permits_is_refused_with_its_code_and_reaches_nobody() {
    let rules = "{ users = [\"lab\"], publish = [\"#\"], subscribe = [\"#\"] }, \
                 { users = [\"meter\"], publish = [\"meters/%c/#\"], subscribe = [\"orders/%u/+\"] }";
    let (host, port) = broker(rules, &users()).await;
    let lab = host.open(&format!("mqtt://lab:hunter2@127.0.0.1:{port}"), json!({})).await.unwrap();
    lab.call("subscribe", &json!({ "topic": "#", "qos": 2 })).await.unwrap();
    let uri = format!("mqtt://meter:secret@127.0.0.1:{port}");
    let meter = host.open(&uri, json!({ "client_id": "m7" })).await.unwrap();
    for qos in [1, 2] {
        let params = |topic: &str| json!({ "topic": topic, "payload": "x", "qos": qos });
        let error = meter.call("publish", &params("meters/m8/x")).await.unwrap_err();
        assert_eq!(error.code(), Some(0x87), "{error}");
        meter.call("publish", &params("meters/m7/x")).await.unwrap();
    }
    let filters = ["orders/meter/+", "orders/other/+", "#", "$share/g/orders/meter/a"];
    let filters = json!({ "filters": filters.map(|filter| json!({ "filter": filter })) });
    let codes = meter.call("subscribe", &filters).await.unwrap();
    assert_eq!(codes, json!({ "codes": [0, 0x87, 0x87, 0] }));
    let old = json!({ "client_id": "m9", "version": "3.1.1" });
    let old = host.open(&uri, old).await.unwrap();
    assert_eq!(
        old.call("subscribe", &filters).await.unwrap(),
        json!({ "codes": [0, 0x80, 0x80, 0] })
    );
    // 3.1.1 has no word for it: it is answered, and reaches nobody.
    let params = json!({ "topic": "meters/m8/x", "payload": "old", "qos": 1 });
    old.call("publish", &params).await.unwrap();
    lab.call("publish", &json!({ "topic": "end", "qos": 1 })).await.unwrap();
    let mut messages = lab.take_messages().unwrap();
    let mut topics = Vec::new();
    while topics.last() != Some(&json!("end")) {
        let came = futures_util::StreamExt::next(&mut messages).await.unwrap().unwrap();
        topics.push(super::client::metadata(&came)["topic"].clone());
    }
    assert_eq!(topics, [json!("meters/m7/x"), json!("meters/m7/x"), json!("end")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_will_that_is_not_permitted_is_refused_and_a_name_that_nobody_has_proven_is_none() {
    let rules = "{ users = [\"meter\"], publish = [\"meters/#\"] }";
    let (_host, port) = broker(rules, &users()).await;
    let meter = Some(("meter", "secret"));
    for (version, code) in [(4, 5), (5, 0x87)] {
        assert_eq!(connack(port, version, meter, Some("meters/gone")).await, 0);
        assert_eq!(connack(port, version, meter, Some("other/gone")).await, code);
    }
    // Here nobody is asked for a password, so that anybody could be `meter`.
    let (_host, port) = broker(rules, "anonymous = true").await;
    assert_eq!(connack(port, 5, meter, None).await, 0);
    assert_eq!(connack(port, 5, meter, Some("meters/gone")).await, 0x87);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_given_to_another_user() {
    let (host, port) = broker("", &users()).await;
    let options = json!({ "client_id": "c", "clean_start": false, "session_expiry": 60 });
    let uri = |user: &str| format!("mqtt://{user}@127.0.0.1:{port}");
    let lab = host.open(&uri("lab:hunter2"), options.clone()).await.unwrap();
    let error = host.open(&uri("meter:secret"), options.clone()).await.map(drop).unwrap_err();
    assert_eq!(error.code(), Some(0x87), "{error}");
    lab.call("publish", &json!({ "topic": "a", "qos": 1 })).await.unwrap();
    drop(lab);
    let lab = host.open(&uri("lab:hunter2"), options).await.unwrap();
    assert_eq!(lab.info().facts["session_present"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_does_not_say_who_may_connect_is_none() {
    for to in ["handlers.broker", "tcp://127.0.0.1:1"] {
        let toml = format!(
            "[handlers.broker]\nhandler = \"mqtt_broker\"\n\
             [[routes]]\nlisten = \"mqtt://127.0.0.1:0\"\nto = \"{to}\"\n"
        );
        let error = TestHost::try_start(&toml).await.map(drop).expect_err("refused").to_string();
        for part in ["routes.0", "users", "anonymous = true", "certificates = true"] {
            assert!(error.contains(part), "no {part:?} in {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_certificates_are_enough_a_client_with_one_is_its_name_and_others_are_refused() {
    let certs = Certs::new();
    let toml = format!(
        "[handlers.broker]\nhandler = \"mqtt_broker\"\noptions = {{ permissions = [\
         {{ users = [\"CN=tester\"], publish = [\"#\"], subscribe = [\"#\"] }}] }}\n\
         [[routes]]\nlisten = \"mqtts://127.0.0.1:0\"\nto = \"handlers.broker\"\n\
         options = {{ certificates = true, tls = {{ certificate_file = {:?}, key_file = {:?}, \
         client_ca_file = {:?}, client_auth = \"optional\" }} }}\n",
        certs.server.certificate, certs.server.key, certs.ca
    );
    let host = TestHost::start(&toml).await;
    let port = host.address(0).port();
    let options = json!({ "tls": {
        "ca_file": certs.ca,
        "certificate_file": certs.client.certificate, "key_file": certs.client.key,
    } });
    for user in ["", "lab:hunter2@"] {
        let uri = format!("mqtts://{user}localhost:{port}");
        let client = host.open(&uri, options.clone()).await.unwrap();
        client.call("publish", &json!({ "topic": "a", "payload": "x", "qos": 1 })).await.unwrap();
        let options = json!({ "tls": { "ca_file": certs.ca } });
        let error = host.open(&uri, options).await.map(drop).unwrap_err();
        assert_eq!(error.code(), Some(0x87), "{error}");
    }
}

//! The drivers hsms and secs1 through a host, against secsgem.

mod communication;
mod life;
mod secs1;
mod shared;

use jackfield_plugin_api::{ErrorKind, Session};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    certs::Certs, host::TestHost, jackfield::ran, peers::secsgem::Secsgem, process::DEADLINE,
};

const EQUIPMENT: &str = "hsms_equipment.py";
const HOST: &str = "hsms_host.py";

async fn says(session: &Session, sml: &str) -> Value {
    let answer = timeout(DEADLINE, session.call("send", &json!({ "sml": sml }))).await;
    answer.expect("in time").unwrap_or_else(|error| panic!("{sml}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn secsgem_as_equipment_answers_what_is_asked() {
    let equipment = Secsgem::passive(EQUIPMENT).await;
    let host = TestHost::start("").await;
    let session = host.open(&equipment.uri(), json!({ "establish": true })).await.unwrap();
    timeout(DEADLINE, session.ping()).await.expect("in time").expect("a round trip");
    let answer = says(&session, "S1F1 W .").await;
    assert_eq!(answer["item"], json!({ "L": [{ "A": "secsgem" }, { "A": "0.3.0" }] }));
    let answer = says(&session, "S1F3 W <L <U1 10>> .").await;
    assert_eq!(answer["sml"], "S1F4 <L <U4 123>> .");
    assert_eq!(session.info().facts["hsms"], "selected");
    timeout(DEADLINE, session.close(0, "")).await.expect("in time").expect("a polite end");
}

#[tokio::test(flavor = "multi_thread")]
async fn equipment_that_dials_reaches_a_host_that_listens() {
    let mut listening = Secsgem::passive(HOST).await;
    let toml =
        format!("[[routes]]\nlisten = \"hsms://127.0.0.1:0\"\nto = \"{}\"\n", listening.uri());
    let host = TestHost::start(&toml).await;
    let _equipment = Secsgem::active(EQUIPMENT, host.address(0).port());
    assert_eq!(listening.says("communicating ").await, "True");
    assert_eq!(listening.says("values ").await, "[123]");
    assert_eq!(listening.says("command ").await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn hsms_over_tls_is_the_same() {
    let equipment = Secsgem::passive(EQUIPMENT).await;
    let certs = Certs::new();
    let toml = format!(
        "[[routes]]\nlisten = \"hsmss://127.0.0.1:0\"\nto = \"{}\"\n\
         options = {{ tls = {{ certificate_file = {:?}, key_file = {:?} }} }}\n",
        equipment.uri(),
        certs.server.certificate,
        certs.server.key
    );
    let host = TestHost::start(&toml).await;
    let uri = format!("hsmss://localhost:{}", host.address(0).port());
    let options = json!({ "tls": { "ca_file": certs.ca }, "establish": true });
    let session = host.open(&uri, options).await.unwrap();
    assert!(session.info().encrypted);
    assert_eq!(says(&session, "S1F3 W <L <U1 10>> .").await["sml"], "S1F4 <L <U4 123>> .");
}

/// What equipment answers to `send` of the command line. On a busy machine secsgem answers nothing at all now and then.
/// It keeps the thread that dispatches of each connection, so that two of them share the messages of a second one: each
/// asks a new one.
async fn asked_once_it_answers(parameters: &[&str]) -> String {
    let mut said = String::new();
    for _ in 0..3 {
        let equipment = Secsgem::passive(EQUIPMENT).await;
        let uri = format!("{}?establish=true", equipment.uri());
        let asked = ran(&[&["call", &uri, "send"], parameters, &["--json"]].concat(), "").await;
        if asked.code == Some(0) {
            return asked.text();
        }
        said = asked.stderr;
    }
    panic!("{said}");
}

#[tokio::test]
async fn an_operator_asks_by_the_command_line() {
    let equipment = Secsgem::passive(EQUIPMENT).await;
    let tested = ran(&["call", &equipment.uri(), "linktest", "--json"], "").await.ok();
    let tested: Value = serde_json::from_str(&tested.text()).unwrap();
    assert!(tested["milliseconds"].is_number(), "{tested}");
    let asked = asked_once_it_answers(&["sml=S1F1 W ."]).await;
    let asked: Value = serde_json::from_str(&asked).unwrap();
    assert_eq!(asked["sml"], "S1F2 <L <A \"secsgem\"> <A \"0.3.0\">> .");
    let more = ["message.stream=1", "message.function=1", "message.wait=true"];
    let asked = asked_once_it_answers(&more).await;
    assert!(asked.contains("S1F2"), "{asked}");
    let uri = equipment.uri();
    let wrong = ran(&["call", &uri, "send", "sml=S1F1 W <U5 1> ."], "").await;
    assert!(wrong.stderr.contains("there is no format \"U5\""), "{}", wrong.stderr);
    let wrong = ran(&["call", "hsms://127.0.0.1:1?t6=20", "linktest"], "").await;
    assert!(wrong.stderr.contains("t7"), "{}", wrong.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_refuses_whom_it_does_not_know() {
    let toml = "[[routes]]\nlisten = \"hsms://127.0.0.1:0\"\nto = \"tcp://127.0.0.1:1\"\n\
                options = { peers = [{ name = \"etch\", addresses = [\"10.0.0.5\"] }] }\n";
    let host = TestHost::start(toml).await;
    let uri = format!("hsms://{}", host.address(0));
    let error = host.open(&uri, json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secsgem_as_a_host_is_told_by_stream_9_what_our_equipment_does_not_know() {
    for scheme in ["hsms", "secs1"] {
        let toml = format!(
            "[handlers.echo]\n[[routes]]\nlisten = \"{scheme}://127.0.0.1:0\"\nto = \"handlers.echo\"\n\
             options = {{ equipment = true, known = [], \
             answers = {{ S1F13 = 'S1F14 <L <B 0> <L <A \"tool\"> <A \"1\">>> .' }} }}\n"
        );
        let host = TestHost::start(&toml).await;
        let mut asking = Secsgem::asking_wrong(scheme, host.address(0).port());
        assert_eq!(asking.says("communicating ").await, "True");
        // The item with the header: device 0, stream with W, function.
        assert!(asking.says("told S9F3 ").await.starts_with("210a00008211"));
        assert!(asking.says("told S9F5 ").await.starts_with("210a00008103"));
    }
}

//! SECS-I, over TCP and on lines, and between HSMS and it.
//!
//! secsgem as equipment does not wait for its EOT: where both sides ask at once it sends its block, and is out of step
//! from there. So nobody speaks here while it does. As a host it gives way as it should.

use super::*;
use crate::support::peers::socat::Line;

/// What equipment of ours answers by itself.
const ANSWERS: &str = "answers = { S1F13 = 'S1F14 <L <B 0> <L <A \"tool\"> <A \"1\">>> .', \
                       S1F3 = 'S1F4 <L <U4 123>> .', S2F41 = 'S2F42 <L <B 4> <L>> .' }";

/// A route on which equipment of ours listens.
fn tool(listen: &str) -> String {
    format!(
        "[[routes]]\nlisten = \"{listen}\"\nto = \"handlers.echo\"\n\
         options = {{ equipment = true, {ANSWERS} }}\n"
    )
}

const ECHO: &str = "[handlers.echo]\n";

/// A host of ours waits T1 for the S1F13 of equipment; on a busy machine that may take a while.
fn establishing() -> Value {
    json!({ "establish": true, "t1": 30 })
}

/// From its S1F13 on it is silent, and answers.
async fn answers_what_is_asked(session: Session) {
    let answer = says(&session, "S1F1 W .").await;
    assert_eq!(answer["item"], json!({ "L": [{ "A": "secsgem" }, { "A": "0.3.0" }] }));
    timeout(DEADLINE, session.ping()).await.expect("in time").expect("a round trip");
    // In three blocks there and back.
    let many = vec![json!({ "U4": [10] }); 100];
    let message = json!({ "stream": 1, "function": 3, "wait": true, "item": { "L": many } });
    let answer = session.call("send", &json!({ "message": message })).await.unwrap();
    assert_eq!(answer["item"]["L"], json!(vec![json!({ "U4": [123] }); 100]));
    timeout(DEADLINE, session.close(0, "")).await.expect("in time").expect("a polite end");
}

#[tokio::test(flavor = "multi_thread")]
async fn secsgem_as_equipment_of_secs1_answers_over_tcp_and_on_a_line() {
    let host = TestHost::start("").await;
    let equipment = Secsgem::secs1_server(EQUIPMENT).await;
    answers_what_is_asked(host.open(&equipment.secs1_uri(), establishing()).await.unwrap()).await;
    let line = Line::new().await;
    let uri = format!("secs1+serial://{}?baud=9600", line.end("b").display());
    let accepting = json!({ "answers": { "S1F13": "S1F14 <L <B 0> <L>> ." } });
    let session = host.open(&uri, accepting).await.unwrap();
    // It says something once only, and is there after us.
    let _equipment = Secsgem::secs1_at(EQUIPMENT, &line.end("a"));
    let event = timeout(DEADLINE, session.next_event()).await.expect("in time").unwrap().unwrap();
    assert_eq!((event.name.as_str(), &event.data["function"]), ("answered", &json!(13)));
    answers_what_is_asked(session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secsgem_as_a_host_of_secs1_asks_over_tcp_and_on_a_line() {
    let line = Line::new().await;
    let serial = format!("secs1+serial://{}", line.end("b").display());
    let toml = [ECHO, &tool("secs1://127.0.0.1:0"), &tool(&serial)].concat();
    let host = TestHost::start(&toml).await;
    let over_tcp = Secsgem::secs1_client(HOST, host.address(0).port());
    let on_a_line = Secsgem::secs1_at(HOST, &line.end("a"));
    for mut secsgem in [over_tcp, on_a_line] {
        assert_eq!(secsgem.says("communicating ").await, "True");
        assert_eq!(secsgem.says("values ").await, "[123]");
        assert_eq!(secsgem.says("command ").await, "4");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_hsms_reaches_equipment_of_secs1() {
    let equipment = Secsgem::secs1_server(EQUIPMENT).await;
    let toml = format!(
        "[[routes]]\nlisten = \"hsms://127.0.0.1:0\"\nto = \"upstreams.tool\"\n[upstreams.tool]\n\
         targets = [{{ uri = \"{}\", options = {{ establish = true, t1 = 30 }} }}]\n",
        equipment.secs1_uri()
    );
    let host = TestHost::start(&toml).await;
    let uri = format!("hsms://{}", host.address(0));
    answers_what_is_asked(host.open(&uri, json!({})).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_secs1_reaches_equipment_of_hsms() {
    let equipment = Secsgem::passive(EQUIPMENT).await;
    let toml = format!(
        "[[routes]]\nlisten = \"secs1://127.0.0.1:0\"\nto = \"{}\"\n\
         options = {{ equipment = true }}\n",
        equipment.uri()
    );
    let host = TestHost::start(&toml).await;
    let mut secsgem = Secsgem::secs1_client(HOST, host.address(0).port());
    assert_eq!(secsgem.says("communicating ").await, "True");
    assert_eq!(secsgem.says("values ").await, "[123]");
    assert_eq!(secsgem.says("command ").await, "4");
}

/// Ours as the tool: it does what E4 says where both ask at once.
#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_share_equipment_at_one_line() {
    let tool = TestHost::start(&[ECHO, &tool("secs1://127.0.0.1:0")].concat()).await;
    let front = TestHost::start(&format!(
        "[[routes]]\nlisten = \"hsms://127.0.0.1:0\"\nto = \"upstreams.tool\"\n\
         [upstreams.tool]\ntargets = [\"secs1://{}\"]\npool = {{ max_size = 1, share = 8 }}\n",
        tool.address(0)
    ))
    .await;
    let mut hosts = [0; 2].map(|_| Secsgem::active(HOST, front.address(0).port()));
    for host in &mut hosts {
        assert_eq!(host.says("communicating ").await, "True");
        assert_eq!(host.says("values ").await, "[123]");
        host.says("done").await;
    }
    let upstreams = front.manager().snapshot().upstreams;
    let pool = upstreams[0].targets[0].pool.clone().expect("a pool");
    assert_eq!((pool.opened, pool.users), (1, 2), "{pool:?}");
}

#[tokio::test]
async fn an_operator_asks_equipment_at_a_line_by_the_command_line() {
    let tool = TestHost::start(&[ECHO, &tool("secs1://127.0.0.1:0")].concat()).await;
    let uri = format!("secs1://{}", tool.address(0));
    let asked = ran(&["call", &uri, "send", "sml=S1F3 W <L <U4 10>> .", "--json"], "").await.ok();
    let asked: Value = serde_json::from_str(&asked.text()).unwrap();
    assert_eq!(asked["sml"], "S1F4 <L <U4 123>> .");
}

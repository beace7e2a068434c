//! Agents that answer wrongly, late, for ever or not at all.

use super::{endpoint, open, quick};
use crate::message::{Community, Content, Message};
use crate::oid::Oid;
use crate::options::{SnmpOptions, Transport, Version};
use crate::pdu::{Kind, Pdu, VarBind};
use crate::value::Value;
use jackfield_plugin_api::futures::StreamExt;
use jackfield_plugin_api::{Address, ErrorKind, Role, Secret, testing};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

/// An agent of version 1 or 2c that answers each request with what `answers` gives.
pub(super) struct Agent {
    pub(super) port: u16,
    task: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Agent {
    pub(super) async fn start(
        mut answers: impl FnMut(Pdu, u32) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let port = socket.local_addr().expect("its address").port();
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            for count in 0.. {
                let (length, peer) = socket.recv_from(&mut buffer).await.expect("a datagram");
                for answer in answers(pdu(&buffer[..length]), count) {
                    socket.send_to(&answer, peer).await.expect("room");
                }
            }
        });
        Agent { port, task }
    }
}

fn pdu(bytes: &[u8]) -> Pdu {
    let Ok(Message::Community(Community { content: Content::Pdu(pdu), .. })) = Message::read(bytes)
    else {
        panic!("no request: {bytes:?}");
    };
    pdu
}

/// An answer with one value.
fn answer(id: i32, oid: &Oid, value: Value) -> Vec<u8> {
    of(Pdu { id, ..Pdu::new(Kind::Response, vec![VarBind { oid: oid.clone(), value }]) })
}

pub(super) fn of(pdu: Pdu) -> Vec<u8> {
    Community { version: 1, community: b"hidden".to_vec(), content: Content::Pdu(pdu) }.write()
}

/// The name that a request begins with.
pub(super) fn asked(pdu: &Pdu) -> &Oid {
    &pdu.values[0].oid
}

fn get() -> Json {
    json!({ "oid": "1.3.6.1.2.1.1.3.0" })
}

#[tokio::test]
async fn what_is_no_answer_is_thrown_away_and_the_right_one_counts() {
    let agent = Agent::start(|pdu, _| {
        let (id, oid) = (pdu.id, asked(&pdu).clone());
        let right = answer(id, &oid, Value::TimeTicks(7));
        let mut v1 = right.clone();
        v1[4] = 0;
        vec![
            Vec::new(),
            vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            answer(id ^ 1, &oid, Value::TimeTicks(1)),
            of(Pdu { id, ..Pdu::of_names(Kind::Get, [oid.clone()]) }),
            v1,
            right[..right.len() - 1].to_vec(),
            right.clone(),
            right,
        ]
    })
    .await;
    let session = open(agent.port, quick()).await.expect("a session");
    for _ in 0..3 {
        let got = session.call("get", &get()).await.expect("an answer");
        assert_eq!(got["values"][0]["value"], 7);
    }
    assert!(session.info().facts["dropped"].as_u64() >= Some(21));
}

#[tokio::test]
async fn a_request_is_sent_again_and_a_late_answer_is_nobodys() {
    let mut late = Vec::new();
    let agent = Agent::start(move |pdu, count| {
        let answer = |value| answer(pdu.id, asked(&pdu), Value::Integer(value));
        match count {
            // The first attempt of the first call is lost, all of the second are answered too late.
            0 => Vec::new(),
            2 | 3 => {
                late.push(answer(666));
                Vec::new()
            }
            _ => late.drain(..).chain([answer(1)]).collect(),
        }
    })
    .await;
    let session = open(agent.port, quick()).await.expect("a session");
    assert_eq!(session.call("get", &get()).await.expect("an answer")["values"][0]["value"], 1);
    let error = session.call("get", &get()).await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(error.message().contains("any of 2 attempts"), "{error}");
    assert_eq!(session.call("get", &get()).await.expect("an answer")["values"][0]["value"], 1);
    assert_eq!(session.info().facts["late"], 2);
    assert_eq!(session.info().facts["waiting"], 0);
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing_behind() {
    let agent = Agent::start(|_, _| Vec::new()).await;
    let session = open(agent.port, quick()).await.expect("a session");
    let (awaits, answer) =
        testing::cancel_at_every_await(|| async { session.call("get", &get()).await }).await;
    answer.expect_err("no answer");
    assert!(awaits > 0);
    assert_eq!(session.info().facts["waiting"], 0);
}

#[tokio::test]
async fn a_walk_in_a_circle_or_backwards_is_an_error_that_says_so() {
    for step in [0, -1_i64] {
        let agent = Agent::start(move |pdu, count| {
            let root = Oid::known(&[1, 3, 6, 1, 9]);
            let number =
                if count == 0 { 500 } else { (500 + step * i64::from(count)).unsigned_abs() };
            let oid = root.with(&[u32::try_from(number).expect("small")]).expect("a name");
            vec![answer(pdu.id, &oid, Value::Null)]
        })
        .await;
        let session = open(agent.port, quick()).await.expect("a session");
        let error = session.call("walk", &json!({ "oid": "1.3.6.1.9" })).await.expect_err("a loop");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert!(error.message().contains("goes backwards or in a circle"), "{error}");
    }
}

#[tokio::test]
async fn an_endless_walk_ends_at_its_bounds_and_goes_on_where_it_ended() {
    let agent = Agent::start(|pdu, _| {
        let mut numbers = asked(&pdu).numbers().to_vec();
        numbers.resize(6, 0);
        let values = (1..=u32::try_from(pdu.index).expect("a count")).map(|add| {
            numbers[5] += u32::from(add > 0);
            VarBind { oid: Oid::known(&numbers), value: Value::Octets(vec![b'x'; 200]) }
        });
        vec![of(Pdu { id: pdu.id, ..Pdu::new(Kind::Response, values.collect()) })]
    })
    .await;
    let options = SnmpOptions { max_rows: 1000, max_answer: 50_000, ..quick() };
    let session = open(agent.port, options).await.expect("a session");
    let walked = session.call("walk", &json!({ "oid": "1.3.6.1.9", "max_rows": 60 })).await;
    let walked = walked.expect("rows");
    assert_eq!(walked["rows"].as_array().map(Vec::len), Some(60));
    assert_eq!(walked["complete"], false);
    assert_eq!(walked["next"], "1.3.6.1.9.60");
    let more = json!({ "oid": "1.3.6.1.9", "after": walked["next"], "max_rows": 1 });
    let more = session.call("walk", &more).await.expect("rows");
    assert_eq!(more["rows"][0]["oid"], "1.3.6.1.9.61");
    // The bytes are bounded, too.
    let walked = session.call("walk", &json!({ "oid": "1.3.6.1.9" })).await.expect("rows");
    let rows = walked["rows"].as_array().map_or(0, Vec::len);
    assert!((100..400).contains(&rows) && walked["complete"] == false, "{rows}");
    let error = session.call("walk", &json!({ "oid": "1.3.6", "max_rows": 1001 })).await;
    assert!(error.expect_err("too many").message().contains("1 to 1000"));
}

#[tokio::test]
async fn a_bulk_request_that_is_too_big_asks_for_less() {
    let fewest = Arc::new(AtomicU32::new(u32::MAX));
    let seen = Arc::clone(&fewest);
    let agent = Agent::start(move |pdu, _| {
        let wanted = u32::try_from(pdu.index).expect("a count");
        seen.fetch_min(wanted, Ordering::Relaxed);
        let oid = asked(&pdu).clone();
        let value = if wanted > 5 { None } else { Some(Value::EndOfMibView) };
        vec![match value {
            None => of(Pdu { id: pdu.id, status: 1, ..Pdu::new(Kind::Response, Vec::new()) }),
            Some(value) => answer(pdu.id, &oid, value),
        }]
    })
    .await;
    let session = open(agent.port, quick()).await.expect("a session");
    let walked = session.call("walk", &json!({ "oid": "1.3.6.1.9" })).await.expect("an end");
    assert_eq!(walked["complete"], true);
    assert_eq!(fewest.load(Ordering::Relaxed), 0, "the last one is a get of the name itself");
}

#[tokio::test]
async fn errors_of_an_agent_are_told_by_name_index_and_object() {
    let agent = Agent::start(|pdu, count| {
        let status = [17, 5, 2, 16, 99][count as usize % 5];
        vec![of(Pdu { kind: Kind::Response, status, index: 2, ..pdu })]
    })
    .await;
    let session = open(agent.port, quick()).await.expect("a session");
    let both = json!({ "oids": ["1.3.6.1.1", "1.3.6.1.2"] });
    for (name, kind) in [
        ("notWritable", ErrorKind::Refused),
        ("genErr", ErrorKind::Refused),
        ("noSuchName", ErrorKind::Refused),
        ("authorizationError", ErrorKind::Denied),
        ("error-status 99", ErrorKind::Refused),
    ] {
        let error = session.call("get", &both).await.expect_err(name);
        assert_eq!(error.kind(), kind);
        let text = format!("the agent answers {name} for 1.3.6.1.2, value 2 of 2");
        assert_eq!(error.message(), text);
        assert!(error.code().is_some());
    }
}

#[tokio::test]
async fn nobody_at_a_port_is_told_soon_and_later_answers_count() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let port = socket.local_addr().expect("its address").port();
    drop(socket);
    let options = SnmpOptions { timeout: 50.0, ..quick() };
    let session = open(port, options).await.expect("a session");
    let error = session.call("get", &get()).await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    let socket = UdpSocket::bind(("127.0.0.1", port)).await.expect("the same port");
    let answering = async {
        let mut buffer = [0; 1000];
        let (length, peer) = socket.recv_from(&mut buffer).await.expect("a request");
        let pdu = pdu(&buffer[..length]);
        let bytes = answer(pdu.id, asked(&pdu), Value::Counter64(u64::MAX));
        // A stranger is first; he is not heard.
        let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let wrong = answer(pdu.id, asked(&pdu), Value::Integer(0));
        stranger.send_to(&wrong, peer).await.expect("room");
        socket.send_to(&bytes, peer).await.expect("room");
    };
    let get = get();
    let (got, ()) = tokio::join!(session.call("get", &get), answering);
    let got = got.expect("an answer");
    assert_eq!(got["values"][0]["value"], "18446744073709551615");
    assert_eq!(got["values"][0]["type"], "counter64");
}

#[tokio::test]
async fn a_community_shows_nowhere() {
    let agent = Agent::start(|_, _| Vec::new()).await;
    let error =
        open(agent.port, SnmpOptions { probe: true, ..quick() }).await.expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.message().contains("`probe = false`"), "{error}");
    let options = SnmpOptions { community: Some(Secret::new("hidden")), ..quick() };
    let shown = format!("{error} {error:?} {options:?}");
    let session = open(agent.port, options).await.expect("a session");
    let info = serde_json::to_string(&session.info()).expect("text");
    assert!(!shown.contains("hidden") && !info.contains("hidden"), "{shown} {info}");
    let endpoint = endpoint(quick(), Role::Client).expect("options");
    let address = Address::new("127.0.0.1", 1).with_user("concealed");
    let error = endpoint.credentials(&address).err().expect("no secret").to_string();
    assert!(!error.contains("concealed") && error.contains("snmp://:COMMUNITY@host"), "{error}");
}

#[tokio::test]
async fn options_that_do_not_fit_name_themselves() {
    let v3 = Version::V3;
    for (options, role, named) in [
        (SnmpOptions { user: Some("x".into()), ..quick() }, Role::Client, "user"),
        (
            SnmpOptions { version: v3, community: Some(Secret::new("x")), ..quick() },
            Role::Client,
            "community",
        ),
        (SnmpOptions { engine_id: Some("80".into()), ..quick() }, Role::Client, "engine_id"),
        (SnmpOptions { bind: Some("here".into()), ..quick() }, Role::Client, "bind"),
        (SnmpOptions { timeout: -1.0, ..quick() }, Role::Client, "timeout"),
        (SnmpOptions { mib_files: vec!["/nowhere".into()], ..quick() }, Role::Client, "mib_files"),
        (quick(), Role::Server, "communities"),
    ] {
        let error = endpoint(options, role).err().expect(named).to_string();
        assert!(error.contains(&format!("option={named}")), "{error}");
    }
}

#[tokio::test]
async fn over_a_connection_messages_are_whole_and_what_is_none_ends_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    let options = SnmpOptions { transport: Transport::Tcp, max_message: 1000, ..quick() };
    for (bytes, kind, text) in [
        (vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff], ErrorKind::Limit, "longer than `max_message`"),
        (b"HTTP/1.1 400\r\n".to_vec(), ErrorKind::Protocol, "expected a message"),
        (vec![0x30, 5, 2], ErrorKind::Closed, "after 3 bytes of a message"),
    ] {
        let session = open(port, options.clone()).await.expect("a session");
        let (mut far, _) = listener.accept().await.expect("a connection");
        let answering = async {
            let mut buffer = [0; 1000];
            let length = far.read(&mut buffer).await.expect("a request");
            let pdu = pdu(&buffer[..length]);
            let right = answer(pdu.id, asked(&pdu), Value::Integer(-5));
            for byte in right {
                far.write_all(&[byte]).await.expect("room");
                far.flush().await.expect("room");
            }
            let _ = far.read(&mut buffer).await.expect("another request");
            far.write_all(&bytes).await.expect("room");
            far.shutdown().await.expect("an end");
        };
        let asking = async {
            let got = session.call("get", &get()).await.expect("an answer");
            assert_eq!(got["values"][0]["value"], -5);
            session.call("get", &get()).await.expect_err("no answer")
        };
        let (error, ()) = tokio::join!(asking, answering);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(text), "{error}");
        let mut messages = session.take_messages().expect("messages");
        let told = messages.next().await.expect("an error").expect_err("why it has ended");
        assert_eq!(told.kind(), kind);
        assert!(messages.next().await.is_none());
    }
}

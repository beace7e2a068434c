//! Engines of version 3 that answer wrongly.

use super::{driver, quick};
use crate::message::{Message, Scoped, Secured, flag};
use crate::options::{SnmpOptions, Version};
use crate::pdu::{Kind, Pdu, VarBind};
use crate::usm::keys::{Algorithms, User};
use crate::usm::seal::{Header, Report, plain};
use crate::value::Value;
use crate::{AuthProtocol, PrivacyProtocol};
use jackfield_plugin_api::{Address, Driver, ErrorKind, Request, Role, Secret, Session, testing};
use serde_json::json;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const ENGINE: [u8; 8] = [0x80, 0, 0, 0, 5, 1, 2, 3];
const PASSWORD: &str = "maplesyrup";

fn user() -> User {
    let algorithms =
        Algorithms { auth: AuthProtocol::Sha1, privacy: PrivacyProtocol::Aes128, weak: false };
    let password = Secret::new(PASSWORD);
    User::new("somebody", algorithms, Some(&password), Some(&password)).expect("a user")
}

/// An engine; what it answers to a request that is no discovery is for a test to say.
struct Agent {
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What an engine answers with.
struct Answering {
    user: Arc<User>,
    count: u32,
}

impl Answering {
    fn sealed(&self, secured: &Secured<'_>, clock: (i32, i32), flags: u8, pdu: Pdu) -> Vec<u8> {
        let header = Header { id: secured.id, engine: &ENGINE, clock, flags, salt: [9; 8] };
        self.user.seal(&header, &scoped(pdu))
    }

    fn right(&self, secured: &Secured<'_>, clock: (i32, i32)) -> Vec<u8> {
        self.sealed(secured, clock, 3, response(secured.id))
    }
}

fn scoped(pdu: Pdu) -> Scoped {
    Scoped { engine: ENGINE.to_vec(), context: Vec::new(), pdu }
}

fn response(id: i32) -> Pdu {
    let oid = crate::oid::Oid::known(&[1, 3, 6, 1]);
    Pdu { id, ..Pdu::new(Kind::Response, vec![VarBind { oid, value: Value::Integer(1) }]) }
}

fn report(report: Report) -> Pdu {
    Pdu::new(Kind::Report, vec![VarBind { oid: report.oid(), value: Value::Counter32(1) }])
}

impl Agent {
    async fn start(
        said: (i32, i32),
        answers: impl Fn(&Answering, &Secured<'_>) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let port = socket.local_addr().expect("its address").port();
        let task = tokio::spawn(async move {
            let mut answering = Answering { user: Arc::new(user()), count: 0 };
            let mut buffer = vec![0; 65_536];
            loop {
                let (length, peer) = socket.recv_from(&mut buffer).await.expect("a datagram");
                let Ok(Message::Secured(secured)) = Message::read(&buffer[..length]) else {
                    panic!("no message of version 3");
                };
                let all = if secured.engine.is_empty() {
                    let scoped = scoped(report(Report::UnknownEngineIds));
                    vec![plain(secured.id, 0, &ENGINE, said, b"", &scoped)]
                } else {
                    answering.user.verify(&buffer[..length], &secured).expect("an honest client");
                    answering.count += 1;
                    answers(&answering, &secured)
                };
                for answer in all {
                    socket.send_to(&answer, peer).await.expect("room");
                }
            }
        });
        Agent { port, task }
    }
}

async fn open(port: u16, engine_id: Option<&str>) -> Session {
    let options = SnmpOptions {
        version: Version::V3,
        user: Some("somebody".into()),
        auth: AuthProtocol::Sha1,
        auth_password: Some(Secret::new(PASSWORD)),
        privacy: PrivacyProtocol::Aes128,
        privacy_password: Some(Secret::new(PASSWORD)),
        engine_id: engine_id.map(str::to_owned),
        ..quick()
    };
    let driver = driver();
    let endpoint = driver.configure(options, Role::Client).expect("options");
    let request = Request::new(Address::new("127.0.0.1", port), testing::DEADLINE);
    driver.open(&endpoint, request).await.expect("a session")
}

async fn get(session: &Session) -> jackfield_plugin_api::Result<serde_json::Value> {
    session.call("get", &json!({ "oid": "1.3.6.1" })).await
}

#[tokio::test]
async fn a_clock_that_was_said_wrongly_is_set_by_a_report_that_is_proven() {
    let agent = Agent::start((1, 1), |it, secured| match secured.boots {
        7 => vec![it.right(secured, (7, 5000))],
        _ => vec![it.sealed(secured, (7, 5000), 1, report(Report::NotInTimeWindows))],
    })
    .await;
    let session = open(agent.port, None).await;
    get(&session).await.expect("an answer");
    get(&session).await.expect("another");
    let facts = session.info().facts;
    assert_eq!(
        (&facts["engine_boots"], &facts["engine_id"]),
        (&json!(7), &json!("8000000005010203"))
    );
    assert!(session.info().encrypted);
}

#[tokio::test]
async fn an_engine_whose_clock_is_never_right_is_an_error_and_no_loop() {
    let agent = Agent::start((1, 1), |it, secured| {
        let clock = (7 + i32::try_from(it.count).expect("few"), 5000);
        vec![it.sealed(secured, clock, 1, report(Report::NotInTimeWindows))]
    })
    .await;
    let error = get(&open(agent.port, None).await).await.expect_err("never in time");
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert!(error.message().contains("notInTimeWindows"), "{error}");
}

#[tokio::test]
async fn what_is_not_proven_sets_no_clock() {
    let agent = Agent::start((1, 1), |_, secured| {
        let scoped = scoped(report(Report::NotInTimeWindows));
        vec![plain(secured.id, 0, &ENGINE, (i32::MAX, 5), b"somebody", &scoped)]
    })
    .await;
    let session = open(agent.port, None).await;
    let error = get(&session).await.expect_err("a lie");
    assert!(error.message().contains("notInTimeWindows"), "{error}");
    assert_eq!(session.info().facts["engine_boots"], 1);
}

#[tokio::test]
async fn answers_that_are_forged_old_or_less_protected_are_thrown_away() {
    let agent = Agent::start((5, 1000), |it, secured| {
        let right = it.right(secured, (5, 1000));
        let mut forged = right.clone();
        let at = forged.len() - 1;
        forged[at] ^= 1;
        let other = Header {
            id: secured.id,
            engine: b"another engine",
            clock: (5, 1000),
            flags: 3,
            salt: [9; 8],
        };
        let mut answers = vec![
            forged,
            it.user.seal(&other, &scoped(response(secured.id))),
            plain(secured.id, 0, &ENGINE, (5, 1000), b"somebody", &scoped(response(secured.id))),
            it.sealed(secured, (5, 1000), flag::AUTHENTICATED, response(secured.id)),
            it.sealed(secured, (5, 1000), 3, response(secured.id ^ 1)),
        ];
        if it.count > 1 {
            answers.push(it.right(secured, (4, 9000)));
            answers.push(it.right(secured, (5, 800)));
        }
        answers.push(right);
        answers
    })
    .await;
    let session = open(agent.port, None).await;
    for _ in 0..2 {
        get(&session).await.expect("the right one");
    }
    assert_eq!(session.info().facts["dropped"], 5 + 7);
}

#[tokio::test]
async fn only_the_engine_that_is_expected_is_asked() {
    let agent = Agent::start((5, 1000), |it, secured| vec![it.right(secured, (5, 1000))]).await;
    get(&open(agent.port, Some("80:00:00:00:05:01:02:03")).await).await.expect("the right one");
    let error = get(&open(agent.port, Some("8000000005010204")).await).await.expect_err("another");
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
}

#[tokio::test]
async fn an_engine_that_has_become_another_is_asked_for_its_name_again() {
    let agent = Agent::start((5, 1000), |it, secured| match it.count {
        1 => {
            let scoped = scoped(report(Report::UnknownEngineIds));
            vec![plain(secured.id, 0, b"some other", (1, 1), b"", &scoped)]
        }
        _ => vec![it.right(secured, (5, 1000))],
    })
    .await;
    get(&open(agent.port, None).await).await.expect("an answer at last");
}

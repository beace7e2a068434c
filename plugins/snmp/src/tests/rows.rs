//! Walks as streams.

use super::agents::{Agent, asked, of};
use super::{open, quick};
use crate::oid::Oid;
use crate::options::SnmpOptions;
use crate::pdu::{Kind, Pdu, VarBind};
use crate::value::Value;
use jackfield_plugin_api::{Error, ErrorKind, Facets, Session, Stream};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// `count` rows behind the name that is asked about.
fn rows(pdu: &Pdu, count: u32) -> Vec<VarBind> {
    let mut numbers = asked(pdu).numbers().to_vec();
    numbers.resize(6, 0);
    let next = (0..count).map(|_| {
        numbers[5] += 1;
        VarBind { oid: Oid::known(&numbers), value: Value::Octets(b"x".to_vec()) }
    });
    next.collect()
}

fn response(pdu: &Pdu, values: Vec<VarBind>) -> Vec<Vec<u8>> {
    vec![of(Pdu { id: pdu.id, ..Pdu::new(Kind::Response, values) })]
}

async fn walk(session: &Session, params: Json) -> Stream {
    let opened = session.open_stream(&json!({ "walk": params })).await.expect("a walk");
    opened.take_stream().expect("its rows")
}

#[tokio::test]
async fn rows_are_there_before_the_walk_has_ended() {
    // The second question has no answer.
    let agent = Agent::start(|pdu, count| match count {
        0 => response(&pdu, rows(&pdu, 2)),
        _ => Vec::new(),
    })
    .await;
    let session = open(agent.port, quick()).await.expect("a session");
    let mut lines = BufReader::new(walk(&session, json!({ "oid": "1.3.6.1.9" })).await).lines();
    for number in 1..=2 {
        let line = lines.next_line().await.expect("no fault yet").expect("a row");
        let row: Json = serde_json::from_str(&line).expect("JSON");
        let oid = format!("1.3.6.1.9.{number}");
        assert_eq!(row, json!({ "oid": oid, "type": "octet_string", "value": "x" }));
    }
    let error = Error::from(lines.next_line().await.expect_err("no answer"));
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

#[tokio::test]
async fn a_stream_of_rows_has_no_bounds_and_asks_for_one_answer_ahead() {
    let seen = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&seen);
    let agent = Agent::start(move |pdu, _| {
        count.fetch_add(1, Ordering::Relaxed);
        response(&pdu, rows(&pdu, u32::try_from(pdu.index).expect("a count")))
    })
    .await;
    let options = SnmpOptions { max_rows: 100, max_answer: 5_000, max_repetitions: 10, ..quick() };
    let session = open(agent.port, options).await.expect("a session");
    let mut lines = BufReader::new(walk(&session, json!({ "oid": "1.3.6.1.9" })).await).lines();
    for _ in 0..1000 {
        lines.next_line().await.expect("no fault").expect("a row");
    }
    // 100 answers were read, and one more is asked for.
    assert!(seen.load(Ordering::Relaxed) <= 102, "{seen:?}");
    let bounded = json!({ "oid": "1.3.6.1.9", "max_rows": 7 });
    let mut text = String::new();
    walk(&session, bounded).await.read_to_string(&mut text).await.expect("an end");
    assert_eq!(text.lines().count(), 7);
}

#[tokio::test]
async fn what_goes_wrong_comes_behind_the_rows_before_it() {
    let agent = Agent::start(|pdu, count| {
        let mut values = rows(&pdu, 2);
        if count == 1 {
            values.reverse();
        }
        response(&pdu, values)
    })
    .await;
    let session = open(agent.port, quick()).await.expect("a session");
    let mut stream = walk(&session, json!({ "oid": "1.3.6.1.9" })).await;
    let mut text = Vec::new();
    let error = Error::from(stream.read_to_end(&mut text).await.expect_err("a circle"));
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 2);
    assert!(error.message().contains("goes backwards or in a circle"), "{error}");
    // It has ended, and takes nothing.
    assert_eq!(stream.read(&mut [0; 8]).await.expect("the end"), 0);
    let error = Error::from(stream.write_all(b"x").await.expect_err("a refusal"));
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn a_walk_that_is_asked_for_wrongly_is_refused_before_it_begins() {
    let agent = Agent::start(|_, _| Vec::new()).await;
    let session = open(agent.port, quick()).await.expect("a session");
    for (wrong, named) in [
        (json!({ "walk": { "oid": "1.3.6", "max_rows": 0 } }), "max_rows"),
        (json!({ "walk": { "oid": "x" } }), "oid"),
        (json!({ "get": { "oid": "1.3.6" } }), "get"),
        (json!({}), "walk"),
    ] {
        let error = session.open_stream(&wrong).await.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.message().contains(named), "{error}");
    }
    assert_eq!(session.info().facts["requests"], 0);
}

#[tokio::test]
async fn one_more_user_of_a_connection_calls_and_sends_as_the_first_one() {
    let agent = Agent::start(|pdu, _| response(&pdu, rows(&pdu, 1))).await;
    let session = open(agent.port, quick()).await.expect("a session");
    let beside = session.open_stream(&Json::Null).await.expect("one more");
    assert_eq!(beside.facets(), Facets::CALL | Facets::MESSAGES);
    drop(session);
    let got = beside.call("get_next", &json!({ "oid": "1.3.6.1.9" })).await.expect("an answer");
    assert_eq!(got["values"][0]["oid"], "1.3.6.1.9.1");
    assert!(beside.take_messages().is_some());
}

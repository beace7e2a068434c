//! Servers that answer something else, or nothing that can be read.

use jackfield_plugin_api::ErrorKind;
use serde_json::{Value, json};
use tokio::net::UdpSocket;

use super::{fact, resolve};
use crate::{
    reload::soon,
    support::{
        host::TestHost,
        peers::names::{Asked, NamePeer},
    },
};

const GOOD: [u8; 4] = [192, 0, 2, 1];
const BAD: [u8; 4] = [192, 0, 2, 66];

fn addresses(answer: &Value) -> Vec<&str> {
    let answers = answer["answers"].as_array().expect("a list");
    answers.iter().filter_map(|record| record["data"]["address"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_another_question_is_passed_over() {
    let peer = NamePeer::start(|asked| {
        let forged = asked.addresses(300, &[BAD]);
        let changed = |at: usize, to: u8| {
            let mut forged = forged.clone();
            forged[at] = to;
            forged
        };
        vec![
            Vec::new(),
            forged[..11].to_vec(),
            changed(0, forged[0] ^ 1), // another id
            changed(2, 0x01),          // a question
            changed(2, 0xa8),          // another operation
            changed(13, b'z'),         // another name
            changed(20, 28),           // another type
            vec![0; 3000],             // longer than we take
            asked.addresses(300, &[GOOD]),
            asked.addresses(300, &[BAD]), // too late
        ]
    })
    .await;
    let host = TestHost::start("").await;
    let session = host.open(&peer.uri(), json!({})).await.unwrap();
    let answer = resolve(&session, json!({ "name": "a.test" })).await.unwrap();
    assert_eq!(addresses(&answer), ["192.0.2.1"], "{answer}");
    assert_eq!(peer.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_dropped_leaves_nothing_and_the_next_one_is_answered() {
    let peer = NamePeer::start(|asked| match asked.number {
        0 => Vec::new(),
        _ => vec![asked.addresses(300, &[GOOD])],
    })
    .await;
    let host = TestHost::start("").await;
    // One place for questions: it is free again at once.
    let options = json!({ "max_requests": 1, "timeout": 60.0 });
    let session = host.open(&peer.uri(), options).await.unwrap();
    let asks = json!({ "name": "a.test" });
    tokio::select! {
        answer = resolve(&session, asks.clone()) => panic!("nobody answers: {answer:?}"),
        () = soon("the question", async || peer.asked() == 1) => {}
    }
    let answer = resolve(&session, asks).await.unwrap();
    assert_eq!((addresses(&answer), peer.asked()), (vec!["192.0.2.1"], 2), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_another_address_is_not_heard() {
    let stranger = std::net::UdpSocket::bind("127.0.0.2:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("dns://{}", socket.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (len, client) = socket.recv_from(&mut buffer).await.unwrap();
        let asked = Asked { number: 0, message: &buffer[..len], over_tcp: false };
        stranger.send_to(&asked.addresses(300, &[BAD]), client).unwrap();
        socket.send_to(&asked.addresses(300, &[GOOD]), client).await.unwrap();
    });
    let host = TestHost::start("").await;
    let session = host.open(&uri, json!({})).await.unwrap();
    let answer = resolve(&session, json!({ "name": "a.test" })).await.unwrap();
    assert_eq!(addresses(&answer), ["192.0.2.1"]);
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_read_is_an_error_and_the_host_lives() {
    type Broken = fn(&Asked<'_>) -> Vec<u8>;
    let broken: [Broken; 6] = [
        // The name of the record points at itself, and then forward.
        |asked| {
            let mut answer = asked.addresses(300, &[GOOD]);
            let at = answer.len() - 16;
            answer[at + 1] = u8::try_from(at).unwrap();
            answer
        },
        |asked| {
            let mut answer = asked.addresses(300, &[GOOD]);
            let at = answer.len() - 16;
            answer[at + 1] = u8::try_from(at + 4).unwrap();
            answer
        },
        // A name in the data that points at itself.
        |asked| {
            let mut answer = asked.answer(0x8180, &[(5, 300, vec![0xc0, 0])]);
            let at = answer.len() - 1;
            answer[at] = u8::try_from(at - 1).unwrap();
            answer
        },
        // More records than there are.
        |asked| {
            let mut answer = asked.addresses(300, &[GOOD]);
            answer[6..8].fill(0xff);
            answer
        },
        // Data that is longer than the message, and of the wrong length.
        |asked| {
            let mut answer = asked.addresses(300, &[GOOD]);
            let at = answer.len() - 6;
            answer[at] = 0xff;
            answer
        },
        |asked| asked.answer(0x8180, &[(1, 300, vec![1, 2, 3])]),
    ];
    let host = TestHost::start("").await;
    for (number, broken) in broken.into_iter().enumerate() {
        let peer = NamePeer::start(move |asked| vec![broken(&asked)]).await;
        let session = host.open(&peer.uri(), json!({ "attempts": 2 })).await.unwrap();
        let error = resolve(&session, json!({ "name": "a.test" })).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{number}: {error}");
        assert_eq!(peer.asked(), 2, "it is asked again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_before_edns_is_asked_without_it() {
    let peer = NamePeer::start(|asked| match asked.message[11] {
        1 => vec![asked.answer(0x8181, &[])],
        _ => vec![asked.addresses(300, &[GOOD])],
    })
    .await;
    let host = TestHost::start("").await;
    let session = host.open(&peer.uri(), json!({})).await.unwrap();
    let answer = resolve(&session, json!({ "name": "a.test" })).await.unwrap();
    assert_eq!(addresses(&answer), ["192.0.2.1"]);
    assert_eq!(peer.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_question_is_asked_again_with_another_id() {
    let ids = std::sync::Mutex::new(Vec::new());
    let peer = NamePeer::start(move |asked| {
        let mut ids = ids.lock().unwrap();
        let id = asked.message[..2].to_vec();
        assert!(!ids.contains(&id), "an id twice");
        ids.push(id);
        if asked.number < 2 { Vec::new() } else { vec![asked.addresses(300, &[GOOD])] }
    })
    .await;
    let host = TestHost::start("").await;
    let session = host.open(&peer.uri(), json!({ "timeout": 0.05 })).await.unwrap();
    resolve(&session, json!({ "name": "a.test" })).await.unwrap();
    assert_eq!(peer.asked(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_wrong_short_and_missing_answers_are_errors() {
    let host = TestHost::start("").await;
    let wrong = NamePeer::start(|asked| {
        let mut answer = asked.addresses(300, &[BAD]);
        answer[1] ^= 1;
        vec![answer]
    });
    let gone = NamePeer::start(|_| vec![Vec::new()]);
    let cut = NamePeer::start(|asked| {
        assert!(asked.over_tcp);
        vec![asked.message[..5].to_vec(), Vec::new()]
    });
    let (wrong, gone, cut) = tokio::join!(wrong, gone, cut);
    for (peer, kind) in
        [(wrong, ErrorKind::Protocol), (gone, ErrorKind::Closed), (cut, ErrorKind::Protocol)]
    {
        let session = host.open(&peer.uri(), json!({ "over": "tcp" })).await.unwrap();
        let error = resolve(&session, json!({ "name": "a.test" })).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_has_closed_meanwhile_costs_no_question() {
    let peer = NamePeer::start(|asked| {
        // Each connection serves one question.
        vec![asked.addresses(0, &[GOOD]), Vec::new()]
    })
    .await;
    let host = TestHost::start("").await;
    let session = host.open(&peer.uri(), json!({ "over": "tcp", "attempts": 1 })).await.unwrap();
    for _ in 0..3 {
        resolve(&session, json!({ "name": "a.test" })).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_a_server_pass_no_control_characters() {
    let peer = NamePeer::start(|asked| {
        let mut answer = asked.answer(0x8182, &[]);
        answer[11] = 1;
        // OPT with an extended error (RFC 8914): 22, and text.
        answer.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, 0, 15, 0, 7, 0, 22]);
        answer.extend(b"\x1b[2Jx");
        vec![answer]
    })
    .await;
    let host = TestHost::start("").await;
    let session = host.open(&peer.uri(), json!({})).await.unwrap();
    let error = resolve(&session, json!({ "name": "a.test" })).await.unwrap_err();
    assert_eq!(fact(&error, "explained"), "22 [2Jx", "{error}");
}

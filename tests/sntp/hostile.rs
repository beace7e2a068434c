//! Servers that answer something else, or say that they want to be left alone.

use std::time::{SystemTime, UNIX_EPOCH};

use jackfield_plugin_api::{Error, ErrorKind, Session};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{is_near, time};
use crate::support::{host::TestHost, peers::time::TimePeer, process::DEADLINE};

/// A stamp of the time now, and `off` seconds more.
fn stamp(off: i64) -> [u8; 8] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let seconds = i64::try_from(now.as_secs()).expect("a time") + 2_208_988_800 + off;
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    let seconds = u32::try_from(seconds).expect("before 2036");
    (u64::from(seconds) << 32 | fraction).to_be_bytes()
}

/// A good answer to `request`, of a server whose clock is `off` seconds ahead.
fn good(request: &[u8], off: i64) -> Vec<u8> {
    let mut answer = vec![0x24, 2, 0, 0xec, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 9];
    for part in [&stamp(off - 1), &request[40..48], &stamp(off), &stamp(off)] {
        answer.extend_from_slice(part);
    }
    answer
}

/// The same with one part changed.
fn with(request: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut answer = good(request, 0);
    answer[at..at + bytes.len()].copy_from_slice(bytes);
    answer
}

fn kiss(request: &[u8], name: &[u8; 4]) -> Vec<u8> {
    let mut answer = with(request, 0, &[0xe4, 0]);
    answer[12..16].copy_from_slice(name);
    answer
}

async fn opened(host: &TestHost, peer: &TimePeer, options: Value) -> Session {
    host.open(&peer.uri(), options).await.unwrap()
}

fn fact<'a>(error: &'a Error, name: &str) -> &'a str {
    error.context().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_to_this_request_is_passed_over_and_counted() {
    let peer = TimePeer::start(|_, request| {
        vec![
            Vec::new(),
            good(request, 0)[..47].to_vec(),
            with(request, 24, &[0; 8]),                 // another origin
            with(request, 0, &[0x23]),                  // a request
            with(request, 0, &[0x04]),                  // version 0
            [good(request, 0), vec![0; 2000]].concat(), // longer than any
            good(request, 5),
            good(request, 0), // too late
        ]
    })
    .await;
    let host = TestHost::start("").await;
    let session = opened(&host, &peer, json!({})).await;
    let answer = time(&session, json!({})).await.unwrap();
    assert!(is_near(&answer, 5.0), "{answer}");
    assert_eq!(answer["ignored"], 6, "{answer}");
    assert_eq!(answer["reference_id"], "10.0.0.9");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_replayed_for_another_request_does_not_count() {
    let kept = std::sync::Mutex::new(Vec::new());
    let peer = TimePeer::start(move |number, request| {
        let mut kept = kept.lock().unwrap();
        if number == 0 {
            *kept = good(request, 0);
            return vec![kept.clone(), kept.clone()];
        }
        vec![kept.clone(), kept.clone(), good(request, 30)]
    })
    .await;
    let host = TestHost::start("").await;
    let session = opened(&host, &peer, json!({})).await;
    assert!(is_near(&time(&session, json!({})).await.unwrap(), 0.0));
    let answer = time(&session, json!({})).await.unwrap();
    assert!(is_near(&answer, 30.0), "{answer}");
    assert_eq!(answer["ignored"], 2, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_fewer_requests_is_left_alone_by_all_sessions() {
    let peer = TimePeer::start(|_, request| vec![kiss(request, b"RATE")]).await;
    let host = TestHost::start("").await;
    let session = opened(&host, &peer, json!({})).await;
    let error = time(&session, json!({ "samples": 3 })).await.unwrap_err();
    assert_eq!((error.kind(), fact(&error, "kiss")), (ErrorKind::Refused, "RATE"), "{error}");
    assert_eq!(fact(&error, "seconds_left"), "60", "{error}");
    let event = timeout(DEADLINE, session.next_event()).await.expect("in time").unwrap().unwrap();
    assert_eq!((event.name.as_str(), &event.data["kiss"]), ("kiss", &json!("RATE")));
    let other = opened(&host, &peer, json!({})).await;
    for session in [&session, &other] {
        let error = time(session, json!({})).await.unwrap_err();
        assert_eq!((error.kind(), fact(&error, "kiss")), (ErrorKind::Refused, "RATE"), "{error}");
        assert_eq!(session.ping().await.unwrap_err().kind(), ErrorKind::Refused);
    }
    assert_eq!(peer.asked(), 1, "nothing is sent in that time");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_again_after_that_time() {
    let peer = TimePeer::start(|number, request| match number {
        0 => vec![kiss(request, b"RATE")],
        _ => vec![good(request, 0)],
    })
    .await;
    let host = TestHost::start("").await;
    let session = opened(&host, &peer, json!({ "rate_wait": 0.05 })).await;
    assert_eq!(time(&session, json!({})).await.unwrap_err().kind(), ErrorKind::Refused);
    let again = async {
        while time(&session, json!({})).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, again).await.expect("in time");
    assert_eq!(peer.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_denies_us_is_told_by_its_word() {
    for name in [b"DENY", b"RSTR"] {
        let peer = TimePeer::start(|_, request| vec![kiss(request, name)]).await;
        let host = TestHost::start("").await;
        let session = opened(&host, &peer, json!({})).await;
        let error = time(&session, json!({})).await.unwrap_err();
        let word = std::str::from_utf8(name).unwrap();
        assert_eq!((error.kind(), fact(&error, "kiss")), (ErrorKind::Refused, word), "{error}");
        assert_eq!(time(&session, json!({})).await.unwrap_err().kind(), ErrorKind::Refused);
        assert_eq!(peer.asked(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kiss_that_answers_nobody_is_no_kiss() {
    let peer = TimePeer::start(|_, request| {
        let mut forged = kiss(request, b"DENY");
        forged[24..32].fill(7);
        vec![forged, good(request, 0)]
    })
    .await;
    let host = TestHost::start("").await;
    let session = opened(&host, &peer, json!({})).await;
    assert_eq!(time(&session, json!({})).await.unwrap()["ignored"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_not_synchronised_is_an_error() {
    type Answer = fn(&[u8]) -> Vec<u8>;
    let cases: [(Answer, &str); 4] = [
        (|request| with(request, 0, &[0xe4]), ""),  // leap 3
        (|request| with(request, 1, &[16]), ""),    // stratum 16
        (|request| kiss(request, b"INIT"), "INIT"), // as ntpd says it at its start
        (|request| kiss(request, &[0; 4]), ""),
    ];
    let host = TestHost::start("").await;
    for (answer, word) in cases {
        let peer = TimePeer::start(move |_, request| vec![answer(request)]).await;
        let session = opened(&host, &peer, json!({})).await;
        let error = time(&session, json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.message().contains("not synchronised"), "{error}");
        assert_eq!(fact(&error, "kiss"), word, "{error}");
        timeout(DEADLINE, session.ping()).await.expect("in time").expect("it is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_time_or_with_time_that_runs_backwards_is_none() {
    let cases = [(40, [0; 8]), (32, [0; 8]), (32, stamp(10))];
    let host = TestHost::start("").await;
    for (place, bytes) in cases {
        let peer = TimePeer::start(move |_, request| vec![with(request, place, &bytes)]).await;
        let session = opened(&host, &peer, json!({})).await;
        let error = time(&session, json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_samples_the_one_with_the_least_delay_counts() {
    let peer = TimePeer::start(|number, request| match number {
        // It says that it had the request for a second: nothing is left for the way.
        1 => vec![with(request, 32, &stamp(-1))],
        _ => vec![good(request, 100)],
    })
    .await;
    let host = TestHost::start("").await;
    let session = opened(&host, &peer, json!({ "sample_interval": 0.0, "samples": 3 })).await;
    let answer = time(&session, json!({})).await.unwrap();
    assert_eq!((&answer["samples"], &answer["delay"]), (&json!(3), &json!(0.0)), "{answer}");
    assert!(is_near(&answer, -0.5), "{answer}");
    assert!(answer["jitter"].as_f64().unwrap() > 90.0, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_asked_as_often_as_the_options_say() {
    let peer = TimePeer::start(|_, _| Vec::new()).await;
    let host = TestHost::start("").await;
    let session = opened(&host, &peer, json!({ "timeout": 0.05, "attempts": 4 })).await;
    let error = time(&session, json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(peer.uri().ends_with(fact(&error, "server")), "{error}");
    assert_eq!(peer.asked(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_packet_costs_a_sample_and_not_the_call() {
    let peer = TimePeer::start(|number, request| match number {
        0 => Vec::new(),
        _ => vec![good(request, 0)],
    })
    .await;
    let host = TestHost::start("").await;
    let options = json!({ "timeout": 0.05, "attempts": 1, "sample_interval": 0.0 });
    let session = opened(&host, &peer, options).await;
    assert_eq!(time(&session, json!({ "samples": 3 })).await.unwrap()["samples"], 2);
}

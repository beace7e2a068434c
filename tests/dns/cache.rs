//! Answers that are kept.

use serde_json::json;

use super::{fact, resolve};
use crate::support::{host::TestHost, peers::names::NamePeer};

/// SOA of nobody: two names that are the root, four numbers, and how long nothing holds.
fn soa(minimum: u32) -> Vec<u8> {
    [&[0; 18][..], &minimum.to_be_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_kept_for_its_ttl_and_shared() {
    let peer = NamePeer::start(|asked| vec![asked.addresses(300, &[[192, 0, 2, 1]])]).await;
    let host = TestHost::start("").await;
    let session = host.open(&peer.uri(), json!({})).await.unwrap();
    assert_eq!(resolve(&session, json!({ "name": "a.test" })).await.unwrap()["cached"], false);
    let again = resolve(&session, json!({ "name": "A.Test." })).await.unwrap();
    assert_eq!((&again["cached"], &again["over"]), (&json!(true), &json!("cache")));
    assert_eq!(peer.asked(), 1);
    // Another type, another wish, and a caller who wants it fresh.
    for asked in [
        json!({ "name": "a.test", "type": "AAAA" }),
        json!({ "name": "a.test", "dnssec": true }),
        json!({ "name": "a.test", "cache": false }),
    ] {
        resolve(&session, asked).await.unwrap();
    }
    assert_eq!(peer.asked(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_kept_as_the_zone_says() {
    let peer = NamePeer::start(|asked| {
        let mut answer = asked.answer(0x8183, &[(6, 900, soa(120))]);
        // The record stands among those who know.
        answer[6..10].copy_from_slice(&[0, 0, 0, 1]);
        vec![answer]
    })
    .await;
    let host = TestHost::start("").await;
    let session = host.open(&peer.uri(), json!({})).await.unwrap();
    for _ in 0..3 {
        let error = resolve(&session, json!({ "name": "a.test" })).await.unwrap_err();
        assert_eq!(fact(&error, "status"), "NXDOMAIN");
        assert!(fact(&error, "ttl").parse::<u32>().unwrap() <= 120, "{error}");
    }
    assert_eq!(peer.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_kept_is_not() {
    for (options, ttl) in [(json!({}), 0), (json!({ "cache_entries": 0 }), 300)] {
        let peer =
            NamePeer::start(move |asked| vec![asked.addresses(ttl, &[[192, 0, 2, 1]])]).await;
        let host = TestHost::start("").await;
        let session = host.open(&peer.uri(), options).await.unwrap();
        for _ in 0..2 {
            resolve(&session, json!({ "name": "a.test" })).await.unwrap();
        }
        assert_eq!(peer.asked(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_not_kept() {
    let peer = NamePeer::start(|asked| match asked.number {
        0 => vec![asked.answer(0x8182, &[])],
        _ => vec![asked.addresses(300, &[[192, 0, 2, 1]])],
    })
    .await;
    let host = TestHost::start("").await;
    let session = host.open(&peer.uri(), json!({})).await.unwrap();
    let error = resolve(&session, json!({ "name": "a.test" })).await.unwrap_err();
    assert_eq!((fact(&error, "status"), error.code()), ("SERVFAIL", Some(2)), "{error}");
    resolve(&session, json!({ "name": "a.test" })).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_answers_that_are_kept_is_bounded() {
    let peer = NamePeer::start(|asked| vec![asked.addresses(300, &[[192, 0, 2, 1]])]).await;
    let host = TestHost::start("").await;
    let session = host.open(&peer.uri(), json!({ "cache_entries": 2 })).await.unwrap();
    for name in ["a.test", "b.test", "c.test", "c.test", "a.test"] {
        resolve(&session, json!({ "name": name })).await.unwrap();
    }
    assert_eq!(peer.asked(), 4, "the first one has made room");
}

//! Time limits, with the clock stopped.

use super::ends::{Kind, limited, messages, start, start_with, whole};
use crate::{RelayEnd, RelayOptions, RelayTimeouts, Side};
use jackfield_plugin_api::Message;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

const LIMIT: Option<Duration> = Some(Duration::from_secs(60));

#[tokio::test(start_paused = true)]
async fn an_idle_relay_ends_and_a_busy_one_does_not() {
    for kind in [Kind::Tcp, Kind::Foreign] {
        let ((a, mut peer_a), (b, mut peer_b)) = (kind.open().await, kind.open().await);
        let options = limited(RelayTimeouts { idle: LIMIT, ..RelayTimeouts::default() });
        let running = start_with(a, b, options);
        for _ in 0..5 {
            tokio::time::advance(Duration::from_secs(50)).await;
            peer_a.write_all(b"x").await.expect("taken");
            // Real sockets: the clock must not run on while the kernel carries the byte.
            let mut byte = [0; 1];
            let read = peer_b.read_exact(&mut byte);
            let busy = tokio::task::spawn(async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
            read.await.expect("delivered");
            busy.abort();
            let _ = busy.await;
        }
        let since = Instant::now();
        assert_eq!(running.end().await, RelayEnd::IdleTimeout);
        assert_eq!(since.elapsed().as_secs(), 60);
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_relay_ends_after_its_limit() {
    let ((a, mut peer_a), (b, _peer_b)) = (Kind::Foreign.open().await, Kind::Foreign.open().await);
    let options = limited(RelayTimeouts { half_close: LIMIT, ..RelayTimeouts::default() });
    let since = Instant::now();
    let running = start_with(a, b, options);
    tokio::time::sleep(Duration::from_secs(1000)).await;
    peer_a.shutdown().await.expect("ended");
    assert_eq!(running.end().await, RelayEnd::HalfCloseTimeout);
    assert_eq!(since.elapsed().as_secs(), 1060);
}

#[tokio::test(start_paused = true)]
async fn the_total_limit_ends_a_busy_relay() {
    let ((a, mut peer_a), (b, mut peer_b)) =
        (Kind::Foreign.open().await, Kind::Foreign.open().await);
    let options = limited(RelayTimeouts { total: LIMIT, idle: LIMIT, ..RelayTimeouts::default() });
    let since = Instant::now();
    let running = start_with(a, b, options);
    let busy = tokio::spawn(async move {
        while peer_a.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if peer_b.read(&mut [0; 8]).await.is_err() {
                break;
            }
        }
    });
    assert_eq!(running.end().await, RelayEnd::TotalTimeout);
    assert_eq!(since.elapsed().as_secs(), 60);
    busy.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn the_half_close_limit_counts_silence_and_not_time() {
    let ((a, mut peer_a), (b, mut peer_b)) =
        (Kind::Foreign.open().await, Kind::Foreign.open().await);
    let options = limited(RelayTimeouts { half_close: LIMIT, ..RelayTimeouts::default() });
    let running = start_with(a, b, options);
    peer_a.shutdown().await.expect("ended");
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        peer_b.write_all(b"x").await.expect("taken");
        peer_a.read_exact(&mut [0; 1]).await.expect("delivered");
    }
    let since = Instant::now();
    assert_eq!(running.end().await, RelayEnd::HalfCloseTimeout);
    assert_eq!(since.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn messages_that_ended_leave_the_other_end_a_short_time() {
    let ((a, mut peer_a), (b, mut peer_b)) = (messages(), Kind::Foreign.open().await);
    let running = start(a, b);
    peer_a.send(Message::binary(&b"last"[..])).await;
    peer_a.tx = None;
    let mut got = Vec::new();
    peer_b.read_to_end(&mut got).await.expect("the message and the end");
    assert_eq!(got, b"last");
    let since = Instant::now();
    assert_eq!(running.end().await, RelayEnd::Closed { first: Side::A });
    assert_eq!(since.elapsed().as_millis(), 300);
}

/// A stream that ends only as a whole, as a line does, and never by itself.
#[tokio::test(start_paused = true)]
async fn what_knows_no_half_close_ends_soon_after_the_clients_end() {
    for (asks, limit) in [(true, 300), (false, 100)] {
        let ((a, mut peer_a), (b, mut peer_b)) = (Kind::Foreign.open().await, whole().await);
        let running = start(a, b);
        if asks {
            peer_a.write_all(b"ask").await.expect("taken");
            peer_b.read_exact(&mut [0; 3]).await.expect("delivered");
        }
        peer_a.shutdown().await.expect("ended");
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(90)).await;
            peer_b.write_all(b"x").await.expect("taken");
            peer_a.read_exact(&mut [0; 1]).await.expect("answers still come");
        }
        let since = Instant::now();
        assert_eq!(peer_a.read(&mut [0; 1]).await.expect("a proper end"), 0);
        assert_eq!(running.end().await, RelayEnd::Closed { first: Side::A });
        assert_eq!(since.elapsed().as_millis(), limit);
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_had_alone_is_let_go_of_although_it_could_half_close() {
    let ((a, mut peer_a), (b, mut peer_b)) =
        (Kind::Foreign.open().await, Kind::Foreign.open().await);
    let options = RelayOptions { half_close: false, ..RelayOptions::default() };
    let running = start_with(a, b, options);
    peer_a.write_all(b"ask").await.expect("taken");
    peer_a.shutdown().await.expect("ended");
    let mut got = Vec::new();
    peer_b.read_to_end(&mut got).await.expect("what was asked, and the end");
    let since = Instant::now();
    assert_eq!(running.end().await, RelayEnd::Closed { first: Side::A });
    assert_eq!((&got[..], since.elapsed().as_millis()), (&b"ask"[..], 300));
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_of_a_peer_beside_the_data_keeps_an_idle_relay() {
    let ((a, _peer_a), (b, _peer_b)) = (Kind::Foreign.open().await, Kind::Foreign.open().await);
    let options = limited(RelayTimeouts { idle: LIMIT, ..RelayTimeouts::default() });
    let (mut run, ..) = super::ends::make(a, b, options);
    let since = Instant::now();
    assert_eq!((&mut run).await, RelayEnd::IdleTimeout);
    run.heard(Duration::from_secs(20));
    assert_eq!((&mut run).await, RelayEnd::IdleTimeout);
    assert_eq!(since.elapsed().as_secs(), 100);
}

#[tokio::test(start_paused = true)]
async fn without_limits_time_does_nothing() {
    let ((a, mut peer_a), (b, mut peer_b)) =
        (Kind::Foreign.open().await, Kind::Foreign.open().await);
    let options = limited(RelayTimeouts { half_close: None, ..RelayTimeouts::default() });
    let running = start_with(a, b, options);
    peer_b.shutdown().await.expect("ended");
    assert_eq!(peer_a.read(&mut [0; 1]).await.expect("the end"), 0);
    tokio::time::sleep(Duration::from_secs(1_000_000)).await;
    peer_a.write_all(b"late").await.expect("taken");
    let mut got = [0; 4];
    peer_b.read_exact(&mut got).await.expect("delivered");
    assert!(!running.task.is_finished());
}

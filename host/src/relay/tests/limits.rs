//! Time limits, with the clock stopped.

use super::super::{RelayEnd, RelayOptions};
use super::ends::{Kind, messages, start, start_with};
use jackfield_plugin_api::Message;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

const LIMIT: Option<Duration> = Some(Duration::from_secs(60));

#[tokio::test(start_paused = true)]
async fn an_idle_relay_ends_and_a_busy_one_does_not() {
    for kind in [Kind::Tcp, Kind::Foreign] {
        let ((a, mut peer_a), (b, mut peer_b)) = (kind.open().await, kind.open().await);
        let options = RelayOptions { idle_timeout: LIMIT, ..RelayOptions::default() };
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
    let options = RelayOptions { half_close_timeout: LIMIT, ..RelayOptions::default() };
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
    let options =
        RelayOptions { total_timeout: LIMIT, idle_timeout: LIMIT, ..RelayOptions::default() };
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
async fn messages_that_ended_leave_the_other_end_a_short_time() {
    let ((a, mut peer_a), (b, mut peer_b)) = (messages(), Kind::Foreign.open().await);
    let running = start(a, b);
    peer_a.send(Message::binary(&b"last"[..])).await;
    peer_a.tx = None;
    let mut got = Vec::new();
    peer_b.read_to_end(&mut got).await.expect("the message and the end");
    assert_eq!(got, b"last");
    let since = Instant::now();
    assert_eq!(running.end().await, RelayEnd::HalfCloseTimeout);
    assert_eq!(since.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn without_limits_time_does_nothing() {
    let ((a, mut peer_a), (b, mut peer_b)) =
        (Kind::Foreign.open().await, Kind::Foreign.open().await);
    let running = start(a, b);
    peer_b.shutdown().await.expect("ended");
    assert_eq!(peer_a.read(&mut [0; 1]).await.expect("the end"), 0);
    tokio::time::sleep(Duration::from_secs(1_000_000)).await;
    peer_a.write_all(b"late").await.expect("taken");
    let mut got = [0; 4];
    peer_b.read_exact(&mut got).await.expect("delivered");
    assert!(!running.task.is_finished());
}

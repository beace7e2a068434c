//! Bytes between every pair of stream kinds.

use super::ends::{KINDS, Kind, expect_pattern, send_pattern, start};
use crate::{RelayEnd, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn expect(peer: &mut (impl tokio::io::AsyncRead + Unpin), want: &[u8]) {
    let mut got = vec![0; want.len()];
    peer.read_exact(&mut got).await.expect("bytes");
    assert_eq!(got, want);
}

fn pairs() -> impl Iterator<Item = (Kind, Kind)> {
    KINDS.into_iter().flat_map(|a| KINDS.into_iter().map(move |b| (a, b)))
}

#[tokio::test]
async fn every_pair_carries_both_ways_and_counts() {
    for (kind_a, kind_b) in pairs() {
        let ((a, mut peer_a), (b, mut peer_b)) = (kind_a.open().await, kind_b.open().await);
        let running = start(a, b);
        expect(&mut peer_b, kind_a.leftover()).await;
        expect(&mut peer_a, kind_b.leftover()).await;
        for round in 0..3 {
            let (ping, pong) = (format!("ping {round}"), format!("answer {round}"));
            peer_a.write_all(ping.as_bytes()).await.expect("taken");
            expect(&mut peer_b, ping.as_bytes()).await;
            peer_b.write_all(pong.as_bytes()).await.expect("taken");
            expect(&mut peer_a, pong.as_bytes()).await;
        }
        peer_b.shutdown().await.expect("ended");
        assert_eq!(peer_a.read(&mut [0; 1]).await.expect("the end"), 0);
        peer_a.shutdown().await.expect("ended");
        assert_eq!(peer_b.read(&mut [0; 1]).await.expect("the end"), 0);
        let totals = std::sync::Arc::clone(&running.totals);
        assert_eq!(
            running.end().await,
            RelayEnd::Closed { first: Side::B },
            "{kind_a:?} {kind_b:?}"
        );
        assert_eq!(totals.bytes_to_b(), 18 + kind_a.leftover().len() as u64);
        assert_eq!(totals.bytes_to_a(), 24 + kind_b.leftover().len() as u64);
        assert_eq!((totals.messages_to_a(), totals.messages_to_b()), (0, 0));
    }
}

/// 64 MiB in each direction at once, through each engine.
async fn much_both_ways(kind_a: Kind, kind_b: Kind) {
    const TOTAL: usize = 64 << 20;
    let ((a, peer_a), (b, peer_b)) = (kind_a.open().await, kind_b.open().await);
    let running = start(a, b);
    let (mut read_a, mut write_a) = tokio::io::split(peer_a);
    let (mut read_b, mut write_b) = tokio::io::split(peer_b);
    tokio::join!(
        send_pattern(&mut write_a, 3, TOTAL),
        send_pattern(&mut write_b, 5, TOTAL),
        expect_pattern(&mut read_b, 3, TOTAL),
        expect_pattern(&mut read_a, 5, TOTAL),
    );
    let (totals, pipes) = (running.totals.clone(), running.pipes.clone());
    assert!(matches!(running.end().await, RelayEnd::Closed { .. }));
    assert_eq!((totals.bytes_to_a(), totals.bytes_to_b()), (TOTAL as u64, TOTAL as u64));
    let kernel = kind_a != Kind::Foreign && kind_b != Kind::Foreign;
    assert_eq!(pipes.open() > 0, kernel, "spliced exactly between sockets");
    assert_eq!(pipes.idle(), pipes.open());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_both_ways_between_tcp_sockets() {
    much_both_ways(Kind::Tcp, Kind::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_both_ways_between_a_tcp_and_a_unix_socket() {
    much_both_ways(Kind::Tcp, Kind::Unix).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_both_ways_between_a_socket_and_a_foreign_stream() {
    much_both_ways(Kind::Tcp, Kind::Foreign).await;
}

#[tokio::test]
async fn either_side_may_end_first_and_still_receive() {
    for (kind_a, kind_b) in pairs() {
        for first in [Side::A, Side::B] {
            let ((a, peer_a), (b, peer_b)) = (kind_a.open().await, kind_b.open().await);
            let running = start(a, b);
            let skip = |kind: Kind| kind.leftover().len();
            let (mut early, mut late, skip_early, skip_late) = match first {
                Side::A => (peer_a, peer_b, skip(kind_b), skip(kind_a)),
                Side::B => (peer_b, peer_a, skip(kind_a), skip(kind_b)),
            };
            early.write_all(b"request").await.expect("taken");
            early.shutdown().await.expect("ended");
            let mut request = Vec::new();
            late.read_to_end(&mut request).await.expect("the request and its end");
            assert_eq!(&request[skip_late..], b"request");
            late.write_all(b"answer").await.expect("taken");
            late.shutdown().await.expect("ended");
            let mut answer = Vec::new();
            early.read_to_end(&mut answer).await.expect("the answer and its end");
            assert_eq!(&answer[skip_early..], b"answer");
            assert_eq!(running.end().await, RelayEnd::Closed { first });
        }
    }
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_bulk_transfer_loses_nothing() {
    const TOTAL: usize = 5_000_001;
    for (kind_a, kind_b) in pairs() {
        let ((a, mut peer_a), (b, mut peer_b)) = (kind_a.open().await, kind_b.open().await);
        let running = start(a, b);
        let mut skip = vec![0; kind_a.leftover().len()];
        tokio::join!(send_pattern(&mut peer_a, 7, TOTAL), async {
            peer_b.read_exact(&mut skip).await.expect("the leftover");
            expect_pattern(&mut peer_b, 7, TOTAL).await;
        });
        drop((peer_a, peer_b));
        running.end().await;
    }
}

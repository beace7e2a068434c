//! What is not whole must not look so, whatever stands over the sockets, and who goes before his relay begins.

use super::ends::{Kind, Layer, limited, messages, start, start_with, tcp_pair};
use crate::kernel_stream::tcp_stream;
use crate::{End, RelayEnd, RelayTimeouts, Side};
use jackfield_plugin_api::{Error, ErrorKind, Message, Origin, Stream};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A socket, or a layer over one.
async fn over_tcp(layer: bool) -> (End, TcpStream) {
    let (ours, peer) = tcp_pair().await;
    let stream = tcp_stream(ours);
    (End::Stream(if layer { Stream::new(Layer(stream)) } else { stream }), peer)
}

async fn sees_a_reset(mut peer: TcpStream) {
    let mut rest = Vec::new();
    let error = peer.read_to_end(&mut rest).await.expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

fn reset(peer: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(peer, Some(Duration::ZERO)).expect("set");
}

#[tokio::test]
async fn a_reset_passes_through_layers_on_either_side() {
    for (layer_a, layer_b) in [(true, false), (false, true), (true, true)] {
        let ((a, peer_a), (b, peer_b)) = (over_tcp(layer_a).await, over_tcp(layer_b).await);
        let running = start(a, b);
        reset(&peer_a);
        drop(peer_a);
        sees_a_reset(peer_b).await;
        assert!(matches!(running.end().await, RelayEnd::Failed { side: Side::A, .. }));
    }
}

#[tokio::test]
async fn messages_that_break_off_reset_the_bytes_behind_them() {
    for layer in [false, true] {
        let ((a, peer_a), (b, peer_b)) = (messages(), over_tcp(layer).await);
        let running = start(a, b);
        let broken = Error::new(ErrorKind::Closed, "the connection ended without a close frame");
        peer_a.tx.as_ref().expect("open").send(Err(broken)).await.expect("a relay");
        sees_a_reset(peer_b).await;
        assert!(matches!(running.end().await, RelayEnd::Failed { side: Side::A, .. }));
    }
}

#[tokio::test]
async fn a_relay_that_is_dropped_or_runs_out_of_time_resets_both() {
    for layer in [false, true] {
        let ((a, peer_a), (b, peer_b)) = (over_tcp(layer).await, over_tcp(layer).await);
        let running = start(a, b);
        running.task.abort();
        sees_a_reset(peer_a).await;
        sees_a_reset(peer_b).await;

        let ((a, peer_a), (b, peer_b)) = (over_tcp(layer).await, over_tcp(layer).await);
        let idle = Some(Duration::from_millis(1));
        let options = limited(RelayTimeouts { idle, ..RelayTimeouts::default() });
        assert_eq!(start_with(a, b, options).end().await, RelayEnd::IdleTimeout);
        sees_a_reset(peer_a).await;
        sees_a_reset(peer_b).await;
    }
}

#[tokio::test]
async fn a_proper_end_stays_one() {
    for layer in [false, true] {
        let ((a, mut peer_a), (b, mut peer_b)) = (over_tcp(layer).await, over_tcp(layer).await);
        let running = start(a, b);
        peer_a.shutdown().await.expect("ended");
        assert_eq!(peer_b.read(&mut [0; 1]).await.expect("the end"), 0);
        peer_b.shutdown().await.expect("ended");
        assert_eq!(peer_a.read(&mut [0; 1]).await.expect("the end"), 0);
        assert_eq!(running.end().await, RelayEnd::Closed { first: Side::A });
    }
}

const GRACE: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_peer_that_goes_before_its_relay_is_noticed() {
    for layer in [false, true] {
        for sends in [false, true] {
            let (a, mut peer) = over_tcp(layer).await;
            let mut end = a.watched().expect("a socket");
            if sends {
                peer.write_all(b"half").await.expect("taken");
            }
            let waits = timeout(Duration::from_millis(50), end.gone(GRACE)).await;
            assert!(waits.is_err(), "one that is there was taken for gone");
            reset(&peer);
            drop(peer);
            let error = end.gone(GRACE).await;
            assert_eq!((error.kind(), error.origin()), (ErrorKind::Cancelled, Origin::Downstream));
        }
        let (a, peer) = over_tcp(layer).await;
        let mut end = a.watched().expect("a socket");
        drop(peer);
        assert_eq!(end.gone(GRACE).await.kind(), ErrorKind::Cancelled);
    }
    let (a, mut peer) = messages();
    let mut end = a.watched().expect("messages");
    peer.tx = None;
    assert_eq!(end.gone(GRACE).await.kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn what_came_before_the_relay_is_delivered_with_its_end() {
    for kind in [Kind::Tcp, Kind::Foreign] {
        for to_messages in [false, true] {
            let (a, mut peer_a) = kind.open().await;
            let mut a = a.watched().expect("bytes");
            peer_a.write_all(b"command").await.expect("taken");
            peer_a.shutdown().await.expect("ended");
            let waits = timeout(Duration::from_millis(50), a.gone(GRACE)).await;
            assert!(waits.is_err(), "who has asked waits for an answer");
            if to_messages {
                let (b, mut peer_b) = messages();
                let _running = start(a, b);
                assert_eq!(peer_b.rx.recv().await, Some(Message::binary(&b"command"[..])));
                assert_eq!(peer_b.rx.recv().await, None);
            } else {
                let (b, mut peer_b) = Kind::Tcp.open().await;
                let _running = start(a, b);
                let mut got = Vec::new();
                peer_b.read_to_end(&mut got).await.expect("all of it, and the end");
                assert_eq!(got, b"command");
            }
        }
    }
    let (a, mut peer_a) = messages();
    let mut a = a.watched().expect("messages");
    peer_a.send(Message::text("command")).await;
    peer_a.tx = None;
    assert!(timeout(Duration::from_millis(50), a.gone(GRACE)).await.is_err());
    let (b, mut peer_b) = messages();
    let running = start(a, b);
    assert_eq!(peer_b.rx.recv().await, Some(Message::text("command")));
    assert_eq!(peer_b.rx.recv().await, None);
    assert_eq!(running.end().await, RelayEnd::Closed { first: Side::A });
}

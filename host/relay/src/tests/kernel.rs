//! What holds between kernel sockets only: resets, bounded memory, pipes.

use super::ends::{
    descriptor, expect_pattern, limited, make, send_pattern, start, start_with, tcp_pair,
};
use crate::kernel_stream::tcp_stream;
use crate::{End, Pipes, RelayEnd, RelayOptions, RelayTimeouts, Run, Side, relay};
use jackfield_plugin_api::ErrorKind;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn tcp_end() -> (End, TcpStream) {
    let (ours, peer) = tcp_pair().await;
    (End::Stream(tcp_stream(ours)), peer)
}

fn reset(peer: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).expect("set");
    drop(peer);
}

#[tokio::test]
async fn a_reset_is_passed_on_as_a_reset() {
    for side in [Side::A, Side::B] {
        let ((a, peer_a), (b, peer_b)) = (tcp_end().await, tcp_end().await);
        let running = start(a, b);
        let (resets, mut other) = match side {
            Side::A => (peer_a, peer_b),
            Side::B => (peer_b, peer_a),
        };
        reset(resets);
        let error = other.read(&mut [0; 8]).await.expect_err("a reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let RelayEnd::Failed { side: failed, receiving, error } = running.end().await else {
            panic!("not reported as a failure")
        };
        assert_eq!((failed, receiving, error.kind()), (side, true, ErrorKind::Closed));
    }
}

#[tokio::test]
async fn a_receiver_that_goes_away_resets_the_sender() {
    let ((a, mut peer_a), (b, peer_b)) = (tcp_end().await, tcp_end().await);
    let running = start(a, b);
    reset(peer_b);
    let chunk = vec![1; 64 * 1024];
    while peer_a.write_all(&chunk).await.is_ok() {}
    let RelayEnd::Failed { side: Side::B, .. } = running.end().await else {
        panic!("not the receiver's failure")
    };
}

/// Polls until the relay has nothing more to do although the sender would go on.
async fn push_until_stuck(run: &mut (impl Future + Unpin), peer: &mut TcpStream) -> usize {
    let (chunk, mut sent, mut stuck) = (vec![7; 256 * 1024], 0, 0);
    // The sockets between fill up; a loopback that is only slow makes progress between two rounds.
    while stuck < 50 {
        let before = sent;
        poll_fn(|cx| {
            assert!(Pin::new(&mut *run).poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        while let Ok(count) = peer.try_write(&chunk) {
            sent += count;
        }
        tokio::task::yield_now().await;
        stuck = if sent == before { stuck + 1 } else { 0 };
    }
    sent
}

#[tokio::test]
async fn a_receiver_that_does_not_read_bounds_what_is_held() {
    let ((a, mut peer_a), (b, mut peer_b)) = (tcp_end().await, tcp_end().await);
    let (mut run, totals, pipes) = make(a, b, RelayOptions::default());
    let sent = push_until_stuck(&mut run, &mut peer_a).await;
    let held = sent as u64 - totals.bytes_to_b();
    // In the receive buffer of one socket and the pipe; the rest was delivered to the other.
    assert!(held < 16 << 20, "{held} bytes are held");
    assert_eq!(pipes.open(), 1, "one direction waits");
    let task = tokio::spawn(run);
    peer_a.shutdown().await.expect("ended");
    let mut got = 0;
    let mut chunk = vec![0; 1 << 20];
    while let count @ 1.. = peer_b.read(&mut chunk).await.expect("bytes") {
        got += count;
    }
    assert_eq!(got, sent);
    drop(peer_b);
    assert_eq!(task.await.expect("no panic"), RelayEnd::Closed { first: Side::A });
    assert_eq!((pipes.open(), pipes.idle()), (1, 1));
}

#[tokio::test]
async fn a_cancelled_relay_closes_both_ends_and_spoils_no_pipe() {
    let ((a, mut peer_a), (b, mut peer_b)) = (tcp_end().await, tcp_end().await);
    let (mut run, _totals, pipes) = make(a, b, RelayOptions::default());
    let sent = push_until_stuck(&mut run, &mut peer_a).await;
    assert_eq!((pipes.open(), pipes.idle()), (1, 0));
    drop(run);
    // It held bytes, which must not come out in another connection.
    assert_eq!((pipes.open(), pipes.idle()), (0, 0));
    let mut rest = Vec::new();
    let _ = peer_b.read_to_end(&mut rest).await;
    assert!(rest.len() < sent);
    // Ours is closed with unread bytes in it: the sender is told.
    assert!(peer_a.read(&mut [0; 1]).await.map_or(true, |count| count == 0));
}

#[tokio::test]
async fn an_idle_relay_holds_no_pipe() {
    let ((a, mut peer_a), (b, mut peer_b)) = (tcp_end().await, tcp_end().await);
    let running = start(a, b);
    let chunk = vec![9; 4 << 20];
    let mut got = vec![0; chunk.len()];
    let (sent, read) = tokio::join!(peer_a.write_all(&chunk), peer_b.read_exact(&mut got));
    sent.expect("taken");
    read.expect("delivered");
    assert!(got == chunk);
    // The answer passes after the last of the bulk was handed on, when the pipe is back.
    peer_b.write_all(b"x").await.expect("taken");
    peer_a.read_exact(&mut [0; 1]).await.expect("delivered");
    assert!(running.pipes.open() > 0);
    assert_eq!(running.pipes.idle(), running.pipes.open());
}

#[tokio::test]
async fn without_pipes_it_copies() {
    let ((a, mut peer_a), (b, mut peer_b)) = (tcp_end().await, tcp_end().await);
    let options = RelayOptions { pipes: Arc::new(Pipes::new(0)), ..RelayOptions::default() };
    let task = tokio::spawn(relay(a, b, options, Arc::default()));
    tokio::join!(
        send_pattern(&mut peer_a, 3, 3_000_000),
        expect_pattern(&mut peer_b, 3, 3_000_000),
    );
    drop((peer_a, peer_b));
    task.await.expect("no panic");
}

#[tokio::test]
async fn a_relay_between_sockets_is_small() {
    let ((a, _peer_a), (b, _peer_b)) = (tcp_end().await, tcp_end().await);
    let (run, ..) = make(a, b, RelayOptions::default());
    assert!(matches!(run.run, Some(Run::Kernel(_))));
    assert!(size_of_val(&run) <= 512, "{} bytes", size_of_val(&run));
}

#[tokio::test]
async fn a_terminal_is_relayed_by_its_descriptor() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("its name");
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let device = rustix::fs::open(&name, flags, rustix::fs::Mode::empty()).expect("opened");
    let mut modes = rustix::termios::tcgetattr(&device).expect("its modes");
    modes.make_raw();
    rustix::termios::tcsetattr(&device, rustix::termios::OptionalActions::Now, &modes)
        .expect("raw");
    let (a, mut peer) = tcp_end().await;
    let options = limited(RelayTimeouts { drain: Duration::ZERO, ..RelayTimeouts::default() });
    let running = start_with(a, descriptor(master), options);
    peer.write_all(b"to the device").await.expect("taken");
    let device = std::fs::File::from(device);
    let reader = device.try_clone().expect("a copy");
    let got = tokio::task::spawn_blocking(move || {
        let mut got = [0; 13];
        std::io::Read::read_exact(&mut &reader, &mut got).expect("bytes");
        got
    })
    .await
    .expect("no panic");
    assert_eq!(&got, b"to the device");
    std::io::Write::write_all(&mut &device, b"from it").expect("taken");
    let mut got = [0; 7];
    peer.read_exact(&mut got).await.expect("bytes");
    assert_eq!(&got, b"from it");
    // A line cannot be told of an end, so the relay does not wait for its own.
    peer.shutdown().await.expect("ended");
    assert_eq!(running.end().await, RelayEnd::Closed { first: Side::A });
}

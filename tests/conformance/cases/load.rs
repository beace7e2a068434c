//! Bytes, few and many, to peers that read and to those that do not.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use crate::{
    conformance::{
        far::{Behaviour, Wrapping},
        pipe::{Out, PIECE},
        subject::Subject,
    },
    support::process::DEADLINE,
};

/// What may be under way to a peer that reads nothing: ours, and the kernel's for up to four sockets.
const BOUND: usize = 32 << 20;

/// A sender that could give nothing away for so long has to wait. A machine that is slower than that
/// only makes a test send less.
const STILL: Duration = Duration::from_secs(1);

/// Bytes that a change, a loss or another order would show.
pub(super) fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..len).map(|_| next()).collect()
}

pub(super) async fn round_trip(subject: Subject) {
    let world = subject.echo().await;
    let (_session, mut pipe) = world.pipe().await;
    for len in [1, 2, 125, 126, 1000, PIECE - 1, PIECE] {
        let sent = pattern(len);
        assert!(pipe.there_and_back(&sent).await.unwrap() == sent, "{len} bytes came changed");
    }
}

pub(super) async fn complete(subject: Subject) {
    let world = subject.echo().await;
    let (_session, mut pipe) = world.pipe().await;
    let sent = pattern(16 << 20);
    let came = pipe.there_and_back(&sent).await.unwrap();
    assert!(came == sent, "the bytes came changed");
}

/// Sends until nothing is taken any more, or [`BOUND`] is reached; answers how much was taken.
async fn fill(out: &mut Out) -> usize {
    let piece = Bytes::from(pattern(PIECE));
    let mut sent = 0;
    while sent < BOUND {
        match timeout(STILL, out.offer(&piece)).await {
            Ok(taken) => sent += taken.unwrap(),
            Err(_) => break,
        }
    }
    sent
}

pub(super) async fn slow_reader(subject: Subject) {
    let world = (subject.world)(Behaviour::Waits).await;
    let (_session, mut pipe) = world.pipe().await;
    let mut sent = fill(&mut pipe.out).await;
    assert!(sent < BOUND, "{sent} bytes were taken, and nobody has read one");
    world.gate.send(true).unwrap();
    let last = pattern(100_000);
    pipe.out.send(&last).await.unwrap();
    sent += last.len();
    world.far.has_received(sent as u64).await;
    if world.wrapping == Wrapping::Bytes {
        assert_eq!(world.far.received(), sent as u64, "more came than was sent");
    }
}

pub(super) async fn dead_reader(subject: Subject) {
    let world = (subject.world)(Behaviour::Waits).await;
    let (session, mut pipe) = world.pipe().await;
    let sent = fill(&mut pipe.out).await;
    assert!(sent < BOUND, "{sent} bytes were taken, and nobody has read one");
    // A peer that does not listen is no reason to fail, but none to wait for ever either.
    let _ = timeout(DEADLINE, session.close(0, "enough")).await.expect("closing takes too long");
    drop((pipe, session));
    let stopped = timeout(DEADLINE, world.host.shutdown()).await;
    stopped.expect("the host cannot stop because of a peer that does not read");
}

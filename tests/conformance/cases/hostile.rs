//! Input that no honest peer sends.

use std::net::SocketAddr;

use jackfield_plugin_api::{Error, ErrorKind, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{load::pattern, strangers};
use crate::{
    conformance::{
        mangler::{Mangler, Mangling, Victim},
        pipe::Pipe,
        subject::{Subject, World},
    },
    support::{peers::echo::TcpPeer, process::DEADLINE},
};

/// Where a conversation is cut: in heads, in handshakes, in data.
const CUTS: [usize; 10] = [1, 4, 5, 20, 50, 90, 150, 400, 1000, 2000];

/// One line that says what is wrong, and a kind that a caller can act on.
pub(super) fn is_clear(error: &Error) {
    let text = error.to_string();
    let vague = matches!(error.kind(), ErrorKind::Panicked | ErrorKind::Other);
    assert!(!vague && !text.is_empty() && !text.contains('\n'), "not clear: {error:?}");
}

/// A whole conversation at `uri`: opened, data there and back.
async fn converse(world: &World, uri: &str) -> Result<()> {
    let session = world.open_at(uri).await?;
    let mut pipe = Pipe::take(&session).await?;
    let sent = pattern(100_000);
    let came = pipe.there_and_back(&sent).await?;
    assert!(came == sent, "what was mangled came as if it were honest");
    Ok(())
}

pub(super) async fn fails_clearly(world: &World, uri: &str, what: &str) {
    let conversing = timeout(DEADLINE, converse(world, uri)).await;
    let error = conversing.unwrap_or_else(|_| panic!("{what}: it waits for ever")).expect_err(what);
    is_clear(&error);
}

pub(super) async fn cut(subject: Subject) {
    let Some(at) = subject.at else { return strangers::cut(subject).await };
    let world = subject.echo().await;
    let server = world.server.expect("a server on TCP");
    for victim in [Victim::Client, Victim::Server] {
        for count in CUTS {
            let mangler = Mangler::before(server, Mangling::Cut(victim, count)).await;
            let what = format!("{victim:?} got {count} bytes");
            fails_clearly(&world, &at(&world, mangler.address), &what).await;
        }
    }
    world.still_works().await;
}

pub(super) async fn oversized(subject: Subject) {
    let Some(at) = subject.at else { return strangers::oversized(subject).await };
    let world = subject.echo().await;
    let server = world.server.expect("a server on TCP");
    for hostile in (subject.oversized)() {
        let what = format!("{} bytes to the {:?}", hostile.bytes.len(), hostile.victim);
        match (hostile.victim, hostile.after_head) {
            (victim, true) => {
                let mangling = Mangling::Instead(victim, hostile.bytes);
                let mangler = Mangler::before(server, mangling).await;
                fails_clearly(&world, &at(&world, mangler.address), &what).await;
            }
            (Victim::Client, false) => {
                let peer = TcpPeer::sending(hostile.bytes).await;
                fails_clearly(&world, &at(&world, peer.address()), &what).await;
            }
            (Victim::Server, false) => is_ended(server, &hostile.bytes, &what).await,
        }
    }
    world.still_works().await;
}

pub(super) async fn random(subject: Subject) {
    let Some(at) = subject.at else { return strangers::random(subject).await };
    let world = subject.echo().await;
    let server = world.server.expect("a server on TCP");
    for start in 0..8 {
        let bytes = pattern(start * 997 + 4096).split_off(start * 997);
        let what = format!("random bytes from {start}");
        let peer = TcpPeer::sending(bytes.clone()).await;
        fails_clearly(&world, &at(&world, peer.address()), &what).await;
        is_ended(server, &bytes, &what).await;
    }
    world.still_works().await;
}

/// A server that is told `bytes` ends the connection without waiting for more.
async fn is_ended(server: SocketAddr, bytes: &[u8], what: &str) {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let (mut read, mut write) = stream.split();
    let sending = async {
        // It may have heard enough before this is all said.
        let _ = write.write_all(bytes).await;
        let _ = write.shutdown().await;
    };
    let mut answer = Vec::new();
    let all = async { tokio::join!(sending, read.read_to_end(&mut answer)) };
    // A reset is an end too.
    drop(timeout(DEADLINE, all).await.unwrap_or_else(|_| panic!("{what}: the server waits on")));
}

//! Datagrams that no honest peer sends: from strangers, and from somebody in between.

use std::{net::SocketAddr, path::PathBuf};

use futures_util::future::join_all;
use jackfield_plugin_api::{DatagramMeta, Datagrams, ErrorKind};
use tokio::{
    net::{UdpSocket, UnixDatagram},
    time::timeout,
};

use super::{
    hostile::{fails_clearly, is_clear},
    load::pattern,
};
use crate::{
    conformance::{
        interloper::{Interloper, Meddling},
        mangler::Victim,
        pipe::{PIECE, Pipe},
        subject::{OnDatagrams, Subject, World},
    },
    support::process::{DEADLINE, tempdir},
};

/// Where datagrams are cut: in what comes first of a header, in a handshake, in its padding.
const CUTS: [usize; 7] = [0, 1, 4, 20, 100, 600, 1100];

/// As long as a datagram over IP can be.
const LONGEST: usize = 65_507;

/// Strangers at once.
const STRANGERS: usize = 60;

/// Who is where, for datagrams that go by themselves.
enum Throwing {
    Udp(SocketAddr),
    Unix(PathBuf),
}

impl Throwing {
    fn at(world: &World, on: OnDatagrams) -> Self {
        match on {
            OnDatagrams::Unix => {
                Self::Unix(world.uri.strip_prefix("unixgram://").expect("a path").into())
            }
            _ => Self::Udp(world.server.expect("an address")),
        }
    }

    /// One stranger throws them all, and listens to no answer.
    async fn throw(&self, all: &[Vec<u8>]) {
        match self {
            Self::Udp(server) => {
                let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                for bytes in all {
                    let _ = stranger.send_to(bytes, server).await;
                }
            }
            Self::Unix(path) => {
                let folder = tempdir();
                let stranger = UnixDatagram::bind(folder.path().join("s")).unwrap();
                for bytes in all {
                    // A queue that is full has heard enough.
                    let _ = stranger.try_send_to(bytes, path);
                }
            }
        }
    }

    /// Every stranger throws them all, while an honest peer goes on. It has its answer before the next
    /// stranger comes: the kernel may drop what does not fit into a socket's queue.
    async fn beside(&self, all: &[Vec<u8>], honest: &mut Pipe) {
        for number in 0..STRANGERS {
            self.throw(all).await;
            let sent = pattern(PIECE + number);
            let came = timeout(DEADLINE, honest.there_and_back(&sent)).await.expect("in time");
            assert!(came.unwrap() == sent, "an honest peer's bytes came changed");
        }
    }
}

/// Random bytes of many lengths, of which some begin like a handshake of QUIC.
fn noise() -> Vec<Vec<u8>> {
    let all = pattern(20_000);
    let lengths = [0, 1, 7, 21, 60, 300, 1199, 1200, 1452, 9000];
    let random = lengths.iter().map(|len| all[*len..2 * len].to_vec());
    let headers = [0xc0, 0xd0, 0xe0, 0xf0, 0x40].map(|first: u8| {
        let mut bytes = all[..1250].to_vec();
        bytes[..6].copy_from_slice(&[first, 0, 0, 0, 1, 8]);
        bytes
    });
    random.chain(headers).collect()
}

/// A socket that hears and never answers. Nobody can tell it that nobody waits for it any more.
pub(super) async fn silent_peer(subject: Subject) {
    let OnDatagrams::Protected(at) = subject.on_datagrams else { panic!("it asks nothing") };
    let world = subject.echo().await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let uri = at(silent.local_addr().unwrap());
    let mut buffer = [0; 2000];
    let dropped = timeout(DEADLINE, async {
        tokio::select! {
            opened = world.open_at(&uri) => panic!("nobody has answered: {opened:?}"),
            heard = silent.recv_from(&mut buffer) => drop(heard.unwrap()),
        }
    });
    dropped.await.expect("in time");
    let error = timeout(DEADLINE, world.open_at(&uri)).await.expect("in time").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    world.still_works().await;
}

pub(super) async fn cut(subject: Subject) {
    let world = subject.echo().await;
    let server = world.server.expect("an address");
    match subject.on_datagrams {
        OnDatagrams::Protected(at) => {
            let victims = [Victim::Client, Victim::Server];
            let all = victims.into_iter().flat_map(|it| CUTS.map(|count| (it, count)));
            let world = &world;
            join_all(all.map(async |(victim, count)| {
                let interloper = Interloper::before(server, Meddling::Cut(victim, count)).await;
                let what = format!("{victim:?} gets {count} bytes of each datagram");
                fails_clearly(world, &at(interloper.address), &what).await;
            }))
            .await;
        }
        OnDatagrams::Plain(at) => {
            for victim in [Victim::Client, Victim::Server] {
                for count in [1, 20, 600] {
                    let interloper = Interloper::before(server, Meddling::Cut(victim, count)).await;
                    let session = world.open_at(&at(interloper.address)).await.unwrap();
                    let mut datagrams = session.take_datagrams().unwrap();
                    let sent = pattern(1000);
                    send(&mut datagrams, &sent).await.unwrap();
                    assert!(receive(&mut datagrams).await == sent[..count], "cut at {count}");
                }
            }
        }
        OnDatagrams::No | OnDatagrams::Unix => panic!("nobody can be in between"),
    }
    world.still_works().await;
}

async fn send(datagrams: &mut Datagrams, bytes: &[u8]) -> jackfield_plugin_api::Result<()> {
    datagrams.send(bytes, DatagramMeta::default()).await
}

async fn receive(datagrams: &mut Datagrams) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let received = timeout(DEADLINE, datagrams.recv(&mut buffer)).await.expect("in time");
    let meta = received.unwrap().expect("a datagram");
    buffer[..meta.len].to_vec()
}

pub(super) async fn oversized(subject: Subject) {
    let world = subject.echo().await;
    let longest = vec![pattern(LONGEST); 2];
    let (_session, mut pipe) = world.pipe().await;
    Throwing::at(&world, subject.on_datagrams).beside(&longest, &mut pipe).await;
    match subject.on_datagrams {
        OnDatagrams::Protected(at) => meddled(&world, at, longest).await,
        // Each is data, and one that is too long is refused.
        _ => {
            let session = world.open().await.unwrap();
            let mut datagrams = session.take_datagrams().unwrap();
            let error = send(&mut datagrams, &pattern(100_000)).await.unwrap_err();
            is_clear(&error);
            assert_eq!(error.kind(), ErrorKind::Limit, "{error:?}");
            send(&mut datagrams, &pattern(50_000)).await.unwrap();
            // A stream leads on to the far end: it comes back in pieces.
            let mut back = 0;
            while back < 50_000 {
                back += receive(&mut datagrams).await.len();
            }
        }
    }
    world.still_works().await;
}

pub(super) async fn random(subject: Subject) {
    let world = subject.echo().await;
    let (_session, mut pipe) = world.pipe().await;
    let throwing = Throwing::at(&world, subject.on_datagrams);
    let mut thrown = noise();
    if let OnDatagrams::Protected(at) = subject.on_datagrams {
        // What is right for another is wrong from a stranger, whole or cut.
        let interloper =
            Interloper::before(world.server.expect("it"), Meddling::Noise(vec![])).await;
        let uri = at(interloper.address);
        drop(world.open_at(&uri).await.unwrap_or_else(|error| panic!("{error:?}")));
        let first = interloper.first();
        thrown.extend(
            first
                .iter()
                .flat_map(|bytes| CUTS.map(|count| bytes[..bytes.len().min(count)].to_vec())),
        );
        thrown.extend(first);
    }
    throwing.beside(&thrown, &mut pipe).await;
    if let OnDatagrams::Protected(at) = subject.on_datagrams {
        meddled(&world, at, noise()).await;
    }
    let connections = world.host.manager().snapshot().connections.len();
    assert!(connections <= STRANGERS + 10, "{connections} connections");
    world.still_works().await;
}

/// An honest conversation, with noise and repetitions in both directions.
async fn meddled(world: &World, at: fn(SocketAddr) -> String, noise: Vec<Vec<u8>>) {
    let server = world.server.expect("an address");
    let interloper = Interloper::before(server, Meddling::Noise(noise)).await;
    let session = world.open_at(&at(interloper.address)).await;
    let session = session.unwrap_or_else(|error| panic!("opening: {error:?}"));
    let mut pipe = Pipe::take(&session).await.unwrap();
    let sent = pattern(300_000);
    let came = timeout(DEADLINE, pipe.there_and_back(&sent)).await.expect("in time");
    assert!(came.unwrap() == sent, "the bytes came changed");
}

//! A transport that is replaced again and again while it carries sessions and new ones come.

use std::{
    env,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Plugged, another, words};
use crate::support::{host::exchange, peers::echo::TcpPeer};

const TCP: &str = "libjackfield_tcp.so";

/// How often: what a show says, or what is quick.
fn times() -> u32 {
    env::var("HOTPLUG_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(5)
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "the figures of a run are for people")]
async fn a_transport_replaced_under_load_cuts_no_session_and_refuses_no_connection() {
    let times = times();
    let echo = TcpPeer::echo().await;
    // The port that the system chose is kept, too.
    let toml = format!("[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"{}\"\n", echo.uri());
    let host = Plugged::start(&[TCP], &toml).await;
    let address: SocketAddr =
        host.manager.listeners()[0].local.as_ref().and_then(|local| local.socket()).unwrap();
    let (ends, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let slowest = Arc::new(AtomicU64::new(0));
    let flow: Vec<_> = (0..4)
        .map(|_| {
            let (ends, served) = (Arc::clone(&ends), Arc::clone(&served));
            let slowest = Arc::clone(&slowest);
            tokio::spawn(async move {
                while !ends.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    assert_eq!(exchange(address, b"hello").await.expect("an answer"), b"hello");
                    served.fetch_add(1, Ordering::Relaxed);
                    let took = u64::try_from(begun.elapsed().as_millis()).unwrap();
                    slowest.fetch_max(took, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut sessions = Vec::new();
    for number in 2..=times + 1 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"a").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'a');
        sessions.push(stream);
        host.put(TCP, &another(TCP));
        assert_eq!(words(&host.look().await), [format!("replaced {number}")]);
        // New connections come by the new generation.
        let before = served.load(Ordering::Relaxed);
        super::soon("a connection", async || served.load(Ordering::Relaxed) > before + 8).await;
        for stream in &mut sessions {
            stream.write_all(b"x").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'x');
        }
    }
    ends.store(true, Ordering::Relaxed);
    for flow in flow {
        flow.await.expect("no connection was refused or cut");
    }
    let (served, slowest) = (served.load(Ordering::Relaxed), slowest.load(Ordering::Relaxed));
    eprintln!(
        "replaced {times} times: {} sessions held, none cut; {served} connections served, none refused; \
         slowest {slowest} ms",
        sessions.len()
    );
    // One that was accepted, and one that was dialled, on each generation.
    let generations = host.generations("jackfield-tcp");
    let older: Vec<_> = generations.iter().filter(|it| it.retired.is_some()).collect();
    assert_eq!(older.len(), times as usize);
    assert!(older.iter().all(|generation| generation.sessions == 2), "{generations:?}");
}

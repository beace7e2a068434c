//! Something between a client and a server of datagrams that cuts, repeats, and says what neither has said.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{net::UdpSocket, task::JoinSet};

use super::mangler::Victim;

/// The most datagrams that are remembered.
const REMEMBERED: usize = 16;

/// What happens to datagrams on their way.
#[derive(Clone, Debug)]
pub(super) enum Meddling {
    /// Those to the victim lose all but so many bytes.
    Cut(Victim, usize),
    /// Each is followed by these, by itself once more, and by one that passed long before, both ways.
    Noise(Vec<Vec<u8>>),
}

/// A relay of datagrams on 127.0.0.1 for one client; it ends when dropped.
pub(super) struct Interloper {
    pub(super) address: SocketAddr,
    first: Arc<Mutex<Vec<Vec<u8>>>>,
    _task: JoinSet<()>,
}

impl Interloper {
    /// In front of `server`.
    pub(super) async fn before(server: SocketAddr, meddling: Meddling) -> Self {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        back.connect(server).await.expect("a socket");
        let address = front.local_addr().expect("its address");
        let first = Arc::default();
        let mut task = JoinSet::new();
        task.spawn(relay(front, back, meddling, Arc::clone(&first)));
        Self { address, first, _task: task }
    }

    /// The datagrams that the client sent first.
    pub(super) fn first(&self) -> Vec<Vec<u8>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn relay(
    front: UdpSocket,
    back: UdpSocket,
    meddling: Meddling,
    first: Arc<Mutex<Vec<Vec<u8>>>>,
) {
    let (mut ours, mut theirs) = (vec![0; 65_536], vec![0; 65_536]);
    let mut client = None;
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    loop {
        // Whoever is not there any more says so by an error; the other may still be.
        tokio::select! {
            received = front.recv_from(&mut ours) => {
                let Ok((count, from)) = received else { continue };
                client = Some(from);
                remember(&first, &ours[..count]);
                for datagram in meddled(&ours[..count], Victim::Server, &meddling, &mut to_server) {
                    let _ = back.send(&datagram).await;
                }
            }
            received = back.recv(&mut theirs) => {
                let (Ok(count), Some(client)) = (received, client) else { continue };
                for datagram in meddled(&theirs[..count], Victim::Client, &meddling, &mut to_client) {
                    let _ = front.send_to(&datagram, client).await;
                }
            }
        }
    }
}

fn remember(first: &Mutex<Vec<Vec<u8>>>, bytes: &[u8]) {
    let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
    if first.len() < REMEMBERED {
        first.push(bytes.to_vec());
    }
}

/// What goes to `victim` in place of `bytes`.
fn meddled(
    bytes: &[u8],
    victim: Victim,
    meddling: &Meddling,
    before: &mut Vec<Vec<u8>>,
) -> Vec<Vec<u8>> {
    match meddling {
        Meddling::Cut(whose, count) if *whose == victim => {
            vec![bytes[..bytes.len().min(*count)].to_vec()]
        }
        Meddling::Cut(..) => vec![bytes.to_vec()],
        Meddling::Noise(noise) => {
            let mut all = vec![bytes.to_vec()];
            all.extend(noise.iter().cloned());
            all.push(bytes.to_vec());
            all.extend(before.first().cloned());
            before.push(bytes.to_vec());
            if before.len() > REMEMBERED {
                before.remove(0);
            }
            all
        }
    }
}

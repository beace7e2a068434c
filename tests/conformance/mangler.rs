//! Something between a client and a server that cuts, or says what neither has said.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    task::JoinSet,
};

/// Who is told something wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Victim {
    Client,
    Server,
}

/// Bytes that make no sense, and when they come.
#[derive(Clone, Debug)]
pub(super) struct Hostile {
    pub(super) victim: Victim,
    /// Only after the honest side's own head, up to an empty line.
    pub(super) after_head: bool,
    pub(super) bytes: Vec<u8>,
}

/// What happens to one direction.
#[derive(Clone, Debug)]
pub(super) enum Mangling {
    /// Only so many bytes pass, then both directions end.
    Cut(Victim, usize),
    /// The honest side's head passes, then the bytes come instead of what it says.
    Instead(Victim, Vec<u8>),
}

/// A relay on 127.0.0.1; it ends when dropped.
pub(super) struct Mangler {
    pub(super) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Mangler {
    /// In front of `server`.
    pub(super) async fn before(server: SocketAddr, mangling: Mangling) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let mut tasks = JoinSet::new();
        let mangling = Arc::new(mangling);
        tasks.spawn(async move {
            let mut relays = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let mangling = Arc::clone(&mangling);
                relays.spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    relay(client, server, &mangling).await;
                });
            }
        });
        Self { address, _tasks: tasks }
    }
}

async fn relay(client: TcpStream, server: TcpStream, mangling: &Mangling) {
    let (mut client_read, client_write) = client.into_split();
    let (mut server_read, server_write) = server.into_split();
    let to_server = pass(&mut client_read, server_write, mangling, Victim::Server);
    let to_client = pass(&mut server_read, client_write, mangling, Victim::Client);
    // A direction that is cut takes the other one with it.
    tokio::select! {
        () = to_server => {}
        () = to_client => {}
    }
}

async fn pass(
    from: &mut tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mangling: &Mangling,
    victim: Victim,
) {
    let ended = match mangling {
        Mangling::Cut(whose, count) if *whose == victim => {
            let passed = tokio::io::copy(&mut from.take(*count as u64), &mut to).await;
            passed.map(|_| ())
        }
        Mangling::Instead(whose, bytes) if *whose == victim => instead(from, &mut to, bytes).await,
        _ => match tokio::io::copy(from, &mut to).await {
            // This side says no more; the other may have something left to say.
            Ok(_) => {
                let _ = to.shutdown().await;
                std::future::pending().await
            }
            Err(error) => Err(error),
        },
    };
    // Whoever ended a connection has a case that says why.
    drop(ended);
}

async fn instead(
    from: &mut tcp::OwnedReadHalf,
    to: &mut tcp::OwnedWriteHalf,
    bytes: &[u8],
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await?);
    }
    to.write_all(&head).await?;
    to.write_all(bytes).await?;
    std::future::pending().await
}

//! [`Breaker`]: a relay between a peer and the host, which breaks the connection below as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::mpsc,
};

use super::{reset_on_close, tcp_listener};

/// How a connection below a protocol is broken.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// It is reset.
    Reset,
    /// It ends, or nothing comes through any more where it has no end.
    End,
    /// These bytes come.
    Say(&'static [u8]),
    /// These bytes come, and then the end.
    Leave(&'static [u8]),
}

/// On which side of a relay the host is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HostIs {
    Behind,
    Before,
}

/// A relay; orders are for its newest connection.
pub(crate) struct Breaker {
    pub(crate) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    to: SocketAddr,
    orders: Option<mpsc::Sender<Order>>,
}

impl Breaker {
    /// Before what listens at `to` with TCP.
    pub(crate) async fn tcp(to: SocketAddr, host: HostIs) -> Self {
        let listener = tcp_listener().await;
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Mutex::new(Shared { to, orders: None }));
        let both = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (orders, told) = mpsc::channel(1);
                let to = {
                    let mut shared = both.lock().unwrap();
                    shared.orders = Some(orders);
                    shared.to
                };
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(to).await else { return };
                    // Who has gone is seen at the other side.
                    let _ = carry(near, far, host, told).await;
                });
            }
        });
        Self { address, shared }
    }

    /// The next connection goes there.
    pub(crate) fn aim(&self, to: SocketAddr) {
        self.shared.lock().unwrap().to = to;
    }

    /// The same for datagrams, which can only stay away.
    pub(crate) async fn udp(to: SocketAddr) -> Self {
        let near = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let far = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        far.connect(to).await.expect("an address");
        let address = near.local_addr().expect("an address");
        let (orders, told) = mpsc::channel(1);
        tokio::spawn(datagrams(near, far, told));
        Self { address, shared: Arc::new(Mutex::new(Shared { to, orders: Some(orders) })) }
    }

    /// Breaks the connection towards the host.
    pub(crate) async fn order(&self, order: Order) {
        let orders = self.shared.lock().unwrap().orders.clone().expect("a connection");
        orders.send(order).await.expect("a running relay");
    }
}

async fn carry(
    mut near: TcpStream,
    mut far: TcpStream,
    host: HostIs,
    mut told: mpsc::Receiver<Order>,
) -> std::io::Result<()> {
    let order = tokio::select! {
        copied = tokio::io::copy_bidirectional(&mut near, &mut far) => Err(copied.is_err()),
        order = told.recv() => Ok(order),
    };
    let (mut to_host, peer) = match host {
        HostIs::Behind => (far, near),
        HostIs::Before => (near, far),
    };
    match order {
        // A reset goes on as one.
        Err(true) => {
            reset_on_close(&to_host);
            reset_on_close(&peer);
        }
        Ok(Some(Order::Reset)) => reset_on_close(&to_host),
        Ok(Some(order)) => {
            if let Order::Say(bytes) | Order::Leave(bytes) = order {
                to_host.write_all(bytes).await?;
            }
            if let Order::End | Order::Leave(_) = order {
                to_host.shutdown().await?;
            }
            // What the host says to that does not matter here; the peer is left alone.
            let _ = to_host.read_to_end(&mut Vec::new()).await;
        }
        Err(false) | Ok(None) => {}
    }
    Ok(())
}

async fn datagrams(near: UdpSocket, far: UdpSocket, mut told: mpsc::Receiver<Order>) {
    let (mut there, mut back) = (vec![0; 65_536], vec![0; 65_536]);
    let mut peer = None;
    loop {
        // One that is refused, because nobody is there any more, is lost as others are.
        tokio::select! {
            came = near.recv_from(&mut there) => {
                let Ok((length, from)) = came else { continue };
                peer = Some(from);
                let _ = far.send(&there[..length]).await;
            }
            came = far.recv(&mut back) => {
                if let (Ok(length), Some(peer)) = (came, peer) {
                    let _ = near.send_to(&back[..length], peer).await;
                }
            }
            // Both sockets stay, so that nobody hears of an absence.
            Some(_) = told.recv() => return std::future::pending().await,
            else => return,
        }
    }
}

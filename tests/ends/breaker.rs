//! [`Breaker`]: a relay between a peer and the host, which breaks the connection below as it is told.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::Break;

pub(crate) struct Breaker {
    pub(crate) address: SocketAddr,
    orders: mpsc::Sender<(Break, Vec<u8>)>,
}

impl Breaker {
    /// Before what listens at `to`, for one connection.
    pub(crate) async fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (orders, told) = mpsc::channel(1);
        tokio::spawn(async move {
            let (near, _) = listener.accept().await.expect("a connection");
            let far = TcpStream::connect(to).await.expect("the host");
            carry(near, far, told).await;
        });
        Self { address, orders }
    }

    /// Breaks the connection towards the host; `nonsense` is what its protocol does not know.
    pub(crate) async fn order(&self, how: Break, nonsense: &[u8]) {
        self.orders.send((how, nonsense.to_vec())).await.expect("a running relay");
    }
}

pub(crate) fn reset_on_close(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).expect("set");
}

async fn carry(
    mut near: TcpStream,
    mut far: TcpStream,
    mut told: mpsc::Receiver<(Break, Vec<u8>)>,
) {
    let order = {
        let copying = tokio::io::copy_bidirectional(&mut near, &mut far);
        tokio::select! {
            copied = copying => Err(copied.is_err()),
            order = told.recv() => Ok(order),
        }
    };
    let order = match order {
        Ok(order) => order,
        Err(failed) => {
            // The host's reset is its peer's.
            if failed {
                reset_on_close(&near);
            }
            return;
        }
    };
    match order {
        Some((Break::Resets, _)) => reset_on_close(&far),
        Some((Break::NoGoodbye, _)) => {
            far.shutdown().await.expect("ended");
            // The host's answer does not matter; the peer is left alone.
            let _ = far.read_to_end(&mut Vec::new()).await;
        }
        Some((Break::Nonsense, bytes)) => {
            far.write_all(&bytes).await.expect("taken");
            let _ = far.read_to_end(&mut Vec::new()).await;
        }
        _ => {}
    }
}

//! The quic driver in both roles, against aioquic and ngtcp2 and through hosts.

mod client;
mod relayed;
mod server;

use jackfield_plugin_api::{
    Address, DatagramMeta, Driver, Listener, Request, Role, Session, testing,
};
use jackfield_quic::{QuicDriver, QuicOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{certs::Certs, peers::quic::soon};

const META: DatagramMeta = DatagramMeta::new(0, None);

/// A listener of the driver itself, for what no route does: several streams of one session.
async fn listen(certs: &Certs, change: impl FnOnce(&mut QuicOptions)) -> (Listener, u16) {
    let driver = QuicDriver::new(testing::host()).unwrap();
    let mut options = QuicOptions {
        certificate_file: Some(certs.server.certificate.clone()),
        key_file: Some(certs.server.key.clone()),
        ..QuicOptions::default()
    };
    change(&mut options);
    let endpoint = driver.configure(options, Role::Server).unwrap();
    let request = Request::new(Address::new("127.0.0.1", 0), testing::DEADLINE);
    let listener = driver.listen(&endpoint, request).await.unwrap();
    let local = listener.info().local.unwrap();
    let port = local.rsplit_once(':').unwrap().1.parse().unwrap();
    (listener, port)
}

/// Sends `bytes` on a session's stream, ends it and reads what comes back.
async fn echoed(session: &Session, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let (mut read, mut write) = tokio::io::split(session.take_stream().unwrap());
    let sending = async {
        write.write_all(bytes).await?;
        write.shutdown().await
    };
    let mut all = Vec::new();
    let (sent, received) = soon(async { tokio::join!(sending, read.read_to_end(&mut all)) }).await;
    sent.and(received)?;
    Ok(all)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index.wrapping_mul(31) >> 3).to_le_bytes()[0]).collect()
}

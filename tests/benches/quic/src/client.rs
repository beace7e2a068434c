//! The one client that measures all servers.

use crate::servers::{Scheme, Server};
use jackfield_plugin_api::{
    Address, DatagramMeta, Driver, Request, Result, Role, Session, testing,
};
use jackfield_quic::{QuicDriver, QuicEndpoint, QuicOptions, WebTransportDriver};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long each rate is measured.
const WHILE: Duration = Duration::from_secs(3);
/// Handshakes at once.
const AT_ONCE: usize = 8;
/// Datagrams on their way.
const WINDOW: usize = 64;
/// Bytes of a datagram.
const DATAGRAM: usize = 1000;
/// Connections that lie idle.
const IDLE: u32 = 100;

fn configured<D: Driver<Options = QuicOptions>>(options: QuicOptions) -> (D, D::Endpoint) {
    let driver = D::new(testing::host()).expect("a driver");
    let endpoint = driver.configure(options, Role::Client).expect("options");
    (driver, endpoint)
}

#[derive(Clone)]
pub(crate) struct Client {
    by: Arc<By>,
    address: Address,
}

/// One endpoint, and so one socket, for all connections.
enum By {
    Quic(QuicDriver, QuicEndpoint),
    WebTransport(WebTransportDriver, QuicEndpoint),
}

impl Client {
    pub(crate) fn new(scheme: Scheme, folder: &Path, port: u16) -> Self {
        let address = Address::new("127.0.0.1", port).with_path("/wt");
        let options = QuicOptions {
            ca_file: Some(folder.join("crt")),
            server_name: Some("localhost".into()),
            // Each handshake is a full one.
            resume: false,
            ..QuicOptions::default()
        };
        let by = match scheme {
            Scheme::Quic => {
                let (driver, endpoint) = configured::<QuicDriver>(options);
                By::Quic(driver, endpoint)
            }
            Scheme::WebTransport => {
                let (driver, endpoint) = configured::<WebTransportDriver>(options);
                By::WebTransport(driver, endpoint)
            }
        };
        Client { by: Arc::new(by), address }
    }

    async fn open(&self) -> Result<Session> {
        let request = Request::new(self.address.clone(), testing::DEADLINE);
        match &*self.by {
            By::Quic(driver, endpoint) => driver.open(endpoint, request).await,
            By::WebTransport(driver, endpoint) => driver.open(endpoint, request).await,
        }
    }

    /// KiB that the server takes for each idle connection.
    pub(crate) async fn idle(&self, server: &Server) -> f64 {
        // What is made once is made for these.
        let _warm = self.many(8).await;
        let before = server.memory();
        let _kept = self.many(IDLE).await;
        (server.memory() - before) / f64::from(IDLE)
    }

    async fn many(&self, count: u32) -> Vec<Session> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.open().await.expect("a session"));
        }
        all
    }

    /// Full handshakes in a second, and in all.
    pub(crate) async fn handshakes(&self) -> (f64, f64) {
        let (done, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (client, done) = (self.clone(), Arc::clone(&done));
            tasks.spawn(async move {
                while start.elapsed() < WHILE {
                    client.open().await.expect("a session");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        tasks.join_all().await;
        let count = done.load(Ordering::Relaxed) as f64;
        (count / start.elapsed().as_secs_f64(), count)
    }

    /// Megabytes that come back on one stream in a second.
    pub(crate) async fn megabytes(&self) -> f64 {
        let session = self.open().await.expect("a session");
        let stream = session.take_stream().expect("a stream");
        let (mut read, mut write) = tokio::io::split(stream);
        let start = Instant::now();
        let writing = async {
            let chunk = vec![1; 64 * 1024];
            while start.elapsed() < WHILE {
                write.write_all(&chunk).await.expect("written");
            }
            write.shutdown().await.expect("ended");
        };
        let reading = async {
            let (mut buffer, mut count) = (vec![0; 64 * 1024], 0_u64);
            loop {
                match read.read(&mut buffer).await.expect("read") {
                    0 => return count,
                    more => count += more as u64,
                }
            }
        };
        let ((), count) = tokio::join!(writing, reading);
        count as f64 / 1e6 / start.elapsed().as_secs_f64()
    }

    /// The same over one stream of a MiB after the other, for a server that answers at a stream's end.
    pub(crate) async fn megabytes_in_pieces(&self) -> f64 {
        let session = self.open().await.expect("a session");
        let (piece, start, mut count) = (vec![1; 1 << 20], Instant::now(), 0_u64);
        while start.elapsed() < WHILE {
            let stream = session.open_stream(&serde_json::Value::Null).await.expect("a stream");
            let (mut read, mut write) = tokio::io::split(stream.take_stream().expect("bytes"));
            let writing = async {
                write.write_all(&piece).await.expect("written");
                write.shutdown().await.expect("ended");
            };
            let mut all = Vec::with_capacity(piece.len());
            let ((), read) = tokio::join!(writing, read.read_to_end(&mut all));
            read.expect("read");
            count += all.len() as u64;
        }
        count as f64 / 1e6 / start.elapsed().as_secs_f64()
    }

    /// Datagrams that come back in a second, a window of them on their way.
    pub(crate) async fn datagrams(&self) -> f64 {
        let session = self.open().await.expect("a session");
        let mut datagrams = session.take_datagrams().expect("datagrams");
        let (bytes, mut buffer) = (vec![2; DATAGRAM], vec![0; 2048]);
        let (start, mut count, mut away) = (Instant::now(), 0_u64, 0);
        while start.elapsed() < WHILE {
            while away < WINDOW {
                datagrams.send(&bytes, DatagramMeta::default()).await.expect("room");
                away += 1;
            }
            // What is lost does not come back: begin again.
            match timeout(Duration::from_millis(100), datagrams.recv(&mut buffer)).await {
                Ok(received) => {
                    received.expect("no error").expect("a datagram");
                    count += 1;
                    away -= 1;
                }
                Err(_) => away = 0,
            }
        }
        count as f64 / start.elapsed().as_secs_f64()
    }
}

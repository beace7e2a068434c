//! TCP peers inside the test, one per behaviour, each named by it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use crate::support::process::DEADLINE;

/// A listening peer. Dropping it ends the listener and every connection.
pub(crate) struct TcpPeer {
    address: SocketAddr,
    task: JoinHandle<()>,
    counters: Arc<Counters>,
}

/// What the connections of a peer have done, for its behaviours to tell.
#[derive(Default)]
pub(crate) struct Counters {
    accepted: AtomicUsize,
    ended: AtomicUsize,
    received: AtomicU64,
    changed: Notify,
}

impl Counters {
    pub(crate) fn add_received(&self, count: usize) {
        self.received.fetch_add(count as u64, Ordering::Relaxed);
        self.changed.notify_waiters();
    }
}

impl TcpPeer {
    /// Sends every byte back, and closes once its client has closed and everything is back.
    pub(crate) async fn echo() -> Self {
        Self::serve(|stream, _| echo(stream)).await
    }

    /// Reads everything, counts it, and never sends a byte.
    pub(crate) async fn silent() -> Self {
        Self::serve(|mut stream, counters| async move {
            drain(&mut stream, &counters).await;
            std::future::pending::<()>().await;
        })
        .await
    }

    /// Accepts, and then neither reads nor sends.
    pub(crate) async fn black_hole() -> Self {
        Self::serve(|stream, _| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await
    }

    /// Sends `greeting`, closes its sending side, and still reads and counts until its client ends.
    pub(crate) async fn half_closing(greeting: &'static [u8]) -> Self {
        Self::serve(move |mut stream, counters| async move {
            let _ = stream.write_all(greeting).await;
            let _ = stream.shutdown().await;
            drain(&mut stream, &counters).await;
        })
        .await
    }

    /// Reads until its client closes its sending side, and only then sends `answer` and closes.
    pub(crate) async fn answering_after_eof(answer: &'static [u8]) -> Self {
        Self::serve(move |mut stream, counters| async move {
            drain(&mut stream, &counters).await;
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        })
        .await
    }

    /// Reads `chunk` bytes each `pause` and counts them; sends nothing.
    pub(crate) async fn slow_reader(chunk: usize, pause: Duration) -> Self {
        Self::serve(move |mut stream, counters| async move {
            let mut buffer = vec![0; chunk];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                counters.add_received(count);
                sleep(pause).await;
            }
        })
        .await
    }

    /// Reads `after` bytes, then resets the connection.
    pub(crate) async fn resetting(after: usize) -> Self {
        Self::serve(move |mut stream, counters| async move {
            let mut buffer = vec![0; after];
            if stream.read_exact(&mut buffer).await.is_ok() {
                counters.add_received(after);
            }
            stream.set_zero_linger().expect("a socket option");
        })
        .await
    }

    /// Sends `bytes` and closes: for scripted answers, right or wrong.
    pub(crate) async fn sending(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::serve(move |mut stream, counters| {
            let bytes = Arc::clone(&bytes);
            async move {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                drain(&mut stream, &counters).await;
            }
        })
        .await
    }

    /// Serves each connection with `behaviour`, all at once.
    async fn serve<B, F>(behaviour: B) -> Self
    where
        B: Fn(TcpStream, Arc<Counters>) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        Self::serve_on(listener, behaviour)
    }

    /// As `serve`, on a listener of the caller's.
    pub(crate) fn serve_on<B, F>(listener: TcpListener, behaviour: B) -> Self
    where
        B: Fn(TcpStream, Arc<Counters>) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().expect("its address");
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                shared.changed.notify_waiters();
                let (serving, counters) =
                    (behaviour(stream, Arc::clone(&shared)), Arc::clone(&shared));
                connections.spawn(async move {
                    serving.await;
                    counters.ended.fetch_add(1, Ordering::Relaxed);
                    counters.changed.notify_waiters();
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, task, counters }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// `tcp://127.0.0.1:port`.
    pub(crate) fn uri(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// Connections accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.counters.accepted.load(Ordering::Relaxed)
    }

    /// Bytes read so far over all connections, by the behaviours that count.
    pub(crate) fn received(&self) -> u64 {
        self.counters.received.load(Ordering::Relaxed)
    }

    /// Waits until `count` bytes were read.
    pub(crate) async fn has_received(&self, count: u64) {
        self.until("bytes", || self.received() >= count).await;
    }

    /// Waits until `count` connections were accepted.
    pub(crate) async fn has_accepted(&self, count: usize) {
        self.until("connections", || self.accepted() >= count).await;
    }

    /// Waits until `count` connections have ended.
    pub(crate) async fn has_ended(&self, count: usize) {
        let ended = || self.counters.ended.load(Ordering::Relaxed) >= count;
        self.until("ends of connections", ended).await;
    }

    /// Waits until every connection that was accepted has ended.
    pub(crate) async fn has_none_left(&self) {
        let left = || self.accepted() - self.counters.ended.load(Ordering::Relaxed);
        self.until("ends of connections", || left() == 0).await;
    }

    async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let wait = async {
            loop {
                let mut changed = std::pin::pin!(self.counters.changed.notified());
                changed.as_mut().enable();
                if condition() {
                    return;
                }
                changed.await;
            }
        };
        timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("too few {what} at the peer"));
    }
}

impl Drop for TcpPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address of this machine that refuses connections: the port is taken, but nothing listens.
pub(crate) struct Refusing {
    socket: TcpSocket,
}

impl Refusing {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        Self { socket }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("its address")
    }

    /// From now on it accepts, and sends every byte back.
    pub(crate) fn listen(self) -> TcpPeer {
        let listener = self.socket.listen(64).expect("a listener");
        TcpPeer::serve_on(listener, |stream, _| echo(stream))
    }
}

async fn echo(mut stream: TcpStream) {
    let (mut read, mut write) = stream.split();
    // A client that goes away without closing is the client's affair.
    let _ = copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

async fn drain(stream: &mut TcpStream, counters: &Counters) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        counters.add_received(count);
    }
}

//! Upgrades of a running host that listens for datagrams: one socket, of which each process has its own peers.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use jackfield_plugin_api::{Address, Driver, Request, Role, Session, Stream, testing};
use jackfield_quic::{QuicDriver, QuicEndpoint, QuicOptions, WebTransportDriver};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
    task::JoinSet,
};

use super::{
    Place,
    upgrades::{end, upgraded},
};
use crate::support::{certs::Certs, jackfield::binary, peers::quic::soon};

/// Upgrades in one run: by default a few, as each starts a process.
fn times() -> usize {
    std::env::var("UPGRADE_TIMES").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// A port of UDP that was free a moment ago.
async fn free() -> u16 {
    UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Answers each datagram with the port that it came from, which tells sessions apart.
async fn telling() -> (SocketAddr, JoinSet<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, mut work) = (socket.local_addr().unwrap(), JoinSet::new());
    work.spawn(async move {
        let mut buffer = [0; 100];
        loop {
            let (_, peer) = socket.recv_from(&mut buffer).await.unwrap();
            socket.send_to(peer.port().to_string().as_bytes(), peer).await.unwrap();
        }
    });
    (address, work)
}

/// A peer of our listener.
struct UdpClient(UdpSocket);

impl UdpClient {
    async fn new(port: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(("127.0.0.1", port)).await.unwrap();
        UdpClient(socket)
    }

    /// Which session it has there.
    async fn session(&self) -> String {
        let asking = async {
            self.0.send(b"?").await.unwrap();
            let mut buffer = [0; 100];
            let len = self.0.recv(&mut buffer).await.unwrap();
            String::from_utf8_lossy(&buffer[..len]).into_owned()
        };
        soon(asking).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_keep_the_peers_of_a_udp_listener_and_give_others_to_the_new_process() {
    let (port, (far, _work)) = (free().await, telling().await);
    let place = Place::new(&format!(
        "host.shutdown_timeout = \"100ms\"\nreload.drain.within = \"5m\"\n[[routes]]\nlisten = \"udp://127.0.0.1:{port}\"\nto = \"udp://{far}\"\n"
    ));
    let mut host = place.run(&binary(), &[]).await;
    let (mut clients, mut processes) = (Vec::new(), Vec::new());
    for _ in 0..times() {
        let client = UdpClient::new(port).await;
        let session = client.session().await;
        clients.push((client, session));
        processes.push(upgraded(&place).await);
        for (client, session) in &clients {
            assert_eq!(client.session().await, *session, "a peer stays with its session");
        }
    }
    let count = clients.len();
    let mut sessions: Vec<String> = clients.into_iter().map(|(_, session)| session).collect();
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), count, "each has one of its own");
    processes.into_iter().for_each(end);
    host.signal(rustix::process::Signal::TERM);
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
}

/// A client, whose connections share a socket: the port of a peer does not tell whose it is.
struct Clients<D: Driver> {
    driver: D,
    endpoint: D::Endpoint,
    address: Address,
}

impl<D: Driver<Options = QuicOptions, Endpoint = QuicEndpoint>> Clients<D> {
    fn new(driver: D, certs: &Certs, port: u16) -> Self {
        let options = QuicOptions { ca_file: Some(certs.ca.clone()), ..QuicOptions::default() };
        let endpoint = driver.configure(options, Role::Client).unwrap();
        Clients { driver, endpoint, address: Address::new("127.0.0.1", port) }
    }

    async fn open(&self) -> (Session, Stream) {
        let request = Request::new(self.address.clone(), testing::DEADLINE);
        let session = soon(self.driver.open(&self.endpoint, request)).await.expect("not refused");
        let mut stream = session.take_stream().unwrap();
        echoes(&mut stream).await;
        (session, stream)
    }
}

async fn echoes(stream: &mut Stream) {
    let asking = async {
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    };
    soon(asking).await;
}

fn listening(certs: &Certs, scheme: &str, port: u16, within: &str) -> Place {
    let (certificate, key) = (&certs.server.certificate, &certs.server.key);
    Place::new(&format!(
        "reload.drain = {{ within = \"{within}\", spread = \"0s\" }}\n[handlers.echo]\n[[routes]]\n\
         listen = \"{scheme}://127.0.0.1:{port}\"\nto = \"handlers.echo\"\n\
         options = {{ certificate_file = {certificate:?}, key_file = {key:?} }}\n"
    ))
}

/// Upgrades under load: no handshake is refused, no session is cut.
async fn upgraded_under_load<D>(scheme: &str, driver: fn() -> D)
where
    D: Driver<Options = QuicOptions, Endpoint = QuicEndpoint> + Send + Sync + 'static,
{
    let (certs, port) = (Certs::new(), free().await);
    let place = listening(&certs, scheme, port, "5m");
    let mut host = place.run(&binary(), &[]).await;
    let (done, short) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients = Arc::new(Clients::new(driver(), &certs, port));
    let mut load = JoinSet::new();
    for _ in 0..2 {
        let (done, short, clients) = (Arc::clone(&done), Arc::clone(&short), Arc::clone(&clients));
        load.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let (session, _stream) = clients.open().await;
                session.close(0, "").await.unwrap();
                short.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let (mut long, mut last) = (Vec::new(), 0);
    for _ in 0..times() {
        long.push(clients.open().await);
        last = upgraded(&place).await;
        // All that were accepted by the processes before go on, and new ones come in beside them.
        for (_, stream) in &mut long {
            echoes(stream).await;
        }
        clients.open().await;
    }
    done.store(true, Ordering::Relaxed);
    while let Some(client) = load.join_next().await {
        client.unwrap();
    }
    assert!(short.load(Ordering::Relaxed) > 0);
    for (session, _stream) in long {
        session.close(0, "").await.unwrap();
    }
    // The first process ends with its last session.
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
    end(last);
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_under_load_refuse_no_quic_handshake_and_cut_no_session() {
    upgraded_under_load("quic", || QuicDriver::new(testing::host()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_under_load_refuse_no_webtransport_session_and_cut_none() {
    upgraded_under_load("webtransport", || WebTransportDriver::new(testing::host()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quic_session_of_the_old_process_is_closed_with_a_code_when_the_drain_is_over() {
    let (certs, port) = (Certs::new(), free().await);
    let place = listening(&certs, "quic", port, "100ms");
    let mut host = place.run(&binary(), &[]).await;
    let clients = Clients::new(QuicDriver::new(testing::host()).unwrap(), &certs, port);
    let (session, _stream) = clients.open().await;
    let last = upgraded(&place).await;
    let event = soon(session.next_event()).await.unwrap().unwrap();
    assert_eq!((&event.data["by"], &event.data["code"]), (&"peer".into(), &0.into()), "{event:?}");
    clients.open().await;
    assert_eq!(host.ended().await.code(), Some(0), "{}", host.log());
    end(last);
}

//! The driver without a host.

use crate::{UdpDriver, UdpOptions};
use jackfield_plugin_api::{
    Address, DatagramMeta, Datagrams, Driver, ErrorKind, Listener, Request, Role, Session, testing,
};
use tokio::net::UdpSocket;

async fn listen(options: UdpOptions) -> (Listener, u16) {
    let driver = UdpDriver::new(testing::host()).expect("a driver");
    let endpoint = driver.configure(options, Role::Server).expect("options");
    let request = Request::new(Address::new("127.0.0.1", 0), testing::DEADLINE);
    let listener = driver.listen(&endpoint, request).await.expect("a listener");
    let local = listener.info().local.expect("an address");
    let port = local.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    (listener, port)
}

async fn open(port: u16, options: UdpOptions) -> Session {
    let driver = UdpDriver::new(testing::host()).expect("a driver");
    let endpoint = driver.configure(options, Role::Client).expect("options");
    let request = Request::new(Address::new("127.0.0.1", port), testing::DEADLINE);
    driver.open(&endpoint, request).await.expect("a session")
}

async fn received(datagrams: &mut Datagrams) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 65_536];
    let meta = datagrams.recv(&mut buffer).await.expect("no error")?;
    Some(buffer[..meta.len].to_vec())
}

const META: DatagramMeta = DatagramMeta::new(0, None);

#[tokio::test]
async fn each_peer_has_a_session_and_gets_its_own_answers() {
    let (listener, port) = listen(UdpOptions::default()).await;
    for text in ["one", "two"] {
        let near = open(port, UdpOptions::default()).await;
        let local = near.info().local;
        let mut near = near.take_datagrams().expect("datagrams");
        near.send(text.as_bytes(), META).await.expect("room");
        let far = listener.accept().await.expect("a session");
        assert_eq!(far.info().peer, local);
        let mut far = far.take_datagrams().expect("datagrams");
        assert_eq!(received(&mut far).await.expect("a datagram"), text.as_bytes());
        far.send(b"", META).await.expect("an empty one is one too");
        far.send(text.as_bytes(), META).await.expect("room");
        assert_eq!(received(&mut near).await.expect("a datagram"), b"");
        assert_eq!(received(&mut near).await.expect("a datagram"), text.as_bytes());
    }
}

#[tokio::test]
async fn the_longest_datagram_passes_whole_and_a_longer_one_is_refused() {
    let (listener, port) = listen(UdpOptions::default()).await;
    let near = open(port, UdpOptions { send_buffer: 1 << 20, ..Default::default() }).await;
    let mut near = near.take_datagrams().expect("datagrams");
    assert_eq!(near.max_size(), 65_507);
    near.send(&vec![3; 65_507], META).await.expect("room");
    let far = listener.accept().await.expect("a session").take_datagrams();
    let mut far = far.expect("datagrams");
    assert_eq!(received(&mut far).await.expect("a datagram"), vec![3; 65_507]);
    let error = near.send(&vec![3; 65_508], META).await.expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Limit);
    far.send(b"x", META).await.expect("room");
    let error = near.recv(&mut []).await.expect_err("no room for it");
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
}

#[tokio::test]
async fn a_connected_session_hears_its_peer_alone_and_learns_that_nobody_listens() {
    let peer = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let to = peer.local_addr().expect("its address");
    let near = open(to.port(), UdpOptions::default()).await;
    let ours = near.info().local.expect("an address");
    let mut near = near.take_datagrams().expect("datagrams");
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    stranger.send_to(b"not for you", &ours).await.expect("room");
    peer.send_to(b"for you", &ours).await.expect("room");
    assert_eq!(received(&mut near).await.expect("a datagram"), b"for you");
    drop(peer);
    near.send(b"?", META).await.expect("room");
    let error = near.recv(&mut [0; 10]).await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}

#[tokio::test]
async fn a_flood_is_bounded_and_counted_and_the_session_lives() {
    let options = UdpOptions { queue: 4, recv_buffer: 1 << 20, ..UdpOptions::default() };
    let (listener, port) = listen(options).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    for number in 0..20_u8 {
        peer.send_to(&[number], ("127.0.0.1", port)).await.expect("room");
    }
    let session = listener.accept().await.expect("a session");
    while session.info().facts.get("dropped").and_then(serde_json::Value::as_u64) != Some(16) {
        tokio::task::yield_now().await;
    }
    let mut far = session.take_datagrams().expect("datagrams");
    for number in 0..4 {
        assert_eq!(received(&mut far).await.expect("a datagram"), [number]);
    }
    peer.send_to(b"again", ("127.0.0.1", port)).await.expect("room");
    assert_eq!(received(&mut far).await.expect("a datagram"), b"again");
}

#[tokio::test]
async fn an_idle_session_ends() {
    let (listener, port) = listen(UdpOptions { idle: 1, ..UdpOptions::default() }).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    peer.send_to(b"x", ("127.0.0.1", port)).await.expect("room");
    let session = listener.accept().await.expect("a session");
    let mut far = session.take_datagrams().expect("datagrams");
    assert_eq!(received(&mut far).await.expect("a datagram"), b"x");
    assert_eq!(received(&mut far).await, None, "it ends by itself");
    peer.send_to(b"y", ("127.0.0.1", port)).await.expect("room");
    let mut far = listener.accept().await.expect("a new one").take_datagrams().expect("datagrams");
    drop(listener);
    assert_eq!(received(&mut far).await.expect("sessions outlive the listener"), b"y");
}

#[test]
fn a_wrong_address_to_send_from_names_its_option() {
    let driver = UdpDriver::new(testing::host()).expect("a driver");
    let options = UdpOptions { bind: Some("here".into()), ..UdpOptions::default() };
    let error = driver.configure(options, Role::Client).expect_err("no address");
    assert!(error.to_string().contains("option=bind"), "{error}");
}

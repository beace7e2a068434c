//! WebTransport in both roles, one against the other.

use super::{Certificate, META, soon};
use crate::{QuicEndpoint, QuicOptions, WebTransportDriver};
use jackfield_plugin_api::{
    Address, Driver, Error, ErrorKind, Listener, Request, Result, Role, Session, testing,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Scene {
    driver: WebTransportDriver,
    client: QuicEndpoint,
    listener: Listener,
    port: u16,
    certificate: Certificate,
}

async fn scene(path: &str, change: impl Fn(&mut QuicOptions, Role)) -> Scene {
    let certificate = Certificate::new();
    let driver = WebTransportDriver::new(testing::host()).expect("a driver");
    let (mut server, mut client) = (certificate.server(), certificate.client());
    change(&mut server, Role::Server);
    change(&mut client, Role::Client);
    let server = driver.configure(server, Role::Server).expect("options");
    let client = driver.configure(client, Role::Client).expect("options");
    let address = Address::new("127.0.0.1", 0).with_path(path);
    let request = Request::new(address, testing::DEADLINE);
    let listener = driver.listen(&server, request).await.expect("a listener");
    let local = listener.info().local.expect("an address");
    let port = local.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    Scene { driver, client, listener, port, certificate }
}

impl Scene {
    async fn open(&self, path: &str) -> Result<Session> {
        let address = Address::new("localhost", self.port).with_path(path);
        soon(self.driver.open(&self.client, Request::new(address, testing::DEADLINE))).await
    }

    async fn pair(&self, path: &str) -> (Session, Session) {
        let (near, far) = tokio::join!(self.open(path), soon(self.listener.accept()));
        (near.expect("a session"), far.expect("a session"))
    }
}

#[tokio::test]
async fn streams_of_both_kinds_and_datagrams_pass_both_ways() {
    let scene = scene("/wt", |_, _| ()).await;
    let (near, far) = scene.pair("/wt?a=b").await;
    assert_eq!(near.info().facts["dialect"], "draft-13");
    assert_eq!(far.info().facts["path"], "/wt");
    soon(near.ping()).await.expect("an answer");
    let mut own = near.take_stream().expect("a stream");
    own.write_all(b"mine").await.expect("written");
    let mut text = [0; 4];
    let mut theirs = far.take_stream().expect("a stream");
    soon(theirs.read_exact(&mut text)).await.expect("read");
    assert_eq!(&text, b"mine");
    for (from, to) in [(&near, &far), (&far, &near)] {
        for params in [Value::Null, json!({ "uni": true })] {
            let ours = from.open_stream(&params).await.expect("a stream");
            let theirs = soon(to.accept_stream()).await.expect("no error").expect("a stream");
            assert_eq!(ours.info().facts["stream_kind"], theirs.info().facts["stream_kind"]);
            let mut write = ours.take_stream().expect("bytes");
            let mut read = theirs.take_stream().expect("bytes");
            write.write_all(&[7; 100_000]).await.expect("written");
            let mut all = Vec::new();
            let (ended, got) = tokio::join!(write.shutdown(), soon(read.read_to_end(&mut all)));
            ended.expect("ended");
            got.expect("read");
            assert_eq!(all.len(), 100_000);
        }
    }
    let mut one = near.take_datagrams().expect("datagrams");
    let mut other = far.take_datagrams().expect("datagrams");
    let most = one.max_size();
    let mut buffer = vec![0; 2000];
    for size in [0, most] {
        one.send(&vec![1; size], META).await.expect("room");
        let meta = soon(other.recv(&mut buffer)).await.expect("no error").expect("a datagram");
        assert_eq!(meta.len, size);
    }
    let most = one.max_size();
    let error = one.send(&vec![1; most + 1], META).await.expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[tokio::test]
async fn code_and_reason_are_seen_in_both_directions() {
    for far_closes in [false, true] {
        let scene = scene("", |_, _| ()).await;
        let (near, far) = scene.pair("/any").await;
        let (closer, other) = if far_closes { (&far, &near) } else { (&near, &far) };
        let mut stream = other.take_stream().expect("a stream");
        closer.close(7, "bye").await.expect("closed");
        let event = soon(other.next_event()).await.expect("no error").expect("an event");
        assert_eq!(event.data, json!({ "by": "peer", "code": 7, "reason": "bye" }));
        let error: Error = soon(stream.read(&mut [0; 1])).await.expect_err("closed").into();
        assert!(error.to_string().contains("code 7"), "{error}");
        assert!(soon(other.accept_stream()).await.is_err());
        let event = soon(closer.next_event()).await.expect("no error").expect("an event");
        assert_eq!(event.data, json!({ "by": "us" }));
    }
}

#[tokio::test]
async fn a_streams_code_is_mapped_and_comes_back() {
    let scene = scene("", |_, _| ()).await;
    let (near, far) = scene.pair("").await;
    let ours = near.open_stream(&Value::Null).await.expect("a stream");
    let theirs = soon(far.accept_stream()).await.expect("no error").expect("a stream");
    ours.close(31, "").await.expect("closed");
    let mut bytes = theirs.take_stream().expect("bytes");
    let error = soon(bytes.read(&mut [0; 1])).await.expect_err("given up");
    assert!(error.to_string().contains("code 31"), "{error}");
    assert!(near.close(1 << 32, "").await.is_err());
    assert!(near.close(1, &"x".repeat(1025)).await.is_err());
}

#[tokio::test]
async fn a_dropped_session_is_a_normal_end() {
    let scene = scene("", |_, _| ()).await;
    let (near, far) = scene.pair("/").await;
    drop(near);
    assert!(soon(far.accept_stream()).await.expect("a normal end").is_none());
}

#[tokio::test]
async fn paths_and_origins_are_checked() {
    let scene = scene("/wt", |options, role| match role {
        Role::Server => options.origins = vec!["https://good.test".into()],
        Role::Client => options.origin = Some("https://evil.test".into()),
    })
    .await;
    let error = scene.open("/other").await.expect_err("another path");
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.message().contains("404"), "{error}");
    let error = scene.open("/wt").await.expect_err("another origin");
    assert!(error.message().contains("403"), "{error}");
}

#[tokio::test]
async fn the_listener_chooses_a_protocol() {
    let scene = scene("", |options, role| {
        let names: &[&str] = match role {
            Role::Server => &["b", "a"],
            Role::Client => &["a", "b", "c"],
        };
        options.protocols = names.iter().map(ToString::to_string).collect();
    })
    .await;
    let (near, far) = scene.pair("/").await;
    assert_eq!(near.info().facts["protocol"], "b");
    assert_eq!(far.info().facts["protocol"], "b");
}

#[tokio::test]
async fn a_peer_that_is_no_webtransport_is_refused() {
    let scene = scene("", |options, role| {
        if role == Role::Server {
            options.handshake_timeout = 1;
        }
    })
    .await;
    let certificate = scene.certificate.client();
    let client = super::Client::new(QuicOptions { alpn: vec!["h3".into()], ..certificate });
    let session = soon(client.open(scene.port)).await.expect("QUIC works");
    // A control stream that begins with no settings (RFC 9114 §6.2.1).
    let stream = session.open_stream(&json!({ "uni": true })).await.expect("a stream");
    let mut stream = stream.take_stream().expect("bytes");
    stream.write_all(&[0, 7, 0]).await.expect("written");
    let event = soon(session.next_event()).await.expect("no error").expect("an event");
    assert_eq!(event.data["code"], 0x109, "{event:?}");
}

#[tokio::test]
async fn streams_of_random_bytes_do_no_harm() {
    let scene = scene("", |_, _| ()).await;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..20_u64 {
        let options = QuicOptions { alpn: vec!["h3".into()], ..scene.certificate.client() };
        let client = super::Client::new(options);
        let session = soon(client.open(scene.port)).await.expect("QUIC works");
        for _ in 0..10 {
            let uni = next() % 2 == 0;
            let Ok(stream) = session.open_stream(&json!({ "uni": uni })).await else { break };
            let mut bytes: Vec<u8> = (0..next() % 100).map(|_| next().to_le_bytes()[5]).collect();
            // Control streams with settings of any kind, requests with heads of any kind.
            let start: &[u8] = match (uni, round % 2) {
                (true, 0) => &[0, 4],
                (false, 0) => &[1],
                _ => &[],
            };
            bytes.splice(0..0, start.iter().copied());
            let mut stream = stream.take_stream().expect("bytes");
            let _ = stream.write_all(&bytes).await;
            let _ = soon(stream.shutdown()).await;
        }
    }
    let (near, _far) = scene.pair("/").await;
    soon(near.ping()).await.expect("it lives");
}

//! WebTransport in both roles, against aioquic and pywebtransport, whose dialects differ.

mod hostile;

use jackfield_plugin_api::{Address, Driver, Listener, Request, Role, Session, testing};
use jackfield_plugin_api::{DatagramMeta, ErrorKind};
use jackfield_quic::{QuicOptions, WebTransportDriver};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    certs::Certs,
    host::{TestHost, exchange},
    peers::{
        echo::TcpPeer,
        quic::soon,
        webtransport::{PROGRAMS, Program, WtServer, wt_client},
    },
};

const META: DatagramMeta = DatagramMeta::new(0, None);

/// Sends `bytes` on a session's stream, ends it and reads what comes back.
async fn echoed(session: &Session, bytes: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(session.take_stream().unwrap());
    let sending = async {
        write.write_all(bytes).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut all = Vec::new();
    let ((), read) = soon(async { tokio::join!(sending, read.read_to_end(&mut all)) }).await;
    read.unwrap();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_both_dialects_answer_streams_and_datagrams() {
    let certs = Certs::new();
    let host = TestHost::start("").await;
    for (program, dialect) in PROGRAMS.into_iter().zip(["draft-02", "draft-13"]) {
        let server = WtServer::start(program, &certs.server).await;
        let options = json!({ "ca_file": certs.ca });
        let session = host.open(&server.uri("/wt"), options).await.unwrap();
        assert_eq!(session.info().facts["dialect"], dialect, "{program:?}");
        assert_eq!(session.info().facts["path"], "/wt");
        soon(session.ping()).await.unwrap();
        assert_eq!(echoed(&session, b"own").await, b"own", "{program:?}");
        // More streams, and more bytes, than the server allows at first where it limits sessions.
        let sent = vec![5; 100_000];
        for _ in 0..8 {
            let stream = soon(session.open_stream(&Value::Null)).await.unwrap();
            assert!(echoed(&stream, &sent).await == sent, "{program:?}");
        }
        let ours = session.open_stream(&json!({ "uni": true })).await.unwrap();
        let mut ours = ours.take_stream().unwrap();
        ours.write_all(b"one way").await.unwrap();
        soon(ours.shutdown()).await.unwrap();
        let theirs = soon(session.accept_stream()).await.unwrap().unwrap();
        assert_eq!(theirs.info().facts["stream_kind"], "uni");
        let mut all = Vec::new();
        soon(theirs.take_stream().unwrap().read_to_end(&mut all)).await.unwrap();
        assert_eq!(all, b"one way");
        let mut datagrams = session.take_datagrams().unwrap();
        datagrams.send(b"whole", META).await.unwrap();
        let mut buffer = [0; 100];
        let meta = soon(datagrams.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..meta.len], b"whole");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_and_reason_go_both_ways_with_servers() {
    let certs = Certs::new();
    let host = TestHost::start("").await;
    for program in PROGRAMS {
        let mut server = WtServer::start(program, &certs.server).await;
        let options = json!({ "ca_file": certs.ca });
        let session = host.open(&server.uri("/close"), options.clone()).await.unwrap();
        let event = soon(session.next_event()).await.unwrap().unwrap();
        let said = json!({ "by": "peer", "code": 7, "reason": "bye" });
        assert_eq!(event.data, said, "{program:?}");
        let session = host.open(&server.uri("/wt"), options).await.unwrap();
        assert_eq!(echoed(&session, b"x").await, b"x");
        session.close(8, "enough").await.unwrap();
        assert_eq!(server.logged("\"closed\": ").await, "[8, \"enough\"]}", "{program:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_pinned_and_paths_must_exist() {
    let certs = Certs::new();
    let host = TestHost::start("").await;
    let server = WtServer::start(Program::Aioquic, &certs.self_signed).await;
    let danger = json!({ "danger_skip_verification": true });
    let session = host.open(&server.uri("/wt"), danger).await.unwrap();
    let hash = session.info().facts["peer_sha256"].clone();
    let pinned = json!({ "certificate_hashes": [hash] });
    let session = host.open(&server.uri("/wt"), pinned.clone()).await.unwrap();
    assert_eq!(echoed(&session, b"x").await, b"x");
    let error = host.open(&server.uri("/none"), pinned.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.message().contains("404"), "{error}");
    let other = WtServer::start(Program::Aioquic, &certs.server).await;
    let error = host.open(&other.uri("/wt"), pinned).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
}

async fn listen(certs: &Certs, change: impl FnOnce(&mut QuicOptions)) -> (Listener, u16) {
    let driver = WebTransportDriver::new(testing::host()).unwrap();
    let mut options = QuicOptions {
        certificate_file: Some(certs.server.certificate.clone()),
        key_file: Some(certs.server.key.clone()),
        ..QuicOptions::default()
    };
    change(&mut options);
    let endpoint = driver.configure(options, Role::Server).unwrap();
    let address = Address::new("127.0.0.1", 0).with_path("/wt");
    let listener =
        driver.listen(&endpoint, Request::new(address, testing::DEADLINE)).await.unwrap();
    let local = listener.info().local.unwrap();
    (listener, local.rsplit_once(':').unwrap().1.parse().unwrap())
}

/// Answers one stream of each kind and one datagram.
async fn serve(session: &Session) {
    let mut datagrams = session.take_datagrams().unwrap();
    let stream = soon(session.accept_stream()).await.unwrap().unwrap();
    let mut io = stream.take_stream().unwrap();
    let mut all = Vec::new();
    soon(io.read_to_end(&mut all)).await.unwrap();
    io.write_all(&all).await.unwrap();
    soon(io.shutdown()).await.unwrap();
    let stream = soon(session.accept_stream()).await.unwrap().unwrap();
    let mut all = Vec::new();
    soon(stream.take_stream().unwrap().read_to_end(&mut all)).await.unwrap();
    let back = session.open_stream(&json!({ "uni": true })).await.unwrap();
    let mut back = back.take_stream().unwrap();
    back.write_all(&all).await.unwrap();
    soon(back.shutdown()).await.unwrap();
    let mut buffer = [0; 2000];
    let meta = soon(datagrams.recv(&mut buffer)).await.unwrap().unwrap();
    datagrams.send(&buffer[..meta.len], META).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_both_dialects_are_served() {
    let certs = Certs::new();
    let (listener, port) = listen(&certs, |_| ()).await;
    let told = [
        json!({ "status": "200" }),
        json!({ "stream": 0, "text": "bidi" }),
        json!({ "stream": 3, "text": "uni" }),
        json!({ "datagram": "datagram" }),
    ];
    for program in PROGRAMS {
        let serving = async {
            let session = soon(listener.accept()).await.unwrap();
            assert_eq!(session.info().facts["path"], "/wt");
            serve(&session).await;
            session.close(6, "over").await.unwrap();
        };
        let ((), said) = tokio::join!(serving, wt_client(program, port, &certs.ca, &[]));
        assert_eq!(said[..4], told, "{program:?}");
        assert_eq!(said[4], json!({ "closed": [6, "over"] }), "{program:?}");

        let serving = async {
            let session = soon(listener.accept()).await.unwrap();
            serve(&session).await;
            soon(session.next_event()).await.unwrap().unwrap()
        };
        let (event, said) =
            tokio::join!(serving, wt_client(program, port, &certs.ca, &["--close"]));
        assert_eq!(said[..4], told, "{program:?}");
        let by_peer = json!({ "by": "peer", "code": 9, "reason": "done" });
        assert_eq!(event.data, by_peer, "{program:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_origins_are_refused() {
    let certs = Certs::new();
    let origins = |options: &mut QuicOptions| options.origins = vec!["https://good.test".into()];
    let (_listener, port) = listen(&certs, origins).await;
    for (more, status) in
        [(&["--path", "/other"][..], "404"), (&["--origin", "https://evil.test"], "403")]
    {
        let said = wt_client(Program::Aioquic, port, &certs.ca, more).await;
        assert_eq!(said[0], json!({ "status": status }), "{more:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_goes_through_two_hosts_over_webtransport() {
    let certs = Certs::new();
    let peer = TcpPeer::echo().await;
    let far = TestHost::start(&format!(
        "[[routes]]\nlisten = \"webtransport://127.0.0.1:0/tunnel\"\nto = \"{}\"\n\
         options = {{ certificate_file = {:?}, key_file = {:?} }}\n",
        peer.uri(),
        certs.server.certificate,
        certs.server.key
    ))
    .await;
    let near = TestHost::start(&format!(
        "[[routes]]\nlisten = \"tcp://127.0.0.1:0\"\nto = \"connections.far\"\n\
         [connections.far]\nuri = \"webtransport://localhost:{}/tunnel\"\n\
         options = {{ ca_file = {:?} }}\n",
        far.address(0).port(),
        certs.ca
    ))
    .await;
    let sent = vec![9; 3_000_000];
    assert!(soon(exchange(near.address(0), &sent)).await.unwrap() == sent);
}

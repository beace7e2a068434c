//! The driver without a host: both roles, one against the other.

mod ends;
mod handshakes;
mod streams;
mod webtransport;

use crate::{QuicDriver, QuicEndpoint, QuicOptions};
use jackfield_plugin_api::{
    Address, DatagramMeta, Driver, Listener, Request, Result, Role, Session, testing,
};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Waker};
use tokio::time::timeout;

const META: DatagramMeta = DatagramMeta { len: 0, peer: None, local: None, segment: 0, ecn: 0 };

/// A certificate for `localhost` that nobody has signed, in a folder that goes away on drop.
struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = rcgen::CertificateParams::new(names).expect("names");
        // No two are called alike, so that one is never taken for the authority of another.
        let name = folder.path().display().to_string();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("crt"), made.pem()).expect("a file");
        std::fs::write(folder.path().join("key"), key.serialize_pem()).expect("a file");
        let only_us = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(folder.path().join("key"), only_us).expect("a private file");
        Certificate { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("crt")
    }

    fn server(&self) -> QuicOptions {
        QuicOptions {
            certificate_file: Some(self.file()),
            key_file: Some(self.folder.path().join("key")),
            ..QuicOptions::default()
        }
    }

    fn client(&self) -> QuicOptions {
        QuicOptions { ca_file: Some(self.file()), ..QuicOptions::default() }
    }
}

fn driver() -> QuicDriver {
    QuicDriver::new(testing::host()).expect("a driver")
}

async fn listen(options: QuicOptions) -> (Listener, u16) {
    let driver = driver();
    let endpoint = driver.configure(options, Role::Server).expect("options");
    let request = Request::new(Address::new("127.0.0.1", 0), testing::DEADLINE);
    let listener = driver.listen(&endpoint, request).await.expect("a listener");
    let local = listener.info().local.expect("an address");
    let port = local.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    (listener, port)
}

/// A client's options, ready for several connections.
struct Client {
    driver: QuicDriver,
    endpoint: QuicEndpoint,
}

impl Client {
    fn new(options: QuicOptions) -> Self {
        let driver = driver();
        let endpoint = driver.configure(options, Role::Client).expect("options");
        Client { driver, endpoint }
    }

    async fn open(&self, port: u16) -> Result<Session> {
        let request = Request::new(Address::new("localhost", port), testing::DEADLINE);
        self.driver.open(&self.endpoint, request).await
    }
}

/// Both ends of one connection, and the listener that made one of them.
struct Pair {
    near: Session,
    far: Session,
    client: Client,
    listener: Listener,
    port: u16,
}

async fn pair(change: impl Fn(&mut QuicOptions)) -> Pair {
    let certificate = Certificate::new();
    let (mut server, mut client) = (certificate.server(), certificate.client());
    change(&mut server);
    change(&mut client);
    let (listener, port) = listen(server).await;
    let client = Client::new(client);
    let (near, far) = tokio::join!(client.open(port), listener.accept());
    Pair { near: near.expect("a session"), far: far.expect("a session"), client, listener, port }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(testing::DEADLINE, work).await.expect("in time")
}

/// Whether a future is not ready yet.
fn waits(work: Pin<&mut impl Future>) -> bool {
    work.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

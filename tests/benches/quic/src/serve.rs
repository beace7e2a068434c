//! A server of the driver alone: answers streams and datagrams in kind.

use crate::servers::Scheme;
use jackfield_plugin_api::{
    Address, DatagramMeta, Driver, Listener, Request, Role, Session, testing,
};
use jackfield_quic::{QuicDriver, QuicOptions, WebTransportDriver};
use std::path::Path;

/// Serves until it is ended.
pub(crate) async fn run(scheme: Scheme, certificate: &Path, key: &Path) {
    let options = QuicOptions {
        certificate_file: Some(certificate.to_owned()),
        key_file: Some(key.to_owned()),
        ..QuicOptions::default()
    };
    let listener = match scheme {
        Scheme::Quic => listen(QuicDriver::new(testing::host()), options).await,
        Scheme::WebTransport => listen(WebTransportDriver::new(testing::host()), options).await,
    };
    println!(
        "listening on {}",
        listener.info().local.unwrap_or_default().replace("127.0.0.1:", "")
    );
    loop {
        if let Ok(session) = listener.accept().await {
            tokio::spawn(echo(session));
        }
    }
}

async fn listen<D: Driver<Options = QuicOptions>>(
    driver: jackfield_plugin_api::Result<D>,
    options: QuicOptions,
) -> Listener {
    let driver = driver.expect("a driver");
    let endpoint = driver.configure(options, Role::Server).expect("options");
    let request = Request::new(Address::new("127.0.0.1", 0), testing::DEADLINE);
    driver.listen(&endpoint, request).await.expect("a listener")
}

async fn echo(session: Session) {
    if let Some(mut datagrams) = session.take_datagrams() {
        tokio::spawn(async move {
            let mut buffer = vec![0; 2048];
            while let Ok(Some(meta)) = datagrams.recv(&mut buffer).await {
                let meta = DatagramMeta::new(meta.len, None);
                if datagrams.send(&buffer[..meta.len], meta).await.is_err() {
                    return;
                }
            }
        });
    }
    while let Ok(Some(stream)) = session.accept_stream().await {
        let Some(bytes) = stream.take_stream() else { continue };
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(bytes);
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut write).await;
        });
    }
}

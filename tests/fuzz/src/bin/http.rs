//! HTTP from a peer, to both roles; a server's requests are answered by `files`.
#![no_main]

use std::sync::LazyLock;

use futures_util::StreamExt;
use fuzz_targets::{carrier_answering, carrier_saying, host, run};
use jackfield_http::{Files, FilesOptions, HttpDriver, HttpOptions, Version};
use jackfield_plugin_api::{
    Address, Body, Driver, Envelope, Handler, HeaderBlock, Request, Result, Role, Session, testing,
};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = tempfile::tempdir_in("/dev/shm");
    let folder = memory.or_else(|_| tempfile::tempdir()).expect("a folder");
    std::fs::write(folder.path().join("a"), "0123456789".repeat(100)).expect("a file");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let Some((role, bytes)) = bytes.split_first() else { return };
    run(async {
        // Whatever it is that is wrong, it is an error.
        let _ = match role % 4 {
            0 => ask(Version::Http1, bytes).await,
            1 => ask(Version::Http2, bytes).await,
            _ => serve(bytes).await,
        };
    });
});

fn request(carrier: Session) -> Request {
    Request::new(Address::new("a.test", 80), testing::DEADLINE).with_carrier(carrier)
}

async fn serve(bytes: &[u8]) -> Result<()> {
    let driver = HttpDriver::new(host())?;
    let endpoint = driver.configure(HttpOptions::default(), Role::Server)?;
    let session = driver.accept(&endpoint, request(carrier_saying(bytes))).await?;
    let root = FOLDER.path().to_owned();
    let options = FilesOptions { root, listing: true, ..FilesOptions::default() };
    Files::new(host(), options)?.serve(session).await
}

async fn ask(version: Version, bytes: &[u8]) -> Result<()> {
    let driver = HttpDriver::new(host())?;
    let options = HttpOptions { version, ..HttpOptions::default() };
    let endpoint = driver.configure(options, Role::Client)?;
    let session = driver.open(&endpoint, request(carrier_answering(bytes.to_vec()))).await?;
    let called = session.call("get", &serde_json::json!({ "redirects": 2 })).await;
    let Some(exchange) = session.take_exchange() else { return called.map(drop) };
    let head = HeaderBlock::new([(":method", "GET"), (":path", "/")])?;
    let mut answer = exchange.send(Envelope::new(head, Body::empty())).await?;
    while let Some(part) = answer.body.next().await {
        part?;
    }
    Ok(())
}

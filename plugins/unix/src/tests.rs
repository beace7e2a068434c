//! The drivers without a host.

use crate::{UnixDriver, UnixOptions, UnixgramDriver, UnixgramOptions};
use jackfield_plugin_api::{
    Address, DatagramMeta, Driver, ErrorKind, Listener, Request, Result, Role, Session, testing,
};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn request(path: &Path) -> Request {
    let address = Address::at_path(path.display().to_string());
    Request::new(address, testing::DEADLINE)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

async fn listen(path: &Path) -> Result<Listener> {
    let driver = UnixDriver::new(testing::host())?;
    let endpoint = driver.configure(UnixOptions::default(), Role::Server)?;
    driver.listen(&endpoint, request(path)).await
}

async fn open(path: &Path) -> Result<Session> {
    let driver = UnixDriver::new(testing::host())?;
    let endpoint = driver.configure(UnixOptions::default(), Role::Client)?;
    driver.open(&endpoint, request(path)).await
}

#[tokio::test]
async fn bytes_pass_and_each_direction_ends_by_itself() {
    let folder = folder();
    let path = folder.path().join("s");
    let listener = listen(&path).await.expect("a listener");
    let (near, far) = tokio::join!(open(&path), listener.accept());
    let mut near = near.expect("a session").take_stream().expect("a stream");
    let mut far = far.expect("a session").take_stream().expect("a stream");
    near.write_all(b"question").await.expect("room");
    near.shutdown().await.expect("an end");
    let mut all = Vec::new();
    far.read_to_end(&mut all).await.expect("all of it");
    assert_eq!(all, b"question");
    far.write_all(b"answer").await.expect("room");
    drop(far);
    all.clear();
    near.read_to_end(&mut all).await.expect("all of it");
    assert_eq!(all, b"answer");
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_nothing_else_is() {
    let folder = folder();
    let path = folder.path().join("s");
    drop(UnixListener::bind(&path).expect("a socket"));
    let listener = listen(&path).await.expect("a listener in the place of the stale one");
    let error = listen(&path).await.expect_err("somebody listens");
    assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
    drop(listener);
    std::fs::remove_file(&path).expect("its file");
    std::fs::write(&path, "mine").expect("a file");
    let error = listen(&path).await.expect_err("a file");
    assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "mine");
}

#[tokio::test]
async fn who_is_not_there_is_told_apart() {
    let folder = folder();
    let path = folder.path().join("s");
    assert_eq!(open(&path).await.expect_err("nothing").kind(), ErrorKind::NotFound);
    drop(UnixListener::bind(&path).expect("a socket"));
    assert_eq!(open(&path).await.expect_err("stale").kind(), ErrorKind::Unreachable);
}

fn gram(options: UnixgramOptions) -> (UnixgramDriver, <UnixgramDriver as Driver>::Endpoint) {
    let driver = UnixgramDriver::new(testing::host()).expect("a driver");
    let endpoint = driver.configure(options, Role::Server).expect("options");
    (driver, endpoint)
}

#[tokio::test]
async fn datagrams_go_to_the_listener_and_answers_come_back() {
    let folder = folder();
    let path = folder.path().join("g");
    drop(UnixDatagram::bind(&path).expect("a socket that becomes stale"));
    let (driver, endpoint) = gram(UnixgramOptions { max_size: 1000, ..Default::default() });
    let listener = driver.listen(&endpoint, request(&path)).await.expect("a listener");
    let again = driver.listen(&endpoint, request(&path)).await.expect_err("taken");
    assert_eq!(again.kind(), ErrorKind::InUse);
    let near = driver.open(&endpoint, request(&path)).await.expect("a session");
    let mut near = near.take_datagrams().expect("datagrams");
    near.send(&[7; 1000], DatagramMeta::default()).await.expect("room");
    let error = near.send(&[7; 1001], DatagramMeta::default()).await.expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Limit);
    let far = listener.accept().await.expect("a session").take_datagrams();
    let mut far = far.expect("datagrams");
    let mut buffer = [0; 2000];
    let meta = far.recv(&mut buffer).await.expect("a datagram").expect("no end");
    assert_eq!(meta.len, 1000);
    far.send(b"back", DatagramMeta::default()).await.expect("room");
    let meta = near.recv(&mut buffer).await.expect("a datagram").expect("no end");
    assert_eq!(&buffer[..meta.len], b"back");
    drop((listener, far));
    assert!(!path.exists(), "the file goes with the listener");
    let error = driver.open(&endpoint, request(&path)).await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

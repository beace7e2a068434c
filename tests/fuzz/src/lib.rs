//! What the fuzz targets share. A target is a file in `bin/`, named after what it feeds.

use std::cell::RefCell;
use std::future::Future;
use std::sync::LazyLock;

use jackfield_plugin_api::{Host, Session, testing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(
        Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime"),
    );
}

/// Runs a future to its end, with a clock that jumps over every wait.
pub fn run<F: Future>(future: F) -> F::Output {
    RUNTIME.with_borrow(|runtime| runtime.block_on(future))
}

/// The host of all drivers: it is never given back, as a host lives as long as its process.
pub fn host() -> Host {
    static HOST: LazyLock<Host> = LazyLock::new(testing::host);
    *HOST
}

/// A carrier whose other end says `bytes`, then nothing more, and reads whatever is said to it.
pub fn carrier_saying(bytes: &[u8]) -> Session {
    carrier(bytes.to_vec(), false)
}

/// As [`carrier_saying`], but it speaks when it is spoken to: an answer before that would be none.
pub fn carrier_answering(bytes: Vec<u8>) -> Session {
    carrier(bytes, true)
}

/// A carrier whose other end says one of `pieces` at once, and the next one each time it hears something.
pub fn carrier_by_turns(pieces: Vec<Vec<u8>>) -> Session {
    let (near, far) = testing::carriers(64 * 1024);
    let mut stream = far.take_stream().expect("a stream");
    tokio::spawn(async move {
        let mut heard = vec![0; 1024];
        for piece in pieces {
            let said = stream.write_all(&piece).await.is_ok() && stream.flush().await.is_ok();
            if !said || !matches!(stream.read(&mut heard).await, Ok(1..)) {
                return;
            }
        }
    });
    near
}

fn carrier(bytes: Vec<u8>, listens: bool) -> Session {
    let (near, far) = testing::carriers(64 * 1024);
    let (mut read, mut write) = tokio::io::split(far.take_stream().expect("a stream"));
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        if listens {
            // Nothing: the other side has left.
            let _ = told.await;
        }
        // The other side may have heard enough.
        let _ = write.write_all(&bytes).await;
        let _ = write.shutdown().await;
    });
    tokio::spawn(async move {
        let mut all = vec![0; 1024];
        let _ = read.read(&mut all).await;
        let _ = tell.send(());
        let _ = read.read_to_end(&mut all).await;
    });
    near
}

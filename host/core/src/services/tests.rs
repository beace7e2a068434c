//! Services used as a plugin with threads of its own uses them: polled where no runtime is.

use super::PluginServices;
use jackfield_plugin_api::services::{Services, Socket, SocketKind};
use jackfield_plugin_api::{DatagramMeta, Result};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread alone.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

fn on_a_thread<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> thread::JoinHandle<Result<T>> {
    thread::spawn(move || {
        assert!(tokio::runtime::Handle::try_current().is_err(), "a thread of a plugin's own");
        block_on(work)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_and_names_work_on_threads_of_a_plugins_own() {
    let services = PluginServices::new("p", Arc::default(), Box::new(|_| ()));
    let services = Arc::new(services);
    let ours = Arc::clone(&services);
    let work = async move {
        for kind in [SocketKind::Tcp, SocketKind::Unix] {
            let folder = tempfile::tempdir()?;
            let socket = match kind {
                SocketKind::Tcp => Socket::new(kind, "127.0.0.1", 0),
                _ => Socket::at_path(kind, folder.path().join("socket").display().to_string()),
            };
            let listener = ours.listen(socket.clone()).await?;
            let local = listener.info().local.expect("an address");
            let port = local.parse::<SocketAddr>().map_or(0, |address| address.port());
            let services = Arc::clone(&ours);
            let connecting = on_a_thread(async move {
                let mut socket = socket;
                socket.port = port;
                let near = services.connect(socket).await?;
                let mut stream = near.take_stream().expect("a stream");
                stream.write_all(b"over threads").await?;
                Ok(stream)
            });
            let far = listener.accept().await?;
            let mut got = [0; 12];
            far.take_stream().expect("a stream").read_exact(&mut got).await?;
            assert_eq!(&got, b"over threads");
            drop(connecting.join().expect("its thread")?);
        }
        let resolved = ours.resolve("localhost", 7).await?;
        assert!(String::from_utf8_lossy(&resolved).contains(":7"), "{resolved:?}");

        let mut one = ours.bind_datagrams(Socket::new(SocketKind::Udp, "127.0.0.1", 0)).await?;
        let mut nobody = DatagramMeta::default();
        nobody.peer = "127.0.0.1:1".parse().ok();
        one.send(b"x", nobody).await?;
        let refused = ours.connect(Socket::new(SocketKind::UnixDatagram, "", 0)).await;
        assert!(refused.is_err(), "there is no such thing to connect");
        drop(ours.timer(std::time::Duration::ZERO));
        Ok(())
    };
    on_a_thread(work).join().expect("no panic").expect("each service");
}

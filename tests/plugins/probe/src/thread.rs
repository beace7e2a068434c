//! The host's services from a thread of the plugin's own, as one with a private runtime uses them.

use futures_util::future::BoxFuture;
use jackfield_plugin_api::services::{Socket, SocketKind};
use jackfield_plugin_api::{Error, ErrorKind, Host, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// The longest a service may take.
const LIMIT: Duration = Duration::from_secs(20);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, which has no runtime.
fn block_on<T>(mut future: BoxFuture<'_, T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        thread::park_timeout(LIMIT);
    }
}

/// What each service says.
///
/// # Errors
/// The thread could not be joined.
pub(crate) fn services(host: Host) -> Result<Value> {
    let all = move || {
        let socket = |kind| Socket::new(kind, "127.0.0.1", 0);
        let said = |result: Result<()>| match result {
            Ok(()) => Value::from("done"),
            Err(error) => error.to_string().into(),
        };
        let passes = async |what: &str| host.timeout(LIMIT, what, async { Ok(()) }).await;
        let listened = block_on(Box::pin(async {
            let listener = host.listen(&socket(SocketKind::Tcp)).await?;
            let local = listener.info().local.unwrap_or_default();
            let port = local.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0);
            let near = host.connect(&Socket::new(SocketKind::Tcp, "127.0.0.1", port)).await?;
            let far = listener.accept().await?;
            drop((near, far));
            passes("a moment").await
        }));
        let bound = block_on(Box::pin(async {
            host.bind_datagrams(&socket(SocketKind::Udp)).await.map(drop)
        }));
        let resolved = block_on(Box::pin(async { host.resolve("localhost", 1).await.map(drop) }));
        let slept = block_on(Box::pin(async {
            host.timer(Duration::from_millis(1)).await;
            Ok(())
        }));
        json!({
            "streams": said(listened), "datagrams": said(bound), "names": said(resolved),
            "timers": said(slept),
        })
    };
    let wrong = |_| Error::new(ErrorKind::Panicked, "the thread has panicked");
    thread::spawn(all).join().map_err(wrong)
}

//! The relay of this crate as a process: a listener, a connect, [`relay`].

use jackfield::relay::{End, RelayOptions, Totals, relay};
use jackfield::services::kernel::tcp_stream;
use std::io::Write;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

/// Starts this program as the relay.
pub(super) const ARGUMENT: &str = "--relay-to";

/// Relays what comes to a port, which is printed first, to `target`, until it is killed.
pub(super) fn run(target: &str) {
    let threads = std::env::var("RELAY_BENCH_THREADS").ok().and_then(|text| text.parse().ok());
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_all().build().expect("a runtime");
    let port: u16 = target.parse().expect("a port");
    runtime.block_on(async move { tokio::spawn(serve(port)).await }).expect("no panic");
}

async fn serve(target: u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address").port());
    std::io::stdout().flush().expect("a pipe");
    loop {
        let Ok((downstream, _)) = listener.accept().await else { continue };
        tokio::spawn(async move {
            let upstream = TcpStream::connect(("127.0.0.1", target)).await?;
            downstream.set_nodelay(true)?;
            upstream.set_nodelay(true)?;
            let [a, b] = [downstream, upstream].map(|socket| End::Stream(tcp_stream(socket)));
            relay(a, b, RelayOptions::default(), Arc::new(Totals::default())).await;
            std::io::Result::Ok(())
        });
    }
}

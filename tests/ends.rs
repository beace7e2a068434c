//! What an end means at the other side of a route, and who goes before there is one.

mod codes;
mod gone;

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// A TCP peer that waits.
async fn tcp_listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

/// Makes the close of `stream` a reset.
fn reset_on_close(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).expect("set");
}

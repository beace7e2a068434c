//! Connected sockets of the kernel as sessions.

use crate::addr::canonical;
use jackfield_plugin_api::{Info, Session};
use jackfield_relay::{tcp_stream, unix_stream};
use std::net::SocketAddr;
use tokio::net::{TcpStream, UnixStream};

/// A connected TCP socket.
pub fn tcp_session(stream: TcpStream, peer: Option<SocketAddr>) -> Session {
    let local = stream.local_addr().ok();
    let mut info = Info::new();
    info.local = local.map(|local| canonical(local).to_string());
    info.peer = peer.map(|peer| canonical(peer).to_string());
    Session::of_stream(info, tcp_stream(stream))
}

/// A connected Unix socket, with who its peer is.
pub fn unix_session(stream: UnixStream, path: &str) -> Session {
    let mut info = Info::new().peer(path.to_owned());
    if let Ok(peer) = stream.peer_cred() {
        info = info.with("peer_uid", peer.uid()).with("peer_gid", peer.gid());
        if let Some(pid) = peer.pid() {
            info = info.with("peer_pid", pid);
        }
    }
    Session::of_stream(info, unix_stream(stream))
}

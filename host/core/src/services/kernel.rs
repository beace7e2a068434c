//! Connected sockets of the kernel as sessions.

use crate::addr::canonical;
use jackfield_plugin_api::{Info, Session, SocketEnds};
use jackfield_relay::{tcp_stream, unix_stream};
use std::net::SocketAddr;
use tokio::net::{TcpStream, UnixStream};

/// A connected TCP socket; `local` is its own end where that is known.
pub fn tcp_session(
    stream: TcpStream,
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
) -> Session {
    let local = local.or_else(|| stream.local_addr().ok());
    let ends = SocketEnds { local: local.map(canonical), peer: peer.map(canonical) };
    Session::builder(ends).stream(tcp_stream(stream)).build()
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

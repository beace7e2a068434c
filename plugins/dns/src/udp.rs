//! Questions over UDP, and over TCP where the answer does not fit.

use crate::question;
use crate::streams;
use crate::way::Heard;
use domain::base::Message;
use jackfield_plugin_api::{DatagramMeta, Datagrams, Error, ErrorKind, Host, Info, Result, peers};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Bytes of an answer without EDNS (RFC 1035 §4.2.1).
const PLAIN: u16 = 512;

/// A socket with a port of its own, chosen by the system (RFC 5452 §9.2), which hears `server` alone.
fn socket(host: &Host, server: SocketAddr) -> Result<Datagrams> {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let made = || -> std::io::Result<UdpSocket> {
        let socket = UdpSocket::bind(local)?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    let socket = made().map_err(|error| Error::from(error).with("server", server))?;
    let session = peers::connected(host, socket.into(), usize::from(u16::MAX), Info::new())?;
    session.take_datagrams().ok_or_else(|| Error::unsupported("datagrams"))
}

/// The answer to a message, without an end of its own. What does not answer it is passed over. Cancel safe.
pub(crate) async fn ask(
    host: &Host,
    server: SocketAddr,
    message: &[u8],
    edns: u16,
) -> Result<Heard> {
    let mut datagrams = socket(host, server)?;
    datagrams.send(message, DatagramMeta::new(message.len(), None)).await?;
    let mut buffer = vec![0; usize::from(edns.max(PLAIN))];
    loop {
        let received = match datagrams.recv(&mut buffer).await {
            Ok(Some(meta)) => &buffer[..meta.len],
            Ok(None) => return Err(Error::new(ErrorKind::Closed, "the socket has ended")),
            // Longer than we have said we take.
            Err(error) if error.kind() == ErrorKind::Limit => continue,
            Err(error) => return Err(error.with("server", server)),
        };
        if !question::answers(received, message) {
            continue;
        }
        if Message::from_slice(received).is_ok_and(|answer| answer.header().tc()) {
            let mut stream = streams::connect(host, server).await?;
            let bytes = streams::ask(&mut stream, message).await?;
            return Ok(Heard { bytes, server: server.to_string(), over: "tcp" });
        }
        return Ok(Heard { bytes: received.to_vec(), server: server.to_string(), over: "udp" });
    }
}

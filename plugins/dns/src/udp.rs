//! Questions over UDP, and over TCP where the answer does not fit.

use crate::question;
use crate::streams;
use crate::way::Heard;
use domain::base::Message;
use jackfield_plugin_api::{DatagramMeta, Error, ErrorKind, Host, Result, peers};
use std::net::SocketAddr;

/// Bytes of an answer without EDNS (RFC 1035 §4.2.1).
const PLAIN: u16 = 512;

/// The answer to a message, without an end of its own. What does not answer it is passed over. Cancel safe.
pub(crate) async fn ask(
    host: &Host,
    server: SocketAddr,
    message: &[u8],
    edns: u16,
) -> Result<Heard> {
    let mut datagrams = peers::asking(host, server, usize::from(u16::MAX))?;
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

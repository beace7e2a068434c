//! [`Wire`]: whole messages over datagrams or over a connection.

use crate::ber;
use crate::endpoint::{SnmpEndpoint, size};
use crate::options::SnmpOptions;
use bytes::{Bytes, BytesMut};
use jackfield_plugin_api::io::{AsyncRead, AsyncWrite, ReadBuf};
use jackfield_plugin_api::{
    Address, DatagramMeta, Datagrams, Error, ErrorKind, Host, Info, Result, Session, Socket,
    SocketKind, Stream, peers,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// More than the longest datagram.
const DATAGRAM: usize = 1 << 16;
/// The most bytes of a datagram to send.
pub(crate) const LONGEST: usize = 65_507;
/// Bytes read at once from a connection.
const READ: usize = 16 << 10;

/// Whole messages both ways.
pub(crate) enum Wire {
    Datagrams { datagrams: Datagrams, buffer: Vec<u8> },
    Connection { stream: Stream, input: BytesMut, most: usize, sent: usize },
}

impl Wire {
    /// Over what a session has.
    ///
    /// # Errors
    /// It has neither datagrams nor a stream.
    pub(crate) fn over(session: &Session, most: usize) -> Result<Self> {
        if let Some(datagrams) = session.take_datagrams() {
            return Ok(Wire::Datagrams { datagrams, buffer: vec![0; DATAGRAM] });
        }
        let none = || Error::new(ErrorKind::Other, "a session has neither datagrams nor a stream");
        let stream = session.take_stream().ok_or_else(none)?;
        Ok(Wire::Connection { stream, input: BytesMut::new(), most, sent: 0 })
    }

    /// Whether what is lost is sent again below.
    pub(crate) fn is_reliable(&self) -> bool {
        matches!(self, Wire::Connection { .. })
    }

    /// The next message; `None` at the end.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        match self {
            Wire::Datagrams { datagrams, buffer } => {
                let mut meta = [DatagramMeta::default()];
                let count = ready!(datagrams.poll_recv(cx, &mut [&mut buffer[..]], &mut meta))?;
                let bytes = buffer.get(..meta[0].len).filter(|_| count == 1);
                Poll::Ready(Ok(bytes.map(Bytes::copy_from_slice)))
            }
            Wire::Connection { stream, input, most, .. } => loop {
                if let Some(message) = whole(input, *most)? {
                    return Poll::Ready(Ok(Some(message)));
                }
                input.reserve(READ);
                let mut room = [0; READ];
                let mut read = ReadBuf::new(&mut room);
                ready!(Pin::new(&mut *stream).poll_read(cx, &mut read)).map_err(Error::from)?;
                match read.filled() {
                    [] if input.is_empty() => return Poll::Ready(Ok(None)),
                    [] => {
                        let text = format!(
                            "the peer has ended the connection after {} bytes of a message",
                            input.len()
                        );
                        return Poll::Ready(Err(Error::new(ErrorKind::Closed, text)));
                    }
                    bytes => input.extend_from_slice(bytes),
                }
            },
        }
    }

    /// Sends one message, which is the same at each call until it is ready.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<Result<()>> {
        match self {
            Wire::Datagrams { datagrams, .. } => {
                datagrams.poll_send(cx, message, &DatagramMeta::new(message.len(), None))
            }
            Wire::Connection { stream, sent, .. } => {
                while *sent < message.len() {
                    let written = ready!(Pin::new(&mut *stream).poll_write(cx, &message[*sent..]))?;
                    if written == 0 {
                        return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
                    }
                    *sent += written;
                }
                ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                *sent = 0;
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// The next whole message of a connection (RFC 3430 §2.1).
fn whole(input: &mut BytesMut, most: usize) -> Result<Option<Bytes>> {
    let broken = |text| Error::new(ErrorKind::Protocol, text);
    let Some(header) = ber::header(input).map_err(broken)? else { return Ok(None) };
    if header.tag != ber::tag::SEQUENCE {
        return Err(broken(format!(
            "expected a message, not something with tag {:#04x}",
            header.tag
        )));
    }
    let length = header.size + header.length;
    if length > most {
        let text =
            format!("a message of {length} bytes is longer than `max_message`, which is {most}");
        return Err(Error::new(ErrorKind::Limit, text));
    }
    Ok((input.len() >= length).then(|| input.split_to(length).freeze()))
}

/// A session with a peer, and where that is one of datagrams its socket.
pub(crate) struct Connected {
    pub(crate) session: Session,
    pub(crate) socket: Option<socket2::Socket>,
}

/// Connects to the peer at `address`.
///
/// # Errors
/// What the system says, with the address.
pub(crate) async fn connect(
    host: &Host,
    endpoint: &SnmpEndpoint,
    address: &Address,
) -> Result<Connected> {
    let port = address.port.unwrap_or(161);
    let name = if address.host.is_empty() { "localhost" } else { &address.host };
    if endpoint.is_tcp() {
        let mut socket = Socket::new(SocketKind::Tcp, name, port);
        socket.bind.clone_from(&endpoint.options.bind);
        return Ok(Connected { session: host.connect(&socket).await?, socket: None });
    }
    let found = host.resolve(name, port).await?;
    let fits =
        |peer: &SocketAddr| endpoint.from.is_none_or(|from| from.is_ipv4() == peer.is_ipv4());
    let mut last = Error::new(ErrorKind::NotFound, "no address of the family of `bind`");
    for peer in found.into_iter().filter(fits) {
        match connected(endpoint.from, peer) {
            Ok(socket) => {
                let fd = OwnedFd::from(socket.try_clone()?);
                let session = peers::connected(host, fd, LONGEST, Info::default())?;
                return Ok(Connected { session, socket: Some(socket) });
            }
            Err(error) => last = Error::from(error).with("connect", peer),
        }
    }
    Err(last.with("host", name))
}

fn datagrams(peer: SocketAddr) -> io::Result<socket2::Socket> {
    let kind = socket2::Type::DGRAM.nonblocking();
    socket2::Socket::new(socket2::Domain::for_address(peer), kind, Some(socket2::Protocol::UDP))
}

/// A socket that hears that peer alone.
fn connected(from: Option<SocketAddr>, peer: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = datagrams(peer)?;
    if let Some(local) = from {
        socket.bind(&local.into())?;
    }
    socket.connect(&peer.into())?;
    Ok(socket)
}

/// A socket that listens at `address`.
pub(crate) fn bound(options: &SnmpOptions, address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = datagrams(address)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if options.recv_buffer > 0 {
        socket.set_recv_buffer_size(size(options.recv_buffer))?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

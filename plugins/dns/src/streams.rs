//! Questions over TCP (RFC 7766) and TLS (RFC 7858): one after the other on each connection.

use crate::question;
use jackfield_plugin_api::io::{AsyncReadExt, AsyncWriteExt};
use jackfield_plugin_api::{Error, ErrorKind, Host, Result, Socket, SocketKind, Stream};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Connections that are open and wait for the next question.
#[derive(Debug)]
pub(crate) struct Streams {
    host: Host,
    to: To,
    idle: Mutex<Idle>,
}

/// Where connections lead.
#[derive(Debug)]
pub(crate) enum To {
    /// Addresses of a server by TCP.
    Addresses(Vec<SocketAddr>),
    /// A stack of the host's, and its options.
    Stack(String, Value),
}

#[derive(Debug)]
struct Idle {
    streams: Vec<Stream>,
    most: usize,
}

impl Streams {
    pub(crate) fn new(host: Host, to: To, most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Streams { host, to, idle: Mutex::new(Idle { streams: Vec::new(), most }) }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what waits, and keeps nothing more.
    pub(crate) fn close(&self) {
        let mut idle = self.idle();
        idle.most = 0;
        idle.streams.clear();
    }

    /// Asks over a connection that waits, or over a new one. A connection whose question was dropped is closed, so
    /// that no later one gets its answer. Cancel safe.
    pub(crate) async fn ask(&self, attempt: usize, message: &[u8]) -> Result<Vec<u8>> {
        let waiting = self.idle().streams.pop();
        if let Some(mut stream) = waiting {
            // The server may have closed it meanwhile; then the question is asked over a new one.
            if let Ok(answer) = ask(&mut stream, message).await {
                self.keep(stream);
                return Ok(answer);
            }
        }
        let mut stream = self.open(attempt).await?;
        let answer = ask(&mut stream, message).await?;
        self.keep(stream);
        Ok(answer)
    }

    fn keep(&self, stream: Stream) {
        let mut idle = self.idle();
        if idle.streams.len() < idle.most {
            idle.streams.push(stream);
        }
    }

    async fn open(&self, attempt: usize) -> Result<Stream> {
        match &self.to {
            To::Addresses(addresses) => {
                connect(&self.host, addresses[attempt % addresses.len()]).await
            }
            To::Stack(uri, options) => {
                let session = self.host.open(uri, options).await?;
                session.take_stream().ok_or_else(|| Error::unsupported("a stream"))
            }
        }
    }
}

/// A connection to a server.
pub(crate) async fn connect(host: &Host, server: SocketAddr) -> Result<Stream> {
    let socket = Socket::new(SocketKind::Tcp, server.ip().to_string(), server.port());
    let session = host.connect(&socket).await?;
    session.take_stream().ok_or_else(|| Error::unsupported("a stream"))
}

/// One question and its answer, each with its length before it (RFC 1035 §4.2.2).
pub(crate) async fn ask(stream: &mut Stream, message: &[u8]) -> Result<Vec<u8>> {
    let length = u16::try_from(message.len())
        .map_err(|_| Error::new(ErrorKind::Limit, "the question is longer than 65535 bytes"))?;
    // In one piece, as some servers want it.
    let framed = [&length.to_be_bytes(), message].concat();
    stream.write_all(&framed).await?;
    stream.flush().await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).await?;
    if !question::answers(&answer, message) {
        let text = "what came over the connection answers another question";
        return Err(Error::new(ErrorKind::Protocol, text));
    }
    Ok(answer)
}

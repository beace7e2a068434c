//! [`Peer`]: one side of a route, whatever it speaks.

use std::io;

use futures_util::{SinkExt, StreamExt};
use jackfield_plugin_api::{Error, Message, Messages, Session, Stream};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream, unix::pipe},
};

use super::{asking::Asking, requests::Chunks, reset_on_close, seen::Seen};
use crate::support::peers::ssh_python::AskingSsh;

/// One side of a route.
pub(crate) enum Peer {
    /// It has gone.
    Gone,
    /// Bytes of a socket of the test.
    Tcp(TcpStream),
    /// HTTP/1.1 on one.
    Chunks(Chunks),
    /// A Unix socket.
    Unix(UnixStream),
    /// Bytes of a session of a host of its own, which is kept with them.
    Stream { session: Session, stream: Stream },
    /// Messages of one.
    Messages(Session, Messages),
    /// A request of one.
    Asking(Asking),
    /// The other end of a serial line.
    Line(File),
    /// A server of SSH, which answers and does as it is told in words, and logs what it sees.
    Ssh(AskingSsh),
    /// A program that does the same, and what it tells beside.
    Program(pipe::Receiver),
}

impl Peer {
    pub(crate) fn of(session: Session) -> Self {
        if let Some(stream) = session.take_stream() {
            return Self::Stream { session, stream };
        }
        match session.take_messages() {
            Some(messages) => Self::Messages(session, messages),
            None => Self::Asking(Asking::over(session)),
        }
    }

    /// Whether it does what it is told in words of the other side.
    pub(crate) fn obeys(&self) -> bool {
        matches!(self, Self::Ssh(_) | Self::Program(_))
    }

    /// Sends a word and flushes.
    pub(crate) async fn send(&mut self, word: &str) {
        match self {
            Self::Gone => panic!("it has gone"),
            Self::Tcp(tcp) => say(tcp, word).await,
            Self::Unix(unix) => say(unix, word).await,
            Self::Line(line) => say(line, word).await,
            Self::Stream { stream, .. } => say(stream, word).await,
            Self::Chunks(chunks) => chunks.send(word).await,
            Self::Asking(asking) => asking.send(word).await,
            Self::Messages(_, messages) => {
                messages.send(Message::binary(word.to_owned())).await.expect("taken");
            }
            // It has answered by itself.
            Self::Ssh(_) | Self::Program(_) => {}
        }
    }

    /// Waits for a word.
    pub(crate) async fn hears(&mut self, word: &str) {
        match self {
            Self::Gone => panic!("it has gone"),
            Self::Tcp(tcp) => hear(tcp, word).await,
            Self::Unix(unix) => hear(unix, word).await,
            Self::Line(line) => hear(line, word).await,
            Self::Stream { stream, .. } => hear(stream, word).await,
            Self::Chunks(chunks) => chunks.hears(word).await,
            Self::Asking(asking) => asking.hears(word).await,
            Self::Messages(_, messages) => {
                let message = messages.next().await.expect("a message").expect("no error");
                assert_eq!(&message.payload[..], word.as_bytes());
            }
            Self::Ssh(_) | Self::Program(_) => {}
        }
    }

    /// Says that all was sent.
    pub(crate) async fn end(&mut self) {
        match self {
            Self::Tcp(tcp) => tcp.shutdown().await.expect("ended"),
            Self::Unix(unix) => unix.shutdown().await.expect("ended"),
            Self::Chunks(chunks) => chunks.end().await,
            Self::Asking(asking) => asking.end(),
            Self::Messages(_, messages) => messages.close().await.expect("ended"),
            Self::Stream { session, stream } => {
                match stream.shutdown().await.map_err(Error::from) {
                    // A client of telnet ends as a whole.
                    Err(error) if error.to_string().contains("telnet") => {
                        session.close(0, "").await.expect("closed");
                        self.leaves();
                    }
                    ended => ended.expect("ended"),
                }
            }
            _ => panic!("it cannot say so"),
        }
    }

    /// Is gone once the other side is: what it has not read would make a reset of its end.
    fn leaves(&mut self) {
        if let Self::Stream { session, mut stream } = std::mem::replace(self, Self::Gone) {
            tokio::spawn(async move {
                let _ = stream.read_to_end(&mut Vec::new()).await;
                drop(session);
            });
        }
    }

    /// Is gone in the middle, with a reset where its protocol has one.
    pub(crate) async fn reset(&mut self) {
        match std::mem::replace(self, Self::Gone) {
            Self::Tcp(tcp) => reset_on_close(&tcp),
            Self::Chunks(chunks) => chunks.reset(),
            Self::Asking(asking) => asking.reset().await,
            // A stream that is dropped before its end is reset; a line is unplugged.
            other => drop(other),
        }
    }

    /// Reads on and says what the end looks like.
    pub(crate) async fn sees(&mut self) -> Seen {
        let mut rest = Vec::new();
        match self {
            Self::Gone => panic!("it has gone"),
            Self::Tcp(tcp) => Seen::of_io(tcp.read_to_end(&mut rest).await),
            Self::Unix(unix) => Seen::of_io(unix.read_to_end(&mut rest).await),
            Self::Stream { stream, .. } => Seen::of_io(stream.read_to_end(&mut rest).await),
            Self::Chunks(chunks) => chunks.sees().await,
            Self::Asking(asking) => asking.sees().await,
            Self::Messages(session, messages) => {
                let mut end = None;
                while let Some(message) = messages.next().await {
                    end = message.err();
                }
                match (session.info().facts.get("close_code"), end) {
                    (Some(code), _) => Seen::Told(format!("close {code}")),
                    (None, Some(_)) => Seen::Cut,
                    (None, None) => Seen::End,
                }
            }
            Self::Line(line) => match line.read_to_end(&mut rest).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Seen::Reset,
                _ => Seen::Told("it is closed".to_owned()),
            },
            Self::Ssh(server) => match server.logged("saw ").await.as_str() {
                "the end" => Seen::End,
                other => Seen::Told(other.to_owned()),
            },
            Self::Program(told) => {
                told.read_to_end(&mut rest).await.expect("words");
                let words = String::from_utf8_lossy(&rest).trim().to_owned();
                if words.is_empty() { Seen::End } else { Seen::Told(words) }
            }
        }
    }
}

async fn say(mut io: impl AsyncWrite + Unpin, word: &str) {
    io.write_all(word.as_bytes()).await.expect("taken");
    io.flush().await.expect("sent");
}

async fn hear(mut io: impl AsyncRead + Unpin, word: &str) {
    let mut got = vec![0; word.len()];
    io.read_exact(&mut got).await.expect("a word");
    assert_eq!(got, word.as_bytes());
}

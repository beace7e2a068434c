//! [`Watched`]: an end whose peer is watched before the relay begins, so that one that has gone is not
//! served: nothing waits any more, and its destination need not be opened.

use super::ends::{End, OpenedStream};
use super::scratch::with_scratch;
use super::socket::Socket;
use crate::kernel_stream::KernelStream::{Other, Tcp, Unix};
use bytes::Bytes;
use futures_util::{Sink, Stream as FuturesStream, StreamExt};
use jackfield_plugin_api::{Error, ErrorKind, Message, Messages, Origin, Reading, Result, Stream};
use jackfield_timers::sleep;
use rustix::net::{RecvFlags, recv};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, Interest, ReadBuf};

/// The most that is read of what is no socket before the relay begins, and of what is messages, to which the
/// last one may add its length.
const MOST: usize = 16 * 1024;

/// The end of a peer's direction, and a reset. Bytes that come before wake nobody: of what is waited for with priority,
/// the reactor watches nothing but that end.
const ENDS: Interest = Interest::PRIORITY.add(Interest::ERROR);

/// Bytes or messages that are watched before they are relayed.
#[derive(Debug)]
pub struct Watched {
    pub(super) kept: KeptAhead,
}

#[derive(Debug)]
pub(super) enum KeptAhead {
    Bytes(OpenedStream),
    Messages(Messages, VecDeque<Message>),
}

/// What is seen of a peer.
enum PeerSeen {
    /// It has sent something, or ended after that: it is to be served.
    Something,
    /// It has ended its direction without having sent anything.
    End,
}

impl End {
    /// To be watched; datagrams stay as they are, because they show no end.
    ///
    /// # Errors
    /// The descriptor of a stream cannot be used.
    pub fn watched(self) -> Result<End> {
        Ok(match self {
            End::Stream(stream) => {
                End::Watched(Watched { kept: KeptAhead::Bytes(OpenedStream::of(stream)?) })
            }
            End::Messages(messages) => {
                End::Watched(Watched { kept: KeptAhead::Messages(messages, VecDeque::new()) })
            }
            other => other,
        })
    }

    /// Completes when its peer has gone: it has reset or broken off, or it has ended without having sent
    /// anything, and `grace` has passed since, in which what it waits for may still begin. One that has
    /// sent something and then ended waits for an answer, and so does what is not watched. Cancel safe.
    pub async fn gone(&mut self, grace: Duration) -> Error {
        let End::Watched(watched) = self else { return pending().await };
        let why = match watched.seen().await {
            Ok(PeerSeen::End) => {
                sleep(grace).await;
                Error::new(
                    ErrorKind::Cancelled,
                    "the peer ended its session before the destination was open",
                )
            }
            Ok(PeerSeen::Something) => match watched.broken().await {
                Ok(()) => return pending().await,
                Err(error) => left(&error),
            },
            Err(error) => left(&error),
        };
        why.with_origin(Origin::Downstream)
    }
}

fn left(error: &Error) -> Error {
    let text =
        format!("the peer reset its session before the destination was open: {}", error.message());
    Error::new(ErrorKind::Cancelled, text)
}

impl Watched {
    /// Waits for the first sign of the peer.
    async fn seen(&mut self) -> Result<PeerSeen> {
        match &mut self.kept {
            KeptAhead::Bytes(OpenedStream::Socket(_, came) | OpenedStream::Stream(_, came))
                if !came.is_empty() =>
            {
                Ok(PeerSeen::Something)
            }
            KeptAhead::Bytes(OpenedStream::Socket(socket, _)) => peeked(socket).await,
            KeptAhead::Bytes(OpenedStream::Stream(stream, came)) => {
                *came = read(stream).await?;
                Ok(if came.is_empty() { PeerSeen::End } else { PeerSeen::Something })
            }
            KeptAhead::Messages(_, came) if !came.is_empty() => Ok(PeerSeen::Something),
            KeptAhead::Messages(messages, came) => match messages.next().await.transpose()? {
                Some(message) => {
                    came.push_back(message);
                    Ok(PeerSeen::Something)
                }
                // Messages end as a whole: the peer waits for nothing any more.
                None => Err(Error::new(ErrorKind::Closed, "it has closed")),
            },
        }
    }

    /// Waits until a peer that has sent something breaks off, as far as that can be seen without taking
    /// more of it than may be kept.
    async fn broken(&mut self) -> Result<()> {
        match &mut self.kept {
            KeptAhead::Bytes(OpenedStream::Socket(socket, _)) => reset(socket).await,
            KeptAhead::Bytes(OpenedStream::Stream(stream, came)) => {
                while came.len() < MOST {
                    let more = read(stream).await?;
                    if more.is_empty() {
                        break;
                    }
                    *came = Bytes::from([&came[..], &more[..]].concat());
                }
                Ok(())
            }
            KeptAhead::Messages(messages, came) => {
                let mut size: usize = came.iter().map(|message| message.payload.len()).sum();
                while size < MOST && came.len() < MOST / size_of::<Message>() {
                    let Some(message) = messages.next().await.transpose()? else { break };
                    size += message.payload.len();
                    came.push_back(message);
                }
                Ok(())
            }
        }
    }
}

/// Reads once; empty at the end. Cancel safe.
async fn read(stream: &mut Stream) -> Result<Bytes> {
    poll_fn(|cx| {
        with_scratch(MOST, |scratch| {
            let mut room = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut room))?;
            Poll::Ready(Ok(Bytes::copy_from_slice(room.filled())))
        })
    })
    .await
}

/// Waits until the peer of a socket has ended its direction or broken off, and looks whether it has sent something
/// before, without taking that.
async fn peeked(socket: &Socket) -> Result<PeerSeen> {
    loop {
        match &socket.0 {
            Tcp(tcp) => drop(tcp.ready(ENDS).await?),
            Unix(unix) => drop(unix.ready(ENDS).await?),
            Other(_) => poll_fn(|cx| socket.poll_read_ready(cx)).await?,
        }
        let mut room = [0; 1];
        let peek =
            socket.try_io(Interest::READABLE, |fd| Ok(recv(fd, &mut room[..], RecvFlags::PEEK)?.1));
        match peek {
            Ok(0) => return Ok(PeerSeen::End),
            Ok(_) => return Ok(PeerSeen::Something),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for the reset of a socket whose bytes are not read.
async fn reset(socket: &Socket) -> Result<()> {
    match &socket.0 {
        Tcp(tcp) => drop(tcp.ready(Interest::ERROR).await?),
        Unix(unix) => drop(unix.ready(Interest::ERROR).await?),
        Other(_) => pending().await,
    }
    Err(io::Error::from(io::ErrorKind::ConnectionReset).into())
}

/// `stream` with what came before.
pub(super) fn after(came: Bytes, stream: Stream) -> Stream {
    if came.is_empty() { stream } else { Stream::new(Reading::new(stream, came)) }
}

/// `messages` with those that came before.
pub(super) fn after_messages(came: VecDeque<Message>, messages: Messages) -> Messages {
    if came.is_empty() { messages } else { Messages::new(AfterMessages { came, messages }) }
}

struct AfterMessages {
    came: VecDeque<Message>,
    messages: Messages,
}

impl FuturesStream for AfterMessages {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.came.pop_front() {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => Pin::new(&mut self.messages).poll_next(cx),
        }
    }
}

impl Sink<Message> for AfterMessages {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.messages).poll_ready(cx)
    }
    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<()> {
        Pin::new(&mut self.messages).start_send(message)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.messages).poll_flush(cx)
    }
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.messages).poll_close(cx)
    }
}

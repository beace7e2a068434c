//! What stands for an object whose table is too short to be used: each use of it is an error.

use crate::datagrams::{DatagramIo, DatagramMeta};
use crate::error::{Error, ErrorKind, Origin, Result};
use crate::exchange::Exchanger;
use crate::info::Info;
use crate::listener::Accept;
use crate::messages::Message;
use crate::session::Session;
use futures_core::Stream as FuturesStream;
use futures_sink::Sink;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Why an object of the other side is not used.
#[cold]
pub(crate) fn short_table(what: &str) -> Error {
    let text = format!("the table of a {what} is shorter than that of plugin ABI 1.0");
    Error::new(ErrorKind::Protocol, text).with_origin(Origin::Internal)
}

/// An object of the named kind.
pub(crate) struct Broken(pub(crate) &'static str);

impl Broken {
    fn io<T>(&self) -> Poll<io::Result<T>> {
        Poll::Ready(Err(short_table(self.0).into_io()))
    }
    fn failed<T>(&self) -> Poll<Result<T>> {
        Poll::Ready(Err(short_table(self.0)))
    }
}

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.io()
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        self.io()
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()
    }
}

impl FuturesStream for Broken {
    type Item = Result<Message>;
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.failed().map(Some)
    }
}

impl Sink<Message> for Broken {
    type Error = Error;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.failed()
    }
    fn start_send(self: Pin<&mut Self>, _: Message) -> Result<()> {
        Err(short_table(self.0))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.failed()
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.failed()
    }
}

impl DatagramIo for Broken {
    fn poll_recv(
        &mut self,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<Result<Option<DatagramMeta>>> {
        self.failed()
    }
    fn poll_send(&mut self, _: &mut Context<'_>, _: &[u8], _: &DatagramMeta) -> Poll<Result<()>> {
        self.failed()
    }
    fn max_size(&self) -> usize {
        0
    }
}

impl Exchanger for Broken {}

impl Accept for Broken {
    fn info(&self) -> Info {
        Info::default()
    }
    async fn accept(&self) -> Result<Session> {
        Err(short_table(self.0))
    }
}

//! What an exchange turns into: a session of plain bytes.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use jackfield_plugin_api::op::Op;
use jackfield_plugin_api::{Info, Session, Stream};
use std::any::Any;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::failure::failure;

/// The bytes after the exchange, with the facts of the connection they run in.
pub(crate) fn upgraded(
    on: OnUpgrade,
    info: Info,
    alive: Arc<dyn Any + Send + Sync>,
) -> Op<Session> {
    Op::new(async move {
        let io = TokioIo::new(on.await.map_err(|error| failure(&error))?);
        Ok(Session::of_stream(info, Stream::new(Bytes { io, _alive: alive })))
    })
}

struct Bytes {
    io: TokioIo<hyper::upgrade::Upgraded>,
    /// The connection, which ends when nobody holds it.
    _alive: Arc<dyn Any + Send + Sync>,
}

impl AsyncRead for Bytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Bytes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

//! [`TelnetIo`]: the data of a session.

use super::{AHEAD, FULL, PIECE, Shared};
use crate::wakers::Wakers;
use bytes::Buf;
use futures_util::task::{ArcWake, WakerRef, waker_ref};
use jackfield_plugin_api::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes of a session.
pub(crate) struct TelnetIo(pub(crate) Arc<Shared>);

impl Drop for TelnetIo {
    fn drop(&mut self) {
        self.0.core().is_read = false;
        Wakers::wake_by_ref(&self.0.wakers);
    }
}

impl AsyncRead for TelnetIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let shared = &self.0;
        shared.wakers.read.register(cx.waker());
        let mut core = shared.core();
        core.is_read = true;
        loop {
            let free = core.engine.held.free(core.inbox.len());
            if free > 0 && buf.remaining() > 0 {
                let count = free.min(buf.remaining());
                if core.inbox.len() >= AHEAD {
                    shared.wakers.calls.notify_waiters();
                }
                buf.put_slice(&core.inbox.split_to(count));
                core.engine.held.gave(count);
                return Poll::Ready(Ok(()));
            }
            ready!(shared.poll_stop(&mut core, cx));
            if core.inbox.has_remaining() && buf.remaining() > 0 {
                continue;
            }
            if let Some(error) = &core.failed {
                return Poll::Ready(Err(error.clone().into_io()));
            }
            if core.ended || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            ready!(shared.poll_fill(&mut core)).map_err(Error::into_io)?;
        }
    }
}

impl AsyncWrite for TelnetIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let shared = &self.0;
        shared.wakers.write.register(cx.waker());
        let mut core = shared.core();
        if let Some(error) = &core.failed {
            return Poll::Ready(Err(error.clone().into_io()));
        }
        if core.closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if core.engine.com.suspended {
            return Poll::Pending;
        }
        let waker: WakerRef<'_> = waker_ref(&shared.wakers);
        let mut all = Context::from_waker(&waker);
        if core.out.len() >= FULL {
            ready!(core.poll_drain(&mut all))?;
        }
        let count = bytes.len().min(PIECE);
        let super::Core { engine, out, .. } = &mut *core;
        engine.data(&bytes[..count], out);
        if let Poll::Ready(Err(error)) = core.poll_drain(&mut all) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &self.0;
        shared.wakers.write.register(cx.waker());
        let mut core = shared.core();
        let super::Core { engine, out, .. } = &mut *core;
        engine.settle(out);
        let waker: WakerRef<'_> = waker_ref(&shared.wakers);
        core.unflushed = true;
        core.poll_flush(&mut Context::from_waker(&waker))
    }

    /// A server may send for as long as it likes after its end. To servers the end of one direction is that
    /// of the session, and consoles do not look at it at all: a client sends what is left and is dropped when
    /// the answers have come.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.0.core().engine.is_server() {
            ready!(self.poll_flush(cx))?;
            let error = Error::unsupported("the end of one direction of a telnet client");
            return Poll::Ready(Err(error.into_io()));
        }
        let shared = &self.0;
        shared.wakers.write.register(cx.waker());
        let waker: WakerRef<'_> = waker_ref(&shared.wakers);
        shared.core().poll_end(&mut Context::from_waker(&waker))
    }
}

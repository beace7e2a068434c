//! [`Rows`]: a walk as a stream of lines, of which one answer is in memory and one is asked for.

use crate::json;
use crate::pdu::VarBind;
use crate::session::Held;
use crate::walk::{Walk, Wanted};
use bytes::{Buf, Bytes};
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};
use jackfield_plugin_api::io::{AsyncRead, AsyncWrite, ReadBuf};
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A walk, and what has come of it.
type Step = (Walk, Result<Option<Vec<VarBind>>>);

/// The rows of a walk, each a line of JSON. Reading is what asks: nothing is asked for, but for one answer ahead,
/// while nobody reads. Reads are cancel safe.
pub(crate) struct Rows {
    held: Arc<Held>,
    text: Bytes,
    /// What comes next; `None` behind the last row.
    step: Option<MaybeDone<BoxFuture<'static, Step>>>,
}

impl Rows {
    pub(crate) fn new(held: Arc<Held>, wanted: Wanted) -> Self {
        let step = Some(maybe_done(step(Arc::clone(&held), Walk::new(wanted))));
        Rows { held, text: Bytes::new(), step }
    }

    /// The next lines; nothing at the end.
    fn poll_lines(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
        let Some(coming) = &mut self.step else { return Poll::Ready(Ok(Bytes::new())) };
        ready!(Pin::new(&mut *coming).poll(cx));
        let step_of = Pin::new(coming).take_output();
        self.step = None;
        let Some((walk, rows)) = step_of else { return Poll::Ready(Ok(Bytes::new())) };
        let Some(rows) = rows? else { return Poll::Ready(Ok(Bytes::new())) };
        // The agent answers the next question while this answer is written.
        let mut next = maybe_done(step(Arc::clone(&self.held), walk));
        // Whether it is there already is asked when it is wanted.
        let _ = Pin::new(&mut next).poll(cx);
        self.step = Some(next);
        Poll::Ready(Ok(json::lines(&rows, &self.held.link.endpoint.names).into()))
    }
}

fn step(held: Arc<Held>, mut walk: Walk) -> BoxFuture<'static, Step> {
    Box::pin(async move {
        let rows = walk.rows(&held.link).await;
        (walk, rows)
    })
}

impl AsyncRead for Rows {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.text.is_empty() {
            self.text = ready!(self.poll_lines(cx)).map_err(Error::into_io)?;
        }
        let count = self.text.len().min(buffer.remaining());
        buffer.put_slice(&self.text[..count]);
        self.text.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// There is nothing to say to a walk.
impl AsyncWrite for Rows {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        let error = Error::new(ErrorKind::Unsupported, "a walk is only read");
        Poll::Ready(Err(error.into_io()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

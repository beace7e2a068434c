//! A session whose stream was used for a while: what was heard and not taken comes first.

use bytes::{Buf, Bytes};
use jackfield_plugin_api::{
    Address, Control, Event, Facets, Info, Messages, Result, Session, Stream,
};
use serde_json::Value;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The call facets; those of data are made anew.
/// `session` with its `stream` in place again, and `heard` before what that still gives.
pub(super) fn session(session: Session, stream: Stream, heard: Vec<u8>) -> Session {
    let messages: Option<Messages> = session.take_messages();
    let stream = Stream::new(Kept { heard: Bytes::from(heard), stream });
    // What is read ahead is no socket's any more.
    let facets = session.facets().difference(Facets::TAKE_FD);
    let mut builder = Session::builder(Face(session)).facets(facets).stream(stream);
    if let Some(messages) = messages {
        builder = builder.messages(messages);
    }
    builder.build()
}

struct Kept {
    heard: Bytes,
    stream: Stream,
}

impl AsyncRead for Kept {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.heard.has_remaining() {
            let count = self.heard.len().min(buf.remaining());
            buf.put_slice(&self.heard.split_to(count));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

struct Face(Session);

impl Control for Face {
    fn info(&self) -> Info {
        self.0.info()
    }
    async fn call(&self, operation: String, params: Value) -> Result<Value> {
        self.0.call(&operation, &params).await
    }
    async fn open_stream(&self, params: Value) -> Result<Session> {
        self.0.open_stream(&params).await
    }
    async fn accept_stream(&self) -> Result<Option<Session>> {
        self.0.accept_stream().await
    }
    async fn dial(&self, address: Address) -> Result<Session> {
        self.0.dial(&address).await
    }
    async fn ping(&self) -> Result<Duration> {
        self.0.ping().await
    }
    async fn next_event(&self) -> Result<Option<Event>> {
        self.0.next_event().await
    }
    async fn close(&self, code: u64, reason: String) -> Result<()> {
        self.0.close(code, &reason).await
    }
    async fn drain(&self) -> Result<()> {
        self.0.drain().await
    }
}

//! A session whose stream was used for a login: its prompt and the input after it are read first.

use super::known::PROMPT;
use super::prompt::Prompt;
use bytes::{Buf, Bytes};
use jackfield_plugin_api::{Control, Facets, Info, Session, Stream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `session` with its `stream` in place again, `prompt` and `rest` before what that still gives, and the prompt as
/// a fact.
pub(super) fn session(
    session: Session,
    stream: Stream,
    prompt: Option<Prompt>,
    rest: &[u8],
) -> Session {
    let shown = prompt.as_ref().map_or(&[][..], |prompt| prompt.as_str().as_bytes());
    let stream = Stream::new(Kept { heard: Bytes::from([shown, rest].concat()), stream });
    // What is read ahead is no socket's any more.
    let facets = session.facets().difference(Facets::TAKE_FD);
    Session::builder(DialogueSession { session, prompt })
        .facets(facets)
        .stream(stream)
        .inner_data()
        .build()
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

struct DialogueSession {
    session: Session,
    prompt: Option<Prompt>,
}

impl Control for DialogueSession {
    fn inner(&self) -> Option<&Session> {
        Some(&self.session)
    }

    fn info(&self) -> Info {
        let info = self.session.info();
        match &self.prompt {
            Some(prompt) => info.with(PROMPT, prompt.as_str()),
            None => info,
        }
    }
}

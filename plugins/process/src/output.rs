//! [`ProgramIo`]: the bytes of a program, whose end is told apart from its death.

use crate::ending::Running;
use crate::kid::Exit;
use jackfield_plugin_api::{Error, ErrorKind, FdStream, Origin, Result};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long after the end of its output a program may take to end itself. The system closes what a program has open
/// just before it tells of its end; one that has only closed its output goes on.
const SOON: Duration = Duration::from_millis(100);

/// Reads and writes of a program. The end of its output is an error where a signal has ended the program: it
/// had not said all. Reads and writes are cancel safe.
pub(crate) struct ProgramIo {
    io: FdStream,
    running: Arc<Running>,
    ending: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
    has_ended: bool,
}

impl ProgramIo {
    pub(crate) fn new(io: FdStream, running: Arc<Running>) -> Self {
        ProgramIo { io, running, ending: None, has_ended: false }
    }
}

/// Fails where a signal has ended the program.
async fn whole(running: Arc<Running>) -> Result<()> {
    let exited = running.kid.exited(&running.host);
    let Ok(Exit { exit_signal: Some(signal), .. }) =
        running.host.timeout(SOON, "ending", exited).await
    else {
        return Ok(());
    };
    let text = format!("the signal {signal} has ended the program");
    Err(Error::new(ErrorKind::Closed, text).with_origin(Origin::Upstream).with("signal", signal))
}

impl AsyncRead for ProgramIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_ended || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.ending.is_none() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
            // A terminal ends with its session, not with what was to be said.
            if buf.filled().len() > before || self.running.terminal.is_some() {
                return Poll::Ready(Ok(()));
            }
            self.ending = Some(Box::pin(whole(Arc::clone(&self.running))));
        }
        let Some(ending) = &mut self.ending else { return Poll::Ready(Ok(())) };
        let ended = ready!(ending.as_mut().poll(cx));
        self.ending = None;
        self.has_ended = true;
        Poll::Ready(ended.map_err(Error::into_io))
    }
}

impl AsyncWrite for ProgramIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

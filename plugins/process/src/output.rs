//! [`ProgramIo`]: the bytes of a program, whose end is told apart from its death.

use crate::ending::Running;
use crate::kid::Exit;
use jackfield_plugin_api::{Error, ErrorKind, FdStream, Origin, Reader, Reading, Result};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};

/// How long after the end of its output a program may take to end itself. The system closes what a program has open
/// just before it tells of its end; one that has only closed its output goes on.
const SOON: Duration = Duration::from_millis(100);

/// Reads and writes of a program. Both are cancel safe.
pub(crate) type ProgramIo = Reading<FdStream, ProgramOutput>;

/// The output of a program, whose end is an error where a signal has ended the program: it had not said all.
pub(crate) struct ProgramOutput {
    running: Arc<Running>,
    ending: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
    has_ended: bool,
}

impl ProgramOutput {
    pub(crate) fn new(running: Arc<Running>) -> Self {
        ProgramOutput { running, ending: None, has_ended: false }
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

impl Reader<FdStream> for ProgramOutput {
    fn poll_read(
        &mut self,
        io: &mut FdStream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_ended || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.ending.is_none() {
            let before = buf.filled().len();
            ready!(Pin::new(io).poll_read(cx, buf))?;
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

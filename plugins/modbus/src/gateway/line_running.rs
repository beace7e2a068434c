//! The task of one line: it opens the line, again and again, and hands over what is asked.

use super::line::{Line, Way};
use super::options::GatewayOptions;
use crate::endpoint::seconds;
use crate::running::TARGET;
use futures_util::{Sink, Stream};
use jackfield_plugin_api::sync::mpsc;
use jackfield_plugin_api::{Error, ErrorKind, Host, Level, Message, Messages, Result, Session};
use serde_json::json;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How often, and how soon, a line is tried again while the host starts.
const STARTING: u32 = 200;
const SOON: Duration = Duration::from_millis(25);

/// How a line is opened.
#[derive(Clone, Copy)]
pub(super) struct Times {
    open: Duration,
    first: Duration,
    longest: Duration,
}

impl Times {
    pub(super) fn new(options: &GatewayOptions) -> Result<Self> {
        Ok(Times {
            open: seconds("open_timeout", options.open_timeout)?,
            first: seconds("first_delay", options.first_delay)?,
            longest: seconds("max_delay", options.max_delay)?,
        })
    }
}

/// Keeps a line open, until it is dropped.
pub(super) async fn run(
    host: Host,
    line: Arc<Line>,
    mut queue: mpsc::Receiver<Message>,
    times: Times,
) {
    let mut delay = times.first;
    let say = |level, text: String| {
        host.log(level, TARGET, &format!("{text} [line={}]", line.name()));
    };
    let mut starting = STARTING;
    loop {
        let opened = open(&host, &line, times.open).await;
        if opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unsupported)
            && starting > 0
        {
            // The host opens nothing for others before all of it is there: who asks waits.
            starting -= 1;
            host.timer(SOON).await;
            continue;
        }
        starting = 0;
        let why = match opened {
            Ok((session, messages)) => {
                say(Level::Info, format!("a line is open: {}", line.given.uri));
                line.set(Way::Up);
                delay = times.first;
                let why = pump(&host, &line, messages, &mut queue).await;
                drop(session);
                format!("a line has ended: {why}")
            }
            Err(error) => format!("a line cannot be opened: {error}"),
        };
        line.set(Way::Down);
        // Whoever has asked was refused.
        while queue.try_recv().is_ok() {}
        say(Level::Warn, format!("{why}; again in {delay:?}"));
        host.timer(delay).await;
        delay = (delay * 2).min(times.longest);
    }
}

async fn open(host: &Host, line: &Line, limit: Duration) -> Result<(Session, Messages)> {
    let options = json!(line.given.options);
    let session = host.timeout(limit, "opening it", host.open(&line.given.uri, &options)).await?;
    let is_client = session.info().facts.get("framing").is_some();
    let messages = session.take_messages().filter(|_| is_client);
    let strangers = || {
        let text = "expected a uri of modbus, modbus-rtu or modbus-ascii";
        Error::new(ErrorKind::Config, text)
    };
    let messages = messages.ok_or_else(strangers)?;
    Ok((session, messages))
}

/// Hands requests over and answers back, until the line ends. Gives why.
async fn pump(
    host: &Host,
    line: &Line,
    mut messages: Messages,
    queue: &mut mpsc::Receiver<Message>,
) -> Error {
    loop {
        match poll_fn(|cx| poll(&mut messages, queue, cx)).await {
            Ok(answer) => line.answered(&answer, host.now()),
            Err(error) => return error,
        }
    }
}

/// The next answer; requests go out meanwhile.
fn poll(
    messages: &mut Messages,
    queue: &mut mpsc::Receiver<Message>,
    cx: &mut Context<'_>,
) -> Poll<Result<Message>> {
    while Pin::new(&mut *messages).poll_ready(cx)?.is_ready() {
        let Poll::Ready(Some(message)) = queue.poll_recv(cx) else { break };
        Pin::new(&mut *messages).start_send(message)?;
    }
    // Requests wait for their turn there; that they do is no reason to wait here.
    let _ = Pin::new(&mut *messages).poll_flush(cx)?;
    let ended = || Error::new(ErrorKind::Closed, "it was closed");
    Poll::Ready(ready!(Pin::new(messages).poll_next(cx)).unwrap_or_else(|| Err(ended())))
}

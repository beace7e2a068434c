//! The task of a client's connection: it sends, reads and keeps time. The carrier is dropped with it.

use crate::client::Link;
use crate::engine::News;
use crate::frame::{Found, Pause, Reading};
use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use jackfield_plugin_api::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use jackfield_plugin_api::{Error, ErrorKind, Level, Retry, Stream};
use serde_json::json;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// What log lines are marked with.
pub(crate) const TARGET: &str = "modbus";
/// Bytes read at once.
const READ: usize = 4 << 10;
/// How long a frame may take to leave, beside what it takes on the line.
const WRITE: Duration = Duration::from_secs(10);

/// Runs a connection to its end.
pub(crate) async fn run(link: Arc<Link>, carrier: Stream) {
    let (mut input, mut output) = split(carrier);
    let error = work(&link, &mut input, &mut output).await;
    let polite = error.is_none();
    let closed = || Error::new(ErrorKind::Closed, "the session was closed");
    link.engine().finish(&error.unwrap_or_else(closed));
    link.news.end();
    link.changed.notify_waiters();
    if polite {
        // Said below, too, such as by `close_notify`.
        let goodbye = async { output.shutdown().await.map_err(Error::from) };
        let _ = link.host.timeout(WRITE, "the goodbye", goodbye).await;
    }
}

/// What has come and is no whole frame yet.
struct Incoming {
    buffer: BytesMut,
    /// When a pause ends what has come.
    quiet: Option<Duration>,
}

/// What is to be done next.
enum Next {
    Send(Bytes),
    Wait(Option<Duration>),
    End,
}

async fn work(
    link: &Link,
    input: &mut ReadHalf<Stream>,
    output: &mut WriteHalf<Stream>,
) -> Option<Error> {
    let mut incoming = Incoming { buffer: BytesMut::with_capacity(READ), quiet: None };
    loop {
        let next = next(link);
        tell(link);
        match next {
            Next::End => return None,
            Next::Send(frame) => {
                if let Err(error) = send(link, output, &mut incoming, &frame).await {
                    return Some(error);
                }
            }
            Next::Wait(alarm) => {
                if let Err(error) = wait(link, input, &mut incoming, alarm).await {
                    return Some(error);
                }
            }
        }
    }
}

fn next(link: &Link) -> Next {
    let now = link.host.now();
    let mut engine = link.engine();
    engine.due(now);
    if engine.closing && engine.waiting() == (0, 0) {
        return Next::End;
    }
    match engine.next(now) {
        Some(frame) => Next::Send(frame),
        None => Next::Wait(engine.alarm(now)),
    }
}

async fn send(
    link: &Link,
    output: &mut WriteHalf<Stream>,
    incoming: &mut Incoming,
    frame: &Bytes,
) -> Result<(), Error> {
    if link.endpoint.framing.is_serial() {
        // What came before cannot be its answer.
        link.engine().counts.noise += incoming.buffer.len() as u64;
        incoming.buffer.clear();
        incoming.quiet = None;
    }
    let written = async {
        output.write_all(frame).await?;
        output.flush().await.map_err(Error::from)
    };
    link.host.timeout(WRITE, "writing a request", written).await?;
    link.engine().sent(frame.len(), link.host.now());
    link.changed.notify_waiters();
    Ok(())
}

/// Waits for bytes, for work or for what is due.
async fn wait(
    link: &Link,
    input: &mut ReadHalf<Stream>,
    incoming: &mut Incoming,
    alarm: Option<Duration>,
) -> Result<(), Error> {
    let now = link.host.now();
    let wake = [alarm, incoming.quiet].into_iter().flatten().min();
    // Without anything due for an hour.
    let limit = wake.map_or(Duration::from_secs(3600), |wake| wake.saturating_sub(now));
    let timer = pin!(link.host.timer(limit));
    incoming.buffer.reserve(READ);
    let read = {
        let reading = pin!(input.read_buf(&mut incoming.buffer));
        match select(reading, select(timer, pin!(link.work.notified()))).await {
            Either::Left((read, _)) => Some(read.map_err(|error| lost(Error::from(error)))?),
            Either::Right(_) => None,
        }
    };
    let now = link.host.now();
    match read {
        Some(0) => {
            let text = "the peer has ended the connection";
            Err(lost(Error::new(ErrorKind::Closed, text)))
        }
        Some(_) => {
            link.engine().heard(now);
            incoming.quiet = Some(now + link.line.gap);
            answers(link, incoming, link.line.between())
        }
        None if incoming.quiet.is_some_and(|quiet| quiet <= now) => {
            incoming.quiet = None;
            answers(link, incoming, Pause::Quiet)
        }
        None => Ok(()),
    }
}

/// Another connection may do better.
fn lost(error: Error) -> Error {
    error.with_retry(Retry::Now)
}

/// Takes the answers that have come.
fn answers(link: &Link, incoming: &mut Incoming, pause: Pause) -> Result<(), Error> {
    loop {
        let mut engine = link.engine();
        let reading = Reading::Answers(engine.asked());
        let found = link.endpoint.framing.take(&mut incoming.buffer, reading, pause);
        match found.map_err(|text| lost(Error::new(ErrorKind::Protocol, text)))? {
            Found::Frame(frame, noise) => engine.answer(frame, noise, link.host.now()),
            Found::Nothing(noise) => {
                engine.counts.noise += noise as u64;
                break;
            }
        }
    }
    if incoming.buffer.is_empty() || !link.endpoint.framing.is_serial() {
        incoming.quiet = None;
    }
    link.changed.notify_waiters();
    Ok(())
}

/// Tells of what has happened.
fn tell(link: &Link) {
    let news = std::mem::take(&mut link.engine().news);
    if !news.is_empty() {
        link.changed.notify_waiters();
    }
    for news in news {
        let (name, unit, function, why) = match &news {
            News::Late { unit, function } => {
                ("late_answer", unit, function, "an answer came that nobody waits for")
            }
            News::Strange { unit, function, why } => ("wrong_answer", unit, function, why.as_str()),
            News::Unanswered { unit, function } => {
                ("no_answer", unit, function, "a request was not answered in time")
            }
        };
        let text = format!("{why} [unit={unit}, function={function}]");
        link.host.log(Level::Debug, TARGET, &text);
        let mut facts = json!({ "unit": unit, "function": function });
        if let News::Strange { .. } = news {
            facts["reason"] = why.into();
        }
        link.news.tell(name, facts);
    }
}

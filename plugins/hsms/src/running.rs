//! The task of a connection: it reads, writes and keeps time, each without waiting for the others, and ends
//! with the first of them. The carrier is dropped with it.

use crate::endpoint::UNCOUNTED;
use crate::header::{HEADER, Header, Kind, LENGTH, length};
use crate::incoming;
use crate::link::{End, Link, State, Waiting, broken, timed_out};
use crate::transactions::Asker;
use crate::{communication, secs1, stream9};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::{Either, select};
use jackfield_plugin_api::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use jackfield_plugin_api::{Error, ErrorKind, Level, Retry, Stream};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Bytes read at once.
const READ: usize = 16 << 10;
/// Bytes that are joined to be written at once.
const WRITE: usize = 64 << 10;
/// How often what is due is looked at while nobody reads what has come.
const STALLED: Duration = Duration::from_millis(250);

/// Runs a connection to its end.
pub(crate) async fn run(link: Arc<Link>, carrier: Stream) {
    let (mut input, mut output) = split(carrier);
    let end = match &link.endpoint.line {
        Some(line) => {
            let speaking = pin!(secs1::run(&link, line.times, &mut input, &mut output));
            select(speaking, pin!(keep_time(&link))).await.factor_first().0
        }
        None => {
            let reading = pin!(read(&link, &mut input));
            let writing = pin!(write(&link, &mut output));
            let keeping = pin!(keep_time(&link));
            let others = select(writing, keeping);
            match select(reading, others).await {
                Either::Left((end, _)) => end,
                Either::Right((either, _)) => either.factor_first().0,
            }
        }
    };
    let failed = matches!(end, End::Failed(_));
    link.end(end);
    // What has ended politely says so below, too, such as by `close_notify`; within T6.
    if !failed {
        let goodbye = async { output.shutdown().await.map_err(Error::from) };
        let _ = link.host.timeout(link.endpoint.times.t6, "the goodbye", goodbye).await;
    }
}

/// A share of the bytes of unfinished messages, given back when it is dropped.
pub(crate) struct Share<'a> {
    link: &'a Link,
    bytes: usize,
}

impl<'a> Share<'a> {
    pub(crate) fn of(link: &'a Link) -> Self {
        Share { link, bytes: 0 }
    }

    /// Whether there was room for so many bytes.
    pub(crate) fn set(&mut self, bytes: usize) -> bool {
        let bytes = bytes.saturating_sub(UNCOUNTED);
        let there = self.link.endpoint.unfinished.change(self.bytes, bytes);
        if there {
            self.bytes = bytes;
        }
        there
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.set(0);
    }
}

async fn read(link: &Link, input: &mut ReadHalf<Stream>) -> End {
    let mut buffer = BytesMut::with_capacity(READ);
    let mut share = Share::of(link);
    // Bytes that are to come of a message that is too long.
    let mut passed_over = 0;
    loop {
        match frame(link, &mut buffer, &mut passed_over) {
            Ok(Some((header, body))) => {
                link.note("peer", header, body.len());
                if let Err(end) = incoming::take(link, header, body).await {
                    return end;
                }
                continue;
            }
            Ok(None) => {}
            Err(end) => return end,
        }
        if !share.set(buffer.len()) {
            let text = "messages that have begun need more than `max_unfinished`";
            let error = Error::new(ErrorKind::Limit, text).with_retry(Retry::Now);
            return End::Failed(error);
        }
        buffer.reserve(READ);
        let read = match buffer.is_empty() && passed_over == 0 {
            true => input.read_buf(&mut buffer).await.map_err(Error::from),
            false => {
                let read = async { input.read_buf(&mut buffer).await.map_err(Error::from) };
                let t8 = "the rest of a message (T8)";
                link.host.timeout(link.endpoint.times.t8, t8, read).await
            }
        };
        match read {
            Ok(0) => return ended(link, buffer.len(), passed_over),
            Ok(_) => {}
            Err(error) => return End::Failed(error.with_retry(Retry::Now)),
        }
    }
}

/// The peer has ended its direction without a word.
fn ended(link: &Link, rest: usize, passed_over: usize) -> End {
    // A peer whose last words we wait for no more, because ours are on their way, may do so.
    if let Some((end, _)) = &link.state().out.closing {
        return end.clone();
    }
    let text = match rest {
        _ if passed_over > 0 => {
            "the peer has ended the connection within a message that is too long".to_owned()
        }
        0 => "the peer has ended the connection without a Separate.req".to_owned(),
        _ => format!("the peer has ended the connection after {rest} bytes of a message"),
    };
    End::Failed(Error::new(ErrorKind::Closed, text).with_retry(Retry::Now))
}

/// The next whole message of the buffer. What is `passed_over` is no part of it.
fn frame(
    link: &Link,
    buffer: &mut BytesMut,
    passed_over: &mut usize,
) -> Result<Option<(Header, Bytes)>, End> {
    let length = loop {
        let passed = buffer.len().min(*passed_over);
        buffer.advance(passed);
        *passed_over -= passed;
        let Some(prefix) = buffer.first_chunk::<LENGTH>() else { return Ok(None) };
        match length(*prefix, link.endpoint.most.message) {
            Ok(length) => break length,
            Err(text) if !link.endpoint.stream9 => return Err(broken(text)),
            Err(text) => {
                // Its header has to be there before it can be named.
                let bytes = buffer.first_chunk::<{ LENGTH + HEADER }>();
                let Some(bytes) = bytes else { return Ok(None) };
                *passed_over = too_long(link, *bytes).ok_or_else(|| broken(text))?;
                buffer.advance(LENGTH + HEADER);
            }
        }
    };
    if buffer.len() < LENGTH + length {
        return Ok(None);
    }
    let mut message = buffer.split_to(LENGTH + length).freeze().split_off(LENGTH);
    let body = message.split_off(HEADER);
    let Some(header) = message.first_chunk::<HEADER>() else { return Ok(None) };
    Ok(Some((Header::of(*header), body)))
}

/// Tells a host of a message that is too long, and gives the bytes of its content; `None` if it is none of data.
fn too_long(link: &Link, bytes: [u8; LENGTH + HEADER]) -> Option<usize> {
    let (length, header) = bytes.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?.checked_sub(HEADER)?;
    let header = Header::of(*header.first_chunk()?);
    let mut state = link.state();
    let data = header.kind == Kind::Data as u8 && header.presentation == 0;
    if !data || !state.is_selected(header.session) {
        return None;
    }
    link.note("peer", header, length);
    stream9::tell(link, &mut state, stream9::function::LENGTH, header, false);
    link.dropped(&mut state, header, "it is longer than `max_message`");
    Some(length)
}

/// What is to be written next.
enum Next {
    Bytes(BytesMut, u64, usize),
    End(End),
    Wait,
}

fn next(state: &mut State) -> Next {
    let out = &mut state.out;
    let mut bytes = BytesMut::new();
    let (mut count, mut of_data) = (0, 0);
    while bytes.len() < WRITE {
        if let Some(frame) = out.control.pop_front() {
            bytes.extend_from_slice(&frame);
        } else if let Some(Waiting { frame, .. }) = out.data.pop_front() {
            (count, of_data) = (count + 1, of_data + frame.len());
            bytes.extend_from_slice(&frame);
        } else {
            break;
        }
    }
    match &out.closing {
        _ if !bytes.is_empty() => Next::Bytes(bytes, count, of_data),
        Some((end, _)) => Next::End(end.clone()),
        None => Next::Wait,
    }
}

async fn write(link: &Link, output: &mut WriteHalf<Stream>) -> End {
    loop {
        let next = next(&mut link.state());
        let (bytes, count, of_data) = match next {
            Next::Bytes(bytes, count, of_data) => (bytes, count, of_data),
            Next::End(end) => return end,
            Next::Wait => {
                link.to_send.notified().await;
                if let Some(end) = &link.state().end {
                    return end.clone();
                }
                continue;
            }
        };
        let written = async {
            output.write_all(&bytes).await?;
            output.flush().await
        };
        if let Err(error) = written.await {
            return End::Failed(Error::from(error).with_retry(Retry::Now));
        }
        link.sent(&mut link.state(), count, of_data);
    }
}

async fn keep_time(link: &Link) -> End {
    loop {
        let now = link.host.now();
        let alarm = {
            let mut state = link.state();
            if let Some(end) = due(link, &mut state, now) {
                return end;
            }
            state.alarm = alarm(&state, now);
            state.alarm
        };
        match alarm {
            Some(alarm) => link.sleep_or(alarm, link.sooner.notified()).await,
            None => link.sooner.notified().await,
        }
        if let Some(end) = &link.state().end {
            return end.clone();
        }
    }
}

/// When something is due next.
fn alarm(state: &State, now: Duration) -> Option<Duration> {
    let answers = state.open.control.values().map(|asked| asked.deadline);
    let closing = state.out.closing.as_ref().map(|(_, deadline)| *deadline);
    let waiting = answers.chain(state.open.ours.first_deadline()).min();
    // An answer may stand behind what nobody takes: its time goes on, but is looked at later.
    let waiting = waiting.map(|when| if state.stalled { when.max(now + STALLED) } else { when });
    let rest = [waiting, closing, state.t7, state.linktest, state.open.theirs.first_deadline()];
    rest.into_iter().chain([state.communication.due]).flatten().min()
}

/// Does what is due. Gives the end of the connection, if it is that.
fn due(link: &Link, state: &mut State, now: Duration) -> Option<End> {
    let passed = |when: Option<Duration>| when.is_some_and(|when| when <= now);
    if passed(state.out.closing.as_ref().map(|(_, deadline)| *deadline)) {
        return state.out.closing.as_ref().map(|(end, _)| end.clone());
    }
    if passed(state.t7) {
        return Some(timed_out(format!(
            "no session was selected within {:?} (T7)",
            link.endpoint.times.t7
        )));
    }
    while state.open.theirs.expired(now).is_some() {}
    if passed(state.linktest) {
        state.linktest = None;
        let session = crate::header::ALL_SESSIONS;
        link.ask_for(state, Kind::LinktestReq, session, None);
    }
    communication::due(link, state, now);
    if state.stalled {
        return None;
    }
    let mut late = state.open.control.values().filter(|asked| asked.deadline <= now);
    if let Some(asked) = late.next() {
        let (name, t6) = (asked.kind.name(), link.endpoint.times.t6);
        return Some(timed_out(format!("{name} was not answered within {t6:?} (T6)")));
    }
    while let Some(open) = state.open.ours.expired(now) {
        unanswered(link, state, open.header, open.who);
    }
    None
}

/// T3 of a transaction has ended; the connection goes on (E37 §10.1).
fn unanswered(link: &Link, state: &mut State, header: Header, who: Asker) {
    let text = format!("{} was not answered in time (T3)", header.title());
    link.log(Level::Debug, &text);
    link.news.tell("reply_timeout", header.facts());
    stream9::tell(link, state, stream9::function::TIMEOUT, header, true);
    let error = Error::new(ErrorKind::TimedOut, text).with_retry(Retry::Never);
    link.unanswered(state, who, error);
    state.users.wake_writers();
    link.changed.notify_waiters();
}
